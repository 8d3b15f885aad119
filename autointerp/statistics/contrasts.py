"""Two dictionaries compared: difference, intervals, tests, effect sizes, and the one word that follows from them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd

from autointerp.errors import TableError
from autointerp.statistics._rows import flat
from autointerp.statistics.base import POPULATIONS, Population
from autointerp.statistics.clusters import NO_DOCUMENTS, Documents, DocumentTerm, Side
from autointerp.statistics.composition import kitagawa
from autointerp.statistics.effects import between_latents, cliff, hedges_g
from autointerp.statistics.intervals import Difference, Floats, Mean, mean, unpaired
from autointerp.statistics.multiplicity import VERDICT_POPULATIONS, families
from autointerp.statistics.outcomes import Compared, Contexts, Explained, Sizes, Spread, shares, sizes_of, tested
from autointerp.statistics.pairing import join_pairs
from autointerp.statistics.populations import (
    Arm,
    Bins,
    arm_of,
    frequency_bins,
    population_mean,
    population_weights,
    usable,
)

Design = Literal["auto", "unpaired", "paired"]


def compare(
    a: pd.DataFrame,
    b: pd.DataFrame,
    *,
    design: Design = "auto",
    population: Population | Sequence[Population] = POPULATIONS,
    margin: float = 0.02,
    alpha: float = 0.05,
    level: float = 0.95,
    latents: Sequence[pd.DataFrame] = (),
    bins: Bins | None = None,
    documents: Documents | None = None,
) -> pd.DataFrame:
    """Compare two dictionaries' scores, B minus A, for every scorer that both have and every population.

    The unit is the latent. Unpaired differences are Welch's; a paired design takes the latents that both have scored
    under the same index (checkpoints of one training run); it applies to eligible latents, and to all latents through
    them.

    Args:
        a: `latent_scores` of one dictionary (control none).
        b: the same of the other.
        design: `auto` pairs dictionaries of equal architecture and site that share latents and their firing rates.
        population: one or several of `POPULATIONS`.
        margin: equivalence and non-inferiority margin, in score points.
        alpha: error rate of each one-sided equivalence test and of the two-sided test.
        level: confidence level of the wide interval; the narrow one (`ci90`) is 1 - 2 alpha.
        latents: the latents tables that firing-rate bins are pooled over, if `bins` is not given.
        bins: firing-rate bins of the standardised population; made from the scored latents if neither is given.
        documents: which documents the scores were judged on (`Documents(read(judgements))`): adds what shared documents
            contribute to the errors; without them latents are taken as independent.

    Returns:
        One row per scorer and population. The rows over eligible and over all latents are one family (Holm over
        scorers and these two populations), and only they carry a verdict.

    Raises:
        TableError: an arm is empty, or the two share no scorer.
    """
    chosen: tuple[Population, ...] = (population,) if isinstance(population, str) else tuple(population)  # type: ignore[assignment]
    needed: list[Population] = [name for name in POPULATIONS if name in chosen or name in VERDICT_POPULATIONS]
    rows = compare_rows(
        a,
        b,
        design=design,
        populations=needed,
        margin=margin,
        alpha=alpha,
        level=level,
        latents=latents,
        bins=bins,
        documents=documents,
    )
    table = families(rows, alpha=alpha)
    return table[table["population"].isin(chosen)].reset_index(drop=True)


def compare_rows(
    a: pd.DataFrame,
    b: pd.DataFrame,
    *,
    populations: Sequence[Population] = POPULATIONS,
    design: Design = "auto",
    margin: float = 0.02,
    alpha: float = 0.05,
    level: float = 0.95,
    latents: Sequence[pd.DataFrame] = (),
    bins: Bins | None = None,
    documents: Documents | None = None,
) -> pd.DataFrame:
    """Make the rows of `compare` before p values are adjusted."""
    scorers = _common_scorers(a, b)
    if bins is None and "standardised" in populations:
        bins = frequency_bins(latents or [arm.drop_duplicates("latent").assign(eligible=True) for arm in (a, b)])
    rows = []
    for scorer in scorers:
        pair = usable(a[a["scorer"] == scorer]), usable(b[b["scorer"] == scorer])
        if pair[0].empty or pair[1].empty:
            raise TableError(f"compare: every {scorer} judgement of an arm is unanswered; nothing can be compared")
        joined = _pairs(*pair, design)
        sides = Sides(a=pair[0], b=pair[1], margin=margin, alpha=alpha, level=level, bins=bins, documents=documents)
        rows += [sides.row(name, joined if name in VERDICT_POPULATIONS else None) for name in populations]
    return pd.DataFrame(rows)


def _common_scorers(a: pd.DataFrame, b: pd.DataFrame) -> list[str]:
    for name, arm in (("first", a), ("second", b)):
        if arm.empty:
            raise TableError(f"compare: the {name} arm has no scored latent; was anything eligible?")
    scorers = [str(scorer) for scorer in pd.unique(a["scorer"]) if (b["scorer"] == scorer).any()]
    if not scorers:
        raise TableError(
            f"compare: no scorer in common: {', '.join(pd.unique(a['scorer']))} "
            f"against {', '.join(pd.unique(b['scorer']))}"
        )
    return scorers


@dataclass(frozen=True, kw_only=True)
class Sides:
    """Scores of two dictionaries by one scorer, with the settings of their comparison."""

    a: pd.DataFrame
    b: pd.DataFrame
    margin: float
    alpha: float
    level: float
    bins: Bins | None
    documents: Documents | None = None

    @cached_property
    def arms(self) -> tuple[Arm, Arm]:
        """The scores as arrays."""
        return arm_of(self.a), arm_of(self.b)

    @cached_property
    def spread(self) -> Spread:
        """What does not depend on the population."""
        return _spread(*self.arms, self.level)

    def row(self, population: Population, pairs: pd.DataFrame | None) -> dict[str, object]:
        """Compare the two over a population; over `pairs` of latents where they are given."""
        arms = self.arms
        means = [population_mean(arm, population, bins=self.bins, level=self.level) for arm in arms]
        if pairs is None:
            difference = unpaired(means[0], means[1])
            matched, weights = arms, [population_weights(arm, population, self.bins) for arm in arms]
        else:
            matched = _matched(self.a, pairs), _matched(self.b, pairs)
            weights = [population_weights(matched[0], "eligible")] * 2
            difference = _paired_difference(pairs, self.level)
            if population == "iti":
                weights = [arm.share * weights[0] for arm in matched]
                difference = _over_all(difference, matched, weights)
        term = self._documents(population, pairs)
        se, df = term.add_to(difference.se, difference.df)
        difference = replace(difference, se=se, df=df)
        parts = kitagawa(matched[0], matched[1], weights[0], weights[1])
        first = self.a.iloc[0]
        compared = Compared(
            a=str(first["dictionary"]),
            b=str(self.b["dictionary"].iloc[0]),
            scorer=str(first["scorer"]),
            scope="these_dictionaries",
            population=population,
            design="unpaired" if pairs is None else "paired",
            n_pairs=0 if pairs is None else len(pairs),
            rho=0.0 if pairs is None else _correlation(pairs),
        )
        explained = Explained(
            comp_part=parts.composition,
            within_part=parts.within,
            missing_diff_lo=bound(arms[1], arms[0], population, self.bins, "low"),
            missing_diff_hi=bound(arms[1], arms[0], population, self.bins, "high"),
        )
        outcome = tested(difference, margin=self.margin, alpha=self.alpha, level=self.level)
        sizes = _sizes(means[0], means[1], difference.value, self.spread)
        context = Contexts(n_documents=term.n, n_eff_documents=term.n_eff, largest_document=term.largest)
        return flat(compared, outcome, self.spread, sizes, shares([self.a], [self.b]), explained, context)

    def _documents(self, population: Population, pairs: pd.DataFrame | None) -> DocumentTerm:
        """Return what documents add to the variance of the difference."""
        if self.documents is None:
            return NO_DOCUMENTS
        sides = [self.a, self.b]
        if pairs is not None:
            sides = [arm.set_index("latent").loc[pairs["latent"]].reset_index() for arm in sides]
        weights = [population_weights(arm, population, self.bins) for arm in sides]
        if pairs is not None:
            shares = [arm_of(arm).share if population == "iti" else 1.0 for arm in sides]
            weights = [share / shares[0] * weights[0] for share in shares]
        return self.documents.term(
            [Side(scores=sides[0], weights=weights[0], sign=-1.0), Side(scores=sides[1], weights=weights[1])],
            paired=pairs is not None,
        )


def _spread(a: Arm, b: Arm, level: float) -> Spread:
    dominance = cliff(a["score"], b["score"], level)
    return Spread(
        cliff_delta=dominance.delta,
        cliff_lo=dominance.low,
        cliff_hi=dominance.high,
        tau_a=between_latents(a["score"], a["noise_variance"]),
        tau_b=between_latents(b["score"], b["noise_variance"]),
    )


def _sizes(a: Mean, b: Mean, difference: float, spread: Spread) -> Sizes:
    tau = float(np.sqrt((spread.tau_a**2 + spread.tau_b**2) / 2))
    g = hedges_g(difference, a.sd, b.sd, a.n, b.n)
    return sizes_of(a, b, g, difference / tau if tau > 0 else g)


def _pairs(a: pd.DataFrame, b: pd.DataFrame, design: Design) -> pd.DataFrame | None:
    """Join the latents that both arms have scored, or None where the design is unpaired."""
    if design == "unpaired":
        return None
    both = join_pairs(a, b, force=design == "paired")
    if both is not None and both.empty:
        raise TableError("compare: a paired design needs latents that both arms have scored; they share none")
    return both


def _paired_difference(pairs: pd.DataFrame, level: float) -> Difference:
    """Average the differences of pairs under the first arm's design weights."""
    inner = mean(
        (pairs["score_b"] - pairs["score_a"]).to_numpy(float),
        1 / pairs["inclusion_probability_a"].to_numpy(float),
        level=level,
        least=-1.0,
    )
    return Difference(value=inner.value, se=inner.se, df=inner.df)


def _over_all(difference: Difference, arms: tuple[Arm, Arm], weights: Sequence[Floats]) -> Difference:
    """Turn a paired difference over eligible latents into one over all latents, of which others score chance."""
    a, b = arms
    values = [
        float(part @ arm["score"]) + (1 - arm.share) * arm.chance for arm, part in zip(arms, weights, strict=True)
    ]
    middle = sum(float(part @ arm["score"]) / arm.share for arm, part in zip(arms, weights, strict=True)) / 2
    of_shares = (middle - a.chance) * np.sqrt(a.share_variance + b.share_variance)
    se = float(np.hypot((a.share + b.share) / 2 * difference.se, of_shares))
    return replace(difference, value=values[1] - values[0], se=se)


def _correlation(pairs: pd.DataFrame) -> float:
    """Correlate paired scores; 0 where a side does not vary."""
    if len(pairs) < 3 or pairs["score_a"].nunique() < 2 or pairs["score_b"].nunique() < 2:
        return 0.0
    return float(np.corrcoef(pairs["score_a"], pairs["score_b"])[0, 1])


def _matched(arm: pd.DataFrame, pairs: pd.DataFrame) -> Arm:
    """Take an arm's scores of the paired latents, in the pairs' order."""
    return arm_of(arm.set_index("latent").loc[pairs["latent"]].reset_index())


def bound(up: Arm, down: Arm, population: Population, bins: Bins | None, side: str) -> float:
    """Bound B - A by the worst that the unanswered items could have been."""
    other = "high" if side == "low" else "low"
    one = population_mean(up, population, bins=bins, column=f"score_{side}").value
    return one - population_mean(down, population, bins=bins, column=f"score_{other}").value
