"""The same formulas written plainly a second time, against ours on judgements with gaps and unequal strata."""

import numpy as np
import pandas as pd
import pytest

from autointerp.statistics import estimate, latent_scores, real_distribution
from autointerp.statistics.planning import plan
from tests.helpers.simulate import Arm, Run, simulate


@pytest.fixture(scope="module")
def run() -> Run:
    return simulate([Arm(name="sae", missing=0.05, n_total=80, n_eligible=60, n_sampled=30)], seed=5)


def rate(rows: pd.DataFrame, right: pd.Series) -> float:
    """Mean over strata, each by its share."""
    table = rows.assign(right=right).groupby("stratum").agg(w=("stratum_share", "first"), right=("right", "mean"))
    return float((table["w"] * table["right"]).sum() / table["w"].sum())


def by_hand(rows: pd.DataFrame) -> pd.Series:
    right = (rows["answer"] == "yes") == rows["truth"]
    open_ = rows["answer"] == "unanswered"
    known, found = rows[~open_], {}
    for name, table, good in (
        ("score", known, right), ("score_low", rows, right & ~open_), ("score_high", rows, right | open_)
    ):  # fmt: skip
        sides = [table[table["kind"] == kind] for kind in ("positive", "random")]
        found[name] = np.mean([rate(side, good[side.index]) for side in sides])
    p, n = (known[known["kind"] == kind] for kind in ("positive", "random"))
    w = (p["stratum_share"] / p.groupby("stratum")["stratum"].transform("size")).to_numpy()
    pairs = p["probability"].to_numpy()[:, None] - n["probability"].to_numpy()[None]
    found["auroc"] = float(w @ ((pairs > 0) + 0.5 * (pairs == 0)).mean(1) / w.sum())
    return pd.Series(found)


def test_scores_bounds_and_ranks_equal_a_plain_second_writing(run: Run) -> None:
    own = run.judgements[run.judgements["control"] == "none"]
    key = ["dictionary", "scorer", "latent"]
    plain = own.groupby(key)[list(own.columns)].apply(by_hand)
    ours = latent_scores(run.judgements, run.latents).set_index(key).loc[plain.index]
    for column in ("score", "score_low", "score_high", "auroc"):
        assert np.allclose(plain[column], ours[column], atol=1e-12), column


def test_four_populations_equal_weighted_means_written_out(run: Run) -> None:
    rows = latent_scores(run.judgements, run.latents, scorer="detection")
    x, w = rows["score"], 1 / rows["inclusion_probability"]
    f = rows["firing_rate_token"]
    eligible = (w * x).sum() / w.sum()
    assert estimate(rows).value == pytest.approx(eligible)
    assert estimate(rows, population="freq").value == pytest.approx((w * f * x).sum() / (w * f).sum())
    assert estimate(rows, population="iti").value == pytest.approx(0.75 * eligible + 0.25 * 0.5)  # 60 of 80 eligible


def test_real_distribution_equals_sums_written_out(run: Run) -> None:
    own = run.judgements[run.judgements["control"] == "none"]
    found = real_distribution(own, run.latents)
    found = found[found["scorer"] == "detection"].set_index("measure")
    rows = latent_scores(own, run.latents, scorer="detection")
    pi, w = rows["firing_rate_window"], 1 / rows["inclusion_probability"]
    hit, alarm = (w * pi * rows["recall"]).sum(), (w * (1 - pi) * (1 - rows["specificity"])).sum()
    assert found.at["precision", "value"] == pytest.approx(hit / (hit + alarm))
    assert found.at["f1", "value"] == pytest.approx(2 * hit / ((w * pi).sum() + hit + alarm))
    assert found.at["false_per_true", "value"] == pytest.approx(alarm / hit)
    assert (found["low"] < found["value"]).all()
    assert (found["value"] < found["high"]).all()


@pytest.mark.parametrize(("kind", "variance", "sizes"), [
    ("ni", 0.0121, (1497, 665, 375, 167)), ("ni", 0.0182, (2251, 1001, 563, 251)),
    ("ni", 0.0126, (1559, 693, 390, 174)),
    ("tost", 0.0182, (3118, 1386, 780, 347)), ("tost", 0.0126, (2159, 960, 540, 240)),
])  # fmt: skip
def test_sample_sizes_are_those_of_the_table(kind: str, variance: float, sizes: tuple[int, ...]) -> None:
    """n = 2 Var (z_alpha + z_beta)^2 / margin^2 at margins .01, .015, .02, .03; printed variances have three digits."""
    for margin, n in zip((0.01, 0.015, 0.02, 0.03), sizes, strict=True):
        tau = float(np.sqrt(variance - 0.16 / 40))  # noise of 20 + 20 items at .8: (.16 / 20 + .16 / 20) / 4
        found = plan(kind=kind, margin=margin, tau=tau, proportional_share=0.0, adjusted=False)  # type: ignore[arg-type]
        assert found.variance == pytest.approx(variance)
        assert found.n_latents == pytest.approx(n, rel=0.005, abs=1)
