"""Contexts that are judged for many latents make their scores err together: what documents add to a variance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from autointerp.statistics._answers import KINDS, RANKING, Answers, combine
from autointerp.statistics.intervals import Difference, Floats, Mean, quadratic_form
from autointerp.statistics.items import POSITIVE, RANDOM_AND_HARD, class_weights, placements, silent_weights
from autointerp.statistics.scores import primary_kinds

# Fewer documents than these, counted as equally weighted ones, show the spread between documents poorly.
FEW_DOCUMENTS = 30
HARD = KINDS.index("hard")
Measure = Literal["score", "auroc", "auroc_hard", "prevalence"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentTerm:
    """What documents shared between latents add to a variance, with its degrees of freedom.

    `n` documents were judged on; `n_eff` equally weighted ones would know as much; `largest` is the share of the
    weight that lies on the largest one.
    """

    variance: float = 0.0
    df: float = float("inf")
    n: int = 0
    n_eff: float = 0.0
    largest: float = 0.0

    def add_to(self, se: float, df: float) -> tuple[float, float]:
        """Return standard error and degrees of freedom (Satterthwaite) of a mean with this variance added."""
        total = se**2 + self.variance
        if self.variance <= 0:
            return se, df
        return float(np.sqrt(total)), float(total**2 / (se**4 / df + self.variance**2 / self.df))


NO_DOCUMENTS = DocumentTerm()


def widened(inner: Mean | Difference, term: DocumentTerm) -> tuple[float, float]:
    """Return standard error and degrees of freedom of a mean or difference with its documents' variance."""
    return term.add_to(inner.se, inner.df)


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One mean of latents' scores: whose (rows of the scores, same dictionary and scorer) and their weights.

    At real firing rates (column `prevalence`) `weights` are those of recall, `silent` those of the specificity.
    """

    scores: pd.DataFrame
    weights: Floats
    sign: float = 1.0
    silent: Floats | None = None


class Documents:
    """How the items of each document enter every latent's score.

    One entry per (unit, kind, document). A measure gives each entry its `mass`, the summed weight of its answered items
    (those of one unit and kind sum to 1), and its `right`, the same times whether they were answered rightly.
    """

    def __init__(self, answers: Answers) -> None:
        """Find the entries of the answers."""
        self._answers = answers
        self._arms = _units_by_arm(answers.units)
        self._negative = _negative_kinds(answers)
        rows = np.flatnonzero(answers.answered)
        key = combine([answers.unit[rows], answers.kind[rows], answers.document[rows]])
        codes, first = _coded(key)
        order = np.argsort(answers.unit[rows[first]], kind="stable")
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        self._rows, self._entry = rows, place[codes]
        at = rows[first][order]
        self._unit, self._kind, self._document = answers.unit[at], answers.kind[at], answers.document[at]
        self._starts = np.searchsorted(self._unit, np.arange(len(answers.units) + 1))
        self._measures: dict[str, tuple[Floats, Floats]] = {}

    def _measure(self, name: Measure) -> tuple[Floats, Floats]:
        """Sum the items of each entry: mass and right, [entries]."""
        if name not in self._measures:
            answers, value = self._answers, self._answers.correct.astype(np.float64)
            if name in ("auroc", "auroc_hard"):
                negative = self._negative if name == "auroc" else np.full(len(self._negative), HARD)
                placed, weight = placements(answers, negative)
                value = np.nan_to_num(placed)
            else:
                weight = (class_weights(answers) if name == "score" else silent_weights(answers))[answers.cell]
            mass, right = (
                np.bincount(self._entry, one[self._rows], minlength=len(self._unit)).astype(np.float64)
                for one in (weight, weight * value)
            )
            self._measures[name] = mass, right
        return self._measures[name]

    def term(self, sides: Sequence[Side], column: str = "score", *, paired: bool = False) -> DocumentTerm:
        """Return what documents add to the variance of a sum of means, each with its sign.

        The two-way variance is that of latents plus that of documents less that of their intersection; this is the
        sum of the last two. Documents that two means share cancel as far as they move both alike.

        Args:
            sides: the means; one, or two of which one has sign -1.
            column: `score`, `recall`, `specificity`, `score_hard`, `auroc` or `prevalence`.
            paired: latents of equal index in the two sides are one latent.

        Source:
            Cameron, Gelbach and Miller, Robust inference with multiway clustering (2011); degrees of freedom and the
            correction for estimated means as in Imbens and Kolesar, Robust standard errors in small samples (2016).
        """
        parts = [self._entries(side, column, place * (not paired)) for place, side in enumerate(sides)]
        parts = [part for part in parts if len(part.document)]
        if not parts:
            return NO_DOCUMENTS
        document = np.concatenate([part.document for part in parts])
        latent = np.concatenate([part.latent for part in parts])
        moved = np.concatenate([part.moved for part in parts])
        codes, first = _coded(document)
        of_documents = np.bincount(codes, moved)
        of_both = np.bincount(_coded(combine([latent, document]))[0], moved)
        expected, traced, squared = np.sum([part.form for part in parts], axis=0)
        mass = np.bincount(codes, np.concatenate([part.mass for part in parts]))
        mass = mass / mass.sum()
        variance = max(0.0, float((of_documents**2).sum() - (of_both**2).sum()))
        return DocumentTerm(
            variance=variance * float(expected / traced) if traced > 0 else 0.0,
            df=max(1.0, float(traced**2 / squared)) if squared > 0 else 1.0,
            n=len(first),
            n_eff=float(1 / (mass @ mass)),
            largest=float(mass.max()),
        )

    def _entries(self, side: Side, column: str, shift: int) -> "_Entries":
        """Measure each entry of a side from its kind's mean, weighted as the side weighs its latents."""
        if len(side.scores) and str(side.scores["scorer"].iloc[0]) in RANKING:
            column = {"score": "auroc", "score_hard": "auroc_hard"}.get(column, column)
        unit, latents = self._units(side.scores)
        known = unit >= 0  # a latent whose explanation failed was asked nothing
        unit, latents, weights = unit[known], latents[known], np.asarray(side.weights, np.float64)[known]
        counts = self._starts[unit + 1] - self._starts[unit]
        at = np.repeat(self._starts[unit] - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
        weight = np.repeat(weights, counts) * self._factors(self._unit[at], self._kind[at], column)
        if side.silent is not None:
            silent = np.repeat(np.asarray(side.silent, np.float64)[known], counts)
            weight = np.where(self._kind[at] == POSITIVE, weight, silent * np.isin(self._kind[at], RANDOM_AND_HARD))
        of_all = self._measure(_measure_of(column))
        kept = (weight > 0) & (of_all[0][at] > 0)
        at, weight = at[kept], weight[kept]
        mass, right, kind = weight * of_all[0][at], weight * of_all[1][at], self._kind[at]
        of_kind = np.bincount(kind, mass, minlength=len(KINDS))
        centre = np.divide(
            np.bincount(kind, right, minlength=len(KINDS)), of_kind, out=np.zeros(len(KINDS)), where=of_kind > 0
        )
        forms = [
            quadratic_form(np.bincount(_coded(self._document[at][kind == k])[0], mass[kind == k]) / of_kind[k])
            * np.array([of_kind[k] ** 2, of_kind[k] ** 2, of_kind[k] ** 4])
            for k in np.flatnonzero(of_kind > 0)
        ]
        return _Entries(
            document=self._document[at],
            latent=np.repeat(latents, counts)[kept] * 2 + shift,
            moved=side.sign * (right - centre[kind] * mass),
            mass=mass,
            form=np.sum(forms, axis=0) if forms else np.zeros(3),
        )

    def _units(self, scores: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Find the units of one dictionary's scores; -1 where a latent has none. Also returns the latents."""
        latents = scores["latent"].to_numpy(np.int64)
        if not len(scores):
            return latents, latents
        first = scores.iloc[0]
        arm = self._arms.get((str(first["dictionary"]), str(first["scorer"]), str(first["control"])))
        if arm is None:
            return np.full(len(latents), -1), latents
        known, unit = arm
        at = np.minimum(np.searchsorted(known, latents), len(known) - 1)
        return np.where(known[at] == latents, unit[at], -1), latents

    def _factors(self, unit: np.ndarray, kind: np.ndarray, column: str) -> Floats:
        """Return the share of each entry's kind in a column of the scores."""
        negative = self._negative[unit]
        positive = kind == POSITIVE
        if column in ("auroc", "auroc_hard"):
            return 1.0 * (positive | (kind == (negative if column == "auroc" else HARD)))
        if column in ("recall", "prevalence"):
            return positive.astype(float)
        if column == "specificity":
            return (kind == negative).astype(float)
        other = HARD if column == "score_hard" else negative
        return np.where(negative < 0, 1.0 * positive, 0.5 * (positive | (kind == other)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entries:
    """One side's entries: `form` is the expected variance, trace and squared trace of its documents (per kind)."""

    document: np.ndarray
    latent: np.ndarray
    moved: Floats
    mass: Floats
    form: Floats


def _measure_of(column: str) -> Measure:
    """Return the measure whose weights a column of the scores rests on."""
    return column if column in ("auroc", "auroc_hard", "prevalence") else "score"  # type: ignore[return-value]


def _units_by_arm(units: pd.DataFrame) -> dict[tuple[str, str, str], tuple[np.ndarray, np.ndarray]]:
    """Map (dictionary, scorer, control) -> its latents, ascending, and their rows in the units."""
    found = {}
    for (name, scorer, control), part in units.groupby(["dictionary", "scorer", "control"], observed=True):
        order = np.argsort(part["latent"].to_numpy(np.int64), kind="stable")
        rows = part.index.to_numpy()[order]
        found[str(name), str(scorer), str(control)] = part["latent"].to_numpy(np.int64)[order], rows
    return found


def _coded(key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Code values as 0..n-1, with the row at which each first appears."""
    codes, values = pd.factorize(key)
    first = np.empty(len(values), dtype=np.int64)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    return codes, first


def _negative_kinds(answers: Answers) -> np.ndarray:
    """Return the kind of negative that each unit's score rests on; -1 where it has none."""
    places: Mapping[str, int] = {kind: place for place, kind in enumerate(KINDS)}
    return answers.units["scorer"].map(primary_kinds(answers)).map(places).fillna(-1).to_numpy(int)
