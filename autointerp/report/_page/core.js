// Data in and text out. Every string of the run reaches the page through `textContent`, never as markup.
const meta = JSON.parse(document.getElementById("meta").textContent);

function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") for (const [event, call] of Object.entries(value)) node.addEventListener(event, call);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child != null));
  return node;
}

async function inflate(base64) {
  const binary = atob(base64);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

const inline = (id) => document.getElementById(id)?.textContent;

// A page too large for one file keeps its latents in neighbours: scripts that call this with base64 text.
const arrived = new Map();
window.autointerpChunk = (number, text) => arrived.get(number)?.(text);

function sidecar(number) {
  return new Promise((resolve, reject) => {
    arrived.set(number, resolve);
    const missing = () => reject(new Error(`${meta.folder}/${number}.js is missing: keep the folder beside this page`));
    document.head.append(el("script", { src: `${meta.folder}/${number}.js`, on: { error: missing } }));
  });
}

const chunks = new Map();
function chunk(number) {
  if (!chunks.has(number)) {
    const text = inline(`chunk-${number}`);
    const loaded = text ? inflate(text) : sidecar(number).then(inflate);
    chunks.set(number, loaded.then(JSON.parse));
    if (chunks.size > 12) chunks.delete(chunks.keys().next().value);
  }
  return chunks.get(number);
}

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
const fixed = (value, digits = 3) => (isNumber(value) ? value.toFixed(digits) : "–");
function rate(value) {
  if (!isNumber(value)) return "–";
  return value === 0 ? "0" : value >= 0.01 ? `${(value * 100).toFixed(1)} %` : `${(value * 100).toPrecision(2)} %`;
}

// Characters that would be invisible, or would move their neighbours, are shown as signs.
const SIGNS = { "\n": "↵", "\r": "␍", "\t": "→", "\u2028": "␤", "\u2029": "␤", "\u007f": "␡", "\ufeff": "␣" };
function visible(text) {
  const parts = [];
  let plain = "";
  for (const char of text) {
    const code = char.codePointAt(0);
    const bidi = (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) || code === 0x200e || code === 0x200f;
    const sign = SIGNS[char] ?? (code < 32 ? String.fromCodePoint(0x2400 + code) : bidi ? "⇄" : null);
    if (sign === null) plain += char;
    else {
      if (plain) parts.push(plain);
      plain = "";
      parts.push(el("span", { class: "glyph", title: `U+${code.toString(16).toUpperCase().padStart(4, "0")}` }, sign));
    }
  }
  if (plain) parts.push(plain);
  return parts;
}

// -- theme

const themeButton = document.getElementById("theme");
const systemDark = window.matchMedia("(prefers-color-scheme: dark)");
const isDark = () => document.documentElement.dataset.theme === "dark";
const themeWatchers = [];

function setTheme(name, keep) {
  document.documentElement.dataset.theme = name;
  themeButton.setAttribute("aria-pressed", String(name === "dark"));
  themeButton.textContent = name === "dark" ? "Light mode" : "Dark mode";
  themeButton.removeAttribute("aria-pressed");
  if (keep) try { localStorage.setItem("autointerp-theme", name); } catch { /* storage is off: the choice lasts for this visit */ }
  themeWatchers.forEach((watch) => watch());
}
function storedTheme() {
  try { return localStorage.getItem("autointerp-theme"); } catch { return null; }
}
setTheme(storedTheme() ?? (systemDark.matches ? "dark" : "light"), false);
systemDark.addEventListener("change", (event) => { if (!storedTheme()) setTheme(event.matches ? "dark" : "light", false); });
themeButton.addEventListener("click", () => setTheme(isDark() ? "light" : "dark", true));

// -- figures (Plotly is unpacked when the first of them is about to be seen)

let plotly;
function loadPlotly() {
  plotly ??= inflate(inline("plotly")).then((code) => {
    const script = el("script");
    script.textContent = code;
    document.head.append(script);
    return window.Plotly;
  });
  return plotly;
}

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const COLOURS = { "@sae": "--sae", "@transcoder": "--transcoder", "@skip-transcoder": "--skip", "@other": "--other", "@ink": "--ink", "@soft": "--soft", "@line": "--line", "@panel": "--panel", "@accent": "--accent", "@bad": "--bad", "@good": "--good" };

// Figures name colours by role ("@sae", "@sae/0.3" with an opacity), so that they follow the theme.
function coloured(value) {
  if (Array.isArray(value)) return value.map(coloured);
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, coloured(inner)]));
  if (typeof value !== "string" || value[0] !== "@") return value;
  const [name, alpha] = value.split("/");
  if (!(name in COLOURS)) return value;
  const hex = css(COLOURS[name]);
  if (!alpha) return hex;
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  return `rgba(${r}, ${g}, ${b}, ${alpha})`;
}

function layoutOf(layout) {
  const axis = { gridcolor: css("--line"), linecolor: css("--soft"), zerolinecolor: css("--line"), automargin: true };
  const out = coloured(structuredClone(layout));
  for (const key of Object.keys(out)) if (/^[xy]axis/.test(key)) out[key] = { ...axis, ...out[key] };
  return {
    xaxis: axis, yaxis: axis, margin: { l: 50, r: 14, t: 10, b: 44 }, autosize: true, hovermode: "closest", ...out,
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: css("--ink"), size: 12, family: "inherit" },
    hoverlabel: { bgcolor: css("--panel"), bordercolor: css("--soft"), font: { color: css("--ink") } },
  };
}

// Side by side, panels on a phone would be too small to read: they are put under each other, and the figure grows.
const NARROW = 560, PANEL = 250;
function arranged(layout, width) {
  const n = layout.meta?.panels ?? 1, entries = layout.meta?.legend ?? 0;
  if (width > NARROW) return layout;
  const legend = 22 * Math.ceil(entries / 2) + (entries ? 12 : 0);
  layout.margin.b = 46 + legend;
  if (n < 2) return layout;
  const each = Math.max(PANEL, (layout.height ?? 0) - 60);
  layout.height = n * each + legend + 40;
  const step = 1 / n, full = step - 104 / (n * each);
  const low = (place) => 1 - (place + 1) * step + (step - full) * (place < n - 1);
  const size = (place) => (place < n - 1 ? full : step);
  for (const key of Object.keys(layout)) {
    const axis = /^([xy])axis(\d*)$/.exec(key);
    if (!axis) continue;
    const place = (Number(axis[2] || 1) - 1) % n;
    if (axis[1] === "x") Object.assign(layout[key], { domain: [0, 1], title: { ...layout[key].title, font: { size: 11 } } });
    else {
      layout[key].tickfont = { size: 10 };
      const [from, to] = layout[key].domain ?? [0, 1];
      const strip = Number(axis[2] || 1) > n;
      Object.assign(layout[key], { domain: [low(place) + from * size(place), low(place) + to * size(place) - 0.001], showticklabels: !strip, title: layout[strip ? key : "yaxis"].title });
    }
  }
  for (const [place, words] of (layout.annotations ?? []).filter((one) => one.xref === "paper").entries()) Object.assign(words, { x: 0.5, y: low(place) + size(place) });
  return layout;
}

// Long names of rows take two lines there.
const slim = (trace) => ({ ...trace, y: trace.y?.map((value) => (typeof value === "string" ? value.replace(", ", "<br>") : value)) });

const drawn = new Map();
async function draw(node, spec) {
  drawn.set(node, spec);
  const Plotly = await loadPlotly();
  if (!node.isConnected || drawn.get(node) !== spec) return;
  const layout = arranged(layoutOf(spec.layout), node.clientWidth);
  node.style.height = layout.height ? `${layout.height}px` : "";
  const data = node.clientWidth > NARROW ? spec.data : spec.data.map(slim);
  await Plotly.react(node, coloured(data), layout, { displayModeBar: false, responsive: true });
  node.dataset.drawn = "true";
}
themeWatchers.push(() => drawn.forEach((spec, node) => (node.isConnected ? draw(node, spec) : drawn.delete(node))));

async function startFigures() {
  const nodes = [...document.querySelectorAll("[data-figure]")];
  if (!nodes.length) return;
  const specs = JSON.parse(await inflate(inline("figure-data")));
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      watcher.unobserve(entry.target);
      draw(entry.target, specs[entry.target.dataset.figure]);
    }
  }, { rootMargin: "300px" });
  nodes.forEach((node) => watcher.observe(node));
}
