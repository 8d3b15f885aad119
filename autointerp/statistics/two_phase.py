"""Two-phase estimates: a cheap score of ALL eligible latents sharpens the mean of a dear score of a sample.

Phase one scores every eligible latent at little or no cost (`pattern`, a small judge, known rates); phase two has an
LLM judge a sample. The mean of the LLM's scores is then

    mean over the sample of (LLM score - slope * cheap score)  +  slope * mean of the cheap score over all latents,

unbiased whatever the cheap score is worth, since both of its means estimate the same number. What the cheap score
explains of the LLM's no longer depends on which latents were drawn: the variance falls by the share R^2 explained,
as if n / (1 - R^2) latents had been judged. The slope is fitted on the other folds (cross-fitting), so that it adds no
bias; a useless cheap score gets a slope near 0 and costs a few latents' worth of precision.

Source:
    Difference estimator in two-phase sampling: Särndal, Swensson and Wretman (1992), chapter 9. Tuned slope:
    Angelopoulos, Duchi and Zrnic, PPI++ (arXiv 2311.01453); cross-fitting: Zrnic and Candès (arXiv 2309.16598).
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from autointerp.errors import TableError
from autointerp.run.reading import RunTables
from autointerp.seeds import generator
from autointerp.statistics._answers import read
from autointerp.statistics.base import Population
from autointerp.statistics.clusters import NO_DOCUMENTS, Documents, DocumentTerm, Side
from autointerp.statistics.intervals import Floats, Mean, mean, t_quantile
from autointerp.statistics.populations import Arm, arm_of, population_weights, usable
from autointerp.statistics.scores import latent_scores

N_FOLDS = 10
# Fewer latents than these per fitted slope say too little of it: the slope is then 0, the estimate the plain mean.
LEAST_PER_SLOPE = 10
# Populations whose weights are known for every eligible latent.
POPULATIONS: tuple[Population, ...] = ("eligible", "iti", "freq")


@dataclass(frozen=True, slots=True, kw_only=True)
class Auxiliary:
    """Cheap scores: of the judged latents [n, p], and their mean over all eligible latents [p].

    `mean_covariance` [p, p] is that of the mean: 0 where every eligible latent has a cheap score.
    """

    values: Floats
    mean: Floats
    mean_covariance: Floats
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoPhase:
    """A mean by the LLM's scores alone (`plain`) and by both phases, with intervals at one level.

    `explained` is the share of the LLM scores' variance that the cheap scores explain out of fold (R^2, at most 1,
    below 0 where they mislead); `gain` is the variance of the plain mean over that of this one: `n * gain` judged
    latents would be as precise without phase one.
    """

    value: float
    se: float
    df: float
    low: float
    high: float
    plain: float
    plain_low: float
    plain_high: float
    n: int
    n_phase_one: int
    explained: float
    gain: float


def two_phase(
    values: Floats,
    weights: Floats,
    auxiliary: Auxiliary,
    *,
    term: DocumentTerm = NO_DOCUMENTS,
    other_variance: float = 0.0,
    level: float = 0.95,
    seed: int = 0,
) -> TwoPhase:
    """Estimate a mean from a sample of dear values and cheap values of the whole population.

    Args:
        values: [n] dear values of the sampled latents, without NaN.
        weights: [n] design weights, such as 1 / inclusion probability.
        auxiliary: the cheap values.
        term: what documents shared between latents add to the variance of the dear mean. It is added to both
            intervals: the cheap scores of all latents are fixed numbers once phase one is done.
        other_variance: of what is added to the mean, such as an estimated share of latents that count as chance.
        level: confidence level.
        seed: of the folds.

    Raises:
        ValueError: values or weights are not finite, or shapes disagree.
    """
    n = len(auxiliary.values)
    if len(values) != n or len(weights) != n or not np.isfinite(auxiliary.values).all():
        raise ValueError("two_phase needs one finite cheap value per dear value")
    plain = mean(values, weights, level=level)
    centred = auxiliary.values - auxiliary.mean
    slopes = _slopes(values, weights, centred, seed)
    corrected = values - (slopes * centred).sum(1)
    used = bool(slopes.any())
    inner = mean(corrected, weights, bounded=False, level=level) if used else plain
    share = weights / weights.sum()
    slope = share @ slopes
    of_phase_one = float(slope @ auxiliary.mean_covariance @ slope) + other_variance
    se, df = term.add_to(*_widened(inner, of_phase_one, max(auxiliary.n - 1, 1)))
    plain_se, plain_df = term.add_to(*_widened(plain, other_variance, max(n - 1, 1)))
    low, high = _interval(inner.value, se, df, level)
    plain_low, plain_high = _interval(plain.value, plain_se, plain_df, level)
    spread = share @ (values - plain.value) ** 2
    left = share @ (corrected - inner.value) ** 2
    return TwoPhase(
        value=inner.value,
        se=se,
        df=df,
        low=low,
        high=high,
        plain=plain.value,
        plain_low=plain_low,
        plain_high=plain_high,
        n=n,
        n_phase_one=auxiliary.n,
        explained=float(1 - left / spread) if used and spread > 0 else 0.0,
        gain=float((plain_se / se) ** 2) if se > 0 else 1.0,
    )


def _interval(value: float, se: float, df: float, level: float) -> tuple[float, float]:
    """Return the t interval, cut to the range of a score."""
    half = t_quantile((1 + level) / 2, df) * se
    return max(0.0, value - half), min(1.0, value + half)


def _widened(inner: Mean, variance: float, df: float) -> tuple[float, float]:
    """Return standard error and degrees of freedom (Satterthwaite) with an independent variance added."""
    total = inner.se**2 + variance
    if variance <= 0 or total <= 0:
        return inner.se, inner.df
    return float(np.sqrt(total)), float(total**2 / (inner.se**4 / inner.df + variance**2 / df))


def _slopes(values: Floats, weights: Floats, centred: Floats, seed: int) -> Floats:
    """Fit each latent's slopes [n, p] on the latents of the other folds by weighted least squares; 0 where too few."""
    n, p = centred.shape
    slopes = np.zeros((n, p))
    kept = np.flatnonzero(centred.std(0) > 1e-12)
    folds = min(N_FOLDS, n)
    if n < LEAST_PER_SLOPE * max(1, len(kept)) or not len(kept):
        return slopes
    fold = generator(seed, "two-phase", n).permutation(n) % folds
    for one in range(folds):
        out = fold == one
        rest, root = ~out, np.sqrt(weights[~out])
        design = np.column_stack([np.ones(rest.sum()), centred[rest][:, kept]]) * root[:, None]
        fitted = np.linalg.lstsq(design, values[rest] * root, rcond=None)[0][1:]
        slopes[np.ix_(out, kept)] = fitted
    return slopes


def of_runs(run: RunTables, phase_one: RunTables, *, level: float = 0.95, seed: int = 0) -> pd.DataFrame:
    """Make two-phase estimates of every dictionary, scorer and population.

    Args:
        run: judged by the LLM.
        phase_one: the same dictionaries, scored cheaply; best all of their eligible latents.
        level: confidence level.
        seed: of the folds.

    Returns:
        Columns `dictionary`, `scorer`, `population`, and the fields of `TwoPhase`.

    Raises:
        TableError: no dictionary and scorer has scores in both runs, or a name means two different checkpoints.
    """
    _same_checkpoints(run.dictionaries, phase_one.dictionaries)
    latents, judgements = run.latents, run.judgements
    scores, cheap = (latent_scores(one.judgements, one.latents) for one in (run, phase_one))
    documents = Documents(read(judgements[judgements["control"] == "none"]))
    rows = []
    for (name, scorer), part in scores.groupby(["dictionary", "scorer"], sort=False, observed=True):
        known = usable(part)
        first = usable(cheap[(cheap["dictionary"] == name) & (cheap["scorer"] == scorer)])
        if known.empty or first.empty:
            continue
        eligible = latents[(latents["dictionary"] == name) & latents["eligible"]]
        for row in _of_arm(known, first, eligible, documents, level, seed):
            rows.append({"dictionary": name, "scorer": scorer, **row})
    if not rows:
        raise TableError(
            "two-phase: no dictionary and scorer has scores in both runs; score the same dictionaries, by the same "
            "scorers, in the run of phase one"
        )
    return pd.DataFrame(rows)


def _same_checkpoints(*tables: pd.DataFrame) -> None:
    hashes = [dict(zip(table["dictionary"].astype(str), table["sha256"].astype(str), strict=True)) for table in tables]
    for name in hashes[0].keys() & hashes[1].keys():
        first, second = (one[name] for one in hashes)
        if first != second:
            raise TableError(
                f"two-phase: {name} is another checkpoint in the run of phase one (sha256 {second[:12]}, not "
                f"{first[:12]}); score the same checkpoint in both runs"
            )


def _of_arm(
    known: pd.DataFrame,
    first: pd.DataFrame,
    eligible: pd.DataFrame,
    documents: Documents,
    level: float,
    seed: int,
) -> Iterator[Mapping[str, object]]:
    """Yield the estimates of one dictionary and scorer, a row per population."""
    arm, of_first = arm_of(known), _first_arm(first, eligible)
    by_latent = dict(zip(first["latent"].to_numpy(int).tolist(), first["score"].to_numpy(float), strict=True))
    mine = np.array([by_latent.get(latent, np.nan) for latent in known["latent"].to_numpy(int).tolist()])
    for population in POPULATIONS:
        over: Population = "eligible" if population == "iti" else population
        share = arm.share if population == "iti" else 1.0  # the others count as chance
        weights, inner = population_weights(arm, over), _auxiliary(mine, of_first, over)
        term = documents.term([Side(scores=known, weights=population_weights(arm, population))])
        uncertain = 0.0
        if population == "iti":
            uncertain = (float(weights @ arm["score"]) - arm.chance) ** 2 * arm.share_variance
        found = two_phase(
            share * arm["score"] + (1 - share) * arm.chance,
            weights,
            Auxiliary(
                values=share * inner.values,
                mean=share * inner.mean,
                mean_covariance=share**2 * inner.mean_covariance,
                n=inner.n,
            ),
            term=term,
            other_variance=uncertain,
            level=level,
            seed=seed,
        )
        yield {"population": population, **asdict(found)}


def _first_arm(first: pd.DataFrame, eligible: pd.DataFrame) -> Arm:
    """Return phase one's scores of eligible latents; of all of them, each counts once however it was drawn."""
    there = first[first["latent"].isin(eligible["latent"])]
    if len(there) == len(eligible):
        there = there.assign(inclusion_probability=1.0)
    return arm_of(there)


def _auxiliary(mine: Floats, first: Arm, population: Population) -> Auxiliary:
    """Return the cheap scores; a judged latent without one counts as their mean, so that it corrects nothing."""
    of_all = population_weights(first, population)
    middle = float(of_all @ first["score"])
    values = np.where(np.isnan(mine), middle, mine)
    complete = bool((first["inclusion_probability"] >= 1).all())
    variance = 0.0 if complete else mean(first["score"], of_all).se ** 2
    return Auxiliary(
        values=values[:, None], mean=np.array([middle]), mean_covariance=np.array([[variance]]), n=len(first)
    )
