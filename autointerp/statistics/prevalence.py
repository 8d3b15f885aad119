"""What a score means where a latent really fires, which is rarely: precision, F1, likelihood ratio, false alarms."""

import numpy as np
import pandas as pd

from autointerp.statistics._answers import CHOOSING, KINDS, Answers, read
from autointerp.statistics.intervals import Floats, bca_limits, resamples

NEEDED = ("firing_rate_window", "recall", "false_rate", "inclusion_probability")
MEASURES = ("precision", "f1", "lr_plus", "false_per_true")
# Odds and ratios have no upper end; a judge without one false alarm is given half of one in this many.
SMALLEST = 1e-9


def silent_error(judgements: pd.DataFrame) -> pd.DataFrame:
    """Return each latent's share of silent contexts called active, weighted to the silent population.

    Strata that hard negatives are of weigh their known shares of the silent population, stratum 0 the rest; within
    a stratum random and hard ones, both drawn from it at random, count alike. Without hard ones random ones stand for
    all.

    Returns:
        `dictionary`, `site`, `latent`, `scorer`, `control`, `recall`, `false_rate`; without answers no row.
    """
    return silent_error_of(read(judgements))


def silent_error_of(answers: Answers) -> pd.DataFrame:
    """Do what `silent_error` does from coded judgements."""
    frame = answers.units.assign(recall=_recall(answers), false_rate=1 - _stratified(answers))
    return frame.dropna(subset=["recall", "false_rate"]).reset_index(drop=True)


def _recall(answers: Answers) -> Floats:
    """Weigh each unit's recall over activation deciles by their shares; NaN without answered positives."""
    use = (answers.cell_answered > 0) & (answers.cell_kind == KINDS.index("positive"))
    share = np.bincount(answers.cell_unit[use], answers.cell_share[use], minlength=len(answers.units))
    rate = answers.cell_correct[use] / answers.cell_answered[use]
    total = np.bincount(answers.cell_unit[use], answers.cell_share[use] * rate, minlength=len(answers.units))
    return np.divide(total, share, out=np.full(len(share), np.nan), where=share > 0)


def _stratified(answers: Answers) -> Floats:
    """Weigh each unit's specificity over negative strata by their shares of the silent population; NaN without any."""
    random, hard = (answers.cell_kind == KINDS.index(kind) for kind in ("random", "hard"))
    use = (random | hard) & (answers.cell_answered > 0)
    n_units = len(answers.units)
    names, place = np.unique(np.stack([answers.cell_unit[use], answers.cell_stratum[use]]), axis=1, return_inverse=True)
    answered = np.bincount(place, answers.cell_answered[use], minlength=names.shape[1])
    rate = np.bincount(place, answers.cell_correct[use], minlength=names.shape[1]) / np.maximum(answered, 1)
    share = np.zeros(names.shape[1])
    np.maximum.at(share, place, np.where(hard, answers.cell_share, 0.0)[use])
    # What no hard stratum stands for is shared among the other strata as random draws fell into them.
    unit, plain = names[0], share == 0
    rest = np.maximum(0, 1 - np.bincount(unit, share, minlength=n_units))
    n_plain = np.bincount(unit, answered * plain, minlength=n_units)
    weight = np.where(plain, rest[unit] * answered / np.maximum(n_plain[unit], 1), share)
    whole = np.bincount(unit, weight, minlength=n_units)
    total = np.bincount(unit, weight * rate, minlength=n_units)
    return np.divide(total, whole, out=np.full(n_units, np.nan), where=whole > 0)


def _ratios(sums: Floats) -> dict[str, Floats]:
    """Return the measures from sums [..., 5] of `_terms`: each a ratio of sums, never a mean of ratios."""
    hit, alarm, active, recall, false_rate = np.moveaxis(sums, -1, 0)
    floor = np.maximum
    return {
        "precision": hit / floor(hit + alarm, SMALLEST),
        "f1": 2 * hit / floor(active + hit + alarm, SMALLEST),
        "lr_plus": recall / floor(false_rate, SMALLEST),
        "false_per_true": alarm / floor(hit, SMALLEST),
    }


def _terms(part: pd.DataFrame) -> Floats:
    """Return what is summed over latents, [latents, 5], weighted by the inverse of their chance of being sampled."""
    pi, recall, false_rate, chance = (part[column].to_numpy(float) for column in NEEDED)
    weight = 1 / chance / (1 / chance).sum()
    return np.stack([pi * recall, (1 - pi) * false_rate, pi, recall, false_rate], axis=1) * weight[:, None]


def real_distribution(
    judgements: pd.DataFrame, latents: pd.DataFrame, *, level: float = 0.95, n_resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Estimate precision, F1, LR+ and false active contexts per true one at latents' real firing rates.

    Ratios of sums over latents; per latent they would be hopeless: bounding a false-positive rate by .001 takes 2,995
    clean negatives. Intervals are BCa over latents. Random negatives see few of the false alarms that matter; hard
    strata with known shares see more.

    Args:
        judgements: rows of `tables.JUDGEMENTS` under control none.
        latents: rows of `tables.LATENTS`.
        level: confidence level.
        n_resamples: bootstrap draws.
        seed: of the bootstrap.

    Returns:
        One row per dictionary, scorer and measure (`MEASURES`): `value`, `low`, `high`, `n_latents`.
    """
    own = read(judgements[judgements["control"] == "none"])
    return real_distribution_of(own, latents, level=level, n_resamples=n_resamples, seed=seed)


def real_distribution_of(
    answers: Answers, latents: pd.DataFrame, *, level: float = 0.95, n_resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Do what `real_distribution` does from coded judgements; only control none counts, and scorers with negatives."""
    rates = silent_error_of(answers)
    rates = rates[(rates["control"] == "none") & ~rates["scorer"].isin(CHOOSING)].merge(
        latents[["dictionary", "site", "latent", "firing_rate_window", "inclusion_probability"]],
        on=["dictionary", "site", "latent"],
    )
    rows = []
    for (name, scorer), part in rates.groupby(["dictionary", "scorer"], sort=False):
        terms = _terms(part)
        found, limits = _ratios(terms.sum(0)), _limits(terms, level, n_resamples, seed)
        rows += [
            {"dictionary": name, "scorer": scorer, "measure": measure, "value": float(found[measure]),
             "low": limits[measure][0], "high": limits[measure][1], "level": level, "n_latents": len(part)}
            for measure in MEASURES
        ]  # fmt: skip
    return pd.DataFrame(rows)


def _limits(terms: Floats, level: float, n_resamples: int, seed: int) -> dict[str, tuple[float, float]]:
    """Bootstrap all measures from the same draws; one latent gives no interval but the value's whole range."""
    n = len(terms)
    if n < 2:
        return {name: (0.0, 1.0 if name in ("precision", "f1") else 1 / SMALLEST) for name in MEASURES}
    whole = _ratios(terms.sum(0))
    draws = _ratios(np.concatenate([counts @ terms for counts in resamples(n, n_resamples, seed)]))
    left = _ratios(terms.sum(0) - terms)
    return {name: bca_limits(float(whole[name]), draws[name], left[name], level) for name in MEASURES}
