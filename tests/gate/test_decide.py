"""The rules of a gate: which latents it asks for, what it decides from few of them, and from a run against itself."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from autointerp.errors import TableError
from autointerp.gate import decide, endpoints, offline
from autointerp.gate.base import GateConfig
from tests.helpers.gates import ENDPOINTS, World, draw
from tests.statistics.test_laws import scores_frame


def config(**settings_: object) -> GateConfig:
    return GateConfig.model_validate({"endpoints": ("detection",), **settings_})


def side(scores: np.ndarray, seed: int = 0) -> pd.DataFrame:
    """Scores of one dictionary whose latents keep their firing rates, as checkpoints of one run nearly do."""
    rng = np.random.default_rng(seed)
    return scores_frame(
        scores,
        firing_rate_token=np.exp(np.random.default_rng(5).normal(-5, 1, len(scores)))
        * np.exp(rng.normal(0, 0.1, len(scores)) * (seed > 0)),
    )


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(2, 200),
    margin=st.sampled_from([0.005, 0.02, 0.1]),
    looks=st.integers(1, 6),
    kind=st.sampled_from(["varied", "few values", "one value"]),
    seed=st.integers(0, 9),
)
def test_a_run_against_itself_never_fails(n: int, margin: float, looks: int, kind: str, seed: int) -> None:
    """It passes where firing rates show that it is the same dictionary; where they are unknown it may stay open."""
    rng = np.random.default_rng(seed)
    drawn = {"varied": rng.random(n), "few values": rng.integers(8, 11, n) / 20, "one value": np.full(n, 0.5)}[kind]
    base = side(drawn)
    assert offline.gate(base, base, config=config(margin=margin, looks=looks)).decision == "PASS"
    unknown = scores_frame(drawn)
    assert offline.gate(unknown, unknown, config=config(margin=margin, looks=looks)).exit_code in (0, 2)


def test_one_latent_decides_nothing_unless_it_is_the_same() -> None:
    for scores in (np.array([0.9]), np.array([0.5])):
        found = offline.gate(scores_frame(scores), scores_frame(scores - 0.5), config=config())
        assert found.decision == "INCONCLUSIVE"


@pytest.mark.parametrize("n", [20, 60, 100])
def test_equal_scores_of_changed_dictionaries_are_no_replay(n: int) -> None:
    """With 4 % of latents losing .5, a true loss of the margin, .96^n of all samples show no change: .44, .09, .02."""
    base, new = side(np.linspace(0.5, 0.9, n)), side(np.linspace(0.5, 0.9, n), seed=1)
    assert offline.gate(base, new, config=config()).decision == "INCONCLUSIVE"


@settings(max_examples=20, deadline=None)
@given(
    held=st.integers(1, 1500),
    looks=st.integers(1, 8),
    correlation=st.floats(0, 0.9),
    seed=st.integers(0, 99),
    loss=st.sampled_from([0.0, 0.02, 0.2]),
)
def test_looks_ask_for_more_latents_never_more_than_there_are_and_always_end(
    held: int, looks: int, correlation: float, seed: int, loss: float
) -> None:
    """Every interim look but the first of a small baseline adds 20 latents at least."""
    pair = draw(World(n_baseline=max(held, 2), correlation=correlation, loss=loss), np.random.default_rng(seed))
    asked: list[int] = []

    def answer(wanted: Mapping[str, int]) -> decide.Scored:
        asked.append(wanted["d0"])
        return pair.scored(wanted)

    first = offline.first_look(pair.table("base"), GateConfig(looks=looks))
    found = decide.run(decide.looks({"d0": max(held, 2)}, GateConfig(looks=looks), first), answer)
    assert asked == sorted(set(asked))
    assert asked[-1] <= max(held, 2)
    assert len(asked) <= looks
    assert asked[0] >= min(held, decide.LEAST_LATENTS)
    assert all(b - a >= decide.LEAST_LATENTS for a, b in pairwise(asked))
    last = found.last
    assert [row.n for row in last] == [asked[-1]] * 2
    for row in last:
        assert (row.decision == "PASS") == (row.lower > -row.margin)
        assert (row.decision == "FAIL") == (row.upper < 0 and row.lower <= -row.margin)
        assert (row.n_more > 0) == (row.decision == "INCONCLUSIVE")


@pytest.mark.parametrize("n_dictionaries", [1, 3])
@pytest.mark.parametrize("looks", [1, 5])
def test_tables_get_the_decision_of_the_same_numbers_as_arrays(n_dictionaries: int, looks: int) -> None:
    """So the error rates that are simulated on arrays (`test_rates`) are those of finished runs and of experiments."""
    for seed in range(3):
        world = World(n_dictionaries=n_dictionaries, n_baseline=400, loss=0.01 * seed)
        pair = draw(world, np.random.default_rng(seed))
        wanted = GateConfig(looks=looks)
        base, new = pair.table("base"), pair.table("candidate")
        by_tables = offline.gate(base, new, config=wanted)
        held = {f"d{k}": 400 for k in range(n_dictionaries)}
        first = None if looks == 1 else pair.first_look(wanted)
        assert looks == 1 or first == offline.first_look(base, wanted)
        by_arrays = decide.run(decide.looks(held, wanted, first), pair.scored)
        assert by_tables.decision == by_arrays.decision
        for a, b in zip(by_tables.rows, by_arrays.rows, strict=True):
            assert (a.dictionary, a.endpoint, a.look, a.n, a.decision) == (
                b.dictionary,
                b.endpoint,
                b.look,
                b.n,
                b.decision,
            )
            assert (a.diff, a.se, a.lower, a.upper) == pytest.approx((b.diff, b.se, b.lower, b.upper), abs=1e-9)


def test_a_candidate_scored_as_far_as_a_look_needed_is_decided_alike_later() -> None:
    """What `score --gate` judged, replayed by `autointerp gate` from the tables of these latents alone."""
    stopped = 0
    for seed in range(8):
        pair = draw(World(n_baseline=900, loss=0.01 * (seed % 2), mean=0.7), np.random.default_rng(seed))
        wanted, base = GateConfig(), pair.table("base")
        live = decide.run(decide.looks({"d0": 900}, wanted, offline.first_look(base, wanted)), pair.scored)
        n, new = live.last[0].n, pair.table("candidate")
        later = offline.gate(base, new[new["latent"] < n], config=wanted)
        assert later.decision == live.decision
        assert [row.n for row in later.last] == [n, n]
        stopped += n < 900
    assert stopped > 2


def test_one_look_has_the_bounds_of_a_t_test_and_fails_by_bonferroni() -> None:
    pair = draw(World(n_baseline=150, n_dictionaries=2), np.random.default_rng(0))
    found = decide.run(decide.looks({"d0": 150, "d1": 150}, GateConfig(looks=1)), pair.scored)
    for row in found.rows:
        assert row.lower == pytest.approx(row.diff - stats.t.isf(0.05, row.df) * row.se)
        assert row.upper == pytest.approx(row.diff + stats.t.isf(decide.RESERVE * 0.05 / 4, row.df) * row.se)


@pytest.mark.parametrize(("n_dictionaries", "n_endpoints"), [(1, 1), (1, 2), (3, 2), (10, 2), (2, 4)])
def test_the_planned_information_gives_the_whole_gate_its_power(n_dictionaries: int, n_endpoints: int) -> None:
    """Independent check by simulation of normal statistics at one look; with correlated endpoints less is planned."""
    wanted = config(looks=1, endpoints=[f"e{i}" for i in range(n_endpoints)])
    power = 1 - decide.RESERVE * 0.1
    drifts = {rho: decide.planned_drift(wanted, n_dictionaries, rho) for rho in (0.0, 0.5)}
    assert (
        drifts[0.5]
        <= drifts[0.0]
        <= stats.norm.isf(0.05) + stats.norm.isf((1 - power) / n_dictionaries / n_endpoints) + 1e-6
    )
    rng, r = np.random.default_rng(0), 40_000
    for rho, drift in drifts.items():
        shared = rng.normal(size=(r, n_dictionaries, 1))
        z = drift + np.sqrt(rho) * shared + np.sqrt(1 - rho) * rng.normal(size=(r, n_dictionaries, n_endpoints))
        passed = (z > stats.norm.isf(0.05)).all((1, 2)).mean()
        assert passed == pytest.approx(power, abs=4 * np.sqrt(power * (1 - power) / r))


def test_an_endpoint_that_was_not_scored_and_a_dictionary_without_scores_are_refused() -> None:
    pair = draw(World(n_baseline=50, n_dictionaries=2), np.random.default_rng(0))
    base, new = pair.table("base"), pair.table("candidate")
    with pytest.raises(TableError, match="no intruder scores of d0"):
        offline.gate(base, new, config=GateConfig(endpoints=("intruder",)))
    with pytest.raises(TableError, match="candidate has no detection scores of d1"):
        offline.gate(base, new[new["dictionary"] == "d0"], config=GateConfig())


def test_latents_needed_lie_between_full_and_no_correlation_and_a_small_baseline_is_reported() -> None:
    """Independent: the variance of the weighted mean is known from many samples of the same population."""
    world = World(n_baseline=400)
    means, sizes = [], []
    for seed in range(60):
        base = draw(world, np.random.default_rng(seed)).table("base")
        part = base[base["scorer"] == "detection"]
        means.append(np.average(part["score"], weights=1 / part["inclusion_probability"]))
        sizes.append(endpoints.needed(part, config())["d0"])
    drift = decide.planned_drift(config(), 1)
    wanted = 2 * 400 * np.var(means, ddof=1) * (drift / 0.02) ** 2
    assert np.mean([most for _, most in sizes]) == pytest.approx(wanted, rel=4 * np.sqrt(2 / 59))
    # Reliability of 20 + 20 items at a true spread of about .1 is near .7.
    assert 0.15 < np.mean([least / most for least, most in sizes]) < 0.5
    base = draw(world, np.random.default_rng(0)).table("base")
    words = endpoints.shortage(base, GateConfig())
    least, most = endpoints.needed(base, GateConfig())["d0"]
    assert f"d0 needs {least:,} to {most:,} latents, has 400" in words
    assert f"{0.02 * np.sqrt(most / 400):.3f}" in words
    assert "\n" not in words
    assert endpoints.shortage(base, GateConfig(margin=0.1)) == ""


def test_a_clear_gain_and_a_clear_loss_stop_early() -> None:
    for change, decision in ((0.05, "PASS"), (-0.08, "FAIL")):
        pair = draw(World(n_baseline=2000, loss=-change, gain=change), np.random.default_rng(1))
        base = pair.table("base")
        found = offline.gate(base, pair.table("candidate"), config=GateConfig(looks=5))
        assert found.decision == decision
        assert max(row.n for row in found.last) < 500
        assert {row.n_judged for row in found.last} == {2000}
    assert set(ENDPOINTS) == {row.endpoint for row in found.last}
