"""Scores along one axis - activation decile, firing rate, the judge's own probability - with bands."""

import numpy as np
import pandas as pd

from autointerp.statistics._answers import read
from autointerp.statistics.intervals import mean
from autointerp.statistics.multiplicity import max_t_quantile
from autointerp.statistics.populations import usable
from autointerp.statistics.scores import POSITIVE

ARM = ["dictionary", "scorer", "control"]
CALIBRATION = [*ARM, "probability", "value", "low", "high", "n_items", "brier"]


def decile_curve(judgements: pd.DataFrame, *, level: float = 0.95) -> pd.DataFrame:
    """Average recall per activation decile over latents, with bands that hold for all deciles at once.

    Returns:
        One row per dictionary, scorer, control and decile: `value`, `low`, `high`, `n_latents`.
    """
    answers = read(judgements)
    kept = (answers.cell_kind == POSITIVE) & (answers.cell_answered > 0)
    frame = answers.units.iloc[answers.cell_unit[kept]][ARM].reset_index(drop=True)
    frame["decile"] = _strata(judgements, answers.cell)[kept]
    frame["rate"] = answers.cell_correct[kept] / answers.cell_answered[kept]
    return _curve(frame, ARM, "decile", "rate", level)


def _strata(judgements: pd.DataFrame, cell: np.ndarray) -> np.ndarray:
    """Return the stratum of each cell."""
    found = np.zeros(int(cell.max(initial=-1)) + 1, dtype=np.int64)
    found[cell] = judgements["stratum"].to_numpy(np.int64)
    return found


def frequency_curve(scores: pd.DataFrame, *, n_bins: int = 8, level: float = 0.95) -> pd.DataFrame:
    """Average scores by firing rate, in bins shared by all dictionaries, with simultaneous bands.

    Returns:
        One row per dictionary, scorer, control and bin: `rate` (the bin's middle), `value`, `low`, `high`, `n_latents`.
    """
    rows = usable(scores)
    rates = np.log10(np.maximum(rows["firing_rate_token"].to_numpy(float), 1e-12))
    edges = np.unique(np.quantile(rates, np.linspace(0, 1, n_bins + 1)))
    middles = (edges[1:] + edges[:-1]) / 2 if len(edges) > 1 else edges
    place = np.clip(np.searchsorted(edges, rates, side="right") - 1, 0, len(middles) - 1)
    frame = rows[[*ARM, "score"]].assign(rate=10 ** middles[place])
    return _curve(frame, ARM, "rate", "score", level)


def calibration(judgements: pd.DataFrame, *, n_bins: int = 10, level: float = 0.95) -> pd.DataFrame:
    """Compare the judge's P(yes) with the share of contexts that do activate, in bins of P(yes), clustered by latent.

    Returns:
        One row per dictionary, scorer, control and bin: `probability` (mean in the bin), `value` (share true), `low`,
        `high`, `n_items`, `brier` (of the whole group). Empty where the judge gave no probabilities.
    """
    answers = read(judgements)
    known = ~np.isnan(answers.probability)
    if not known.any():
        return pd.DataFrame(columns=CALIBRATION)
    frame = answers.units.iloc[answers.unit[known]][[*ARM, "latent"]].reset_index(drop=True)
    frame["p"], frame["truth"] = answers.probability[known], answers.truth[known].astype(float)
    frame["bin"] = np.minimum((frame["p"] * n_bins).astype(int), n_bins - 1)
    rows = []
    for key, part in frame.groupby(ARM, sort=False):
        brier = float(((part["p"] - part["truth"]) ** 2).mean())
        for _, inside in part.groupby("bin"):
            by_latent = inside.groupby("latent")["truth"].agg(["mean", "size"])
            found = mean(by_latent["mean"].to_numpy(float), by_latent["size"].to_numpy(float))
            low, high = found.interval(level)
            values = (*key, float(inside["p"].mean()), found.value, low, high, len(inside), brier)
            rows.append(dict(zip(CALIBRATION, values, strict=True)))
    return pd.DataFrame(rows)


def _curve(frame: pd.DataFrame, group: list[str], x: str, y: str, level: float) -> pd.DataFrame:
    """Average y over latents at each x, with simultaneous bands within each group."""
    rows = []
    for key, part in frame.groupby(group, sort=False, observed=True):
        points = [(value, mean(inside[y].to_numpy(float))) for value, inside in part.groupby(x)]
        reach = max_t_quantile(np.array([point.df for _, point in points]), level)
        for value, point in points:
            rows.append({
                **dict(zip(group, key, strict=True)), x: value, "value": point.value,
                "low": max(0.0, point.value - reach * point.se), "high": min(1.0, point.value + reach * point.se),
                "n_latents": point.n,
            })  # fmt: skip
    return pd.DataFrame(rows)
