"""A run's latents as the page's scripts read them: an index of all, and the details in compressed chunks."""

import base64
import gzip
import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from autointerp.report._quoting import places, quote
from autointerp.report.plain import plain
from autointerp.report.run import ReportRun, sampled_rows
from autointerp.run import tables

# Latents per compressed chunk: opening one latent unpacks this many.
CHUNK = 8
# A message in at least this many prompts (system, few-shot turns) is stored once for the whole page.
SHARED_FROM = 4
Key = tuple[str, str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """Data of the page's browser; `chunks` and `index` are gzip as base64 text."""

    index: str
    chunks: list[str]
    shared: list[str]
    left_out: dict[str, int]
    paged: bool

    @property
    def n_bytes(self) -> int:
        """Size of all compressed text."""
        return len(self.index) + sum(map(len, self.chunks)) + sum(map(len, self.shared))


def packed(value: object) -> str:
    """Write a value as JSON, gzip and base64: text without any character that HTML could read. Deterministic."""
    text = json.dumps(plain(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode("utf-8", "replace"), 9, mtime=0)).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """How much of each latent a page carries; the rest is counted, and `autointerp show` prints it."""

    control_prompts: bool = True
    explain_prompts: bool = True
    n_explain: int | None = None


# Tried in this order until the page is small enough; if none is, the full data goes into a folder next to the page.
LEVELS = (
    Level(),
    Level(control_prompts=False),
    *(Level(control_prompts=False, explain_prompts=False, n_explain=n) for n in (20, 10, 5)),
)
# Every so many chunks one is packed to foresee the size of all.
PROBE = 9


def payload(run: ReportRun, budget: int) -> Payload:
    """Collect everything the latent browser shows, in at most `budget` bytes if a level allows it, else `paged`."""
    rows = sampled_rows(run)
    keys: list[Key] = [tuple(row) for row in rows[tables.KEY].itertuples(index=False)]
    blocks = [keys[at : at + CHUNK] for at in range(0, len(keys), CHUNK)]
    shared = _shared(run.questions)
    index = packed(_index(run, rows))
    parts = _Parts(run, {text: at for at, text in enumerate(shared)})
    fixed = len(index) + sum(map(len, shared))
    made = None
    for level in LEVELS:
        probed = [len(packed([parts.detail(key, level)[0] for key in block])) for block in blocks[::PROBE]]
        if probed and sum(probed) / len(probed) * len(blocks) * 0.97 + fixed > budget:
            continue
        made = _packed_all(parts, blocks, level, index, shared, paged=False)
        if made.n_bytes <= budget:
            return made
    return _packed_all(parts, blocks, Level(), index, shared, paged=True)


def _packed_all(
    parts: "_Parts", blocks: list[list[Key]], level: Level, index: str, shared: list[str], *, paged: bool
) -> Payload:
    left: Counter[str] = Counter()
    chunks = []
    for block in blocks:
        details = [parts.detail(key, level) for key in block]
        for _, omitted in details:
            left.update(omitted)
        chunks.append(packed([detail for detail, _ in details]))
    return Payload(
        index=index, chunks=chunks, shared=shared, left_out={k: n for k, n in left.items() if n}, paged=paged
    )


def _index(run: ReportRun, rows: pd.DataFrame) -> dict[str, Any]:
    place = {name: at for at, name in enumerate(run.dictionaries["dictionary"])}
    names = run.dictionaries[["dictionary", "architecture"]].itertuples(index=False)
    number = np.arange(len(rows))
    return {
        "dictionaries": [{"name": name, "architecture": architecture} for name, architecture in names],
        "scorers": run.scorers,
        "columns": {
            "d": rows["dictionary"].map(place).tolist(),
            "i": rows["latent"].tolist(),
            "x": [text if isinstance(text, str) else None for text in rows["explanation"]],
            "status": rows["status"].tolist(),
            "rate": _rounded(rows["firing_rate_token"]),
            "share": _rounded(rows["token_share"]),
            "peak": rows["peak_token"].fillna("").tolist(),
            "chunk": (number // CHUNK).tolist(),
            "at": (number % CHUNK).tolist(),
            "scores": [_rounded(rows[f"score_{scorer}"]) for scorer in run.scorers],
        },
    }


def _rounded(values: Iterable[float]) -> list[float | None]:
    return [None if not np.isfinite(value) else float(f"{value:.5g}") for value in values]


def _messages(prompt: object) -> list[tuple[str, str]]:
    """Read a stored prompt as (role, content) pairs; one that is not JSON is shown as it is."""
    try:
        return [(str(turn["role"]), str(turn["content"])) for turn in json.loads(str(prompt))]
    except (ValueError, TypeError, KeyError):
        return [("prompt", str(prompt))]


def _shared(questions: pd.DataFrame) -> list[str]:
    counts = Counter(content for prompt in questions["prompt"] for _, content in _messages(prompt))
    return [content for content, n in counts.items() if n >= SHARED_FROM]


def _by_latent(table: pd.DataFrame, columns: list[str]) -> dict[Key, list[tuple]]:
    """Group rows by latent, as tuples of these columns."""
    found: dict[Key, list[tuple]] = defaultdict(list)
    for dictionary, site, latent, *rest in zip(
        *(table[name].tolist() for name in [*tables.KEY, *columns]), strict=True
    ):
        found[dictionary, site, latent].append(tuple(rest))
    return found


class _Parts:
    """The tables of a run, grouped by latent once."""

    def __init__(self, run: ReportRun, shared: dict[str, int]) -> None:
        self._shared = shared
        own = run.scores[run.scores["dictionary"].isin(run.dictionaries["dictionary"])]
        self._examples = _by_latent(
            run.examples, [name for name in tables.EXAMPLES if name not in (*tables.KEY, "planted")]
        )
        self._explanations = _by_latent(run.explanations, ["text", "status", "explainer", "n_retries", "raw"])
        self._judgements = _by_latent(
            run.judgements[run.judgements["control"] == "none"],
            ["scorer", "window_id", "kind", "truth", "answer", "probability", "status"],
        )
        self._questions = _by_latent(
            run.questions,
            ["question_id", "scorer", "control", "prompt", "reply", "failure", "tokens_in", "tokens_out"],
        )
        self._scores = _by_latent(
            own, ["scorer", "control", "score", "recall", "specificity", "auroc", "n_items", "n_unanswered"]
        )
        self._without_logits = run.without_logits
        self._logits = _by_latent(run.logits, ["side", "rank", "token", "value"])
        self._near = _by_latent(run.neighbours, ["measure", "rank", "other", "value"])
        self._around = _by_latent(run.contexts, ["window_id", "before", "after"])
        self._histograms = _histograms(run.histograms)

    def detail(self, key: Key, level: Level) -> tuple[dict[str, Any], dict[str, int]]:
        """Everything about one latent that a level carries, and counts of the rest."""
        questions = self._questions.get(key, [])
        own = [row for row in questions if level.control_prompts or row[2] == "none"]
        asked = [row for row in own if level.explain_prompts or row[1] != "explain"]
        windows = self._examples.get(key, [])
        shown = windows if level.n_explain is None else _thinned(windows, level.n_explain)
        omitted = {
            "prompts of controls": len(questions) - len(own),
            "prompts of the explainer": len(own) - len(asked),
            "examples shown to it": len(windows) - len(shown),
        }
        base = "".join(piece for row in shown for piece in row[6])
        found_places = places(base)
        names = ("text", "status", "by", "n_retries", "raw")
        explained = [dict(zip(names, row, strict=True)) for row in self._explanations.get(key, [])]
        score = ("scorer", "control", "score", "recall", "specificity", "auroc", "n", "unanswered")
        judged = ("scorer", "window", "kind", "truth", "answer", "probability", "status")
        found = {
            "explanation": explained[0] if explained else None,
            "windows": _windows(shown),
            "around": {window: (before, after) for window, before, after in self._around.get(key, [])},
            "near": self._near_of(key),
            "judgements": [dict(zip(judged, map(_short, row), strict=True)) for row in self._judgements.get(key, [])],
            "questions": [self._question(row, base, found_places) for row in asked],
            "omitted": {reason: n for reason, n in omitted.items() if n},
            "scores": [dict(zip(score, map(_short, row), strict=True)) for row in self._scores.get(key, [])],
            "logits": self._logits_of(key),
            "histogram": self._histograms.get(key),
            "without_logits": self._without_logits.get(key[0]),
        }
        return found, omitted

    def _question(self, row: tuple, base: str, found: dict[str, int]) -> dict[str, Any]:
        identity, scorer, control, prompt, reply, failure, n_in, n_out = row
        messages = [
            (role, self._shared[content] if content in self._shared else quote(content, base, found))
            for role, content in _messages(prompt)
        ]
        return {
            "id": identity,
            "scorer": scorer,
            "control": control,
            "messages": messages,
            "reply": reply if isinstance(reply, str) else None,
            "failure": failure,
            "tokens_in": n_in,
            "tokens_out": n_out,
        }

    def _near_of(self, key: Key) -> dict[str, list[tuple[int, float]]]:
        found: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for measure, _, other, value in sorted(self._near.get(key, []), key=lambda row: (row[0], row[1])):
            found[measure].append((other, float(f"{value:.3g}")))
        return dict(found)

    def _logits_of(self, key: Key) -> dict[str, list] | None:
        rows = sorted(self._logits.get(key, []), key=lambda row: row[1])
        sides = {side: [(token, value) for name, _, token, value in rows if name == side] for side in ("top", "bottom")}
        return sides if rows else None


def _short(value: object) -> object:
    return float(f"{value:.3g}") if isinstance(value, float) and np.isfinite(value) else value


def _thinned(windows: list[tuple], n: int) -> list[tuple]:
    """Keep all judged windows, and of those shown to the explainer `n`, spread over the deciles, strongest first."""
    explain = [row for row in windows if row[0] == "explain"]
    ranks: Counter[int] = Counter()
    order = []
    for row in sorted(explain, key=lambda row: -max(row[7], default=0.0)):
        ranks[row[2]] += 1
        order.append((ranks[row[2]], -row[2], row))
    kept = {id(row) for *_, row in sorted(order, key=lambda entry: entry[:2])[:n]}
    return [row for row in windows if row[0] != "explain" or id(row) in kept]


# A piece's length is one character: this code point and the length together; scripts subtract it again.
LENGTH_BASE = 35


def utf16_length(text: str) -> int:
    """Length as JavaScript counts it."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def _windows(rows: list[tuple]) -> dict[str, list]:
    """Write windows as columns, which pack better than rows."""
    return {
        "split": [row[0] for row in rows],
        "kind": [row[1] for row in rows],
        "stratum": [row[2] for row in rows],
        "id": [row[4] for row in rows],
        "document": [row[5] for row in rows],
        "text": ["".join(row[6]) for row in rows],
        "lengths": ["".join(chr(LENGTH_BASE + utf16_length(piece)) for piece in row[6]) for row in rows],
        "acts": [[(at, float(f"{value:.3g}")) for at, value in enumerate(row[7]) if value > 0] for row in rows],
    }


def _histograms(table: pd.DataFrame) -> dict[Key, dict[str, list]]:
    """Histograms of all activations, where the run has them: n + 1 edges and n counts of each latent."""
    return {
        key: {"edges": [_short(rows[0][0]), *(_short(high) for _, high, _ in rows)], "counts": [n for _, _, n in rows]}
        for key, rows in _by_latent(table, ["low", "high", "n_tokens"]).items()
    }
