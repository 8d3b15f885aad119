"""What a score means where a latent really fires, which is rarely: precision, F1, likelihood ratio, false alarms.

All are ratios of sums over latents, never means of ratios; per latent they would be hopeless: bounding a false-positive
rate by .001 takes 2,995 clean negatives. Errors are linearised: from the draw of latents (those that fire most are
drawn for certain, and add only the noise of judging them), and from documents shared between latents. Intervals are
symmetric on the logit scale, of LR+ and false alarms per true one on the log scale.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from autointerp.run import secondary_tables
from autointerp.run.reading import RunTables
from autointerp.statistics._answers import CHOOSING, Answers, read
from autointerp.statistics._rows import flat
from autointerp.statistics.base import StatisticsConfig
from autointerp.statistics.clusters import Documents, Side, widened
from autointerp.statistics.intervals import WORST_SD, Floats, Mean, sampling_error, t_quantile, unpaired
from autointerp.statistics.items import POSITIVE, silent_weights
from autointerp.statistics.multiplicity import adjust
from autointerp.statistics.outcomes import tested, verdict

NEEDED = ("firing_rate_window", "recall", "false_rate", "inclusion_probability")
NOISE = ("recall_noise", "false_noise", "recall_items", "silent_items")
MEASURES = ("precision", "f1", "lr_plus", "false_per_true")
COMPARED = ("precision", "f1")
# Odds and ratios have no upper end; a judge without one false alarm is given half of one in this many.
SMALLEST = 1e-9


def silent_error(answers: Answers) -> pd.DataFrame:
    """Return each latent's recall and share of silent contexts called active, weighted to the silent population.

    Returns:
        `dictionary`, `site`, `latent`, `scorer`, `control`, `recall`, `false_rate`, the variance of both from their
        finite numbers of items (`recall_noise`, `false_noise`), and those numbers as equally weighted ones
        (`recall_items`, `silent_items`); without answers no row.
    """
    weight, positive = silent_weights(answers), answers.cell_kind == POSITIVE
    found = {}
    for name, items, use in (("recall", "recall_items", positive), ("right", "silent_items", ~positive)):
        use = use & (weight > 0) & (answers.cell_answered > 0)

        def total(values: Floats, use: np.ndarray = use) -> Floats:
            return np.bincount(answers.cell_unit[use], values[use], minlength=len(answers.units)).astype(np.float64)

        mass = total(weight * answers.cell_answered)
        with np.errstate(divide="ignore", invalid="ignore"):
            found[name] = np.where(mass > 0, total(weight * answers.cell_correct) / mass, np.nan)
            found[items] = np.where(mass > 0, mass**2 / total(weight**2 * answers.cell_answered), 0.0)
    frame = answers.units.assign(
        recall=found["recall"], false_rate=1 - found["right"], **{name: found[name] for name in NOISE[2:]}
    )
    for name, noise, items in (("recall", *NOISE[::2]), ("false_rate", *NOISE[1::2])):
        frame[noise] = frame[name] * (1 - frame[name]) / np.maximum(frame[items] - 1, 1)
    return frame.dropna(subset=["recall", "false_rate"]).reset_index(drop=True)


def real_distribution(judgements: pd.DataFrame, latents: pd.DataFrame, *, level: float = 0.95) -> pd.DataFrame:
    """Estimate precision, F1, LR+ and false active contexts per true one at latents' real firing rates.

    Random negatives see few of the false alarms that matter; hard strata with known shares see more.

    Args:
        judgements: rows of `tables.JUDGEMENTS` under control none.
        latents: rows of `tables.LATENTS`.
        level: confidence level.

    Returns:
        One row per dictionary, scorer and measure (`MEASURES`): `value`, `low`, `high`, `n_latents`.
    """
    own = read(judgements[judgements["control"] == "none"])
    return real_distribution_of(own, latents, Documents(own), level=level)


def real_distribution_of(
    answers: Answers, latents: pd.DataFrame, documents: Documents, *, level: float = 0.95
) -> pd.DataFrame:
    """Do what `real_distribution` does from coded judgements; only control none counts, and scorers with negatives."""
    rates = _own_rates(answers, latents)
    rows = []
    for (name, scorer), part in rates.groupby(["dictionary", "scorer"], sort=False):
        for measure in MEASURES:
            low, high = Ratio(part, measure).interval(documents, level)
            row = Estimated(
                dictionary=str(name),
                scorer=str(scorer),
                measure=measure,
                value=Ratio(part, measure).value,
                low=low,
                high=high,
                level=level,
                n_latents=len(part),
            )
            rows.append(flat(row))
    return pd.DataFrame(rows)


def _own_rates(answers: Answers, latents: pd.DataFrame) -> pd.DataFrame:
    """Return recall and false rate of each latent under control none, by scorers with negatives, with its rates."""
    rates = silent_error(answers)
    return rates[(rates["control"] == "none") & ~rates["scorer"].isin(CHOOSING)].merge(
        latents[["dictionary", "site", "latent", "firing_rate_window", "inclusion_probability"]],
        on=["dictionary", "site", "latent"],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimated:
    """A measure at real firing rates; columns of `secondary_tables.PREVALENCE`."""

    dictionary: str
    scorer: str
    measure: str
    value: float
    low: float
    high: float
    level: float
    n_latents: int


class Ratio:
    """A measure of one dictionary and scorer as a ratio of sums over latents, with its linearised errors."""

    def __init__(self, part: pd.DataFrame, measure: str) -> None:
        """Take the rates (`_own_rates`) of one dictionary and scorer; `measure` is of `MEASURES`."""
        pi, recall, false_rate, chance = (part[name].to_numpy(float) for name in NEEDED)
        u = 1 / chance / (1 / chance).sum()
        self._part, self._measure, self._chance = part, measure, np.minimum(chance, 1.0)
        self._recall_noise, self._false_noise, _, self._silent_items = (part[name].to_numpy(float) for name in NOISE)
        # Sums over latents: hits and alarms per context, and how the ratio's two parts depend on them.
        self._hits, self._alarms = (u, u) if measure == "lr_plus" else (u * pi, u * (1 - pi))
        hit, alarm = self._hits * recall, self._alarms * false_rate
        self._top, self._bottom = {
            "precision": (hit, hit + alarm),
            "f1": (2 * hit, u * pi + hit + alarm),
            "lr_plus": (hit, alarm),
            "false_per_true": (alarm, hit),
        }[measure]
        self._total = max(float(self._bottom.sum()), SMALLEST)
        self.value = float(self._top.sum()) / self._total

    def _slopes(self) -> tuple[Floats, Floats]:
        """Return how the measure moves with each latent's recall, and with its false rate, as absolute values."""
        v = self.value
        of_hit, of_alarm = {
            "precision": (1 - v, v),
            "f1": (2 - v, v),
            "lr_plus": (1.0, v),
            "false_per_true": (v, 1.0),
        }[self._measure]
        return self._hits * of_hit / self._total, self._alarms * of_alarm / self._total

    def side(self, sign: float = 1.0) -> Side:
        """Return its latents with their weights, for the documents' part of the variance."""
        of_recall, of_false = self._slopes()
        return Side(scores=self._part, weights=of_recall, silent=of_false, sign=sign)

    def mean(self) -> Mean:
        """Return the measure with the standard error from the draw of latents and the judging of few items."""
        n = len(self._part)
        shares = self._bottom / self._bottom.sum() if self._bottom.sum() > 0 else np.full(n, 1 / n)
        n_eff = float(1 / (shares @ shares))
        if n < 2:
            return Mean(value=self.value, se=WORST_SD, df=1.0, n=n, n_eff=1.0, sd=0.0)
        of_recall, of_false = self._slopes()
        judging = of_recall**2 * self._recall_noise + of_false**2 * self._false_noise
        moved = (self._top - self.value * self._bottom) / self._total
        se, df = sampling_error(shares, moved, judging, self._chance)
        return Mean(value=self.value, se=max(se, SMALLEST), df=df, n=n, n_eff=n_eff, sd=0.0)

    def interval(self, documents: Documents, level: float) -> tuple[float, float]:
        """Return the interval: t on the logit or log scale; a bound where no false alarm, or nothing else, was seen."""
        lowest, highest = 0.0, 1.0 if self._measure in COMPARED else 1 / SMALLEST
        if len(self._part) < 2:
            return lowest, highest
        hits, alarms = float((self._hits * self._part["recall"]).sum()), self._alarms_seen()
        if hits <= 0 or alarms <= 0:
            return self._bounds(hits, (1 - level) / 2, highest)
        inner = self.mean()
        se, df = widened(inner, documents.term([self.side()], "prevalence"))
        half = t_quantile((1 + level) / 2, df) * se
        if self._measure in COMPARED:
            logit, half = special.logit(self.value), half / (self.value * (1 - self.value))
            return float(special.expit(logit - half)), float(special.expit(logit + half))
        factor = float(np.exp(min(half / self.value, 700.0)))
        return self.value / factor, min(highest, self.value * factor)

    def _alarms_seen(self) -> float:
        return float((self._alarms * self._part["false_rate"]).sum())

    def _bounds(self, hits: float, tail: float, highest: float) -> tuple[float, float]:
        """Bound the measure without any false alarm, by the most that so many clean items allow; without hits, not."""
        if hits <= 0:
            return 0.0, highest
        share = self._alarms / self._alarms.sum()
        items = float(1 / (share**2 / np.maximum(self._silent_items, 1)).sum())
        most = float(self._alarms.sum()) * (1 - tail ** (1 / items))
        active = float(self._bottom.sum()) - hits if self._measure == "f1" else 0.0
        return {
            "precision": (hits / (hits + most), 1.0),
            "f1": (2 * hits / (active + hits + most), 2 * hits / (active + hits)),
            "lr_plus": (hits / most, highest),
            "false_per_true": (0.0, most / hits),
        }[self._measure]


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
    answers: Answers, run: RunTables, comparisons: pd.DataFrame, documents: Documents, config: StatisticsConfig
) -> pd.DataFrame:
    """Compare F1 and precision at real firing rates for every pair that is compared: the secondary family (Holm).

    Balanced accuracy hardly punishes an explanation that is too broad; these do.

    Args:
        answers: coded judgements.
        run: whose latents give the firing rates.
        comparisons: `tables.COMPARISONS`, whose pairs, scorers and invalid verdicts are taken over.
        documents: which documents the items come from.
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
        rows += [_compared(row, sides, measure, documents, config) for measure in COMPARED]
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


def _compared(
    row: Mapping[Hashable, Any],
    sides: Sequence[pd.DataFrame],
    measure: str,
    documents: Documents,
    config: StatisticsConfig,
) -> dict[str, object]:
    """Compare two dictionaries by one measure; `row` is their comparison by score: if invalid, this is."""
    first, second = (Ratio(side, measure) for side in sides)
    a, b = first.mean(), second.mean()
    difference = unpaired(a, b)
    se, df = widened(difference, documents.term([first.side(-1.0), second.side()], "prevalence"))
    outcome = tested(replace(difference, se=se, df=df), margin=config.margin, alpha=config.alpha, level=config.level)
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
    invalid = row["verdict"] == "invalid"
    return {**flat(outcome, prevalent), "invalid": invalid, "reason": row["reason"] if invalid else ""}
