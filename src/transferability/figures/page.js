// The page's own script: the chart that networks are explored in, tables that are downloaded, sorted and filtered.
"use strict";
const exploring = JSON.parse(document.getElementById("exploring").textContent);
const SVG = "http://www.w3.org/2000/svg";
const WIDTH = Math.max(300, Math.min(800, document.querySelector("main").clientWidth - 40));
const HEIGHT = 420, LEFT = 52, RIGHT = 12, TOP = 12, BOTTOM = 58;

const make = (name, attributes = {}, ...children) => {
  const drawn = ["svg", "g", "a", "circle", "line", "polyline", "text"].includes(name);
  const element = drawn ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
};

async function unpack(name) {
  const packed = document.querySelector(`script[data-name="${name}"]`);
  const bytes = Uint8Array.from(atob(packed.textContent), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

function parse(text) {
  const rows = [[]];
  for (const [, quoted, plain, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^,\r\n]*))(,|\r?\n|$)/g)) {
    rows.at(-1).push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    if (end !== ",") rows.push([]);
  }
  const [names, ...lines] = rows.filter((row) => row.length > 1);
  return lines.map((line) => Object.fromEntries(names.map((name, index) => [name, line[index]])));
}

function offerTables() {
  for (const link of document.querySelectorAll("a[data-table]")) {
    link.download = link.dataset.table;
    link.addEventListener("click", async (event) => {
      event.preventDefault();
      const url = URL.createObjectURL(new Blob([await unpack(link.dataset.table)], { type: "text/csv" }));
      make("a", { href: url, download: link.dataset.table }).click();
      setTimeout(() => URL.revokeObjectURL(url), 10000);
    });
  }
}

function sortable(table) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const compare = new Intl.Collator("en", { numeric: true }).compare;
  heads.slice(0, -1).forEach((head, column) => {
    const button = make("button", { type: "button" }, head.textContent);
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const falling = head.getAttribute("aria-sort") === "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", falling ? "descending" : "ascending");
      const keyed = [...body.rows].map((row) => [row.cells[column].textContent, row]);
      keyed.sort((one, other) => (falling ? -1 : 1) * compare(one[0], other[0]));
      body.append(...keyed.map(([, row]) => row));
    });
  });
}

function filterable(table, place) {
  const count = place.querySelector("span");
  place.hidden = false;
  place.querySelector("input").addEventListener("input", (event) => {
    const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of table.tBodies[0].rows) {
      const cells = [...row.cells].slice(0, -1).map((cell) => cell.textContent.toLowerCase());
      row.hidden = !words.every((word) => cells.some((cell) => cell.startsWith(word)));
      shown += !row.hidden;
    }
    count.textContent = `${shown} shown`;
  });
}

const number = (text) => (text === "" ? NaN : Number(text));
const percent = (share) => `${(100 * share).toFixed(1)} %`;
const chosen = { off: new Set(), readOut: exploring.readOut };

function toggles(title, key, values, label) {
  const boxes = values.map((value) => {
    const box = make("input", { type: "checkbox", "data-key": `${key}=${value}` });
    box.checked = true;
    box.addEventListener("change", () => {
      chosen.off[box.checked ? "delete" : "add"](`${key}=${value}`);
      redraw();
    });
    return make("label", {}, box, " ", ...label(value));
  });
  return make("fieldset", {}, make("legend", {}, title), ...boxes);
}

function readOutControl() {
  const select = make("select", {}, ...exploring.readOuts.map((one) => make("option", { value: one.name }, one.label)));
  select.value = chosen.readOut;
  select.addEventListener("change", () => {
    chosen.readOut = select.value;
    redraw();
  });
  return make("label", {}, "Read-out ", select);
}

let networks = [];
const byName = Object.fromEntries(exploring.treatments.map((one) => [one.name, one]));
const distinct = (key) => [...new Set(networks.map((network) => network[key]))];

function swatch(name) {
  const dot = make("span", { class: "swatch" });
  dot.style.background = byName[name].colour;
  return [dot, byName[name].curve];
}

function buildControls() {
  const names = exploring.treatments.map((one) => one.name);
  const groups = [["Treatments", "treatment", names, swatch]];
  for (const [title, key] of [["Splits", "split"], ["Targets", "target"], ["Seeds", "seed"]]) {
    const values = distinct(key);
    if (values.length > 1 && values.length <= 40) groups.push([title, key, values, (value) => [value]]);
  }
  document.getElementById("controls").replaceChildren(...groups.map((group) => toggles(...group)), readOutControl());
}

function scales(rows) {
  const values = rows.map((row) => row.value);
  const low = Math.min(1, ...values), high = Math.max(0, ...values);
  const room = Math.max(0.02, (high - low) * 0.06);
  const deepest = Math.max(1, ...networks.map((network) => network.n));
  return {
    x: (n) => LEFT + ((n + 0.5) / (deepest + 1)) * (WIDTH - LEFT - RIGHT),
    y: (value) => TOP + ((high + room - value) / (high - low + 2 * room)) * (HEIGHT - TOP - BOTTOM),
    low: low - room, high: high + room, deepest,
  };
}

function axes(scale) {
  const parts = [];
  const step = [0.01, 0.02, 0.05, 0.1, 0.2].find((one) => (scale.high - scale.low) / one <= 8) || 0.25;
  for (let value = Math.ceil(scale.low / step) * step; value <= scale.high; value += step) {
    const y = scale.y(value);
    parts.push(make("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y, y2: y }));
    parts.push(make("text", { x: LEFT - 8, y: y + 4, "text-anchor": "end" }, `${Math.round(100 * value)} %`));
  }
  const every = Math.ceil(scale.deepest / 16);
  for (let n = 0; n <= scale.deepest; n += every) {
    const label = n === 0 ? "base" : String(n);
    parts.push(make("text", { x: scale.x(n), y: HEIGHT - BOTTOM + 18, "text-anchor": "middle" }, label));
    if (exploring.stages[n]) {
      const at = { x: scale.x(n), y: HEIGHT - BOTTOM + 33, "text-anchor": "middle", "font-size": 9 };
      parts.push(make("text", at, exploring.stages[n]));
    }
  }
  const title = { x: (LEFT + WIDTH) / 2, y: HEIGHT - 8, "text-anchor": "middle" };
  return [...parts, make("text", title, "Cut after stage n")];
}

function meanLines(rows, scale) {
  return exploring.treatments.map((treatment) => {
    const sums = new Map();
    for (const row of rows.filter((one) => one.treatment === treatment.name)) {
      const [total, count] = sums.get(row.n) || [0, 0];
      sums.set(row.n, [total + row.value, count + 1]);
    }
    const line = [...sums].sort((one, other) => one[0] - other[0]);
    const points = line.map(([n, [total, count]]) => `${scale.x(n)},${scale.y(total / count)}`).join(" ");
    const look = { points, fill: "none", stroke: treatment.colour, "stroke-width": 1.6, class: "mean" };
    if (treatment.dashed) look["stroke-dasharray"] = "5 3";
    return make("polyline", look);
  });
}

function describe(row) {
  return `${row.network}: ${percent(row.value)}; ${row.split}, seed ${row.seed}, target ${row.target}`;
}

function point(row, scale) {
  const treatment = byName[row.treatment];
  const at = { cx: scale.x(row.n + 0.8 * treatment.offset), cy: scale.y(row.value), r: 3.4, fill: treatment.colour };
  const link = make("a", { tabindex: 0, "aria-label": describe(row) }, make("circle", at));
  if (exploring.linked) link.setAttribute("href", `${encodeURIComponent(row.split)}/seed${row.seed}/${row.network}.json`);
  link.row = row;
  return link;
}

function redraw() {
  const chart = document.getElementById("chart");
  const shown = networks
    .filter((row) => ["treatment", "split", "target", "seed"].every((key) => !chosen.off.has(`${key}=${row[key]}`)))
    .map((row) => ({ ...row, value: number(row[chosen.readOut]) }))
    .filter((row) => !Number.isNaN(row.value));
  const scale = scales(shown);
  chart.replaceChildren(...axes(scale), ...meanLines(shown, scale), ...shown.map((row) => point(row, scale)));
  document.getElementById("shown").textContent =
    `${shown.length} of ${networks.length} networks that trained; lines are the means of what is shown.`;
}

function hints() {
  const chart = document.getElementById("chart"), tip = document.getElementById("tip");
  const show = (event) => {
    const link = event.target.closest("a");
    tip.hidden = !link;
    if (!link) return;
    tip.textContent = describe(link.row) + (exploring.linked ? " (click: its metrics)" : "");
    const box = link.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(box.left + 10, innerWidth - tip.offsetWidth - 4))}px`;
    tip.style.top = `${Math.max(4, box.top - tip.offsetHeight - 6)}px`;
  };
  for (const kind of ["mouseover", "focusin"]) chart.addEventListener(kind, show);
  for (const kind of ["mouseout", "focusout"]) chart.addEventListener(kind, () => { tip.hidden = true; });
}

async function explore() {
  const rows = parse(await unpack("networks.csv"));
  networks = rows.filter((row) => row.trained === "True").map((row) => ({ ...row, n: Number(row.n) }));
  // Nothing trained, or no read-out has a number.
  if (!networks.length || !exploring.readOuts.length) return;
  document.getElementById("chart").setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  buildControls();
  redraw();
  hints();
  document.getElementById("explore").hidden = false;
}

sortable(document.getElementById("table"));
filterable(document.getElementById("table"), document.getElementById("filter"));
if ("DecompressionStream" in window) {
  offerTables();
  if (document.querySelector('script[data-name="networks.csv"]')) explore();
}
