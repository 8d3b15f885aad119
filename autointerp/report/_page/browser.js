// The list of latents: search, filter, sort, keyboard. The address keeps what is open and how the list is filtered:
// #latent=<name>&with=<name>&search=...&sort=...
const PAGE = 100;
const field = (id) => document.getElementById(id);
const pane = document.querySelector(".browser");
const body = document.querySelector("#list tbody");
let index, rows = [], shown = [], current = null, beside = null, sortBy = { key: "score", down: true }, limit = PAGE;

const nameOf = (row) => `${index.dictionaries[row.d].name}/${row.i}`;

function readIndex(data) {
  index = data;
  const { columns } = data;
  rows = columns.d.map((d, n) => ({
    n, d, i: columns.i[n], words: columns.x[n], status: columns.status[n], rate: columns.rate[n], share: columns.share[n],
    peak: columns.peak[n], chunk: columns.chunk[n], at: columns.at[n], scores: columns.scores.map((values) => values[n]),
  }));
  for (const row of rows) {
    const known = row.scores.filter(isNumber);
    row.score = known.length ? known.reduce((a, b) => a + b, 0) / known.length : null;
    row.trivial = isNumber(row.share) && row.share >= meta.trivial;
    row.key = `${nameOf(row)} ${row.words ?? ""} ${row.peak}`.toLocaleLowerCase();
  }
}

const measure = (row, key) => (key === "score" ? row.score : row.scores[index.scorers.indexOf(key)]);
function valueOf(row, key) {
  if (key === "latent") return row.n;
  if (key === "words") return row.words ?? "";
  if (key === "rate" || key === "share") return row[key];
  return measure(row, key);
}

function compareRows(a, b) {
  const [x, y] = [valueOf(a, sortBy.key), valueOf(b, sortBy.key)];
  if (x == null || y == null) return (x == null) - (y == null) || a.n - b.n;
  const order = typeof x === "string" ? x.localeCompare(y) : x - y;
  return (sortBy.down ? -order : order) || a.n - b.n;
}

const bound = (id, otherwise) => (field(id).value === "" ? otherwise : Number(field(id).value));
function matches(row) {
  const words = field("search").value.toLocaleLowerCase().split(/\s+/).filter(Boolean);
  const chosen = field("dictionary").value, trivial = field("trivial").value;
  const score = measure(row, field("measure").value);
  const bounded = field("score-min").value !== "" || field("score-max").value !== "";
  return words.every((word) => row.key.includes(word)) && (chosen === "" || row.d === Number(chosen)) &&
    (trivial === "" || row.trivial === (trivial === "yes")) &&
    (!bounded || (isNumber(score) && score >= bound("score-min", 0) && score <= bound("score-max", 1))) &&
    row.rate >= bound("rate-min", 0) && row.rate <= bound("rate-max", 1);
}

// Scorers with a column of their own on every screen; the others only where there is room.
const ALWAYS = 2;
const kindOf = (n) => (n < ALWAYS ? "score" : "score optional");
function cellScore(value, n) {
  if (index.scorers.length > 1) return el("td", { class: `num ${kindOf(n)}` }, fixed(value));
  const share = isNumber(value) ? Math.max(0, Math.min(1, value)) * 100 : 0;
  return el("td", { class: "num" }, fixed(value), el("span", { class: "meter", style: `--share: ${share}%`, "aria-hidden": "true" }));
}

function rowOf(row) {
  const dictionary = index.dictionaries[row.d];
  const name = el("button", { type: "button", class: "open", "data-n": row.n }, el("span", { class: `dot ${dictionary.architecture}`, "aria-hidden": "true" }), nameOf(row));
  const words = row.words === null ? el("em", {}, row.status.replace("_", " ")) : visible(row.words);
  const line = el("tr", { "data-n": row.n, on: { click: () => open(row) } },
    el("td", {}, name), el("td", {}, el("div", { class: "words" }, words)), ...row.scores.map(cellScore),
    el("td", { class: "num optional" }, rate(row.rate)), el("td", { class: "wide-only" }, row.trivial ? "trivial" : ""));
  if (current === row) line.setAttribute("aria-current", "true");
  return line;
}

function headings() {
  const columns = [["latent", "Latent"], ["words", "Explanation"], ...index.scorers.map((name, n) => [name, name, kindOf(n)]), ["rate", "Fires on", "optional"], ["share", "Trivial", "wide-only"]];
  document.querySelector("#list thead tr").replaceChildren(...columns.map(([key, label, kind]) => {
    const active = sortBy.key === key;
    const sort = active ? (sortBy.down ? "descending" : "ascending") : "none";
    const arrow = el("span", { "aria-hidden": "true" }, active ? (sortBy.down ? " ↓" : " ↑") : "");
    const press = () => { sortBy = { key, down: active ? !sortBy.down : !["latent", "words"].includes(key) }; refresh(); document.querySelector(`#list thead [data-key="${key}"]`)?.focus(); };
    return el("th", { scope: "col", "aria-sort": sort, class: kind }, el("button", { type: "button", "data-key": key, on: { click: press } }, label, arrow));
  }));
}

function fill() {
  const none = el("tr", {}, el("td", { colspan: 9, class: "note" }, "No latent matches these filters."));
  body.replaceChildren(...(shown.length ? shown.slice(0, limit).map(rowOf) : [none]));
  field("more").hidden = shown.length <= limit;
}

function refresh() {
  shown = rows.filter(matches).sort(compareRows);
  limit = PAGE;
  headings();
  const wanted = `${sortBy.key} ${sortBy.down ? "down" : "up"}`;
  if (field("sort").value !== wanted) field("sort").value = wanted;
  field("count").textContent = `${shown.length.toLocaleString("en")} of ${rows.length.toLocaleString("en")} latents`;
  fill();
  remember();
}

// -- the address

const KEPT = ["search", "dictionary", "measure", "score-min", "score-max", "rate-min", "rate-max", "trivial", "sort"];
const USUAL = { measure: "score", sort: "score down" };
function remember() {
  const said = new URLSearchParams();
  if (current) said.set("latent", nameOf(current));
  if (beside) said.set("with", nameOf(beside));
  for (const id of KEPT) {
    const value = id === "dictionary" && field(id).value !== "" ? index.dictionaries[field(id).value].name : field(id).value;
    if (value !== (USUAL[id] ?? "")) said.set(id, value);
  }
  const text = said.toString();
  const address = /^#[^=]*$/.test(location.hash) && !text ? location.hash : text ? `#${text}` : location.pathname;
  history.replaceState(null, "", address);
}

function fromAddress() {
  const said = new URLSearchParams(location.hash.slice(1));
  const known = [...said.keys()].filter((key) => [...KEPT, "latent", "with"].includes(key) && location.hash.includes("="));
  if (!known.length) return;
  for (const id of KEPT) {
    let value = said.get(id) ?? USUAL[id] ?? "";
    if (id === "dictionary" && value) value = String(index.dictionaries.findIndex((one) => one.name === value));
    field(id).value = value;
  }
  const [key, way] = field("sort").value.split(" ");
  if (key) sortBy = { key, down: way === "down" };
  const find = (name) => rows.find((one) => nameOf(one) === name);
  const wanted = said.get("latent"), row = find(wanted), other = find(said.get("with"));
  current = null;
  if (other) pin(other);
  refresh();
  if (row) open(row);
  else if (wanted !== null) missing(wanted);
  if (wanted !== null) field("latents").scrollIntoView();
}

// -- what a reader takes along

function listCsv() {
  const head = ["latent", "explanation", ...index.scorers, "firing_rate", "peak_token", "status"];
  return csv([head, ...shown.map((row) => [nameOf(row), row.words, ...row.scores, row.rate, row.peak, row.status])]);
}

function bibtex(row) {
  const key = `autointerp-${meta.run}-${nameOf(row)}`.replace(/[^A-Za-z0-9]+/g, "-");
  const title = `Latent ${nameOf(row)}: ${row.words ?? "not explained"}`.replace(/[{}\\]/g, "").slice(0, 300);
  return `@misc{${key},\n  title = {${title}},\n  howpublished = {autointerp ${meta.version}, run ${meta.run}, protocol ${meta.protocol}},\n  year = {${meta.year}},\n  note = {${meta.judged}}\n}\n`;
}

function missing(name) {
  pane.classList.add("open");
  field("detail").replaceChildren(
    el("button", { type: "button", class: "back quiet", on: { click: back } }, "← Back to the list"),
    el("p", { class: "alert warn", role: "alert" }, "This page has no latent ", el("strong", {}, visible(name)), ". It shows the ", String(rows.length),
      " latents that were sampled; `autointerp show` prints what is known of any other."));
}

// -- a second latent, side by side

async function pin(row) {
  beside = row;
  const place = field("pinned");
  place.hidden = false;
  pane.classList.add("two");
  place.replaceChildren(...describe(row, unpack((await chunk(row.chunk))[row.at]), true));
  remember();
}

function unpin() {
  beside = null;
  field("pinned").hidden = true;
  field("pinned").replaceChildren();
  pane.classList.remove("two");
  remember();
}

async function open(row, { move = true } = {}) {
  current = row;
  remember();
  body.querySelector("[aria-current]")?.removeAttribute("aria-current");
  while (shown.indexOf(row) >= limit) { limit += PAGE; fill(); }
  const line = body.querySelector(`tr[data-n="${row.n}"]`);
  line?.setAttribute("aria-current", "true");
  pane.classList.add("open");
  const detail = field("detail");
  try {
    const loaded = unpack((await chunk(row.chunk))[row.at]);
    if (current !== row) return;
    detail.replaceChildren(...describe(row, loaded));
    detail.scrollTop = 0;
  } catch (error) {
    detail.replaceChildren(el("p", { class: "alert bad" }, String(error.message)));
  }
  if (!move) return;
  const narrow = window.matchMedia("(max-width: 900px)").matches;
  (narrow ? detail : line)?.scrollIntoView({ block: narrow ? "start" : "nearest" });
  if (narrow) detail.focus({ preventScroll: true });
}

function back() {
  pane.classList.remove("open");
  body.querySelector("tr[aria-current] button")?.focus();
}

function step(by) {
  if (!shown.length) return;
  const at = shown.indexOf(current);
  open(shown[Math.max(0, Math.min(shown.length - 1, at < 0 ? 0 : at + by))]);
}

function keys(event) {
  const typing = event.target.closest?.("input, select, textarea");
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") { if (typing) typing.blur(); else back(); return; }
  if (typing) return;
  const actions = { "/": () => field("search").focus(), j: () => step(1), k: () => step(-1), d: () => themeButton.click() };
  if (event.key in actions) { event.preventDefault(); actions[event.key](); }
}

function controlsOf() {
  const option = (value, label) => el("option", { value }, label);
  field("dictionary").replaceChildren(option("", "all"), ...index.dictionaries.map((one, n) => option(n, one.name)));
  field("measure").replaceChildren(option("score", "mean"), ...index.scorers.map((name) => option(name, name)));
  const orders = [["score", "mean score"], ...index.scorers.map((name) => [name, name]), ["rate", "firing rate"], ["share", "triviality"], ["latent", "latent"], ["words", "explanation"]];
  field("sort").replaceChildren(...orders.flatMap(([key, label]) => [option(`${key} down`, `${label}, falling`), option(`${key} up`, `${label}, rising`)]));
  field("sort").addEventListener("change", () => { const [key, way] = field("sort").value.split(" "); sortBy = { key, down: way === "down" }; refresh(); });
  const form = field("filters");
  form.addEventListener("input", (event) => { if (event.target.id !== "sort") refresh(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => { sortBy = { key: "score", down: true }; refresh(); }));
  field("csv").addEventListener("click", () => save("latents.csv", "text/csv;charset=utf-8", listCsv()));
  field("more").addEventListener("click", () => { limit += PAGE; fill(); });
  field("search").addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); if (shown.length) open(shown[0]); } });
  document.addEventListener("keydown", keys);
  document.addEventListener("click", (event) => {
    const dot = event.target.closest?.('svg a[href^="#latent="]');
    const row = dot && rows.find((one) => nameOf(one) === decodeURIComponent(dot.getAttribute("href").slice(8)));
    if (!row) return;
    event.preventDefault();
    open(row);
    field("latents").scrollIntoView();
  });
  window.addEventListener("hashchange", fromAddress);
}

async function start() {
  readIndex(JSON.parse(await inflate(inline("index"))));
  controlsOf();
  if (new URLSearchParams(location.hash.slice(1)).size && location.hash.includes("=")) fromAddress();
  else refresh();
  document.documentElement.dataset.ready = "true";
}
start();
