"""What is promised before money is spent, counted in simulated experiments; and an A/A test of real latents."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy import optimize

from autointerp.statistics import allocate, compare, latent_scores, plan
from autointerp.statistics.intervals import Difference, mean, unpaired
from autointerp.statistics.planning import Aim, score_variance
from tests.helpers.shared import needs_shared
from tests.statistics.test_known_answers import inside
from tests.statistics.test_rederived import real_run

RECALL, SPECIFICITY = 0.72, 0.78


def judged(rng: np.random.Generator, true: np.ndarray, n_positive: int, n_negative: int) -> np.ndarray:
    """Balanced accuracies of latents that recognise `true` more or less than is usual, from so many judged contexts."""
    hits = rng.binomial(n_positive, (RECALL + true).clip(0, 1)) / n_positive
    return (hits + rng.binomial(n_negative, (SPECIFICITY + true).clip(0, 1)) / n_negative) / 2


def p_value(kind: Aim, difference: Difference, margin: float) -> float:
    if kind == "superiority":
        return difference.p_two_sided()
    return difference.p_equivalent(margin) if kind == "tost" else difference.p_not_inferior(margin)


@pytest.mark.parametrize(("r", "tolerance"), [(400, 0.06), pytest.param(2000, 0.03, marks=pytest.mark.slow)])
@pytest.mark.parametrize("power", [0.8, 0.9])
@pytest.mark.parametrize("rho", [None, 0.7], ids=["unpaired", "paired"])
@pytest.mark.parametrize("kind", ["superiority", "tost", "ni"])
def test_the_planned_power_is_reached(kind: Aim, rho: float | None, power: float, r: int, tolerance: float) -> None:
    """Latents of the stated spread, on so many contexts as stated: the claim is shown as often as was planned."""
    tau, margin, items = 0.09, 0.03, (20, 12)
    n = plan(
        margin=margin, kind=kind, tau=tau, recall=RECALL, specificity=SPECIFICITY, n_positive=items[0],
        n_negative=items[1], rho=rho, power=power, proportional_share=0.0, adjusted=False,
    ).n_latents  # fmt: skip
    rng = np.random.default_rng(41)
    common, own = np.sqrt(rho or 0), np.sqrt(1 - (rho or 0))
    shared = rng.normal(0, tau, (r, n))
    a, b = (common * shared + own * rng.normal(0, tau, (r, n)) for _ in "ab")
    x = judged(rng, a, *items)
    y = judged(rng, b + (margin if kind == "superiority" else 0.0), *items)
    shown = 0
    for before, after in zip(x, y, strict=True):
        if rho is None:
            difference = unpaired(mean(before), mean(after))
        else:
            inner = mean(after - before)
            difference = Difference(value=inner.value, se=inner.se, df=inner.df)
        shown += p_value(kind, difference, margin) < 0.05
    assert shown / r == pytest.approx(power, abs=tolerance)


@pytest.mark.parametrize("rho", [None, 0.5, 0.9])
@pytest.mark.parametrize(("recall", "specificity"), [(0.8, 0.8), (0.6, 0.9)])
@pytest.mark.parametrize(("tau", "ratio"), [(0.08, 40.0), (0.12, 20.0), (0.12, 80.0), (0.15, 300.0)])
def test_the_best_number_of_items_is_the_closed_form_and_the_cheapest_of_all(
    tau: float, ratio: float, recall: float, specificity: float, rho: float | None
) -> None:
    """sqrt(c_e / c_s x v / tau^2) with v = (r (1 - r) + t (1 - t)) / 2, and tau^2 (1 - rho) for pairs.

    The check knows no closed form: the variance of the mean that a fixed budget buys, of `score_variance`, minimised.
    """
    found = allocate(tau=tau, recall=recall, specificity=specificity, cost_explain=ratio, cost_item=1.0, rho=rho)
    v = (recall * (1 - recall) + specificity * (1 - specificity)) / 2
    assert abs(found.n_items - np.sqrt(ratio * v / (tau**2 * (1 - (rho or 0))))) <= 0.5 + 1e-9

    def price_of_precision(n: float) -> float:
        noise = score_variance(0.0, recall, specificity, 1, 1) / (n / 2)
        return (tau**2 * (1 - (rho or 0)) + noise) * (ratio + n)

    best = optimize.minimize_scalar(price_of_precision, bounds=(2, 5000), method="bounded", options={"xatol": 1e-4})
    assert abs(found.n_items - best.x) <= 0.51
    assert dict(found.curve)[40] == pytest.approx(price_of_precision(40) / best.fun, rel=1e-6)
    assert found.n_positive + found.n_negative == found.n_items
    share = 1 / (1 + np.sqrt(specificity * (1 - specificity) / (recall * (1 - recall))))
    assert abs(found.n_positive - found.n_items * share) <= 0.5 + 1e-9


@cache
def whole(scorer: str) -> pd.DataFrame:
    """Scores of all real latents as those of one dictionary."""
    run = real_run()
    latents = run.latents.assign(dictionary="all", site="all", inclusion_probability=0.5).drop_duplicates("latent")
    return latent_scores(run.judgements.assign(dictionary="all", site="all"), latents, scorer=scorer)


@needs_shared
@pytest.mark.slow
@pytest.mark.parametrize("scorer", ["detection", "fuzzing"])
def test_halves_of_the_same_latents_differ_by_zero_at_the_stated_rate(scorer: str) -> None:
    """2,000 random halves of one run through `compare`: 95 % of its intervals cover 0, and tests agree with them."""
    table, r = whole(scorer), 2000
    assert len(table) == 237
    rng = np.random.default_rng(31)
    covered, rejected = np.zeros(r, bool), np.zeros(r, bool)
    for i in range(r):
        order = rng.permutation(len(table))
        a, b = table.iloc[order[:118]], table.iloc[order[118:]]
        row = compare(a, b, design="unpaired", population="eligible").iloc[0]
        covered[i], rejected[i] = row["ci95_lo"] <= 0 <= row["ci95_hi"], row["p_diff"] < 0.05
    assert (covered == ~rejected).all()
    assert inside(float(covered.mean()), 0.95, r)
