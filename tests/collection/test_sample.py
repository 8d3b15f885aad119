"""Known probabilities are exact, and every latent's row says why it was or was not drawn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autointerp.collection.latents import FiringCounts, rows, statuses
from autointerp.collection.sample import draw, inclusion
from autointerp.examples.base import ExamplesConfig
from autointerp.seeds import generator


def test_inclusion_by_hand() -> None:
    """Rates 1, 1, 2 of 4; n = 1, half proportional: 1/6 + 1/8 twice, and 1/6 + 2/8."""
    np.testing.assert_allclose(inclusion(np.array([0.1, 0.1, 0.2]), 1, 0.5), [7 / 24, 7 / 24, 10 / 24])


def test_a_latent_that_would_be_above_certainty_is_certain() -> None:
    """n = 2, all proportional: 2 * .8 > 1, so the first is certain and the others share one draw by 1 : 1."""
    np.testing.assert_allclose(inclusion(np.array([0.8, 0.1, 0.1]), 2, 1.0), [1, 0.5, 0.5])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.integers(1, 70), st.floats(0, 1))
def test_chances_sum_to_the_size_of_the_sample(rates: list[float], n: int, share: float) -> None:
    chances = inclusion(np.array(rates), n, share)
    assert ((chances >= 0) & (chances <= 1 + 1e-12)).all()
    np.testing.assert_allclose(chances.sum(), min(n, len(rates)))
    drawn = draw(chances, generator(0, rates, n))
    assert len(drawn) == len(set(drawn.tolist())) == min(n, len(rates))
    assert (chances[drawn] > 0).all()


def test_latents_are_drawn_as_often_as_their_chances_say() -> None:
    """4,000 draws of 5 from 20: each latent's share within 4.5 standard errors (false alarm: 1e-5 for all 20)."""
    rates = np.array([0.5, 0.2, *np.full(18, 0.01)])
    chances = inclusion(rates, 5, 0.5)
    drawn = np.zeros(20)
    for trial in range(4000):
        drawn[draw(chances, generator(0, trial))] += 1
    error = np.sqrt(chances * (1 - chances) / 4000)
    assert (np.abs(drawn / 4000 - chances) <= 4.5 * error + 1e-12).all()


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_weighted_by_their_chances_a_sample_tells_the_population_s_mean(share: float) -> None:
    """Hajek's estimate sum(y / p) / sum(1 / p), over 3,000 samples of 40 latents out of 200, however they are drawn.

    Scores depend on the rate, so that the plain mean of a sample drawn by rate is far off: the second assertion.
    """
    rng = np.random.default_rng(0)
    rates = np.exp(rng.normal(scale=1.2, size=200)) / 1000
    scores = 0.6 + 0.1 * np.log(rates / rates.mean()) + rng.normal(scale=0.05, size=200)
    chances = inclusion(rates, 40, share)
    samples = [draw(chances, generator(1, share, trial)) for trial in range(3000)]
    hajek = np.array([np.average(scores[sample], weights=1 / chances[sample]) for sample in samples])
    error = hajek.std() / 3000**0.5
    # A ratio of sums has a bias: less than a twentieth of its own spread here, but more where nothing is uniform.
    assert share == 1 or abs(hajek.mean() - scores.mean()) < 4.5 * error + 0.05 * hajek.std()
    total = np.array([(scores[sample] / chances[sample]).sum() for sample in samples])  # Horvitz-Thompson: no bias
    assert abs(total.mean() - scores.sum()) < 4.5 * total.std() / 3000**0.5 + 1e-9
    if share > 0:
        plain = np.mean([scores[sample].mean() for sample in samples])
        assert plain - scores.mean() > 20 * error


CONFIG = ExamplesConfig(min_windows=10, n_explain=4, n_positives=3, n_negatives=5, pool_windows=1000)


def counts(tokens: list[int], explain: list[int], held_out: list[int]) -> FiringCounts:
    return FiringCounts(
        tokens=np.array(tokens), explain=np.array(explain), held_out=np.array(held_out),
        n_tokens=1000, n_explain=50, n_held_out=40,
    )  # fmt: skip


@pytest.mark.parametrize(
    "tokens, explain, held_out, status",
    [
        (0, 0, 0, "dead"),
        (9, 0, 0, "rare"),  # fires, but in no whole window
        (99, 5, 4, "rare"),  # 9 windows of the 10 it needs
        (99, 3, 20, "rare"),  # too few to explain by
        (99, 20, 2, "rare"),  # too few to judge on
        (99, 6, 4, "eligible"),
        (999, 50, 35, "eligible"),  # 5 silent windows of the 5 it needs
        (999, 50, 36, "dense"),
    ],
)
def test_statuses_by_hand(tokens: int, explain: int, held_out: int, status: str) -> None:
    assert statuses(counts([tokens], [explain], [held_out]), CONFIG).tolist() == [status]


def test_a_small_pool_of_negatives_makes_more_latents_dense() -> None:
    """Of 40 held-out windows 10 are the pool: 16 silent ones mean 4 in the pool, fewer than twice 3."""
    small = CONFIG.model_copy(update={"pool_windows": 10, "n_negatives": 3})
    assert statuses(counts([99], [6], [24]), small).tolist() == ["dense"]
    assert statuses(counts([99], [6], [12]), small).tolist() == ["eligible"]


def test_rows_say_why_a_drawn_latent_is_not_sampled() -> None:
    """The survey thought latent 1 would do; it proves rare, keeps its chance, and is no sampled latent."""
    table = rows(
        counts([0, 9, 99, 99], [0, 1, 6, 6], [0, 1, 4, 4]), CONFIG, dictionary="d", architecture="sae", site="s",
        chances=np.array([0, 0.5, 0.75, 0.75]), drawn=np.array([1, 2]), rng=generator(0),
    )  # fmt: skip
    assert table["status"].tolist() == ["dead", "rare", "sampled", "eligible"]
    assert table["sampled"].tolist() == [False, False, True, False]
    assert table["look_order"].tolist() == [-1, -1, 0, -1]
    assert table["firing_rate_token"].tolist() == [0, 0.009, 0.099, 0.099]
    assert table["n_windows"].tolist() == [0, 2, 10, 10]
    np.testing.assert_allclose(table["firing_rate_window"], [0, 2 / 90, 10 / 90, 10 / 90])
