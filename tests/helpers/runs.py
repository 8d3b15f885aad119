"""Synthetic run directories: the tables, manifest and hostile text of a real run, made in seconds without a model.

The judge of a synthetic run is a coin per latent: it finds an activating window with probability `recall` and accepts
another one with probability `1 - specificity`, both drawn per latent around the architecture's mean. What it is asked,
and about which windows, has the shape of a real run, so that statistics, figures, page and exports read it as one.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from autointerp.run import tables

# Text that has broken viewers before: markup, script ends, templates, marks, control characters, right-to-left
# overrides, formulas, terminal escapes, LaTeX, one token without a break, and letters that are two code points.
HOSTILE = (
    "</script><script>window.pwned=1</script>",
    "<img src=x onerror=window.pwned=1>",
    "<!--<script>",
    "]]>",
    "{{ 7*7 }}{% raw %}",
    "${window.pwned=1}",
    "<<not a mark>>",
    "\u202eright to left\u202c",
    "\u2028\u2029",
    "\x1b[31mred\x07",
    "[bold red]markup[/]",
    "\\input{/etc/passwd} 50% & #1 _x^2 ~$",
    '=HYPERLINK("http://example.invalid")',
    "a" * 400,
    "e\u0301\U0001f469\u200d\U0001f52c\u4e2d\u6587\u0627\u0644\u0639\u0631\u0628\u064a\u0629",
    "\t\n\r\n \x00",
    "http://example.invalid/pixel.png",
    "'\"`&amp;&lt;",
)
SENTENCE = """the a of and to in was it said she he they that with for on as at by from one very little big day
house garden river stone bird song night morning door window letter teacher doctor market street number seven twelve
because although however never always began stopped running walked opened closed found lost blue red green music
science history water fire earth storm winter summer law court judge million percent company bank"""
WORDS = tuple(SENTENCE.split())
CONCEPTS = (
    "a day of the week",
    "numbers written as words",
    "past-tense verbs of motion",
    "words about weather",
    "the word 'because' and other causes",
    "names of colours",
    "references to a court or a judge",
    "quantities of money",
    "doors and windows being opened",
    "the beginning of a sentence of direct speech",
)
ARCHITECTURES = {"sae": 0.72, "transcoder": 0.80, "skip-transcoder": 0.80}
SITES = {"sae": "output", "transcoder": "input", "skip-transcoder": "input"}


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """The size and the make-up of a synthetic run."""

    n_latents: int = 60
    n_sampled: int = 12
    layers: tuple[int, ...] = (2,)
    architectures: tuple[str, ...] = tuple(ARCHITECTURES)
    scorers: tuple[str, ...] = ("detection", "fuzzing")
    n_explain: int = 10
    n_positive: int = 10
    n_negative: int = 10
    n_planted: int = 6
    length: int = 32
    hostile: bool = True
    seed: int = 0
    unanswered: float = 0.01
    failed: float = 0.05
    name: str = "synthetic"
    prompts: bool = True
    recall_shift: dict[str, float] = field(default_factory=dict)


def write_run(path: Path, spec: RunSpec | None = None) -> Path:
    """Write a whole synthetic run directory and return its path."""
    spec = spec or RunSpec()
    path.mkdir(parents=True, exist_ok=True)
    made = make_tables(spec)
    for name, table in made.items():
        table.to_parquet(path / f"{name}.parquet", index=False)
    (path / "manifest.json").write_text(json.dumps(make_manifest(spec, made), indent=1))
    (path / "study.yaml").write_text(f"name: {spec.name}\nseed: {spec.seed}\n")
    return path


def make_tables(spec: RunSpec) -> dict[str, pd.DataFrame]:
    """Make every table of a run, each checked against its columns."""
    rng = np.random.default_rng(spec.seed)
    dictionaries = make_dictionaries(spec)
    latents = pd.concat([_latents(row, spec, rng) for row in dictionaries.to_dict("records")], ignore_index=True)
    examples = make_examples(latents, spec, rng)
    explanations = make_explanations(latents, spec, rng)
    failed = set(map(tuple, explanations.loc[explanations["status"] != "ok", tables.KEY].to_numpy()))
    latents["status"] = [
        ("explanation_failed" if tuple(row[key] for key in tables.KEY) in failed else "scored")
        if row["sampled"]
        else row["status"]
        for row in latents.to_dict("records")
    ]
    judgements = make_judgements(latents, examples, explanations, spec, rng)
    made = {
        "dictionaries": dictionaries,
        "latents": latents,
        "examples": examples,
        "explanations": explanations,
        "judgements": judgements,
        "questions": make_questions(judgements, explanations, examples, spec),
        "reconstruction": make_reconstruction(dictionaries, rng),
    }
    return {name: tables.check(table, getattr(tables, name.upper()), name) for name, table in made.items()}


def make_dictionaries(spec: RunSpec) -> pd.DataFrame:
    """One dictionary per architecture and layer."""
    rows = []
    for layer in spec.layers:
        for architecture in spec.architectures:
            site = f"model.layers.{layer}.mlp"
            name = f"{architecture}_k16" + (f"_l{layer}" if len(spec.layers) > 1 else "")
            rows.append({
                "dictionary": name, "architecture": architecture, "site": f"{site}.{SITES[architecture]}",
                "site_out": f"{site}.output", "layer": layer, "k": 16, "n_latents": spec.n_latents, "d_in": 64,
                "d_out": 64, "seed": 0, "format": "sparsify", "source": f"checkpoints/{name}", "revision": "",
                "sha256": f"{layer:02d}" * 32,
            })  # fmt: skip
    return pd.DataFrame(rows)


def _latents(dictionary: dict, spec: RunSpec, rng: np.random.Generator) -> pd.DataFrame:
    """Every latent of a dictionary: rates log-normal, a tenth dead, a quarter too rare, one dense."""
    n = spec.n_latents
    rate = np.exp(rng.normal(np.log(3e-3), 1.5, n)).clip(0, 0.6)
    rate[rng.random(n) < 0.1] = 0.0
    rate[0] = 0.55
    windows = (rate * 20_000).astype(int)
    status = np.select([windows == 0, rate > 0.5, windows < 20], ["dead", "dense", "rare"], "eligible")
    eligible = np.flatnonzero(status == "eligible")
    sampled = np.zeros(n, bool)
    sampled[rng.choice(eligible, min(spec.n_sampled, len(eligible)), replace=False)] = True
    order = np.full(n, -1)
    order[sampled] = rng.permutation(sampled.sum())
    share = np.where(sampled, np.where(rng.random(n) < 0.3, rng.uniform(0.9, 1, n), rng.uniform(0.05, 0.9, n)), np.nan)
    peaks = [
        f" {WORDS[int(i)]}" if drawn else "" for i, drawn in zip(rng.integers(len(WORDS), size=n), sampled, strict=True)
    ]
    return pd.DataFrame({
        "dictionary": dictionary["dictionary"], "architecture": dictionary["architecture"], "site": dictionary["site"],
        "latent": np.arange(n), "firing_rate_token": rate / 4, "firing_rate_window": rate, "n_windows": windows,
        "alive": windows > 0, "eligible": status == "eligible",
        "inclusion_probability": np.where(status == "eligible", min(1.0, spec.n_sampled / max(len(eligible), 1)), 0.0),
        "sampled": sampled, "look_order": order, "token_share": share, "peak_token": peaks, "status": status,
    })  # fmt: skip


def make_examples(latents: pd.DataFrame, spec: RunSpec, rng: np.random.Generator) -> pd.DataFrame:
    """Explain and held-out windows of each sampled latent, from different documents, with shared negatives."""
    negatives = [_pieces(spec, rng, "") for _ in range(max(40, spec.n_negative * 3))]
    blocks = []
    for row in latents[latents["sampled"]].to_dict("records"):
        scale = float(rng.lognormal(1, 0.5))
        for split, kind, count in (
            ("explain", "positive", spec.n_explain),
            ("held_out", "positive", spec.n_positive),
            ("held_out", "random", spec.n_negative),
            ("held_out", "hard", spec.n_negative // 2),
        ):
            chosen = rng.choice(len(negatives), count, replace=False) if kind != "positive" else np.zeros(count, int)
            for i in range(count):
                positive = kind == "positive"
                decile = (i * 10) // count if positive else 0
                pieces = _pieces(spec, rng, row["peak_token"]) if positive else negatives[chosen[i]]
                height = scale * (decile + 1) / 10
                window = 1000 + len(blocks) if positive else int(chosen[i])
                document = int(rng.integers(5000)) * 2 + (split == "held_out") if positive else window * 2 + 1
                key = (row["dictionary"], row["site"], row["latent"], False, split, kind, decile)
                values = _bump(pieces, row["peak_token"], height, rng) if positive else [0.0] * len(pieces)
                blocks.append((*key, 0.1 if positive else 1.0, window, document, pieces, values))
    return pd.DataFrame(blocks, columns=list(tables.EXAMPLES))


def _pieces(spec: RunSpec, rng: np.random.Generator, peak: str) -> list[str]:
    pieces = [f" {WORDS[i]}" for i in rng.integers(len(WORDS), size=spec.length)]
    if spec.hostile and rng.random() < 0.1:
        pieces[int(rng.integers(spec.length))] = HOSTILE[int(rng.integers(len(HOSTILE)))]
    if peak:
        pieces[int(rng.integers(spec.length))] = peak
    return pieces


def _bump(pieces: list[str], peak: str, height: float, rng: np.random.Generator) -> list[float]:
    """Activation `height` on the peak token, decaying to its right."""
    where = pieces.index(peak) if peak in pieces else int(rng.integers(len(pieces)))
    values = np.zeros(len(pieces))
    for step, share in enumerate((1.0, 0.55, 0.2)):
        if where + step < len(pieces):
            values[where + step] = height * share * rng.uniform(0.8, 1.0) if step else height
    return [round(float(value), 4) for value in values]


def make_explanations(latents: pd.DataFrame, spec: RunSpec, rng: np.random.Generator) -> pd.DataFrame:
    """One explanation per sampled latent; some failed, some hostile."""
    rows = []
    for i, row in enumerate(latents[latents["sampled"]].to_dict("records")):
        failed = rng.random() < spec.failed
        text = CONCEPTS[int(rng.integers(len(CONCEPTS)))]
        if spec.hostile and i % 7 == 3:
            text = f"text like {HOSTILE[(i // 7) % len(HOSTILE)]}"
        rows.append(
            {
                "explanation_id": f"{row['dictionary']}/{row['latent']}/0",
                "dictionary": row["dictionary"],
                "site": row["site"],
                "latent": row["latent"],
                "explainer": "default",
                "text": None if failed else text,
                "status": "unparsed" if failed else "ok",
                "n_retries": 2 if failed else 0,
                "prompt_hash": "ab" * 32,
                "raw": "I cannot say." if failed else f"[EXPLANATION]: {text}",
            }
        )
    return pd.DataFrame(rows, columns=list(tables.EXPLANATIONS))


def make_judgements(
    latents: pd.DataFrame, examples: pd.DataFrame, explanations: pd.DataFrame, spec: RunSpec, rng: np.random.Generator
) -> pd.DataFrame:
    """Answers about every held-out window, five to a prompt, for each scorer and each control."""
    held: dict[tuple, list[tuple]] = {}
    columns = [*tables.KEY, "kind", "stratum", "stratum_share", "window_id", "document_id"]
    for *key, kind, stratum, share, window, document in _tuples(examples[examples["split"] == "held_out"], columns):
        held.setdefault(tuple(key), []).append((kind, stratum, share, window, document))
    architecture = dict(_tuples(latents, ["dictionary", "architecture"]))
    rows: list[tuple] = []
    for *key, identity, status in _tuples(explanations, [*tables.KEY, "explanation_id", "status"]):
        if status != "ok":
            continue
        mean = ARCHITECTURES[architecture[key[0]]] + spec.recall_shift.get(key[0], 0.0)
        for scorer in spec.scorers:
            recall, specificity = rng.beta(mean * 12, (1 - mean) * 12), rng.beta(11, 1.5)
            for control, rates in (
                ("none", (recall, specificity)),
                ("shuffled", (0.3, 0.7)),
                ("empty", (0.5, 0.5)),
                ("lexical", (0.55, 0.9)),
                ("duplicate", (recall, specificity)),
            ):
                rows += _judged(tuple(key), held[tuple(key)], scorer, control, rates, identity, spec, rng)
    planted = next(iter(held.values()))
    for i in range(spec.n_planted):
        for scorer in spec.scorers:
            rates = (0.97 - 0.02 * (i % 3), 0.98)
            rows += _judged(("planted", "text", i), planted, scorer, "planted", rates, f"planted/{i}", spec, rng)
    return pd.DataFrame(rows, columns=list(tables.JUDGEMENTS))


def _tuples(table: pd.DataFrame, columns: list[str]) -> Iterator[tuple]:
    return zip(*(table[column].tolist() for column in columns), strict=True)


def _judged(
    key: tuple,
    items: list[tuple],
    scorer: str,
    control: str,
    rates: tuple[float, float],
    identity: str,
    spec: RunSpec,
    rng: np.random.Generator,
) -> list[tuple]:
    """Answers about one latent's items, in shuffled prompts of five; a whole prompt fails together."""
    chosen = [items[int(i)] for i in rng.permutation(len(items))]
    if control in {"shuffled", "empty", "duplicate"}:
        chosen = chosen[:10]
    lost = rng.random(len(chosen) // 5 + 1) < (0 if control == "lexical" else spec.unanswered)
    rows = []
    for i, (kind, stratum, share, window, document) in enumerate(chosen):
        truth = kind == "positive"
        slope = (stratum - 4.5) * 0.03 if truth and control == "none" else 0.0
        yes = bool(rng.random() < (min(max(rates[0] + slope, 0.02), 0.98) if truth else 1 - rates[1]))
        gone = bool(lost[i // 5])
        probability = float(rng.uniform(0.55, 0.99) if yes else rng.uniform(0.01, 0.45))
        rows.append((
            *key, scorer, control, f"{key[0]}/{key[2]}/{scorer}/{control}/{i // 5}", i % 5, document, window, kind,
            stratum, share, truth, "unanswered" if gone else "yes" if yes else "no",
            float("nan") if gone or control == "lexical" else probability, identity, "unparsed" if gone else "ok",
            2 if gone else 0,
        ))  # fmt: skip
    return rows


def make_questions(
    judgements: pd.DataFrame, explanations: pd.DataFrame, examples: pd.DataFrame, spec: RunSpec
) -> pd.DataFrame:
    """One prompt and reply per question of the judgements and per explanation."""
    texts = {
        (*key, window): "".join(pieces)
        for *key, window, pieces in examples[[*tables.KEY, "window_id", "pieces"]].itertuples(index=False)
    }
    words = dict(_tuples(explanations, ["explanation_id", "text"]))
    system = "You are judging whether contexts activate a latent. " + "Answer with a list of 0 and 1. " * 20
    rows = []
    if not spec.prompts:
        return pd.DataFrame(rows, columns=list(tables.QUESTIONS))
    asked: dict[str, list[dict]] = {}
    for row in judgements[judgements["control"] != "lexical"].to_dict("records"):
        asked.setdefault(row["question_id"], []).append(row)
    for question_id, group in asked.items():
        first = group[0]
        owner = tuple(first[name] for name in tables.KEY)
        lines = "\n".join(f"Example {i}: {texts.get((*owner, row['window_id']), '')}" for i, row in enumerate(group))
        prompt = [
            {"role": "system", "content": system},
            {"role": "user", "content": f"Explanation: {words.get(first['explanation_id'])}\n{lines}"},
        ]
        lost = first["answer"] == "unanswered"
        reply = "I am not sure." if lost else json.dumps([int(row["answer"] == "yes") for row in group])
        rows.append(_asked(first, question_id, first["scorer"], first["control"], prompt, reply))
    for row in explanations.to_dict("records"):
        prompt = [{"role": "system", "content": system}, {"role": "user", "content": "Examples …"}]
        rows.append(_asked(row, f"explain/{row['explanation_id']}", "explain", "none", prompt, row["raw"]))
    return pd.DataFrame(rows, columns=list(tables.QUESTIONS))


def _asked(row: dict, question_id: str, scorer: str, control: str, prompt: list[dict], reply: str) -> dict:
    n_in = sum(len(message["content"]) for message in prompt) // 4
    return {
        "question_id": question_id, **{key: row[key] for key in tables.KEY}, "scorer": scorer, "control": control,
        "prompt": json.dumps(prompt), "reply": reply, "failure": "", "retried_for": "",
        "n_left_out": 0, "n_calls": 1, "tokens_in": n_in, "tokens_cached": n_in // 2,
        "tokens_out": len(reply) // 4 + 1, "latency_s": 0.2, "from_cache": False, "n_retries": row["n_retries"],
    }  # fmt: skip


def make_reconstruction(dictionaries: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Every metric with an interval over documents; the SAE lowest in FVU, the skip transcoder in CE increase."""
    centre = {"sae": (0.15, 0.09), "transcoder": (0.25, 0.11), "skip-transcoder": (0.20, 0.07)}
    rows = []
    for row in dictionaries.to_dict("records"):
        fvu, increase = centre[row["architecture"]]
        for metric, value in (
            ("fvu", fvu),
            ("ce_increase", increase),
            ("kl", increase * 1.1),
            ("ce_recovered_zero", 1 - increase / 2),
            ("ce_recovered_mean", 1 - increase),
            ("l0", 15.6),
            ("dead_share", 0.1),
            ("dense_share", 0.01),
        ):
            value *= rng.uniform(0.95, 1.05)
            rows.append((row["dictionary"], metric, value, value * 0.96, value * 1.05, 0.95, 200, 50_000))
    return pd.DataFrame(rows, columns=list(tables.RECONSTRUCTION))


def make_manifest(spec: RunSpec, made: dict[str, pd.DataFrame]) -> dict:
    """The manifest of the run; counts are those of the tables."""
    questions, explanations = made["questions"], made["explanations"]
    usage = {}
    for stage, rows in (("explain", questions["scorer"] == "explain"), ("judge", questions["scorer"] != "explain")):
        asked = questions[rows]
        usage[stage] = {
            "calls": len(asked),
            "cached_calls": 0,
            **{name: int(asked[name].sum()) for name in ("tokens_in", "tokens_cached", "tokens_out")},
            "failures": {"unparsed": int((explanations["status"] != "ok").sum())} if stage == "explain" else {},
        }
    stages = ("collect", "select", "explain", "judge", "estimate")
    return {
        "autointerp": "0.1.0", "name": spec.name, "created": "2026-01-01T00:00:00+00:00",
        "study_fingerprint": "f0" * 16, "protocol_hash": "d1" * 16, "context_pool_hash": "c2" * 16,
        "protocol": {"context_length": 256, "window_length": spec.length, "min_windows": 20,
                     "n_positive": spec.n_positive, "n_negative": spec.n_negative, "n_per_question": 5},
        "packages": {"torch": "2.13.0", "transformers": "5.0.0"}, "hardware": {"cpu": "x86_64", "gpu": ""},
        "git": {"commit": "0" * 40, "dirty": False}, "subject": {"name": "stories260K", "revision": ""},
        "corpus": {"use": "docstrings", "n_tokens": 200_000}, "prompts": {"detection.jinja": "e3" * 32},
        "llms": {"explainer": {"use": "pattern"}, "judge": {"use": "pattern"}},
        "stages": {stage: {"seconds": 1.5, "fingerprint": "a" * 16, "counts": {}} for stage in stages},
        "usage": usage,
    }  # fmt: skip
