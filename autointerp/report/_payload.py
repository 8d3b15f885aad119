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

from autointerp import tables
from autointerp.report.plain import plain
from autointerp.report.run import ReportRun, sampled_rows

# Latents per compressed chunk: opening one latent unpacks this many.
CHUNK = 8
# A message in at least this many prompts (system, few-shot turns) is stored once for the whole page.
SHARED_FROM = 4
Key = tuple[str, str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """What the browser part of the page is made from; `chunks` and `index` are gzip as base64 text."""

    index: str
    chunks: list[str]
    shared: list[str]
    n_omitted_prompts: int

    @property
    def n_bytes(self) -> int:
        """Size of all compressed text."""
        return len(self.index) + sum(map(len, self.chunks)) + sum(map(len, self.shared))


def packed(value: object) -> str:
    """Write a value as JSON, gzip and base64: text without any character that HTML could read. Deterministic."""
    text = json.dumps(plain(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode("utf-8", "replace"), 9, mtime=0)).decode()


def payload(run: ReportRun, *, control_prompts: bool = True) -> Payload:
    """Collect everything the latent browser shows.

    Args:
        run: the run.
        control_prompts: whether the prompts of controls come along; without them the page is about half as large, and
            each latent says how many are left out.
    """
    rows = sampled_rows(run)
    keys: list[Key] = [tuple(row) for row in rows[tables.KEY].itertuples(index=False)]
    shared = _shared(run.questions)
    parts = _Parts(run, {text: at for at, text in enumerate(shared)}, control_prompts)
    chunks = [packed([parts.detail(key) for key in keys[at : at + CHUNK]]) for at in range(0, len(keys), CHUNK)]
    return Payload(index=packed(_index(run, rows)), chunks=chunks, shared=shared, n_omitted_prompts=parts.n_omitted)


def _index(run: ReportRun, rows: pd.DataFrame) -> dict[str, Any]:
    place = {name: at for at, name in enumerate(run.dictionaries["dictionary"])}
    names = run.dictionaries[["dictionary", "architecture"]].itertuples(index=False)
    number = np.arange(len(rows))
    return {
        "dictionaries": [{"name": name, "architecture": architecture} for name, architecture in names],
        "scorers": run.scorers,
        "columns": {
            "d": rows["dictionary"].map(place).tolist(), "i": rows["latent"].tolist(),
            "x": [text if isinstance(text, str) else None for text in rows["explanation"]],
            "status": rows["status"].tolist(), "rate": _rounded(rows["firing_rate_token"]),
            "share": _rounded(rows["token_share"]), "peak": rows["peak_token"].fillna("").tolist(),
            "chunk": (number // CHUNK).tolist(), "at": (number % CHUNK).tolist(),
            "scores": [_rounded(rows[f"score_{scorer}"]) for scorer in run.scorers],
        },
    }  # fmt: skip


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

    def __init__(self, run: ReportRun, shared: dict[str, int], control_prompts: bool) -> None:
        self._shared, self._control_prompts, self.n_omitted = shared, control_prompts, 0
        own = run.scores[run.scores["dictionary"].isin(run.dictionaries["dictionary"])]
        self._examples = _by_latent(run.examples, list(tables.EXAMPLES)[3:])
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
        self._logits = _by_latent(run.logits, ["side", "rank", "token", "value"])
        self._histograms = _histograms(run.latents)

    def detail(self, key: Key) -> dict[str, Any]:
        """Everything about one latent."""
        kept, omitted = [], 0
        for question in self._questions.get(key, []):
            if question[2] != "none" and not self._control_prompts:
                omitted += 1
            else:
                kept.append(self._question(question))
        self.n_omitted += omitted
        names = ("text", "status", "by", "n_retries", "raw")
        explained = [dict(zip(names, row, strict=True)) for row in self._explanations.get(key, [])]
        score = ("scorer", "control", "score", "recall", "specificity", "auroc", "n", "unanswered")
        judged = ("scorer", "window", "kind", "truth", "answer", "probability", "status")
        return {
            "explanation": explained[0] if explained else None,
            "windows": [_window(row) for row in self._examples.get(key, [])],
            "judgements": [
                dict(zip(judged, row, strict=True)) | {"control": "none"} for row in self._judgements.get(key, [])
            ],
            "questions": kept, "omitted": omitted,
            "scores": [dict(zip(score, map(_short, row), strict=True)) for row in self._scores.get(key, [])],
            "logits": self._logits_of(key), "histogram": self._histograms.get(key),
        }  # fmt: skip

    def _question(self, row: tuple) -> dict[str, Any]:
        identity, scorer, control, prompt, reply, failure, n_in, n_out = row
        messages = [(role, self._shared.get(content, content)) for role, content in _messages(prompt)]
        return {
            "id": identity, "scorer": scorer, "control": control, "messages": messages,
            "reply": reply if isinstance(reply, str) else None, "failure": failure, "tokens_in": n_in,
            "tokens_out": n_out,
        }  # fmt: skip

    def _logits_of(self, key: Key) -> dict[str, list] | None:
        rows = sorted(self._logits.get(key, []), key=lambda row: row[1])
        sides = {side: [(token, value) for name, _, token, value in rows if name == side] for side in ("top", "bottom")}
        return sides if rows else None


def _short(value: object) -> object:
    return float(f"{value:.4g}") if isinstance(value, float) and np.isfinite(value) else value


def utf16_length(text: str) -> int:
    """Length as JavaScript counts it."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def _window(row: tuple) -> dict[str, Any]:
    split, kind, stratum, _, window, document, pieces, activations = row
    return {
        "id": window, "split": split, "kind": kind, "stratum": stratum, "document": document, "text": "".join(pieces),
        "lengths": [utf16_length(piece) for piece in pieces],
        "acts": [(at, float(f"{value:.4g}")) for at, value in enumerate(activations) if value > 0],
    }  # fmt: skip


def _histograms(latents: pd.DataFrame) -> dict[Key, dict[str, list]]:
    """Histograms of all activations, where the run has them (columns `histogram_edges`, `histogram_counts`)."""
    if "histogram_counts" not in latents.columns:
        return {}
    return {
        key: {"edges": list(rows[0][0]), "counts": list(rows[0][1])}
        for key, rows in _by_latent(latents, ["histogram_edges", "histogram_counts"]).items()
        if rows[0][1] is not None and len(rows[0][1])
    }
