"""Contexts that are judged for many latents make their scores err together: the variance that this adds."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from autointerp.statistics._answers import KINDS, UNIT, Answers, combine, read
from autointerp.statistics.intervals import Floats
from autointerp.statistics.scores import POSITIVE, primary_kinds


@dataclass(frozen=True, slots=True, kw_only=True)
class Influence:
    """How much each document moved each unit's score: one entry per (unit, document) pair that met."""

    unit: np.ndarray
    document: np.ndarray
    value: Floats
    n_documents: int


def influence(answers: Answers) -> Influence:
    """Spread every unit's score over the documents of its items, measured from the class's mean in its dictionary."""
    used = primary_kinds(answers)
    negative = (
        answers.units["scorer"]
        .map(used)
        .map({kind: place for place, kind in enumerate(KINDS)})
        .fillna(-1)
        .to_numpy(int)
    )
    cell_used = (answers.cell_kind == POSITIVE) | (answers.cell_kind == negative[answers.cell_unit])
    seen = cell_used & (answers.cell_answered > 0)
    classes = combine([answers.cell_unit, answers.cell_kind])
    _, class_of = np.unique(classes, return_inverse=True)
    share = np.bincount(class_of, answers.cell_share * seen)[class_of]
    per_item = np.divide(
        answers.cell_share,
        share * np.maximum(answers.cell_answered, 1),
        out=np.zeros(len(share)),
        where=seen & (share > 0),
    )
    per_item *= np.where(negative[answers.cell_unit] >= 0, 0.5, 1.0)
    centre = _class_means(answers, per_item)
    rows = answers.answered & cell_used[answers.cell]
    value = per_item[answers.cell[rows]] * (answers.correct[rows] - centre[answers.cell[rows]])
    keys, sums = _sums(arm_codes(answers.units)[answers.unit[rows]], answers.unit[rows] * answers.n_documents
                       + answers.document[rows], value)  # fmt: skip
    return Influence(
        unit=keys // answers.n_documents, document=keys % answers.n_documents, value=sums,
        n_documents=answers.n_documents,
    )  # fmt: skip


def _sums(part: np.ndarray, key: np.ndarray, value: Floats) -> tuple[np.ndarray, Floats]:
    """Add up values of equal key, part by part: keys of two parts differ, and one part's hash table stays in the cache.

    Args:
        part: [rows] a small number for each row.
        key: [rows] any number, of one part only.
        value: [rows] what is added up.
    """
    if not len(part):
        return np.array([], dtype=np.int64), np.array([])
    if (part[1:] < part[:-1]).any():
        order = np.argsort(part, kind="stable")
        part, key, value = part[order], key[order], value[order]
    ends = np.flatnonzero(np.r_[part[1:] != part[:-1], True]) + 1
    found = []
    for low, high in zip(np.r_[0, ends[:-1]], ends, strict=True):
        codes, keys = pd.factorize(key[low:high], use_na_sentinel=False)
        found.append((keys, np.bincount(codes, value[low:high], minlength=len(keys)).astype(np.float64)))
    return np.concatenate([keys for keys, _ in found]), np.concatenate([sums for _, sums in found])


def _class_means(answers: Answers, per_item: Floats) -> Floats:
    """Return for each cell the mean rate of its kind over its dictionary's latents (same scorer and control)."""
    arm = arm_codes(answers.units)
    key = arm[answers.cell_unit] * len(KINDS) + answers.cell_kind
    correct = np.bincount(key, per_item * answers.cell_correct)
    total = np.bincount(key, per_item * answers.cell_answered)
    return np.divide(correct, total, out=np.zeros(len(total)), where=total > 0)[key]


def arm_codes(units: pd.DataFrame) -> np.ndarray:
    """Code (dictionary, scorer, control) of each unit."""
    return units.groupby(["dictionary", "scorer", "control"], sort=False, observed=True).ngroup().to_numpy()


def added_variance(found: Influence, weights: Floats, arm: np.ndarray) -> Floats:
    """Variance of each arm's weighted mean that comes from documents shared between latents, never below 0.

    The two-way variance is that of latents plus that of documents less that of their intersection; this is the sum
    of the last two, by arm.

    Args:
        found: `influence` of all units.
        weights: [units] weight of each latent in its arm's mean; 0 for those left out.
        arm: [units] code of the arm of each unit.

    Source:
        Cameron, Gelbach and Miller, Robust inference with multiway clustering (2011).
    """
    n_arms = int(arm.max(initial=0)) + 1
    moved = weights[found.unit] * found.value
    by_arm = arm[found.unit]
    sums = np.bincount(by_arm * found.n_documents + found.document, moved, minlength=n_arms * found.n_documents)
    of_documents = (sums.reshape(n_arms, found.n_documents) ** 2).sum(1)
    return np.maximum(0.0, of_documents - np.bincount(by_arm, moved**2, minlength=n_arms))


def document_variance(judgements: pd.DataFrame, scores: pd.DataFrame, weights: Floats) -> float:
    """Return `added_variance` for the scores of one dictionary, scorer and control, from its judgements."""
    first = scores.iloc[0]
    same = np.logical_and.reduce(
        [judgements[c].astype(str) == str(first[c]) for c in ("dictionary", "scorer", "control")]
    )
    answers = read(judgements[same])
    by_latent = pd.Series(np.asarray(weights), index=pd.MultiIndex.from_frame(scores[UNIT]))
    aligned = np.asarray(by_latent.reindex(pd.MultiIndex.from_frame(answers.units[UNIT])).fillna(0.0), dtype=np.float64)
    return float(added_variance(influence(answers), aligned, np.zeros(len(answers.units), dtype=np.int64))[0])
