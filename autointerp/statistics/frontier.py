"""Score at equal cost: how far one architecture's curve of score against cross-entropy increase lies above another's.

Dictionaries of several k trace a curve for each architecture, layer and seed. Between their points a curve is linear in
the logarithm of the cross-entropy increase; its height is its mean over the range of costs that all curves compared
have in common, uniformly in that logarithm. One architecture is on the Pareto front above another where its curve is
higher. Verdicts on contrasts with SAEs rest on p values adjusted (Holm) over layers, scorers and these contrasts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy import stats

from autointerp.run import tables
from autointerp.run.secondary_tables import FRONTIER
from autointerp.seeds import generator
from autointerp.statistics import validity
from autointerp.statistics.arms import CLAIMS, groups
from autointerp.statistics.base import StatisticsConfig
from autointerp.statistics.intervals import Difference, Floats, mean, unpaired
from autointerp.statistics.multiplicity import adjust
from autointerp.statistics.outcomes import tested, verdict

COST = "ce_increase"
# Points at which a curve's height is averaged, and draws of a curve's own error where no other seed shows it.
N_POINTS = 201
N_DRAWS = 500
LEAST_SEEDS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One architecture at one layer from one seed: a point per k, cheapest first, with standard errors [points]."""

    cost: Floats
    cost_se: Floats
    score: Floats
    score_se: Floats
    df: float

    def height(self, low: float, high: float) -> float:
        """Mean score over costs from `low` to `high`, within the curve's own range."""
        at = np.linspace(np.log(low), np.log(high), N_POINTS)
        return float(np.interp(at, np.log(self.cost), self.score).mean())

    def drawn(self, rng: np.random.Generator) -> "Curve":
        """Draw a curve from this one's errors."""
        cost = np.maximum(self.cost + rng.standard_normal(len(self.cost)) * self.cost_se, self.cost / 10)
        score, order = self.score + rng.standard_normal(len(self.score)) * self.score_se, np.argsort(cost)
        return Curve(
            cost=cost[order], cost_se=self.cost_se[order], score=score[order], score_se=self.score_se[order], df=self.df
        )


@dataclass(slots=True, kw_only=True)
class Front:
    """Two architectures' curves at one layer, by scorer."""

    contrast: str
    site: str
    layer: int
    scorer: str
    a: list[Curve] = field(default_factory=list)
    b: list[Curve] = field(default_factory=list)


def frontier(
    estimates: pd.DataFrame,
    reconstruction: pd.DataFrame,
    dictionaries: pd.DataFrame,
    config: StatisticsConfig | None = None,
    *,
    controls: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Compare architectures' scores at equal cross-entropy increase, second minus first, at each layer.

    With at least two seeds on both sides the seeds are the data (scope `architecture`, Welch's t between curves);
    otherwise it is about these dictionaries, with the errors of their own scores and costs.

    Args:
        estimates: `tables.ESTIMATES`; the score over eligible latents is used.
        reconstruction: `tables.RECONSTRUCTION`.
        dictionaries: `tables.DICTIONARIES`.
        config: margin (of scores), error rate, level; the defaults if None.
        controls: the runs' controls, if any; verdicts of a scorer whose control failed are `invalid`.

    Returns:
        `FRONTIER`. A contrast that cannot be measured (one k only, a cost of 0 or less, no cost in common) is
        `inconclusive` and says why in `reason`. Empty where no two architectures were both scored and measured.
    """
    config = StatisticsConfig() if config is None else config
    rows = [_row(front, config) for front in _fronts(_points(estimates, reconstruction, dictionaries))]
    rows = _adjusted(rows, config.alpha)
    if controls is not None:
        status = validity.by_scorer(controls, [str(row["scorer"]) for row in rows])
        rows = [{**row, "verdict": "invalid"} if status[str(row["scorer"])] == "INVALID" else row for row in rows]
    return tables.check(pd.DataFrame(rows, columns=pd.Index(list(FRONTIER))), FRONTIER, "frontier")


def _adjusted(rows: list[dict[str, object]], alpha: float) -> list[dict[str, object]]:
    """Adjust (Holm) the measured contrasts with SAEs, over layers and scorers, within each scope, and name verdicts."""
    out = [{**row, "p_diff_adj": row["p_diff"], "p_tost_adj": row["p_tost"]} for row in rows]
    for scope in dict.fromkeys(row["scope"] for row in out):
        family = [
            row
            for row in out
            if row["scope"] == scope and not row["reason"] and str(row["contrast"]).endswith(" - sae")
        ]
        for name in ("p_diff", "p_tost"):
            for row, p in zip(family, adjust([float(str(row[name])) for row in family]), strict=True):
                row[f"{name}_adj"] = float(p)
        for row in family:
            known = (float(str(row[name])) for name in ("diff", "p_diff_adj", "p_tost_adj"))
            row["verdict"] = verdict(*known, alpha=alpha)
    return out


def _points(estimates: pd.DataFrame, reconstruction: pd.DataFrame, dictionaries: pd.DataFrame) -> pd.DataFrame:
    """One row per dictionary and scorer: score and cost with their standard errors."""
    if estimates.empty or reconstruction.empty:
        return pd.DataFrame()
    wanted = (estimates["statistic"] == "score") & (estimates["population"] == "eligible")
    scores = estimates.loc[wanted, ["dictionary", "scorer", "value", "se", "df"]]
    costs = reconstruction.loc[reconstruction["metric"] == COST, ["dictionary", "value", "low", "high", "level"]]
    z = stats.norm.ppf((1 + costs["level"].to_numpy(float)) / 2)
    costs = costs.assign(cost_se=(costs["high"] - costs["low"]) / 2 / z).rename(columns={"value": "cost"})
    joined = scores.merge(costs[["dictionary", "cost", "cost_se"]], on="dictionary")
    return joined.merge(dictionaries, on="dictionary")


def _fronts(points: pd.DataFrame) -> list[Front]:
    """Gather the curves of every contrast, layer and scorer."""
    found = []
    if points.empty:
        return found
    for group in groups(points, ("layer",)).values():
        for scorer, part in group.groupby("scorer", sort=False, observed=True):
            for first, second in CLAIMS:
                sides = [part[part["architecture"] == name] for name in (first, second)]
                if any(side.empty for side in sides):
                    continue
                one = sides[1].iloc[0]
                front = Front(
                    contrast=f"{second} - {first}",
                    site=str(one["site_out"]),
                    layer=int(one["layer"]),
                    scorer=str(scorer),
                )
                front.a, front.b = (_curves(side) for side in sides)
                found.append(front)
    return found


def _curves(side: pd.DataFrame) -> list[Curve]:
    curves = []
    for _, part in side.groupby("seed", sort=False):
        rows = part.sort_values("cost")
        cost, cost_se, score, score_se = (rows[name].to_numpy(float) for name in ("cost", "cost_se", "value", "se"))
        curves.append(Curve(cost=cost, cost_se=cost_se, score=score, score_se=score_se, df=float(rows["df"].min())))
    return curves


def _row(front: Front, config: StatisticsConfig) -> dict[str, object]:
    curves = [*front.a, *front.b]
    low, high = max(float(one.cost[0]) for one in curves), min(float(one.cost[-1]) for one in curves)
    seeds = min(len(front.a), len(front.b)) >= LEAST_SEEDS
    row: dict[str, object] = {
        "contrast": front.contrast,
        "site": front.site,
        "layer": front.layer,
        "scorer": front.scorer,
        "scope": "architecture" if seeds else "these_dictionaries",
        "design": "seeds" if seeds else "errors",
        "cost": COST,
        "cost_low": low,
        "cost_high": high,
        "n_a": len(front.a),
        "n_b": len(front.b),
        "margin": config.margin,
        "verdict": "inconclusive",
        "reason": _unmeasured(curves, low, high),
        **dict.fromkeys(TESTED, float("nan")),
    }
    if not row["reason"]:
        measured = _over_seeds if seeds else _by_errors
        row |= measured(front, low, high, config)
    return row


def _unmeasured(curves: Sequence[Curve], low: float, high: float) -> str:
    if min(len(one.cost) for one in curves) < 2:
        return "a curve needs dictionaries of two k or more"
    if min(float(one.cost[0]) for one in curves) <= 0:
        return f"a dictionary's {COST} is 0 or less"
    return "" if low < high else f"no {COST} in common: dearest of one is below the cheapest of another; add k"


TESTED = ("diff", "se", "df", "ci95_lo", "ci95_hi", "ci90_lo", "ci90_hi", "p_diff", "p_tost", "mean_a", "mean_b")


def _over_seeds(front: Front, low: float, high: float, config: StatisticsConfig) -> Mapping[str, object]:
    """Seeds are the data: Welch's t between heights of curves."""
    heights = [np.array([one.height(low, high) for one in side]) for side in (front.a, front.b)]
    a, b = (mean(values, level=config.level) for values in heights)
    difference = unpaired(a, b)
    return _tested(difference.value, difference.se, difference.df, (a.value, b.value), config)


def _by_errors(front: Front, low: float, high: float, config: StatisticsConfig) -> Mapping[str, object]:
    """One curve of a side: its own errors of scores and costs, by drawing curves from them."""
    sides = (front.a, front.b)
    a, b = (float(np.mean([one.height(low, high) for one in side])) for side in sides)
    rng = generator(config.seed, "frontier", front.contrast, front.layer, front.scorer)
    draws = [
        np.mean([[one.drawn(rng).height(low, high) for _ in range(N_DRAWS)] for one in side], axis=0) for side in sides
    ]
    df = min(one.df for side in sides for one in side)
    return _tested(b - a, float(np.std(draws[1] - draws[0], ddof=1)), df, (a, b), config)


def _tested(
    value: float, se: float, df: float, means: tuple[float, float], config: StatisticsConfig
) -> dict[str, object]:
    difference = Difference(value=value, se=se, df=df)
    outcome = tested(difference, margin=config.margin, alpha=config.alpha, level=config.level)
    known = {name: getattr(outcome, name) for name in TESTED if hasattr(outcome, name)}
    return {**known, "mean_a": means[0], "mean_b": means[1], "verdict": outcome.verdict}
