// One latent in full: explanation, scores, histogram, example windows, the judge's answers, prompts and replies.
const SPLITS = { explain: "shown to the explainer", held_out: "held out, judged" };
const KINDS = { positive: "activates", random: "silent, random", hard: "silent, hard", mismarked: "activates, wrong tokens marked" };

function tokens(window, peak) {
  let from = 0;
  const active = new Map(window.acts);
  const top = Math.max(...window.acts.map(([, value]) => value), 0);
  return [...window.lengths].map((code, at) => {
    const length = code.charCodeAt(0) - 35;
    const text = window.text.slice(from, (from += length));
    const value = active.get(at) ?? 0;
    if (value <= 0) return el("span", { class: "tok" }, visible(text));
    const strength = Math.min(1, value / peak);
    return el("span", { class: value === top ? "tok peak" : "tok", style: `background: rgba(var(--shade), ${(0.12 + 0.48 * strength).toFixed(2)})`, title: `activation ${value.toPrecision(3)}` }, visible(text));
  });
}

function windowOf(window, peak, words, around) {
  const node = el("div", { class: "window" }, el("span", { class: "meta" }, words), tokens(window, peak));
  if (!around) return node;
  const widen = () => {
    node.replaceChildren(el("span", { class: "meta" }, words), el("span", { class: "around" }, visible(around[0])), ...tokens(window, peak), el("span", { class: "around" }, visible(around[1])));
  };
  node.querySelector(".meta").append(" ", el("button", { type: "button", class: "more-text", on: { click: widen } }, "more context"));
  return node;
}

// The nearest latents: by decoder rows over the whole dictionary, by firing on the same tokens among the sampled ones.
const MEASURES = { decoder: "decoder rows (cosine)", cofiring: "firing together (cosine)" };
function nearOf(row, data) {
  const one = ([other, value]) => {
    const name = `${index.dictionaries[row.d].name}/${other}`, known = rows.find((line) => nameOf(line) === name);
    const title = known ? (known.words ?? "") : "not sampled";
    const link = known ? el("button", { type: "button", class: "open", on: { click: () => open(known) } }, name) : name;
    return el("li", { title }, link, " ", el("span", { class: "ci" }, fixed(value, 2)));
  };
  const parts = Object.entries(MEASURES).filter(([key]) => data.near?.[key]?.length)
    .flatMap(([key, label]) => [el("h4", {}, `By ${label}`), el("ul", { class: "logits near" }, data.near[key].map(one))]);
  return parts.length ? fold("Near latents", () => parts) : null;
}

const topOf = (window) => Math.max(0, ...window.acts.map(([, value]) => value));
const decile = (window) => (window.kind === "positive" ? `decile ${window.stratum + 1} of 10` : KINDS[window.kind]);
const about = (window) => [decile(window), SPLITS[window.split], `peak ${topOf(window).toPrecision(3)}`, `document ${window.document}`].join(" · ");

function fold(title, content, isOpen = false) {
  const node = el("details", isOpen ? { open: true } : {}, el("summary", {}, title));
  const fillIn = () => { if (node.open && node.children.length === 1) node.append(...content()); };
  node.addEventListener("toggle", fillIn);
  fillIn();
  return node;
}

const CONTROL_ORDER = ["none", "lexical", "duplicate", "shuffled", "empty", "planted"];
function scoresOf(data) {
  const sorted = [...data.scores].sort((a, b) => CONTROL_ORDER.indexOf(a.control) - CONTROL_ORDER.indexOf(b.control));
  const own = sorted.filter((row) => row.control === "none"), others = sorted.filter((row) => row.control !== "none");
  return [own.length ? scoreTable(own) : el("p", { class: "note" }, "It has no score."), others.length ? fold("Its controls", () => [scoreTable(others)]) : null];
}

function scoreTable(found) {
  const own = found[0].control === "none";
  const head = ["Scorer", ...(own ? [] : ["Explanation"]), "Score", "Recall", "Spec.", "AUROC", "Items", "Lost"];
  const meant = { "Spec.": "Specificity: share of silent contexts that the judge calls silent.", Recall: "Share of activating contexts that the judge recognises.", Items: "Contexts judged.", Lost: "Contexts without a readable answer.", AUROC: "Chance that an activating context gets a higher P(yes) than a silent one." };
  const words = { shuffled: "another latent's", empty: "none", lexical: "its modal tokens, no judge", duplicate: "its own, asked again" };
  const lines = found.map((row) => el("tr", {}, el("th", { scope: "row", ...term(row.scorer) }, row.scorer), own ? null : el("td", {}, words[row.control] ?? row.control),
    ...[row.score, row.recall, row.specificity, row.auroc].map((value) => el("td", { class: "num" }, fixed(value))),
    el("td", { class: "num" }, row.n), el("td", { class: "num" }, row.unanswered)));
  return el("table", { class: "narrow", "aria-label": `Scores of this latent, ${own ? "own explanation" : "controls"}` },
    el("thead", {}, el("tr", {}, head.map((name) => el("th", { scope: "col", "data-tip": meant[name], tabindex: meant[name] ? 0 : null }, name)))), el("tbody", {}, lines));
}

function histogram(data) {
  let edges, counts;
  if (data.histogram) ({ edges, counts } = data.histogram);
  else {
    const values = data.windows.flatMap((window) => window.acts.map(([, value]) => value));
    const top = Math.max(...values, 1e-9);
    edges = Array.from({ length: 25 }, (_, at) => (at / 24) * top);
    counts = Array(24).fill(0);
    for (const value of values) counts[Math.min(23, Math.floor((value / top) * 24))] += 1;
  }
  const words = data.histogram ? "All its activations in the collected text (heights: logarithm of counts)." : "Its activations on the example windows below (heights: logarithm of counts).";
  return el("div", {}, el("h4", {}, "Activations"), bars(edges, counts, "tokens"), el("p", { class: "note" }, words));
}

// An explanation of many clauses (`pattern` writes such lists) shows the first ones, the others on demand.
const CLAUSES = 4;
function explanationOf(text) {
  const clauses = text.split("; ");
  if (clauses.length <= CLAUSES + 1) return el("p", { class: "explanation" }, visible(text));
  const rest = clauses.slice(CLAUSES).join("; ");
  return el("div", {}, el("p", { class: "explanation" }, visible(clauses.slice(0, CLAUSES).join("; ")), " …"),
    fold(`${clauses.length - CLAUSES} more clauses`, () => [el("p", { class: "rest" }, visible(rest))]));
}

function logitsOf(data) {
  const why = data.without_logits ? `Which tokens it promotes is not known: ${visible(data.without_logits)}.` : "This run did not compute which tokens the latent promotes.";
  if (!data.logits) return el("div", {}, el("h4", {}, "Logits"), el("p", { class: "note" }, why));
  const list = (side) => el("ul", { class: "logits" }, data.logits[side].map(([token, value]) => el("li", { title: fixed(value) }, visible(token), " ", el("span", { class: "ci" }, fixed(value, 2)))));
  return el("div", {}, el("h4", {}, "Promotes"), list("top"), el("h4", {}, "Suppresses"), list("bottom"));
}

function exampleParts(data) {
  const positive = data.windows.filter((window) => window.kind === "positive").sort((a, b) => topOf(b) - topOf(a));
  const silent = data.windows.filter((window) => window.kind !== "positive");
  const peak = topOf(positive[0] ?? { acts: [[0, 1]] }) || 1;
  const byDecile = () => [9, 8, 7, 6, 5, 4, 3, 2, 1, 0].flatMap((stratum) => {
    const mine = positive.filter((window) => window.stratum === stratum);
    return mine.length ? [el("h4", {}, `Decile ${stratum + 1}${stratum === 9 ? " (strongest)" : ""}`), ...mine.map((window) => windowOf(window, peak, about(window)))] : [];
  });
  return [
    fold(`Strongest examples`, () => positive.slice(0, 6).map((window) => windowOf(window, peak, about(window), data.around?.[window.id])), true),
    fold(`All ${positive.length} activating examples by decile`, byDecile),
    fold(`${silent.length} contexts in which it is silent`, () => silent.map((window) => windowOf(window, peak, about(window)))),
  ];
}

function verdictOf(judged) {
  if (judged.answer === "unanswered") return ["unanswered", "? unanswered"];
  return (judged.answer === "yes") === judged.truth ? ["right", "✓ right"] : ["wrong", "✗ wrong"];
}

function answersOf(data) {
  const own = data.judgements;
  const peak = Math.max(1e-9, ...data.windows.map(topOf));
  const windows = new Map(data.windows.map((window) => [window.id, window]));
  const place = el("div");
  let scorer = "", outcome = "";
  const line = (judged) => {
    const [kind, label] = verdictOf(judged);
    const window = windows.get(judged.window);
    const p = isNumber(judged.probability) ? ` · P(yes) ${fixed(judged.probability, 2)}` : "";
    const status = judged.status !== "ok" ? ` · ${judged.status}` : "";
    const words = `${judged.scorer} · ${KINDS[judged.kind] ?? judged.kind} · judge says ${judged.answer}, truth ${judged.truth ? "yes" : "no"}${p}${status}`;
    return el("div", { class: "window" }, el("span", { class: "meta" }, el("span", { class: `badge ${kind}` }, label), " ", words), window ? tokens(window, peak) : el("em", {}, `window ${judged.window}`));
  };
  const fillIn = () => place.replaceChildren(...own.filter((one) => (!scorer || one.scorer === scorer) && (!outcome || verdictOf(one)[0] === outcome)).map(line));
  const press = (group, set) => (event) => {
    group.querySelectorAll("button").forEach((button) => button.setAttribute("aria-pressed", String(button === event.target)));
    set(event.target.dataset.value);
    fillIn();
  };
  const choice = (label, values, set) => {
    const group = el("div", { class: "answers", role: "group", "aria-label": label });
    group.append(...values.map(([value, text], n) => el("button", { type: "button", "data-value": value, "aria-pressed": String(n === 0), on: { click: press(group, set) } }, text)));
    return group;
  };
  const counts = (kind) => own.filter((one) => verdictOf(one)[0] === kind).length;
  fillIn();
  return [
    choice("Scorer", [["", "all scorers"], ...index.scorers.map((name) => [name, name])], (value) => { scorer = value; }),
    choice("Outcome", [["", `all ${own.length}`], ["right", `✓ right ${counts("right")}`], ["wrong", `✗ wrong ${counts("wrong")}`], ["unanswered", `? unanswered ${counts("unanswered")}`]], (value) => { outcome = value; }),
    place,
  ];
}

// A prompt comes as what it quotes of the windows ([start, length] of their joined text) and what it adds.
function quoted(content, base) {
  if (typeof content === "number") return meta.shared[content];
  if (typeof content === "string") return content;
  return content.map((part) => (typeof part === "string" ? part : base.slice(part[0], part[0] + part[1]))).join("");
}

// Windows come as columns.
function unpack(data) {
  if (Array.isArray(data.windows)) return data;
  const { id, ...columns } = data.windows;
  data.base = columns.text.join("");
  data.windows = id.map((one, at) => ({ id: one, ...Object.fromEntries(Object.entries(columns).map(([name, values]) => [name, values[at]])) }));
  return data;
}

function promptsOf(data) {
  return data.questions.map((asked) => fold(`${asked.scorer}${asked.control === "none" ? "" : ` · ${asked.control}`} · ${asked.id}`, () => [
    ...asked.messages.flatMap(([role, content]) => [el("h4", {}, role), el("pre", { tabindex: 0, role: "region", "aria-label": role }, quoted(content, data.base))]),
    el("h4", {}, "reply"), el("pre", { tabindex: 0, role: "region", "aria-label": "reply" }, asked.reply ?? `(none: ${asked.failure})`),
    el("p", { class: "note" }, `${asked.tokens_in} tokens in, ${asked.tokens_out} out${asked.failure ? ` · ${asked.failure}` : ""}`),
  ]));
}

function describe(row, data, pinned = false) {
  const words = row.words === null
    ? el("p", { class: "explanation failed-text" }, `No explanation (${data.explanation?.status ?? row.status.replace("_", " ")})`)
    : explanationOf(row.words);
  const chips = [
    `fires on ${rate(row.rate)} of tokens`, `${row.status.replace("_", " ")}`, row.peak ? ["peak token ", el("q", {}, visible(row.peak))] : null,
    isNumber(row.share) ? `${(row.share * 100).toFixed(0)} % of peaks on it${row.trivial ? " (trivial)" : ""}` : null, data.explanation ? `explained by ${data.explanation.by}` : null,
  ].filter(Boolean);
  const missing = Object.entries(data.omitted).map(([name, n]) => `${n} ${name}`).join(" and ");
  const omitted = missing ? el("p", { class: "note" }, `For size this page leaves out ${missing}; \`autointerp show\` prints them.`) : null;
  return [
    pinned
      ? el("button", { type: "button", class: "unpin quiet", on: { click: unpin } }, "Close")
      : el("button", { type: "button", class: "back quiet", on: { click: back } }, "← Back to the list"),
    el("button", { type: "button", class: "copy quiet", on: { click: (event) => copy(event.target, bibtex(row)) } }, "Copy BibTeX"),
    pinned ? null : el("button", { type: "button", class: "pin quiet", on: { click: () => pin(row) } }, "Keep beside the next one"),
    el("h3", {}, nameOf(row)), words, el("ul", { class: "chips" }, chips.map((chip) => el("li", {}, chip))),
    ...scoresOf(data).filter(Boolean),
    el("div", { class: "pair" }, histogram(data), logitsOf(data)), nearOf(row, data),
    ...exampleParts(data),
    fold("The judge's answers", () => answersOf(data)),
    data.questions.length ? fold(`${data.questions.length} raw prompts and replies`, () => promptsOf(data)) : el("p", { class: "note" }, "This run kept no prompts."),
    omitted,
  ].filter(Boolean);
}
