"""Judges that have not understood the question, run over planted latents of several corpora, many times over."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from autointerp import plugins
from autointerp.corpus._pieces import decoder
from autointerp.corpus.base import Windows
from autointerp.examples import contrast, planted
from autointerp.experiment.study import EMBEDDED
from autointerp.prompts import plain
from autointerp.records import Explanation, LatentExamples, Message, Question, ShownItem
from autointerp.seeds import generator
from tests.helpers import shared
from tests.helpers.planted import latents
from tests.helpers.text import manual, windows

Shortcut = Callable[[Question, int, ShownItem], float]
# How often each latent is asked about, by draws of its own (the intruder has fewer questions); positives and negatives.
N_DRAWS, N_DRAWS_INTRUDER, N = 12, 24, 20


class NoPrompts:
    """Renders nothing: a shortcut judge reads the structured task, which says what the prompt says."""

    def render(self, name: str, **values: object) -> tuple[Message, ...]:
        return ()


@cache
def examples(corpus: str) -> tuple[LatentExamples, ...]:
    """Planted latents of a corpus: the manual in words or in the embedded subject's tokens, or a text of shared data in
    a real model's tokens, which split words."""
    if corpus == "manual":
        return latents()
    if corpus == "manual in tokens":
        cut = _tokenised([" ".join(topic.split()) for topic in map("".join, manual())], str(EMBEDDED / "subject"))
    else:
        text = (shared.SHARED / "text" / f"{corpus}.txt").read_text()
        cut = _tokenised(text.split("<|endoftext|>" if "<|endoftext|>" in text else "\n = ")[:700], str(shared.STORIES))
    pool = contrast.pool(cut, held_out=True, size=2000, seed=0)
    return tuple(planted.examples(cut, pool, n_rules=60, n_positives=N, n_negatives=N, seed=0))


def _tokenised(texts: list[str], tokenizer: str) -> Windows:
    import transformers

    made: Any = transformers.AutoTokenizer.from_pretrained(tokenizer)
    decode = decoder(made)
    ids = made(texts, add_special_tokens=False, verbose=False)["input_ids"]
    return windows([[decode(np.array([token]))[0] for token in one] for one in ids])


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """All that a scorer asks of one corpus's latents, item by item: [n] each.

    Attributes:
        shown: the question, the item's place in it, and what is shown.
        latent: number of its latent.
        question: number of its question.
        truth: whether it is true (a positive; the intruder).
        chance: what guessing scores.
    """

    shown: list[tuple[Question, int, ShownItem]]
    latent: NDArray[np.int64]
    question: NDArray[np.int64]
    truth: NDArray[np.bool_]
    chance: float

    def scores(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Score each latent by a judge that says yes above its median over the latent's items, or picks the largest."""
        found = []
        for number in range(self.latent.max() + 1):
            mine = self.latent == number
            value, truth = values[mine], self.truth[mine]
            if self.chance < 0.5:
                order = np.lexsort((generator(0, "ties", number).random(len(value)), -value, self.question[mine]))
                _, first = np.unique(self.question[mine][order], return_index=True)
                found.append(truth[order][first].mean())
            else:
                said = value > np.median(value)
                found.append((said[truth].mean() + (~said[~truth]).mean()) / 2)
        return np.array(found)

    def values(self, view: Shortcut) -> NDArray[np.float64]:
        """What a shortcut sees in each item."""
        return np.array([float(view(*one)) for one in self.shown])


@cache
def asked(scorer: str, corpus: str, kind: str = "") -> Asked:
    """Ask about each latent many times; `kind` picks fuzzing's negatives."""
    module = plugins.load("scorers", scorer)
    built = module.build(module.Config(**({"negatives": (kind,)} if kind else {})), NoPrompts())
    shown, rows = [], []
    n_draws = N_DRAWS_INTRUDER if scorer == "intruder" else N_DRAWS
    for number, one in enumerate(examples(corpus)):
        if kind == "hard":
            one = replace(one, contrast=tuple(replace(e, kind="hard") for e in one.contrast))
        for draw in range(n_draws):
            told = Explanation(
                explanation_id=f"e{draw}", latent=one.latent, text="anything", explainer="t", prompt_hash="", raw=""
            )
            for question in built.questions(one, told, "none", generator(draw, "shortcuts", scorer, kind, one.latent)):
                for place, (item, seen) in enumerate(zip(question.items, question.task.items, strict=True)):
                    shown.append((question, place, seen))
                    rows.append((number, len(rows) if place == 0 else rows[-1][1], item.truth))
    latent, question, truth = (np.array(column) for column in zip(*rows, strict=True))
    return Asked(shown=shown, latent=latent, question=question, truth=truth.astype(bool), chance=built.chance)


@cache
def token_ends(corpus: str) -> dict[str, list[int]]:
    """Where each token of each window's text ends: marks are counted in tokens, as the model under study has them."""
    all_windows = [window for one in examples(corpus) for window in (*one.held_out, *one.contrast)]
    return {plain(window.text): list(accumulate(map(len, window.pieces))) for window in all_windows}


@dataclass(frozen=True, slots=True, kw_only=True)
class Equivalence:
    """Two one-sided tests that a mean over latents is within a margin of chance, at level .05 each."""

    off: float
    error: float
    margin: float

    @property
    def shown(self) -> bool:
        """Whether the 90 % interval lies within the margin."""
        return abs(self.off) + self._quantile * self.error < self.margin or self.error == 0 == self.off

    @property
    def power(self) -> float:
        """Of the test, were the mean exactly chance: with this many latents and this much spread."""
        reach = self.margin / self.error if self.error else np.inf
        return max(0.0, float(2 * stats.norm.cdf(reach - self._quantile) - 1))

    @property
    def _quantile(self) -> float:
        return float(stats.norm.isf(0.05))


def equivalence(scores: NDArray[np.floating], chance: float, margin: float) -> Equivalence:
    """Test a judge's scores, one per latent."""
    error = float(scores.std(ddof=1) / np.sqrt(len(scores)))
    return Equivalence(off=float(scores.mean() - chance), error=error, margin=margin)


def learnt(found: Asked, views: dict[str, Shortcut], n_folds: int = 4) -> NDArray[np.float64]:
    """What a trained adversary makes of some shortcuts together: log odds by a ridge logistic regression on them and
    their squares, for each latent learnt from the latents of the other folds."""
    seen = np.column_stack([found.values(view) for view in views.values()])
    seen = (seen - seen.mean(0)) / np.maximum(seen.std(0), 1e-9)
    design = np.column_stack([seen, seen**2, np.ones(len(seen))])
    fold = found.latent % n_folds
    told = np.zeros(len(design))
    for held in range(n_folds):
        told[fold == held] = design[fold == held] @ _fitted(design[fold != held], found.truth[fold != held])
    return told


def _fitted(design: NDArray[np.float64], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Fit by Newton's method; ridge 1."""
    weights, ridge = np.zeros(design.shape[1]), np.eye(design.shape[1])
    for _ in range(6):
        p = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        hessian = (design * (p * (1 - p) + 1e-9)[:, None]).T @ design + ridge
        weights = weights - np.linalg.solve(hessian, design.T @ (p - truth) + weights)
    return weights


def cases(corpora: list[str]) -> list[tuple[str, str, str]]:
    """(scorer, kind of negatives, corpus) of all scorers that ask a language model."""
    asking = [("detection", ""), ("intruder", ""), *(("fuzzing", kind) for kind in ("mismarked", "random", "hard"))]
    return [(scorer, kind, corpus) for corpus in corpora for scorer, kind in asking]
