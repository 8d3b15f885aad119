"""What the gate may say of few latents, of a run against itself, and how often it errs at the margin."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autointerp.gate.decide import LEAST_LATENTS, gate, gate_start
from autointerp.statistics import GateConfig
from tests.statistics.test_known_answers import band
from tests.statistics.test_laws import scores_frame


def config(**settings_: object) -> GateConfig:
    return GateConfig.model_validate({"endpoints": ("detection",), **settings_})


def side(scores: np.ndarray, seed: int = 0) -> pd.DataFrame:
    """Scores of one dictionary whose latents keep their firing rates, as checkpoints of one run nearly do."""
    rng = np.random.default_rng(seed)
    return scores_frame(scores, firing_rate_token=np.exp(np.random.default_rng(5).normal(-5, 1, len(scores)))
                        * np.exp(rng.normal(0, 0.1, len(scores)) * (seed > 0)))  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(2, 200), margin=st.sampled_from([0.005, 0.02, 0.1]), looks=st.integers(1, 6),
    kind=st.sampled_from(["varied", "few values", "one value"]), seed=st.integers(0, 9),
)  # fmt: skip
def test_a_run_against_itself_never_fails(n: int, margin: float, looks: int, kind: str, seed: int) -> None:
    """It passes where firing rates show that it is the same dictionary; where they are unknown it may stay open."""
    rng = np.random.default_rng(seed)
    drawn = {"varied": rng.random(n), "few values": rng.integers(8, 11, n) / 20, "one value": np.full(n, 0.5)}[kind]
    base = side(drawn)
    assert gate(base, base, config=config(margin=margin, looks=looks)).decision == "PASS"
    unknown = scores_frame(drawn)
    assert gate(unknown, unknown, config=config(margin=margin, looks=looks)).exit_code in (0, 2)


def test_one_latent_decides_nothing_unless_it_is_the_same() -> None:
    for scores in (np.array([0.9]), np.array([0.5])):
        found = gate(scores_frame(scores), scores_frame(scores - 0.5), config=config())
        assert found.decision == "INCONCLUSIVE"


@pytest.mark.parametrize("n", [20, 60, 100])
def test_equal_scores_of_changed_dictionaries_are_no_replay(n: int) -> None:
    """With 4 % of latents losing .5, a true loss of the margin, .96^n of all samples show no change: .44, .09, .02."""
    base, new = side(np.linspace(0.5, 0.9, n)), side(np.linspace(0.5, 0.9, n), seed=1)
    assert gate(base, new, config=config()).decision == "INCONCLUSIVE"


@pytest.mark.parametrize("n", [12, 19])
def test_few_latents_are_looked_at_once_and_never_called_futile(n: int) -> None:
    rng = np.random.default_rng(n)
    decisions = set()
    for _ in range(40):
        base = rng.normal(0.7, 0.02, n)
        found = gate(side(base), side(base + rng.normal(-0.01, 0.03, n), seed=1), config=config())
        assert set(found.endpoints["look"]) == {1}
        decisions.add(found.decision)
    assert "FAIL_futility" not in decisions
    worse = rng.normal(0.8, 0.03, n)
    assert gate(side(worse), side(worse - 0.2 + rng.normal(0, 0.03, n), seed=1), config=config()).exit_code == 1


@pytest.mark.parametrize(("n", "looks"), [(10, [1.0]), (30, [0.8, 1.0]), (60, [0.4, 0.6, 0.8, 1.0]), (100, None)])
def test_looks_of_fewer_than_twenty_latents_are_left_out(n: int, looks: list[float] | None) -> None:
    state = gate_start(side(np.random.default_rng(0).random(n)), config=config(), n_planned=n)
    assert list(state.design.fractions) == pytest.approx(looks or [0.2, 0.4, 0.6, 0.8, 1.0])
    assert state.wanted >= min(n, LEAST_LATENTS)


def drawn_pair(rng: np.random.Generator, n: int, shift: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two checkpoints' balanced accuracies from 10 + 10 items; the second's truth is the first's plus a shift."""
    truth = np.clip(rng.normal(0.75, 0.1, n), 0.55, 0.95)
    base, new = (
        (rng.binomial(10, t) + rng.binomial(10, t)) / 20 for t in (truth, truth + shift + rng.choice([-0.04, 0.04], n))
    )
    return side(base), side(new, seed=1)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("n", "r"), [(12, 60), *(pytest.param(n, 2000, marks=pytest.mark.slow) for n in (12, 60))])
def test_the_gate_errs_at_most_alpha_at_the_margin(n: int, r: int) -> None:
    """Passing a candidate that is worse by the margin, and calling an equal one inferior: 5 % each at most."""
    rng = np.random.default_rng(n)
    at_margin = [gate(*drawn_pair(rng, n, -0.02), config=config()).decision == "PASS" for _ in range(r)]
    assert np.mean(at_margin) <= band(0.05, r)[1]
    equal = [gate(*drawn_pair(rng, n, 0.0), config=config()).decision == "FAIL_inferior" for _ in range(r)]
    assert np.mean(equal) <= band(0.05, r)[1]
