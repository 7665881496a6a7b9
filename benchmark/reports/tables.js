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

/** The text of a cell, with its marks in brackets. */
function written(cell) {
  const copied = cell.cloneNode(true);
  for (const mark of all("sup, .mark", copied)) mark.replaceWith(` [${mark.textContent}]`);
  return copied.textContent.replace(/\s+/g, " ").trim();
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
        text: written(cell),
        span: cell.colSpan, bold: cell.querySelector("b") !== null, left: cell.tagName === "TH" || cell.className === "left",
      })),
    });
  }
  return lines;
}
/** The sentences that belong to a table: legend, footnotes. */
const notes = (table) => all("p", table.closest(".box")).filter((p) => p.checkVisibility() && !p.matches(".screen"))
  .map((p) => p.innerText.trim());
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
    const below = notes(table).map(escape), caption = escape(table.caption?.textContent.trim() ?? "");
    return ["% needs \\usepackage{booktabs}", "\\begin{table}", "\\centering", `\\caption{${caption}}`,
      `\\begin{tabular}{${first.cells.map((c) => (c.left ? "l" : "r")).join("")}}`, "\\toprule", ...body,
      "\\bottomrule", "\\end{tabular}", ...(below.length ? [`\\par\\smallskip\\parbox{\\linewidth}{\\footnotesize ${below.join("\\\\ ")}}`] : []),
      "\\end{table}"].join("\n");
  },
  CSV(table) {
    const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
    return seen(table).map((line) => spread(line).map((text) => quoted(text.replace(/\*$/, ""))).join(",")).join("\n");
  },
  Markdown(table) {
    const lines = seen(table), heads = lines.filter((l) => l.head);
    const text = (line) => `| ${line.cells.flatMap((c) => [
      (c.bold ? `**${c.text}**` : c.text).replaceAll("|", "\\|"), ...Array(c.span - 1).fill("")]).join(" | ")} |`;
    const rule = `|${heads.at(-1).cells.map((c, i) => (i ? "---:" : ":---")).join("|")}|`;
    const body = [...heads.slice(1), ...lines.filter((l) => !l.head)].map(text), below = notes(table);
    return [...heads.slice(0, 1).map(text), rule, ...body, ...(below.length ? ["", below.join("  \n")] : [])].join("\n");
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
