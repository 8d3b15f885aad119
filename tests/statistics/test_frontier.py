"""Scores at equal cost: what the curves' heights are, what the verdicts may say, and when nothing can be said."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from autointerp.statistics.frontier import frontier

SAE, TC, SKIP = "sae", "transcoder", "skip-transcoder"
COSTS = np.array([0.3, 0.1, 0.05])  # of k = 8, 16, 32
Point = tuple[str, int, int, float, float]  # architecture, seed, k, cost, score
Tables = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]


def tables_of(points: list[Point], se: float = 0.01, cost_se: float = 0.0) -> Tables:
    """Estimates, reconstruction and dictionaries of (architecture, seed, k, cost, score)."""
    estimates, reconstruction, dictionaries = [], [], []
    for architecture, seed, k, cost, score in points:
        name = f"{architecture}-k{k}-s{seed}"
        estimates.append({"dictionary": name, "scorer": "detection", "statistic": "score", "population": "eligible",
                          "value": score, "se": se, "df": 99.0})  # fmt: skip
        half = 1.96 * cost_se
        reconstruction.append({"dictionary": name, "metric": "ce_increase", "value": cost, "low": cost - half,
                               "high": cost + half, "level": 0.95})  # fmt: skip
        dictionaries.append({"dictionary": name, "architecture": architecture, "site_out": "layers.2.mlp.output",
                             "layer": 2, "k": k, "seed": seed})  # fmt: skip
    return pd.DataFrame(estimates), pd.DataFrame(reconstruction), pd.DataFrame(dictionaries)


def line(cost: np.ndarray) -> np.ndarray:
    """A score that falls as less is lost: .5 at a cost of .05, .7 at .5."""
    return 0.5 + 0.2 * np.log10(cost / 0.05)


def curves(lift: float, n_seeds: int = 3, noise: float = 0.0, shift: float = 1.0, seed: int = 0) -> list[Point]:
    """SAEs on the line; transcoders `lift` above it, at costs `shift` times as high; every seed off by `noise`."""
    rng = np.random.default_rng(seed)
    points = []
    for architecture, up, times in ((SAE, 0.0, 1.0), (TC, lift, shift)):
        for one in range(n_seeds):
            off = rng.normal(0, noise)
            points += [
                (architecture, one, k, cost * times, float(line(cost * times)) + up + off)
                for k, cost in zip((8, 16, 32), COSTS, strict=True)
            ]
    return points


def only(points: list[Point], se: float = 0.01, cost_se: float = 0.0) -> pd.Series:
    table = frontier(*tables_of(points, se, cost_se))
    assert len(table) == 1
    return table.iloc[0]


def test_heights_by_hand() -> None:
    """Costs .05 to .3 in common; the mean of a line in log cost over it is its value in the middle, sqrt(.05 * .3)."""
    row = only(curves(0.1, noise=0.001))
    assert (row["cost_low"], row["cost_high"]) == (0.05, 0.3)
    assert row["mean_a"] == pytest.approx(line(np.sqrt(np.array(0.05 * 0.3))), abs=0.002)
    assert row["diff"] == pytest.approx(0.1, abs=0.003)
    assert (row["scope"], row["design"], row["verdict"], row["n_a"], row["n_b"]) == (
        "architecture",
        "seeds",
        "better",
        3,
        3,
    )
    assert row["ci95_lo"] < 0.1 < row["ci95_hi"]


def test_arms_at_other_costs_of_one_line_are_the_same() -> None:
    """At equal k the transcoder loses 1.5 times as much and scores .035 higher; at equal cost it is equivalent."""
    points = curves(0.0, noise=0.001, shift=1.5)
    at_16 = {architecture: score for architecture, seed, k, _, score in points if (seed, k) == (0, 16)}
    assert at_16[TC] - at_16[SAE] == pytest.approx(0.2 * np.log10(1.5), abs=0.005)
    row = only(points)
    assert abs(row["diff"]) < 0.003
    assert row["verdict"] == "equivalent"
    assert (row["cost_low"], row["cost_high"]) == pytest.approx((0.075, 0.3))


def test_a_spread_of_seeds_wider_than_the_margin_decides_nothing() -> None:
    assert only(curves(0.0, noise=0.05))["verdict"] == "inconclusive"


def test_seeds_reject_a_true_null_at_the_stated_rate() -> None:
    """400 nulls, seeds of spread .02: 20 rejections expected; 99.9 % of binomials lie in [8, 36]."""
    verdicts = [only(curves(0.0, noise=0.02, seed=seed))["p_diff"] < 0.05 for seed in range(400)]
    assert 8 <= sum(verdicts) <= 36


@pytest.mark.parametrize("cost_se", [0.0, 0.01])
def test_one_seed_is_about_these_dictionaries_and_has_their_errors(cost_se: float) -> None:
    """A height is 1/6 s1 + 1/2 s2 + 1/3 s3 or so of its scores: its error is below one score's, above it / sqrt 3."""
    row = only(curves(0.1, n_seeds=1), se=0.03, cost_se=cost_se)
    assert (row["scope"], row["design"]) == ("these_dictionaries", "errors")
    least, most = 0.03 * np.sqrt(2 / 3), 0.03 * np.sqrt(2) * (1 + 10 * cost_se)
    assert 0.9 * least < row["se"] < most
    assert row["verdict"] == "better"


def test_errors_of_costs_count() -> None:
    """On a slope, not knowing where a curve stands is not knowing its height."""
    certain, unsure = (only(curves(0.1, n_seeds=1), se=0.003, cost_se=cost_se)["se"] for cost_se in (0.0, 0.02))
    assert unsure > 1.5 * certain


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda one: one if one[2] == 8 else None, "two k or more"),
        (lambda one: (*one[:3], one[3] - 0.05, one[4]), "0 or less"),
        (lambda one: (*one[:3], one[3] * (20 if one[0] == TC else 1), one[4]), "in common"),
    ],
)
def test_what_cannot_be_measured_is_inconclusive_and_says_why(
    change: Callable[[Point], Point | None], reason: str
) -> None:
    row = only([new for one in curves(0.1) if (new := change(one))])
    assert row["verdict"] == "inconclusive"
    assert reason in row["reason"]
    assert np.isnan(row["diff"])


def test_each_layer_scorer_and_contrast_has_its_row_and_nothing_gives_an_empty_table() -> None:
    points = curves(0.1)
    points += [(SKIP, seed, k, cost, score) for name, seed, k, cost, score in points if name == TC]
    estimates, reconstruction, dictionaries = tables_of(points)
    both = pd.concat([estimates, estimates.assign(scorer="fuzzing")])
    table = frontier(both, reconstruction, dictionaries)
    assert len(table) == 6
    assert set(table["contrast"]) == {"transcoder - sae", "skip-transcoder - sae", "skip-transcoder - transcoder"}
    assert frontier(estimates.iloc[:0], reconstruction, dictionaries).empty
    assert frontier(estimates, reconstruction.iloc[:0], dictionaries).empty


def test_a_failed_control_of_one_scorer_takes_that_scorers_verdicts_only() -> None:
    estimates, reconstruction, dictionaries = tables_of(curves(0.1, noise=0.005))
    both = pd.concat([estimates, estimates.assign(scorer="fuzzing")])
    rows = [
        {"control": "planted", "scorer": scorer, "dictionary": "all", "status": status, "reason": "why"}
        for scorer, status in (("fuzzing", "failed"), ("detection", "passed"))
    ]
    free = frontier(both, reconstruction, dictionaries).set_index("scorer")
    held = frontier(both, reconstruction, dictionaries, controls=pd.DataFrame(rows)).set_index("scorer")
    assert free["verdict"].to_dict() == {"detection": "better", "fuzzing": "better"}
    assert held["verdict"].to_dict() == {"detection": "better", "fuzzing": "invalid"}
