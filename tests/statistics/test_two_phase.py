"""Two-phase estimates: coverage and gain by simulation with known truth, on recorded judgements, and their laws."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from autointerp.__main__ import main
from autointerp.errors import TableError
from autointerp.statistics import latent_scores, two_phase
from autointerp.statistics.intervals import Floats, mean
from autointerp.statistics.two_phase import Auxiliary
from tests.helpers.bands import inside
from tests.helpers.simulate import Arm, simulate, write_run

GPT2 = Path(__file__).parents[3] / "shared" / "data" / "gpt2_judgements" / "judgements.parquet"


def census(cheap: Floats, sample: np.ndarray, weights: Floats | None = None) -> Auxiliary:
    """Cheap values of a whole population [N], of which `sample` was judged."""
    return Auxiliary(
        values=cheap[sample, None],
        mean=np.array([np.average(cheap, weights=weights)]),
        mean_covariance=np.zeros((1, 1)),
        n=len(cheap),
    )


def replicates(r: int, n: int, useful: float, seed: int) -> tuple[float, float, float]:
    """Coverage, bias in standard errors and mean gain over r samples drawn with unequal chances from one population.

    True scores are logistic-normal, correlated with the firing rate that latents are drawn by; both phases judge 10 +
    10 contexts; the cheap judge's own accuracy follows the true score to the degree `useful`, shrunken and shifted.
    """
    rng = np.random.default_rng(seed)
    n_all = 4000
    ability = rng.normal(1.5, 1.0, n_all)
    rate = np.exp(0.5 * ability + rng.normal(0, 1, n_all))
    chance = n * (0.5 / n_all + 0.5 * rate / rate.sum())
    truth = 1 / (1 + np.exp(-ability))
    other = 1 / (1 + np.exp(-(useful * ability + (1 - useful) * rng.normal(1.5, 1.0, n_all)) * 0.7))
    cheap = (rng.binomial(10, other) + rng.binomial(10, other)) / 20
    covered, errors, gains = 0, [], []
    for i in range(r):
        sample = np.flatnonzero(rng.random(n_all) < chance)
        judged = (rng.binomial(10, truth[sample]) + rng.binomial(10, truth[sample])) / 20
        found = two_phase.two_phase(judged, 1 / chance[sample], census(cheap, sample), seed=i)
        covered += found.low <= truth.mean() <= found.high
        errors.append(found.value - truth.mean())
        gains.append(found.gain)
    bias = float(np.mean(errors) / (np.std(errors) / np.sqrt(r)))
    return covered / r, bias, float(np.mean(gains))


@pytest.mark.parametrize("r", [400, pytest.param(4000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("useful", [0.0, 1.0])
def test_the_interval_covers_the_truth_whatever_the_cheap_score_is_worth(useful: float, r: int) -> None:
    """A useful cheap score gains, a useless one loses at most the few percent that fitting a slope costs."""
    coverage, bias, gain = replicates(r, 80, useful, seed=7)
    # The plain weighted mean of such skewed scores covers .945 (statistics.populations); so does this.
    assert inside(coverage, 0.945, r)
    assert abs(bias) < 4
    assert gain > 1.25 if useful else 0.93 < gain < 1.1


def test_the_variance_falls_by_what_the_cheap_score_explains() -> None:
    """Against the closed form: gain 1 / (1 - R^2) for normal scores of correlation .8, to the error of 20 samples."""
    rng = np.random.default_rng(0)
    cheap = rng.normal(0, 0.1, 50_000)
    gains = []
    for i in range(20):
        sample = rng.choice(len(cheap), 500, replace=False)
        dear = 0.6 + 0.8 * cheap[sample] + 0.6 * rng.normal(0, 0.1, 500)
        gains.append(two_phase.two_phase(dear, np.ones(500), census(cheap, sample), seed=i).gain)
    assert np.mean(gains) == pytest.approx(1 / (1 - 0.64), rel=0.05)


def test_only_the_order_of_cheap_scores_in_the_population_matters_not_their_scale() -> None:
    """Affine changes of the cheap score change nothing; a perfect one gives the population's mean; a constant none."""
    rng = np.random.default_rng(1)
    everyone = rng.beta(5, 2, 1000)
    sample = rng.choice(1000, 60, replace=False)
    weights = rng.uniform(1, 3, 60)
    noisy = everyone + rng.normal(0, 0.05, 1000)
    dear = everyone[sample]
    first, moved = (two_phase.two_phase(dear, weights, census(x, sample)) for x in (noisy, 3 - 7 * noisy))
    assert (first.value, first.se) == pytest.approx((moved.value, moved.se), rel=1e-9)
    exact = two_phase.two_phase(dear, weights, census(everyone, sample))
    assert exact.value == pytest.approx(everyone.mean(), abs=1e-12)
    assert exact.se < 1e-12
    useless = two_phase.two_phase(dear, weights, census(np.ones(1000), sample))
    plain = mean(dear, weights)
    assert (useless.value, useless.se, useless.gain) == (plain.value, plain.se, 1.0)


def test_a_phase_one_that_is_itself_a_sample_adds_its_own_variance() -> None:
    """With the slope 1 of a perfect cheap score, what is left is the standard error of phase one's mean."""
    rng = np.random.default_rng(2)
    cheap = rng.normal(0.7, 0.1, 400)
    sample = np.arange(50)
    part = replace(census(cheap, sample), mean_covariance=np.array([[cheap.var(ddof=1) / 400]]))
    found = two_phase.two_phase(cheap[sample], np.ones(50), part)
    assert found.se == pytest.approx(cheap.std(ddof=1) / 20, rel=1e-9)
    assert found.df == pytest.approx(399, rel=1e-6)


@pytest.mark.skipif(not GPT2.exists(), reason="needs ../shared/data/gpt2_judgements")
@pytest.mark.parametrize("scorer", ["detection", "fuzzing"])
def test_recorded_judgements_of_one_protocol_sharpen_those_of_another(scorer: str) -> None:
    """237 GPT-2 latents judged under two protocols that correlate by about .5: 60 of them estimate the mean of all."""
    rows = pd.read_parquet(GPT2)
    rows = rows[rows["scorer"] == scorer]
    right = (rows["answer"] == rows["truth"]).groupby([rows["n_items"], rows["layer"], rows["latent"], rows["truth"]])
    scores = right.mean().unstack().mean(axis=1).unstack("n_items").dropna()
    dear, cheap = scores[70].to_numpy(float), scores[60].to_numpy(float)
    rng = np.random.default_rng(3)
    found = []
    for i in range(200):
        sample = rng.choice(len(dear), 60, replace=False)
        found.append(two_phase.two_phase(dear[sample], np.ones(60), census(cheap, sample), seed=i))
    # A quarter of a finite population was drawn, which the interval ignores: it covers .975 or more.
    assert np.mean([one.low <= dear.mean() <= one.high for one in found]) >= 0.95
    expected = 1 / (1 - np.corrcoef(dear, cheap)[0, 1] ** 2)
    assert np.mean([one.gain for one in found]) == pytest.approx(expected, rel=0.12)


def test_compare_prints_both_estimates_and_the_gain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Scores of a second run of the same dictionary are phase one; another checkpoint or dictionary is refused."""
    dear = simulate([Arm(name="skip-transcoder", n_sampled=60)], seed=4)
    run = write_run(dear, tmp_path / "llm")
    assert main(["compare", str(run), "--phase-one", str(run), "--out", str(tmp_path / "out")]) in (0, 3)
    printed = capsys.readouterr().out.split("Two-phase")[1]
    found = pd.read_parquet(tmp_path / "out" / "two_phase.parquet")
    row = found[(found["population"] == "eligible") & (found["scorer"] == "detection")].iloc[0]
    scores = latent_scores(dear.judgements, dear.latents, scorer="detection")
    plain = mean(scores["score"].to_numpy(float), 1 / scores["inclusion_probability"].to_numpy(float))
    # One line of 80 columns holds the whole estimate: names fold, numbers never.
    whole = f"{row['plain']:.3f}  {row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
    line = next(line for line in printed.splitlines() if whole in line)
    assert {"detection", "eligible"} <= set(line.split())
    assert len(line) <= 80
    assert row["plain"] == pytest.approx(plain.value, rel=1e-12)
    assert row["n_phase_one"] == row["n"] == len(scores)
    # Phase one is the same sample with the same scores: no latent is known beyond it, so nothing may be gained.
    assert row["gain"] == pytest.approx(1, abs=0.1)
    with pytest.raises(TableError, match="same dictionaries"):
        two_phase.of_runs(dear.tables, simulate([Arm(name="b")], seed=5).tables)
    other = replace(dear.tables, dictionaries=dear.dictionaries.assign(sha256="f" * 64))
    with pytest.raises(TableError, match="another checkpoint"):
        two_phase.of_runs(dear.tables, other)
