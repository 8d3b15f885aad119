"""What a score means where a latent really fires, which is rarely: precision, F1, likelihood ratio, false alarms."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd

from autointerp.records import Kind
from autointerp.seeds import generator
from autointerp.statistics._answers import KINDS, read
from autointerp.statistics.intervals import Floats, bca_limits

NEEDED = ("firing_rate_window", "recall", "false_rate", "inclusion_probability")
MEASURES = ("precision", "f1", "lr_plus", "false_per_true")
# Odds and ratios have no upper end; a judge without one false alarm is given half of one in this many.
SMALLEST = 1e-9


def silent_error(judgements: pd.DataFrame) -> pd.DataFrame:
    """Return each latent's share of silent contexts called active, weighted to the silent population.

    Strata of known shares (random and hard) are weighted by them where they sum to 1; else random ones stand for all.

    Returns:
        `dictionary`, `site`, `latent`, `scorer`, `control`, `recall`, `false_rate`; without answers no row.
    """
    answers = read(judgements)
    n_units = len(answers.units)
    seen = answers.cell_answered > 0
    rate = np.divide(answers.cell_correct, answers.cell_answered, out=np.zeros(len(seen)), where=seen)

    def weighted(*kinds: Kind) -> tuple[Floats, Floats]:
        use = seen & np.isin(answers.cell_kind, [KINDS.index(kind) for kind in kinds])
        share = np.bincount(answers.cell_unit, answers.cell_share * use, minlength=n_units)
        total = np.bincount(answers.cell_unit, answers.cell_share * use * rate, minlength=n_units)
        return np.divide(total, share, out=np.full(n_units, np.nan), where=share > 0), share.astype(np.float64)

    recall, _ = weighted("positive")
    every, share = weighted("random", "hard")
    plain, _ = weighted("random")
    known = np.abs(share - 1) < 0.02
    frame = answers.units.assign(recall=recall, false_rate=1 - np.where(known, every, plain))
    return frame.dropna(subset=["recall", "false_rate"]).reset_index(drop=True)


def _ratios(pi: Floats, recall: Floats, false_rate: Floats, weight: Floats) -> dict[str, Floats]:
    """Return the measures from sums over the last axis: each a ratio of sums, never a mean of ratios."""
    hit = (weight * pi * recall).sum(-1)
    alarm = (weight * (1 - pi) * false_rate).sum(-1)
    active = (weight * pi).sum(-1)
    floor = np.maximum
    return {
        "precision": hit / floor(hit + alarm, SMALLEST),
        "f1": 2 * hit / floor(active + hit + alarm, SMALLEST),
        "lr_plus": (weight * recall).sum(-1) / floor((weight * false_rate).sum(-1), SMALLEST),
        "false_per_true": alarm / floor(hit, SMALLEST),
    }


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
    own = judgements[judgements["control"] == "none"]
    rates = silent_error(own).merge(
        latents[["dictionary", "site", "latent", "firing_rate_window", "inclusion_probability"]],
        on=["dictionary", "site", "latent"],
    )
    rows = []
    for (name, scorer), part in rates.groupby(["dictionary", "scorer"], sort=False):
        measures = partial(_measures, *(part[column].to_numpy(float) for column in NEEDED))
        rng = generator(seed, "real distribution", str(name), str(scorer))
        limits = _limits(measures, len(part), level, n_resamples, rng)
        found = measures(np.arange(len(part)))
        rows += [
            {"dictionary": name, "scorer": scorer, "measure": measure, "value": float(found[measure]),
             "low": limits[measure][0], "high": limits[measure][1], "level": level, "n_latents": len(part)}
            for measure in MEASURES
        ]  # fmt: skip
    return pd.DataFrame(rows)


def _measures(pi: Floats, recall: Floats, false_rate: Floats, chance: Floats, rows: np.ndarray) -> dict[str, Floats]:
    """Return the measures of the latents at `rows`, weighted by the inverse of their chance of being sampled."""
    return _ratios(pi[rows], recall[rows], false_rate[rows], 1 / chance[rows])


def _limits(
    measures: Callable[[np.ndarray], dict[str, Floats]],
    n: int,
    level: float,
    n_resamples: int,
    rng: np.random.Generator,
) -> dict[str, tuple[float, float]]:
    """Bootstrap all measures from the same draws; one latent gives no interval but the value's whole range."""
    everything = np.arange(n)
    if n < 2:
        return {name: (0.0, 1.0 if name in ("precision", "f1") else 1 / SMALLEST) for name in MEASURES}
    chunk = max(1, 1_000_000 // n)
    parts = [measures(rng.integers(n, size=(min(chunk, n_resamples - at), n))) for at in range(0, n_resamples, chunk)]
    draws = {name: np.concatenate([part[name] for part in parts]) for name in MEASURES}
    left = [measures(np.delete(everything, i)) for i in range(n)]
    whole = measures(everything)
    return {
        name: bca_limits(float(whole[name]), draws[name], np.array([part[name] for part in left], dtype=float), level)
        for name in MEASURES
    }
