"use strict";
const one = (id) => document.getElementById(id);
const all = (selector, from = document) => [...from.querySelectorAll(selector)];
const data = JSON.parse(one("data").textContent);

function made(name, text = "", given = {}) {
  const element = document.createElement(name);
  element.textContent = text;
  for (const [key, value] of Object.entries(given)) element.setAttribute(key, value);
  return element;
}

// ---------------------------------------------------------------- tables: sort, filter, copy

/** The cells of a line, one per column: a cell over several columns stands for each of them. */
function columns(row) {
  return [...row.cells].flatMap((cell) => Array(cell.colSpan).fill(cell));
}
function key(row, column) {
  const cell = columns(row)[column];
  return cell.dataset.value ?? cell.textContent.trim();
}
/** Sort the lines between two headings among themselves; averages stay where they are. */
function sort(button) {
  const head = button.closest("th"), table = button.closest("table"), body = table.tBodies[0];
  const column = columns(head.parentElement).indexOf(head);
  const down = head.getAttribute("aria-sort") !== "descending";
  all("th[aria-sort]", table).forEach((th) => th.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const number = (text) => parseFloat(text);
  const compare = (a, b) => {
    const [x, y] = [key(a, column), key(b, column)], [empty, other] = [x, y].map((t) => t === "" || t === "–");
    if (empty || other) return empty - other;
    const order = isNaN(number(x)) || isNaN(number(y)) ? x.localeCompare(y) : number(x) - number(y);
    return down ? -order : order;
  };
  const runs = [[]];
  for (const row of body.rows) {
    if (row.matches(".group, .average")) runs.push([row], []);
    else runs.at(-1).push(row);
  }
  runs.forEach((run) => run.sort(compare).forEach((row) => body.append(row)));
}
function filterRows(table, text) {
  const wanted = text.trim().toLowerCase();
  for (const row of table.tBodies[0].rows) {
    row.toggleAttribute("data-out", !row.textContent.toLowerCase().includes(wanted));
    show(row);
  }
}
/** A line is seen when neither its table's filter nor the page's says otherwise. */
function show(element) {
  element.hidden = element.hasAttribute("data-out") || element.hasAttribute("data-off");
}

/** What is seen of a table: lines of cells with text, span and whether they are bold. */
function seen(table) {
  const lines = [];
  for (const row of table.rows) {
    if (!row.checkVisibility()) continue;
    const cells = [...row.cells].filter((cell) => cell.checkVisibility());
    lines.push({
      head: row.parentElement.tagName === "THEAD",
      cells: cells.map((cell) => ({
        text: [...cell.querySelectorAll("sup, abbr, .mark")].reduce(
          (text, part) => text.replace(part.textContent, part.matches(".mark") ? `(${part.textContent})` : ` [${part.title || part.textContent}]`),
          cell.textContent).replace(/\s+/g, " ").trim(),
        span: cell.colSpan, bold: cell.querySelector("b") !== null, left: cell.tagName === "TH" || cell.className === "left",
      })),
    });
  }
  return lines;
}
const spread = (line) => line.cells.flatMap((c) => [c.text, ...Array(c.span - 1).fill("")]);
const FORMS = {
  LaTeX(table) {
    const escape = (text) => [...text].map((c) => data.tex[c] ?? c).join("");
    const lines = seen(table), last = lines.filter((l) => l.head).at(-1);
    const first = lines.find((l) => !l.head && l.cells.length === last.cells.length) ?? last;
    const cell = (c) => {
      const text = c.bold ? `\\textbf{${escape(c.text)}}` : escape(c.text);
      return c.span > 1 ? `\\multicolumn{${c.span}}{${c.left ? "l" : "c"}}{${text}}` : text;
    };
    const body = lines.map((l) => l.cells.map(cell).join(" & ") + " \\\\" + (l === last ? "\n\\midrule" : ""));
    const caption = escape(table.caption?.textContent.trim() ?? "");
    return ["% needs \\usepackage{booktabs}", "\\begin{table}", "\\centering", `\\caption{${caption}}`,
      `\\begin{tabular}{${first.cells.map((c) => (c.left ? "l" : "r")).join("")}}`, "\\toprule", ...body,
      "\\bottomrule", "\\end{tabular}", "\\end{table}"].join("\n");
  },
  CSV(table) {
    const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
    return seen(table).map((line) => spread(line).map(quoted).join(",")).join("\n");
  },
  Markdown(table) {
    const lines = seen(table), heads = lines.filter((l) => l.head);
    const text = (line) => `| ${line.cells.flatMap((c) => [
      (c.bold ? `**${c.text}**` : c.text).replaceAll("|", "\\|"), ...Array(c.span - 1).fill("")]).join(" | ")} |`;
    const rule = `|${heads.at(-1).cells.map((c, i) => (i ? "---:" : ":---")).join("|")}|`;
    return [...heads.slice(0, 1).map(text), rule, ...[...heads.slice(1), ...lines.filter((l) => !l.head)].map(text)].join("\n");
  },
};
async function copy(text, said, box) {
  box.querySelector("textarea")?.remove();
  try {
    await navigator.clipboard.writeText(text);
    said.textContent = "copied";
  } catch {  // a file opened from disk may not be allowed to: show the text instead
    const area = made("textarea", text, {readonly: "", "aria-label": "text to copy"});
    said.closest(".tools").after(area);
    area.select();
    said.textContent = "select and copy";
  }
}
/** Give a table its buttons. */
function equip(box) {
  const table = box.querySelector("table"), tools = made("div", "", {class: "tools"});
  const filter = made("input", "", {type: "search", placeholder: "filter rows", "aria-label": `filter rows of ${table.caption?.textContent ?? "this table"}`});
  filter.addEventListener("input", () => filterRows(table, filter.value));
  const said = made("span", "", {role: "status"});
  const buttons = Object.entries(FORMS).map(([name, write]) => {
    const button = made("button", name, {type: "button", class: "copy", title: `copy what is shown as ${name}`});
    button.addEventListener("click", () => copy(write(table), said, box));
    return button;
  });
  tools.append(said, filter, made("span", "copy as"), ...buttons);
  box.prepend(tools);
  for (const head of [...table.tHead.rows].at(-1).cells) {
    const button = made("button", "", {type: "button"});
    button.append(...head.childNodes);
    button.addEventListener("click", () => sort(button));
    head.append(button);
  }
}

// ---------------------------------------------------------------- charts

const charts = new Map();  // element -> the function that gives its options
function palette() {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(["ink", "dim", "line", "link", "other", "grey", "paper"].map((n) => [n, style.getPropertyValue(`--${n}`).trim()]));
}
function draw(element) {
  if (!element.clientWidth) return;
  echarts.getInstanceByDom(element)?.dispose();
  const colours = palette();
  const chart = echarts.init(element, null, {renderer: "svg"});
  chart.setOption({
    animation: false, textStyle: {color: colours.ink, fontFamily: "system-ui, sans-serif"},
    ...charts.get(element)(colours, element.clientWidth),
  });
}
function chart(element, options) {
  charts.set(element, options);
  draw(element);
}
const drawAll = () => charts.forEach((_, element) => draw(element));
function axis(colours, name, given = {}) {
  return {
    name, nameLocation: "middle", nameGap: 28, nameTextStyle: {color: colours.dim}, axisLabel: {color: colours.dim, hideOverlap: true},
    axisLine: {lineStyle: {color: colours.line}}, splitLine: {lineStyle: {color: colours.line, opacity: 0.5}}, ...given,
  };
}
const tip = (colours) => ({backgroundColor: colours.paper, borderColor: colours.line, textStyle: {color: colours.ink}, confine: true});
const plain = (text) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);  // tooltips are HTML
const signed = (x) => (x > 0 ? "+" : "") + x.toFixed(3).replace("-", "−");
const short = (x) => (x === null ? "–" : x.toFixed(3));

/** Quality against latency: the frontier, and grey what is dominated. */
function speed(block, device, metric) {
  return (colours, width) => {
    const m = block.metrics.indexOf(metric), here = block.devices[device];
    const front = here.frontiers[m].filter((i) => !off(block.methods[i]));
    const point = (i) => ({name: block.methods[i].label, value: [here.ms[i], block.means[m][i]], n: i});
    const there = block.methods.map((_, i) => i).filter((i) => here.ms[i] !== null && block.means[m][i] !== null && !off(block.methods[i]));
    const times = there.map((i) => here.ms[i]);
    const [first, last] = [Math.min(...times), Math.max(...times)], log = last > 10 * first;
    const pad = 0.15 * (last - first) || 0.5 * first;
    const scaled = log ? Math.log : (x) => x;
    const label = (i, position) => {  // the frontier rises to the right: above it its names are free
      const along = (scaled(here.ms[i]) - scaled(first)) / (scaled(last) - scaled(first) || 1);
      const align = along < 0.3 ? "left" : along > 0.7 ? "right" : "center";
      return {show: true, formatter: "{b}", color: colours.ink, position, align, distance: 6};
    };
    const best = front.map((i) => ({...point(i), label: label(i, "top")}));
    const dominated = there.filter((i) => !front.includes(i));
    const room = log ? [first / 1.4, last * 1.4] : [first - pad, last + pad];
    return {
      grid: {left: 48, right: 22, top: 12, bottom: 44},
      tooltip: {...tip(colours), formatter: (p) => `${plain(p.name)}<br>${metric} ${short(p.value[1])}<br>${p.value[0].toPrecision(3)} ms per image${here.stored[p.data.n] === null ? "" : `<br>${here.stored[p.data.n]} MB stored`}`},
      xAxis: axis(colours, "ms per image, one at a time", {
        type: log ? "log" : "value", min: room[0], max: room[1],
        axisLabel: {color: colours.dim, hideOverlap: true, showMinLabel: false, showMaxLabel: false, formatter: (x) => String(Number(x.toPrecision(6)))}}),
      yAxis: axis(colours, "", {type: "value", scale: true, boundaryGap: ["8%", "14%"], axisLabel: {color: colours.dim, formatter: (x) => String(Number(x.toFixed(3)))}}),
      series: [
        {type: "line", name: "frontier", step: "end", symbol: "none", data: best.map((p) => p.value), lineStyle: {color: colours.link, width: 1.5}, silent: true},
        {type: "scatter", name: "dominated", symbolSize: 9, itemStyle: {color: colours.grey}, 
          data: dominated.map((i) => ({...point(i), label: {...label(i, "bottom"), show: there.length < 8, color: colours.dim}}))},
        {type: "scatter", name: "on the frontier", symbolSize: 12, itemStyle: {color: colours.link}, data: best},
      ],
    };
  };
}

// ---------------------------------------------------------------- by category

function winner(block, m, c) {
  const values = block.cells[m].map((row) => row[c]).filter((v) => v !== null).map((v) => Number(v.toFixed(3)));
  if (values.length < 2 || !block.ranked[c]) return NaN;
  return data.better[block.metrics[m]] === "lower" ? Math.min(...values) : Math.max(...values);
}
/** Who wins where: categories × methods, shaded. */
function heat(block, box, metric) {
  box.replaceChildren();
  const m = block.metrics.indexOf(metric);
  if (m < 0) return void box.append(made("p", `No record of this block has ${metric}.`, {class: "said"}));
  const known = block.cells[m].flat().filter((v) => v !== null), [low, high] = [Math.min(...known), Math.max(...known)];
  const lower = data.better[metric] === "lower";
  const table = made("table"), head = table.createTHead().insertRow(), body = table.createTBody();
  table.createCaption().textContent = `Who wins where: ${metric}${lower ? ", lower is better" : ""}${block.spreads ? ", means over seeds" : ""}`;
  const order = all("table.board tbody tr", box.closest(".block")).map((row) => Number(row.dataset.n));
  head.append(made("th", "Category", {scope: "col"}));
  for (const n of order) head.append(made("th", block.methods[n].label, {scope: "col", title: block.methods[n].name, "data-n": n}));
  const trivial = metric === "image_auroc" && block.trivial.some(Boolean), counted = block.images.some((pair) => pair[0] !== null);
  if (trivial) head.append(made("th", "best trivial score", {scope: "col"}));
  if (counted) head.append(made("th", "good + defective images", {scope: "col"}));
  block.categories.forEach((category, c) => {
    const row = body.insertRow(), best = winner(block, m, c), score = block.trivial[c];
    row.append(made("th", category, {scope: "row"}));
    for (const n of order) {
      const value = block.cells[m][n][c], text = short(value);
      const cell = made("td", "", {"data-n": n, "data-value": value ?? ""});
      cell.append(Number(text) === best ? made("b", text) : text);
      if (value !== null) cell.style.setProperty("--shade", high > low ? ((lower ? high - value : value - low) / (high - low)).toFixed(3) : 0.5);
      if (trivial && score && value !== null && score[1] >= value) cell.append(made("abbr", "*", {title: `${score[0]} alone: ${short(score[1])}`}));
      row.append(cell);
    }
    if (trivial) row.append(made("td", score ? `${score[0]} ${short(score[1])}` : "–", {"data-value": score?.[1] ?? ""}));
    if (counted) row.append(made("td", block.images[c].map((n) => n ?? "–").join(" + ")));
  });
  const wide = made("div", "", {class: "wide", tabindex: 0, role: "region", "aria-label": `${metric} by category, ${block.title}`});
  wide.append(table);
  box.append(wide);
  const won = order.map((n) => [block.methods[n].label, all(`td[data-n="${n}"] b`, body).length]).filter(([, k]) => k);
  won.sort((a, b) => b[1] - a[1]);
  const others = won.length > 5 ? `, ${won.length - 5} others in fewer` : "";
  if (won.length) box.append(made("p", `Best in: ${won.slice(0, 5).map(([name, k]) => `${name} ${k}`).join(", ")}${others}, of ${block.categories.length}; ties count for all.`, {class: "below"}));
  if (table.querySelector("abbr")) box.append(made("p", "* a score that looks at no defect, such as the image's brightness, does as well.", {class: "below"}));
  equip(box);
}

/** Two ticked methods, category by category. */
function compare(block, section, pair, metric) {
  const place = section.querySelector(".compare"), m = block.metrics.indexOf(metric);
  const status = section.querySelector("output");
  if (status) status.textContent = pair.length === 1 ? `${block.methods[pair[0]].label} is ticked; one more.` : "";
  place.hidden = pair.length < 2 || m < 0;
  place.replaceChildren();
  if (place.hidden) return;
  const [a, b] = pair.map((n) => block.methods[n].label), sign = data.better[metric] === "lower" ? -1 : 1;
  const rows = block.categories.map((category, c) => {
    const [x, y] = pair.map((n) => block.cells[m][n][c]);
    return {category, c, x, y, gap: x === null || y === null ? null : x - y};
  });
  const both = rows.filter((r) => r.gap !== null), wins = (k) => both.filter((r) => k * sign * r.gap >= 0.0005).length;
  const mean = both.length ? both.reduce((sum, r) => sum + r.gap, 0) / both.length : null;
  place.append(made("h3", `${a} − ${b}: ${metric}`),
    made("p", `${a} is better in ${wins(1)}, ${b} in ${wins(-1)} of ${both.length} categories; mean difference ${mean === null ? "–" : signed(mean)}.`));
  const layout = made("div", "", {class: "pair"}), picture = made("div", "", {class: "chart", role: "img", "aria-label": `difference per category, ${a} minus ${b}; the table beside it holds the numbers`});
  const box = made("div", "", {class: "box"}), wide = made("div", "", {class: "wide", tabindex: 0, role: "region", "aria-label": `${a} and ${b} by category`});
  const table = made("table"), head = table.createTHead().insertRow(), body = table.createTBody();
  table.createCaption().textContent = `${metric} of ${a} and ${b}`;
  for (const text of ["Category", a, b, "Difference"]) head.append(made("th", text, {scope: "col"}));
  for (const r of rows) {
    const row = body.insertRow();
    row.append(made("th", r.category, {scope: "row"}));
    pair.forEach((n, i) => {
      const value = i ? r.y : r.x, sd = block.spreads?.[m][n][r.c] ?? null;
      row.append(made("td", short(value) + (sd === null ? "" : ` ± ${short(sd)}`), {"data-value": value ?? ""}));
    });
    row.append(made("td", r.gap === null ? "–" : signed(r.gap), {"data-value": r.gap ?? ""}));
  }
  wide.append(table);
  box.append(wide);
  equip(box);
  layout.append(picture, box);
  place.append(layout);
  const shown = both.toReversed();
  picture.style.height = `${Math.max(160, 60 + 20 * shown.length)}px`;
  chart(picture, (colours) => ({
    grid: {left: 8, right: 16, top: 8, bottom: 44, containLabel: true},
    tooltip: {...tip(colours), formatter: (p) => `${plain(p.name)}: ${signed(p.value)}`},
    xAxis: axis(colours, `difference of ${metric}`, {type: "value"}),
    yAxis: axis(colours, "", {type: "category", data: shown.map((r) => r.category), axisLabel: {color: colours.dim, interval: 0}, splitLine: {show: false}, axisTick: {show: false}}),
    series: [{type: "bar", data: shown.map((r) => ({value: r.gap, itemStyle: {color: sign * r.gap >= 0 ? colours.link : colours.other}}))}],
  }));
}

// ---------------------------------------------------------------- what is chosen

const pairs = new Map();  // block's section -> the ticked methods, at most two
const sections = all("section.block");
const off = (method) => !`${method.label} ${method.name}`.toLowerCase().includes(one("methods").value.trim().toLowerCase());

function redraw(section) {
  const block = data.blocks[section.dataset.block], metric = one("metric").value;
  heat(block, section.querySelector(".heat"), metric);
  compare(block, section, pairs.get(section) ?? [], metric);
  for (const element of all(".speed .chart", section)) {
    const there = block.metrics.includes(metric);
    element.parentElement.hidden = !there;
    element.setAttribute("aria-label", `${metric} against latency; the tables hold the numbers`);
    element.previousElementSibling.textContent = `Quality against latency: ${metric}`;
    if (there) chart(element, speed(block, Number(element.dataset.device), metric));
  }
}
function choose() {
  const chosen = one("block")?.value ?? "";
  for (const element of all("[data-block]")) {
    element.hidden = chosen !== "" && element.dataset.block !== chosen;
    const block = data.blocks[element.dataset.block];
    for (const part of all("[data-n]", element)) {
      part.toggleAttribute("data-off", off(block.methods[part.dataset.n]));
      show(part);
    }
  }
  for (const run of all("details.run")) run.hidden = off({label: run.dataset.name, name: ""});
}
function change() {
  sections.forEach(redraw);
  choose();
}
for (const id of ["block", "metric", "methods"]) one(id)?.addEventListener("input", change);
one("more").addEventListener("change", () => all("table.board").forEach((t) => t.classList.toggle("all", one("more").checked)));
document.querySelector("form.bar").addEventListener("submit", (e) => e.preventDefault());
for (const section of sections) {
  section.addEventListener("change", (e) => {
    if (!e.target.matches(".tick input")) return;
    const n = Number(e.target.value);
    const pair = [...(pairs.get(section) ?? []).filter((k) => k !== n), ...(e.target.checked ? [n] : [])].slice(-2);
    pairs.set(section, pair);
    all(".tick input", section).forEach((box) => { box.checked = pair.includes(Number(box.value)); });
    compare(data.blocks[section.dataset.block], section, pair, one("metric").value);
  });
}

/** The curves of a configuration, drawn when it is opened. */
all("details.run").forEach((run) => run.addEventListener("toggle", () => {
  const place = run.querySelector(".curves"), curves = data.curves[run.id];
  if (!run.open || !place || charts.has(place)) return;
  chart(place, (colours) => ({
    title: {text: "Image ROC, first seed", textStyle: {fontSize: 13, color: colours.ink}},
    grid: {left: 46, right: 16, top: 36, bottom: 74}, legend: {type: "scroll", bottom: 0, textStyle: {color: colours.dim}},
    tooltip: {...tip(colours), formatter: (p) => `${plain(p.seriesName)}: ${short(p.value[1])} at ${short(p.value[0])} false positives`},
    xAxis: axis(colours, "false positive rate", {type: "value", min: 0, max: 1}),
    yAxis: axis(colours, "true positive rate", {type: "value", min: 0, max: 1, nameGap: 32}),
    series: Object.entries(curves).map(([name, points]) => ({name, type: "line", data: points, showSymbol: false, lineStyle: {width: 1.5}})),
  }));
}));

/** Open whatever hides the place that the address names. */
function arrive() {
  const place = location.hash && one(decodeURIComponent(location.hash.slice(1)));
  if (!place) return;
  for (let part = place; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
  place.scrollIntoView();
  (place.querySelector(":scope > summary") ?? place).focus({preventScroll: true});
}
addEventListener("hashchange", arrive);

all(".box:not(.heat)").forEach(equip);
change();
arrive();
let waiting = 0;
addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(drawAll, 150); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
matchMedia("print").addEventListener("change", drawAll);  // on paper in the colours of paper
