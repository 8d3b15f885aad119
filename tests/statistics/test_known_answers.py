"""Error rates and coverage shown by simulation, against exact binomial bands: each fails if its formula is wrong.

R = 2000 replicates by default and 10,000 under `slow`; a rate is accepted inside the exact 99.9 % binomial band around
its nominal value for that R. Replicates are vectorised: the estimators under test are run on every replicate where
they are cheap, and through closed forms proven equal to them (test_equalities) where they are not.
"""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from autointerp.statistics.intervals import finite_mean, mean, unpaired
from autointerp.statistics.planning import plan, score_variance
from autointerp.statistics.sequential import (
    Spending,
    efficacy_bounds,
    hsd,
    passing_drift,
)
from autointerp.statistics.verdict_power import Study

Floats = NDArray[np.float64]
R_VALUES = [2000, pytest.param(10_000, marks=pytest.mark.slow)]


def band(nominal: float, r: int) -> tuple[float, float]:
    """Exact 99.9 % binomial band of a rate seen in r replicates."""
    return float(stats.binom.ppf(0.0005, r, nominal)) / r, float(stats.binom.ppf(0.9995, r, nominal)) / r


def inside(rate: float, nominal: float, r: int) -> bool:
    low, high = band(nominal, r)
    return low <= rate <= high


def true_scores(rng: np.random.Generator, shape: tuple[int, ...], sd: float = 1.0) -> Floats:
    """Latents' true accuracies: logistic-normal, mean about .8, skewed to the left as real ones are."""
    return 1 / (1 + np.exp(-rng.normal(1.5, sd, shape)))


def judged(rng: np.random.Generator, truth: Floats, n: int = 20) -> Floats:
    """Balanced accuracy from n positives and n negatives."""
    return (rng.binomial(n, truth) + rng.binomial(n, truth)) / (2 * n)


# The mean of the logistic of N(1.5, 1), by quadrature.
TRUTH = 0.7785266


@pytest.mark.parametrize("r", R_VALUES)
@pytest.mark.parametrize(("n", "coverage"), [(50, 0.9451), (200, 0.9475)])
def test_t1_interval_of_a_mean_covers_at_its_level(n: int, coverage: float, r: int) -> None:
    """A t interval of skewed scores falls short of .95 by a known little.

    The coverages are those of numpy's mean, standard deviation and t in 400,000 and 100,000 samples drawn for this
    (standard errors .0004 and .0007).
    """
    rng = np.random.default_rng(n)
    scores = judged(rng, true_scores(rng, (r, n)))
    found = [mean(row).interval(0.95) for row in scores]
    rate = float(np.mean([low <= TRUTH <= high for low, high in found]))
    assert inside(rate, coverage, r)


@pytest.mark.parametrize("r", R_VALUES)
def test_t2_interval_of_a_difference_covers_with_unequal_spread_and_size(r: int) -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(0.8, 0.07, (r, 300)), rng.normal(0.83, 0.15, (r, 100))
    found = [unpaired(mean(x, bounded=False), mean(y, bounded=False)).interval(0.95) for x, y in zip(a, b, strict=True)]
    assert inside(float(np.mean([low <= 0.03 <= high for low, high in found])), 0.95, r)


def rejections(r: int, sd_a: float, sd_b: float, n_a: int, n_b: int, seed: int) -> tuple[float, float]:
    """Rates at which our test and Student's reject a true null of equal means."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(0.8, sd_a, (r, n_a)), rng.normal(0.8, sd_b, (r, n_b))
    ours = [unpaired(mean(x, bounded=False), mean(y, bounded=False)).p_two_sided() for x, y in zip(a, b, strict=True)]
    student = stats.ttest_ind(a, b, axis=1).pvalue
    return float(np.mean(np.array(ours) < 0.05)), float(np.mean(student < 0.05))


@pytest.mark.parametrize("r", R_VALUES)
def test_t3_type_one_error_holds_for_identical_and_for_unequal_spread_where_student_fails(r: int) -> None:
    assert inside(rejections(r, 0.1, 0.1, 100, 100, 3)[0], 0.05, r)
    ours, student = rejections(r, 0.07, 0.15, 300, 100, 4)
    assert inside(ours, 0.05, r)
    assert not inside(student, 0.05, r)  # .142 expected: the negative test
    assert student > 0.09


@pytest.mark.parametrize("r", R_VALUES)
def test_t4_pooling_examples_rejects_a_true_null_far_too_often(r: int) -> None:
    """The estimator that counts judged items as independent must show type I > .25 on clustered data; ours must not."""
    rng = np.random.default_rng(5)
    truth = true_scores(rng, (2, r, 100))
    n = 50
    right = rng.binomial(2 * n, truth).sum(2) / (100 * 2 * n)
    pooled = right.mean(0)
    z = (right[1] - right[0]) / np.sqrt(2 * pooled * (1 - pooled) / (100 * 2 * n))
    assert float(np.mean(np.abs(z) > 1.96)) > 0.25
    scores = rng.binomial(2 * n, truth) / (2 * n)
    ours = [unpaired(mean(x), mean(y)).p_two_sided() for x, y in zip(scores[0], scores[1], strict=True)]
    assert inside(float(np.mean(np.array(ours) < 0.05)), 0.05, r)


@pytest.mark.parametrize("r", R_VALUES)
def test_t5_equivalence_errs_at_most_alpha_at_the_margin_and_has_the_planned_power(r: int) -> None:
    margin, tau = 0.02, 0.1
    variance = score_variance(tau, 0.8, 0.8, 20, 20)
    for kind in ("ni", "tost"):
        n = plan(margin=margin, kind=kind, tau=tau, proportional_share=0.0, adjusted=False).n_latents  # type: ignore[arg-type]
        rng = np.random.default_rng(6)
        sd = np.sqrt(variance)
        at_margin, at_zero = [], []
        for _ in range(r):
            a, b = rng.normal(0.8, sd, n), rng.normal(0.8, sd, n)
            ours = unpaired(mean(a, bounded=False), mean(b, bounded=False))
            edge = unpaired(mean(a, bounded=False), mean(b - margin, bounded=False))
            at_zero.append(ours.p_not_inferior(margin) if kind == "ni" else ours.p_equivalent(margin))
            at_margin.append(edge.p_not_inferior(margin) if kind == "ni" else edge.p_equivalent(margin))
        assert float(np.mean(np.array(at_margin) < 0.05)) <= band(0.05, r)[1]
        assert abs(float(np.mean(np.array(at_zero) < 0.05)) - 0.8) < 0.03 + 3 * np.sqrt(0.16 / r)


def test_t6_an_underpowered_comparison_is_never_called_equivalent() -> None:
    rng = np.random.default_rng(7)
    found = [
        unpaired(mean(rng.normal(0.8, 0.15, 100)), mean(rng.normal(0.8, 0.15, 100))).p_equivalent(0.02)
        for _ in range(1000)
    ]
    assert min(found) > 0.05


@pytest.mark.parametrize("r", R_VALUES)
def test_t8_frequency_weighted_mean_is_unbiased_and_covered_under_mixture_sampling(r: int) -> None:
    """32,768 latents with log rates of sd 2, sampled half uniformly, half in proportion to rate.

    Latents that are drawn for certain, or nearly, add no error to the frequency-weighted mean: its true error is .00489
    by Poisson sampling's own formula, sum of (1 - p) / p z^2, where that of draws with replacement, .0063, would cover
    2 Phi(1.96 x 1.289) - 1 = .988. Scores are known without noise here.
    """
    rng = np.random.default_rng(8)
    total, n = 32_768, 500
    rate = np.exp(rng.normal(0, 2, total))
    score = np.clip(0.75 + 0.02 * np.log(rate) + rng.normal(0, 0.1, total), 0, 1)
    truth = {"freq": float((rate @ score) / rate.sum()), "unweighted": float(score.mean())}
    chance = np.minimum(1, n * (0.5 / total + 0.5 * rate / rate.sum()))
    hits, values = {"freq": 0, "unweighted": 0}, {"freq": [], "unweighted": []}
    for _ in range(r):
        drawn = np.flatnonzero(rng.random(total) < chance)
        for name, extra in (("freq", rate[drawn]), ("unweighted", 1.0)):
            if name == "freq":
                found = finite_mean(score[drawn], extra / chance[drawn], chance[drawn], np.zeros(len(drawn)))
            else:
                found = mean(score[drawn], extra / chance[drawn])
            low, high = found.interval(0.95)
            hits[name] += low <= truth[name] <= high
            values[name].append(found.value)
    for name in hits:
        assert inside(hits[name] / r, 0.95, r)
        spread = float(np.std(values[name]))
        assert abs(float(np.mean(values[name])) - truth[name]) < 4 * spread / np.sqrt(r) + 0.1 * spread  # Hajek: O(1/n)


def obrien_fleming(error: float) -> Spending:
    """Spending function of Lan and DeMets that is like O'Brien and Fleming's bounds: almost nothing at first."""
    return lambda t: 2 * stats.norm.sf(stats.norm.isf(error / 2) / np.sqrt(np.minimum(t, 1.0)))


def pocock(error: float) -> Spending:
    """Spending function of Lan and DeMets that is like Pocock's bounds: nearly the same at each look."""
    return lambda t: error * np.log(1 + (np.e - 1) * np.minimum(t, 1.0))


def test_t9_bounds_equal_published_values_to_four_decimals() -> None:
    """Lan and DeMets, one-sided .025, five equal looks: O'Brien-Fleming and Pocock spending."""
    looks = [0.2, 0.4, 0.6, 0.8, 1.0]
    assert np.allclose(
        efficacy_bounds(looks, obrien_fleming(0.025)), [4.8769, 3.3570, 2.6803, 2.2898, 2.0310], atol=1e-4
    )
    assert np.allclose(efficacy_bounds(looks, pocock(0.025)), [2.4380, 2.4268, 2.4102, 2.3966, 2.3860], atol=1e-4)


@pytest.mark.parametrize("power", [0.8, 0.95])
@pytest.mark.parametrize("r", [20_000, pytest.param(200_000, marks=pytest.mark.slow)])
def test_t9_simulated_looks_err_at_most_alpha_and_pass_with_the_planned_power(r: int, power: float) -> None:
    """An independent check of the integration: Brownian paths at the gate's five looks, crossings counted."""
    times = np.arange(1, 6) / 5
    upper = efficacy_bounds(times.tolist(), hsd(0.05, 1.0))
    assert np.allclose(upper, [2.188, 2.136, 2.101, 2.083, 2.080], atol=6e-4)
    steps = np.random.default_rng(9).normal(0, np.sqrt(0.2), (r, 5))
    for drift, nominal in ((0.0, 0.05), (passing_drift(5, 1.0, 0.05, power), power)):
        passed = ((steps + drift * 0.2).cumsum(1) / np.sqrt(times) >= upper).any(1)
        assert inside(float(passed.mean()), nominal, r)


def test_power_formula_agrees_with_the_plan() -> None:
    found = plan(margin=0.02, kind="ni", tau=0.1, n_positive=30, n_negative=30, proportional_share=0.0, adjusted=False)
    study = Study(kind="ni", margin=0.02, alpha=0.05, spread=2 * found.variance, scorers=1)
    assert study.power(found.n_latents)[0] == pytest.approx(0.8, abs=0.012)
