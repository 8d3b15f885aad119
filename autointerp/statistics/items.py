"""What each judged item counts for: its weight in a latent's recall and error rates, and its placement in AUROC."""

import numpy as np

from autointerp.statistics._answers import KINDS, Answers, combine
from autointerp.statistics.intervals import Floats

POSITIVE = KINDS.index("positive")
RANDOM_AND_HARD = (KINDS.index("random"), KINDS.index("hard"))
# Pairs of a positive and a negative that are ranked in one step: some tens of MB.
PAIRS_AT_ONCE = 8_000_000


def class_weights(answers: Answers) -> Floats:
    """Return the weight of one answered item of each cell, [cells]: a unit's items of one kind sum to 1."""
    seen = answers.cell_answered > 0
    _, class_of = np.unique(combine([answers.cell_unit, answers.cell_kind]), return_inverse=True)
    share = np.bincount(class_of, answers.cell_share * seen)[class_of]
    return np.divide(
        answers.cell_share,
        share * np.maximum(answers.cell_answered, 1),
        out=np.zeros(len(share)),
        where=seen & (share > 0),
    )


def silent_weights(answers: Answers) -> Floats:
    """Return the weight of one answered item of each cell, [cells], in recall and in the error on silent contexts.

    Positives weigh as in `class_weights`. Strata of hard negatives weigh their known shares of the silent population,
    stratum 0 the rest; within a stratum random and hard negatives, both drawn from it at random, count alike. Without
    hard ones random ones stand for all.
    """
    positive = answers.cell_kind == POSITIVE
    use = np.isin(answers.cell_kind, RANDOM_AND_HARD) & (answers.cell_answered > 0)
    n_units = len(answers.units)
    pairs = np.stack([answers.cell_unit[use], answers.cell_stratum[use]])
    names, place = np.unique(pairs, axis=1, return_inverse=True)
    place = place.ravel()  # numpy 2.0.0 gives it two axes
    answered = np.bincount(place, answers.cell_answered[use], minlength=names.shape[1])
    share = np.zeros(names.shape[1])
    hard = answers.cell_kind == KINDS.index("hard")
    np.maximum.at(share, place, np.where(hard, answers.cell_share, 0.0)[use])
    # What no hard stratum stands for is shared among the other strata as random draws fell into them.
    unit, plain = names[0], share == 0
    rest = np.maximum(0, 1 - np.bincount(unit, share, minlength=n_units))
    n_plain = np.bincount(unit, answered * plain, minlength=n_units)
    weight = np.where(plain, rest[unit] * answered / np.maximum(n_plain[unit], 1), share)
    whole = np.bincount(unit, weight, minlength=n_units)[unit]
    each = np.divide(weight, whole * np.maximum(answered, 1), out=np.zeros(len(weight)), where=whole > 0)
    out = np.where(positive, class_weights(answers), 0.0)
    out[use] = each[place]
    return out


def placements(answers: Answers, negative: np.ndarray) -> tuple[Floats, Floats]:
    """Rank each unit's positives against its negatives by P(yes); ties count half.

    AUROC is the weighted mean of its positives' placements; its deviation from its expectation is, to first order, the
    sum of the deviations of both kinds' mean placements.

    Args:
        answers: coded judgements.
        negative: [units] kind of negative ranked against; below 0 for none.

    Returns:
        placement: [items] share of negatives below a positive, weighted share of positives above a negative; NaN for
        other items and units that lack a kind.
        weight: [items] share of the item among those of its unit and kind; 0 where the placement is NaN.

    Source:
        DeLong, DeLong and Clarke-Pearson (1988), structural components.
    """
    value, share = np.full(len(answers.unit), np.nan), np.zeros(len(answers.unit))
    known = ~np.isnan(answers.probability)
    positive = known & (answers.kind == POSITIVE)
    other = known & (answers.kind == negative[answers.unit])
    if not positive.any() or not other.any():
        return value, share
    n_in_cell = np.bincount(answers.cell[positive], minlength=len(answers.cell_n))
    weight = (answers.cell_share / np.maximum(n_in_cell, 1))[answers.cell[positive]]
    n_units = len(answers.units)
    ours, theirs = (
        _by_unit(answers.unit[rows], n_units, answers.probability[rows], np.flatnonzero(rows).astype(np.float64))
        for rows in (positive, other)
    )
    weights = np.nan_to_num(_by_unit(answers.unit[positive], n_units, weight)[0])
    step = max(1, PAIRS_AT_ONCE // (ours[0].shape[1] * theirs[0].shape[1]))
    for at in range(0, n_units, step):
        part = slice(at, at + step)
        placed = _ranked(ours[0][part], theirs[0][part], weights[part])
        for rows, (above, of_kind) in zip((ours[1][part], theirs[1][part]), placed, strict=True):
            there = ~np.isnan(rows) & ~np.isnan(above)
            items = rows[there].astype(np.int64)
            value[items], share[items] = above[there], of_kind[there]
    return value, share


def _ranked(up: Floats, down: Floats, weight: Floats) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats]]:
    """Place positives among negatives and the other way, by unit; NaN where a unit lacks a kind.

    Args:
        up: [units, positives] values, NaN where there is none.
        down: [units, negatives] the same of negatives.
        weight: [units, positives] weights, 0 where there is no positive.

    Returns:
        Placement and share within its unit, of positives and of negatives.
    """
    mass, n = weight.sum(1)[:, None], (~np.isnan(down)).sum(1)[:, None]
    won = (down[:, None] < up[:, :, None]) + 0.5 * (down[:, None] == up[:, :, None])
    missing = np.where((mass > 0) & (n > 0), 0.0, np.nan)
    each = weight / np.maximum(mass, 1e-300)
    of_positives = won.sum(2) / np.maximum(n, 1) + missing
    of_negatives = np.einsum("up,upn->un", each, won) + missing
    return (of_positives, each), (of_negatives, np.broadcast_to(1 / np.maximum(n, 1), down.shape))


def _by_unit(unit: np.ndarray, n_units: int, *columns: np.ndarray) -> list[np.ndarray]:
    """Put values side by side by unit: each [units, most values of one], NaN where a unit has fewer."""
    if (unit[1:] < unit[:-1]).any():
        order = np.argsort(unit, kind="stable")
        unit, columns = unit[order], tuple(values[order] for values in columns)
    counts = np.bincount(unit, minlength=n_units)
    most = int(counts.max(initial=1))
    place = np.arange(len(unit)) + np.repeat(np.arange(n_units) * most - (np.cumsum(counts) - counts), counts)
    found = []
    for values in columns:
        out = np.full(n_units * most, np.nan)
        out[place] = values
        found.append(out.reshape(n_units, most))
    return found
