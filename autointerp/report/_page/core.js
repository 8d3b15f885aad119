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

// -- files and the clipboard

function save(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = el("a", { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url));
}

async function copy(button, text) {
  const label = button.textContent;
  try { await navigator.clipboard.writeText(text); } catch {
    const area = el("textarea", {}, text);
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = label; }, 1500);
}

// A field that a spreadsheet would run as a formula gets an apostrophe in front.
const csvField = (value) => {
  const text = value == null ? "" : String(value);
  const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
};
const csv = (table) => table.map((line) => line.map(csvField).join(",")).join("\r\n") + "\r\n";

// -- theme

const themeButton = document.getElementById("theme");
const systemDark = window.matchMedia("(prefers-color-scheme: dark)");
const isDark = () => document.documentElement.dataset.theme === "dark";

function setTheme(name, keep) {
  document.documentElement.dataset.theme = name;
  themeButton.setAttribute("aria-pressed", String(name === "dark"));
  themeButton.textContent = name === "dark" ? "Light mode" : "Dark mode";
  themeButton.removeAttribute("aria-pressed");
  if (keep) try { localStorage.setItem("autointerp-theme", name); } catch { /* storage is off: the choice lasts for this visit */ }
}
function storedTheme() {
  try { return localStorage.getItem("autointerp-theme"); } catch { return null; }
}
setTheme(storedTheme() ?? (systemDark.matches ? "dark" : "light"), false);
systemDark.addEventListener("change", (event) => { if (!storedTheme()) setTheme(event.matches ? "dark" : "light", false); });
themeButton.addEventListener("click", () => setTheme(isDark() ? "light" : "dark", true));

// -- texts under the pointer (and on focus): glossary lines and the points of figures

const bubble = el("div", { id: "tip", role: "tooltip", hidden: true });
document.body.append(bubble);
function showTip(event) {
  const node = event.target.closest?.("[data-tip]");
  if (!node) return void (bubble.hidden = true);
  bubble.replaceChildren(...visible(node.dataset.tip));
  bubble.hidden = false;
  const place = node.getBoundingClientRect(), size = bubble.getBoundingClientRect();
  const left = Math.max(8, Math.min(place.left + place.width / 2 - size.width / 2, innerWidth - size.width - 8));
  const above = place.top - size.height - 8;
  bubble.style.left = `${left + scrollX}px`;
  bubble.style.top = `${(above > 4 ? above : place.bottom + 8) + scrollY}px`;
}
for (const kind of ["pointerover", "focusin"]) document.addEventListener(kind, showTip);
document.addEventListener("focusout", () => { bubble.hidden = true; });
const term = (words) => ({ "data-tip": meta.glossary[words] ?? null, tabindex: meta.glossary[words] ? 0 : null });

// Bars as SVG: `edges` has one value more than `counts`.
function bars(edges, counts, unit) {
  const NS = "http://www.w3.org/2000/svg", W = 320, H = 150, left = 6, low = H - 20;
  const make = (tag, attributes, ...children) => {
    const node = document.createElementNS(NS, tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  };
  const most = Math.max(1, ...counts), first = edges[0], span = edges.at(-1) - first || 1;
  const x = (value) => left + ((value - first) / span) * (W - 2 * left);
  const height = (n) => (n ? Math.max(1.5, (Math.log1p(n) / Math.log1p(most)) * (low - 12)) : 0);
  const columns = counts.map((n, at) => make("rect", {
    x: x(edges[at]).toFixed(2), y: (low - height(n)).toFixed(2), width: Math.max(0.5, x(edges[at + 1]) - x(edges[at]) - 0.6).toFixed(2),
    height: height(n).toFixed(2), "data-tip": `${edges[at].toPrecision(3)} to ${edges[at + 1].toPrecision(3)}: ${n.toLocaleString("en")} ${unit}`,
  }));
  const ticks = [0, 0.5, 1].map((share) => make("text", { x: x(first + share * span), y: H - 5, "text-anchor": ["start", "middle", "end"][share * 2] }, (first + share * span).toPrecision(3)));
  return make("svg", { viewBox: `0 0 ${W} ${H}`, class: "bars", role: "img", "aria-label": `Histogram: ${counts.length} bins, at most ${most} ${unit} in a bin` },
    make("line", { x1: left, x2: W - left, y1: low, y2: low }), ...columns, ...ticks);
}
