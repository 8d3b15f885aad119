"""What a score means where a latent really fires, which is rarely: precision, F1, likelihood ratio, false alarms."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from autointerp.run import secondary_tables
from autointerp.run.reading import RunTables
from autointerp.statistics._answers import CHOOSING, KINDS, Answers, read
from autointerp.statistics._rows import flat
from autointerp.statistics.base import StatisticsConfig
from autointerp.statistics.intervals import WORST_SD, Floats, Mean, bca_limits, quadratic_form, resamples, unpaired
from autointerp.statistics.multiplicity import adjust
from autointerp.statistics.outcomes import tested, verdict

NEEDED = ("firing_rate_window", "recall", "false_rate", "inclusion_probability")
MEASURES = ("precision", "f1", "lr_plus", "false_per_true")
COMPARED = ("precision", "f1")
# Odds and ratios have no upper end; a judge without one false alarm is given half of one in this many.
SMALLEST = 1e-9


def silent_error(answers: Answers) -> pd.DataFrame:
    """Return each latent's share of silent contexts called active, weighted to the silent population.

    Strata of hard negatives weigh their known shares of the silent population, stratum 0 the rest; within a stratum
    random and hard negatives, both drawn from it at random, count alike. Without hard ones random ones stand for all.

    Returns:
        `dictionary`, `site`, `latent`, `scorer`, `control`, `recall`, `false_rate`; without answers no row.
    """
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
    rates = _own_rates(answers, latents)
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


def _own_rates(answers: Answers, latents: pd.DataFrame) -> pd.DataFrame:
    """Return recall and false rate of each latent under control none, by scorers with negatives, with its rates."""
    rates = silent_error(answers)
    return rates[(rates["control"] == "none") & ~rates["scorer"].isin(CHOOSING)].merge(
        latents[["dictionary", "site", "latent", "firing_rate_window", "inclusion_probability"]],
        on=["dictionary", "site", "latent"],
    )


def linearised(part: pd.DataFrame, measure: str) -> Mean:
    """Return a ratio of sums over latents with its linearised standard error.

    Degrees of freedom are those of the weights that latents have in the sums: a few that fire often may decide.

    Args:
        part: rates of one dictionary and scorer.
        measure: `precision` or `f1`.
    """
    terms = _terms(part)
    hit, alarm, active = terms[:, 0], terms[:, 1], terms[:, 2]
    top, bottom = (hit, hit + alarm) if measure == "precision" else (2 * hit, active + hit + alarm)
    total = max(float(bottom.sum()), SMALLEST)
    value = float(top.sum()) / total
    moved = (top - value * bottom) / total
    n = len(part)
    weights = active / active.sum() if active.sum() > 0 else np.full(n, 1 / n)
    expected, traced, squared = quadratic_form(weights)
    if n < 2 or traced <= 0:
        return Mean(value=value, se=WORST_SD, df=1.0, n=n, n_eff=1.0, sd=0.0)
    se = max(float(np.sqrt(n / (n - 1) * (moved**2).sum())), SMALLEST)
    return Mean(value=value, se=se, df=max(1.0, float(traced**2 / squared)), n=n, n_eff=float(1 / expected), sd=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prevalent:
    """One comparison at real firing rates, besides its tests."""

    contrast: str
    architectures: str
    a: str
    b: str
    layer: int
    k: int
    scorer: str
    measure: str
    value_a: float
    value_b: float
    n_a: int
    n_b: int
    family: str = "secondary"


def compare_prevalence(
    answers: Answers, run: RunTables, comparisons: pd.DataFrame, config: StatisticsConfig
) -> pd.DataFrame:
    """Compare F1 and precision at real firing rates for every pair that is compared: the secondary family (Holm).

    Balanced accuracy hardly punishes an explanation that is too broad; these do.

    Args:
        answers: coded judgements.
        run: whose latents give the firing rates.
        comparisons: `tables.COMPARISONS`, whose pairs, scorers and invalid verdicts are taken over.
        config: margin, error rate, level.
    """
    if comparisons.empty:
        return pd.DataFrame()
    rates = _own_rates(answers, run.latents)
    parts = {(str(name), str(by)): part for (name, by), part in rates.groupby(["dictionary", "scorer"], sort=False)}
    own = comparisons[(comparisons["population"] == "eligible") & (comparisons["a"] != "")]
    rows = []
    for row in own.to_dict("records"):
        sides = [part for side in ("a", "b") if (part := parts.get((str(row[side]), str(row["scorer"])))) is not None]
        if len(sides) < 2:
            continue
        for measure in COMPARED:
            a, b = (linearised(side, measure) for side in sides)
            prevalent = Prevalent(
                **{name: str(row[name]) for name in ("contrast", "architectures", "a", "b", "scorer")},
                layer=int(row["layer"]),
                k=int(row["k"]),
                measure=measure,
                value_a=a.value,
                value_b=b.value,
                n_a=a.n,
                n_b=b.n,
            )
            outcome = tested(unpaired(a, b), margin=config.margin, alpha=config.alpha, level=config.level)
            invalid = row["verdict"] == "invalid"
            rows.append({**flat(outcome, prevalent), "invalid": invalid, "reason": row["reason"] if invalid else ""})
    table = pd.DataFrame(rows)
    if table.empty:
        return table
    for name in ("p_diff", "p_tost"):
        table[f"{name}_adj"] = adjust(table[name].tolist())
    table["verdict"] = [
        "invalid" if bad else verdict(float(diff), float(p), float(tost), alpha=config.alpha)
        for bad, diff, p, tost in zip(
            table["invalid"], table["diff"], table["p_diff_adj"], table["p_tost_adj"], strict=True
        )
    ]
    return table[list(secondary_tables.PREVALENCE_COMPARISONS)]
