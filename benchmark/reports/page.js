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
    color: ["#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#0072b2", "#8a8f98"],
    title: {text: "Image ROC, first seed", textStyle: {fontSize: 13, color: colours.ink}},
    grid: {left: 46, right: 16, top: 36, bottom: 74}, legend: {type: "scroll", bottom: 0, textStyle: {color: colours.dim}},
    tooltip: {...tip(colours), formatter: (p) => `${plain(p.seriesName)}: ${short(p.value[1])} at ${short(p.value[0])} false positives`},
    xAxis: axis(colours, "false positive rate", {type: "value", min: 0, max: 1}),
    yAxis: axis(colours, "true positive rate", {type: "value", min: 0, max: 1, nameGap: 32}),
    series: Object.entries(curves).map(([name, points], i) => (
      {name, type: "line", data: points, showSymbol: false, lineStyle: {width: 1.5, type: ["solid", "dashed", "dotted"][Math.floor(i / 7) % 3]}})),
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
