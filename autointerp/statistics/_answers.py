"""Judgements as integer codes and counts: the one pass over the rows that every statistic starts from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from autointerp.errors import TableError
from autointerp.records import Kind

KINDS: tuple[Kind, ...] = ("positive", "random", "hard", "mismarked")
UNIT = ["dictionary", "site", "latent", "scorer", "control"]
NEEDED = [*UNIT, *"document_id window_id kind stratum stratum_share truth answer probability".split()]
# Scorers whose judge picks one of several contexts: they have no negatives to weigh against positives, and may show a
# context in two questions.
CHOOSING = frozenset({"intruder"})
# Scorers that rank contexts: their score is the AUROC of positives against negatives.
RANKING = frozenset({"embedding"})
# Shares are sums of decimal fractions such as ten times .1.
SHARE_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Judged rows of every (latent, scorer, control), coded.

    `units` has one row per (dictionary, site, latent, scorer, control); the arrays have one entry per judgement:
    `unit` its row in `units`, `kind` its place in `KINDS`, `cell` its (unit, kind, stratum), `answered`, `yes`,
    `correct`, `document`, `probability`. The `cell_*` arrays have one entry per cell.
    """

    units: pd.DataFrame
    unit: np.ndarray
    kind: np.ndarray
    cell: np.ndarray
    answered: np.ndarray
    correct: np.ndarray
    document: np.ndarray
    n_documents: int
    probability: np.ndarray
    truth: np.ndarray
    cell_unit: np.ndarray
    cell_kind: np.ndarray
    cell_stratum: np.ndarray
    cell_share: np.ndarray
    cell_n: np.ndarray
    cell_answered: np.ndarray
    cell_correct: np.ndarray


def _codes(column: pd.Series) -> tuple[np.ndarray, pd.Index]:
    """Code a column as 0..n-1 with its distinct values, in order of first appearance or category."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.codes.to_numpy(), column.cat.categories
    codes, values = pd.factorize(column)
    return codes, pd.Index(values)


def _numbers(column: pd.Series) -> tuple[np.ndarray, int]:
    """Code a column of whole numbers by non-negative ones, and say how many codes there may be.

    Ids are mostly dense: a table of those that occur is far cheaper than a hash of every row.
    """
    if column.dtype.kind not in "iu":
        codes, values = _codes(column)
        return codes, len(values)
    values = column.to_numpy()
    low, high = (int(values.min()), int(values.max())) if len(values) else (0, -1)
    if high - low >= 4 * len(values) + 1024:
        codes, distinct = pd.factorize(values)
        return codes, len(distinct)
    place = values if low == 0 else values - low
    there = np.zeros(high - low + 1, dtype=bool)
    there[place] = True
    n = int(there.sum())
    codes = np.cumsum(there, dtype=np.int32 if n < 2**31 else np.int64) - 1
    return codes[place], n


def combine(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Make one integer key per row of several columns of non-negative codes.

    Wide products are re-coded on the way, so that the key never leaves 64 bits.
    """
    key = np.zeros(len(parts[0]), dtype=np.int64)
    size = 1
    for part in parts:
        width = int(part.max(initial=0)) + 1
        if size * width > 2**62:
            key = pd.factorize(key)[0].astype(np.int64)
            size = int(key.max(initial=0)) + 1
        if size > 1:
            key *= width
        key += part
        size *= width
    return key


def _recoded(column: pd.Series, allowed: Sequence[str], name: str) -> np.ndarray:
    """Code a column by its place in `allowed`."""
    codes, values = _codes(column)
    occurs = np.bincount(codes + 1, minlength=len(values) + 1)
    strange = sorted({str(value) for value, n in zip(values, occurs[1:], strict=True) if n} - set(allowed))
    if strange or occurs[0]:
        raise TableError(
            f"judgements: {name} {strange[0] if strange else 'null'!r} is unknown; allowed: {', '.join(allowed)}"
        )
    places = np.array([allowed.index(str(value)) if str(value) in allowed else -1 for value in values], dtype=np.int8)
    return places[codes]


def read(judgements: pd.DataFrame) -> Answers:
    """Code the judgements and count them by cell.

    Raises:
        TableError: columns are missing, a value is not allowed, a judgement appears twice, or a stratum has two shares.
    """
    missing = [column for column in NEEDED if column not in judgements.columns]
    if missing:
        raise TableError(f"judgements: columns missing: {', '.join(missing)}; it has: {', '.join(judgements.columns)}")
    unit, first = _dense(combine([_coded(judgements[column]) for column in UNIT]))
    units = judgements.iloc[first][UNIT].astype({c: "str" for c in UNIT if c != "latent"}).reset_index(drop=True)
    kind = _recoded(judgements["kind"], KINDS, "kind")
    answer = _recoded(judgements["answer"], ("no", "yes", "unanswered"), "answer")
    truth = judgements["truth"].to_numpy(bool)
    _refuse_duplicates(judgements, unit, kind, _numbers(judgements["window_id"])[0])
    stratum = judgements["stratum"].to_numpy(np.int64)
    cell, cell_first = _dense(combine([unit, kind, stratum - stratum.min(initial=0)]))
    answered = answer < 2
    correct = answered & ((answer == 1) == truth)
    share = judgements["stratum_share"].to_numpy(np.float64)
    _check_shares(share, cell, cell_first, units, unit)
    probability = judgements["probability"].to_numpy(np.float64, na_value=np.nan)
    _check_probabilities(probability, units, unit)
    n_cells = len(cell_first)
    document, n_documents = _numbers(judgements["document_id"])
    return Answers(
        units=units,
        unit=unit,
        kind=kind,
        cell=cell,
        answered=answered,
        correct=correct,
        truth=truth,
        document=document,
        n_documents=n_documents,
        probability=probability,
        cell_unit=unit[cell_first],
        cell_kind=kind[cell_first],
        cell_stratum=stratum[cell_first],
        cell_share=share[cell_first],
        cell_n=np.bincount(cell, minlength=n_cells),
        cell_answered=np.bincount(cell[answered], minlength=n_cells),
        cell_correct=np.bincount(cell[correct], minlength=n_cells),
    )


def _coded(column: pd.Series) -> np.ndarray:
    """Code a column of names or of whole numbers."""
    return _numbers(column)[0] if column.dtype.kind in "iu" else _codes(column)[0]


def _dense(key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Code a key as 0..n-1 in order of first appearance, with the row at which each first appears.

    Equal neighbours are coded once: a run's rows come sorted, so there are few.
    """
    starts = np.flatnonzero(np.r_[True, key[1:] != key[:-1]]) if len(key) else np.array([], dtype=np.int64)
    codes, values = pd.factorize(key[starts])
    first = np.empty(len(values), dtype=np.int64)
    first[codes[::-1]] = starts[::-1]  # the last one written is the first that appears
    return np.repeat(codes.astype(np.int64), np.diff(np.r_[starts, len(key)])), first


def _refuse_duplicates(judgements: pd.DataFrame, unit: np.ndarray, kind: np.ndarray, window: np.ndarray) -> None:
    """A context is judged once per latent, scorer and control; where one of several is chosen, once per question."""
    ordered = np.sort(combine([unit, kind, window]))
    if not (ordered[1:] == ordered[:-1]).any():
        return
    asked = "question_id" in judgements.columns  # only read where a scorer chooses among contexts
    question = _codes(judgements["question_id"])[0] if asked else np.zeros(len(unit), dtype=np.int64)
    choosing = judgements["scorer"].astype("str").isin(CHOOSING).to_numpy(bool)
    repeated = pd.Series(combine([unit, kind, window, np.where(choosing, question, 0)])).duplicated()
    if repeated.any():
        row = judgements.iloc[int(np.flatnonzero(repeated.to_numpy())[0])]
        raise TableError(
            f"judgements: {int(repeated.sum())} rows repeat a judgement, first {row['dictionary']} latent "
            f"{row['latent']} {row['scorer']}/{row['control']} window {row['window_id']}; were two runs appended?"
        )


def _check_probabilities(probability: np.ndarray, units: pd.DataFrame, unit: np.ndarray) -> None:
    """A judge's P(yes) is in [0, 1], or not known (NaN)."""
    bad = (probability < 0) | (probability > 1)
    if bad.any():
        at = int(np.flatnonzero(bad)[0])
        name = units.iloc[unit[at]]
        raise TableError(
            f"judgements: probability {probability[at]:g} of {name['dictionary']} latent {name['latent']} "
            f"{name['scorer']} is not in [0, 1]; use null for a judge that gave none"
        )


def _check_shares(
    share: np.ndarray, cell: np.ndarray, first: np.ndarray, units: pd.DataFrame, unit: np.ndarray
) -> None:
    """Shares are positive, at most one, and the same all over a stratum."""
    bad = ~((share > 0) & (share <= 1 + SHARE_TOLERANCE))
    if not bad.any():
        bad = np.abs(share - share[first][cell]) > SHARE_TOLERANCE
    if bad.any():
        at = int(np.flatnonzero(bad)[0])
        name = units.iloc[unit[at]]
        raise TableError(
            f"judgements: stratum_share {share[at]:g} of {name['dictionary']} latent {name['latent']} is not one share "
            "in (0, 1] per stratum; it must be the stratum's share of its class"
        )
