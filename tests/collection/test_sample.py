"""Known probabilities are exact, and every latent's row says why it was or was not drawn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autointerp.collection.latents import FiringCounts, rows, statuses
from autointerp.collection.sample import chosen, inclusion, joining, permanent, weights
from autointerp.errors import StudyError
from autointerp.examples.base import ExamplesConfig
from autointerp.seeds import generator


def heavy(n: int, sd: float) -> np.ndarray:
    return np.exp(np.random.default_rng(0).normal(scale=sd, size=n))


def test_weights_by_hand() -> None:
    """Rates 1, 1, 2 of 4, half proportional: 1/6 + 1/8 twice, and 1/6 + 2/8; without any rate all alike."""
    np.testing.assert_allclose(weights(np.array([0.1, 0.1, 0.2]), 0.5), [7 / 24, 7 / 24, 10 / 24])
    np.testing.assert_allclose(weights(np.zeros(4), 1.0), np.full(4, 0.25))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.integers(1, 70), st.floats(0, 0.9))
def test_chances_sum_to_the_size_of_the_sample(rates: list[float], n: int, share: float) -> None:
    weight = weights(np.array(rates), share)
    chances = inclusion(weight, n)
    assert ((chances > 0) & (chances <= 1)).all()
    np.testing.assert_allclose(chances.sum(), min(n, len(rates)))
    assert sorted(joining(weight, generator(0, n).random(len(rates))).tolist()) == list(range(len(rates)))


def test_equal_weights_have_equal_chances() -> None:
    np.testing.assert_allclose(inclusion(np.full(50, 0.02), 7), np.full(50, 7 / 50))


@pytest.mark.parametrize("size, n, sd", [(2000, 100, 2.0), (200, 40, 1.2), (20, 5, 1.2)])
@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_latents_are_drawn_as_often_as_their_chances_say(size: int, n: int, sd: float, share: float) -> None:
    """2,000 draws: z scores have the spread of a binomial's, and Horvitz-Thompson totals are unbiased."""
    rates = heavy(size, sd)
    weight = weights(rates, share)
    chances, n_draws = inclusion(weight, n), 2000
    scores = 0.6 + 0.1 * np.log(rates / rates.mean())
    drawn, totals = np.zeros(size), []
    for trial in range(n_draws):
        sample = joining(weight, 1 - generator(7, trial).random(size))[:n]
        drawn[sample] += 1
        totals.append((scores[sample] / chances[sample]).sum())
    z = (drawn - n_draws * chances) / np.sqrt(n_draws * chances * (1 - chances) + 1e-9)
    uncertain = chances < 0.999
    assert np.abs(z[uncertain]).max() < 5
    assert (z[uncertain] ** 2).mean() < 1 + 4 * (2 / uncertain.sum()) ** 0.5
    assert abs(np.mean(totals) - scores.sum()) < 4.5 * np.std(totals) / n_draws**0.5 + 1e-3 * abs(scores.sum())


def test_what_a_share_costs() -> None:
    """The table of `autointerp.collection.sample`: effective sizes of 100 of 2,000 latents, in per cent."""
    rates = heavy(2000, 2.0)
    frequency = rates / rates.sum()
    found = {}
    for share in (0.0, 0.1, 0.2, 0.5):
        chances = inclusion(weights(rates, share), 100)
        found[share] = (2000**2 / (1 / chances).sum(), 1 / (frequency**2 / chances).sum())
    plain, weighted = zip(*found.values(), strict=True)
    np.testing.assert_allclose(plain, [100, 96, 90, 67], atol=0.6)
    np.testing.assert_allclose(weighted, [7, 24, 36, 63], atol=0.6)


def test_a_larger_sample_holds_the_smaller_one() -> None:
    """Whatever the weights, and whatever other dictionaries there are: numbers are keyed by seed, name and latent."""
    weight, numbers = weights(heavy(300, 2.0), 0.5), permanent(3, "sae", 300)
    order = joining(weight, numbers).tolist()
    assert len(set(order)) == 300
    assert (numbers == permanent(3, "sae", 300)).all()
    assert (numbers[:200] == permanent(3, "sae", 200)).all()
    assert (numbers != permanent(3, "other", 300)).any()
    assert (numbers != permanent(4, "sae", 300)).any()


def test_chosen_latents_are_certain() -> None:
    """Others have probability 0; what does not exist is one line."""
    found = chosen({"sae": [5, 1]}, {"sae": 9, "tc": 9}, seed=0)
    assert found["sae"].latents is not None
    assert found["sae"].latents.tolist() == [5, 1]
    assert found["sae"].chances.tolist() == [0, 1, 0, 0, 0, 1, 0, 0, 0]
    with pytest.raises(StudyError, match=r"sae has 9 latents, numbered from 0; there is none 9"):
        chosen({"sae": [9]}, {"sae": 9}, seed=0)


CONFIG = ExamplesConfig(min_windows=10, n_explain=4, n_positives=3, n_negatives=5, pool_windows=1000)


def counts(tokens: list[int], explain: list[int], held_out: list[int]) -> FiringCounts:
    return FiringCounts(
        tokens=np.array(tokens),
        explain=np.array(explain),
        held_out=np.array(held_out),
        n_tokens=1000,
        n_explain=50,
        n_held_out=40,
    )


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
    """The survey thought latent 1 would do; it proves rare, keeps its chance and place, and is no sampled latent."""
    table = rows(
        counts([0, 9, 99, 99], [0, 1, 6, 6], [0, 1, 4, 4]),
        CONFIG,
        dictionary="d",
        architecture="sae",
        site="s",
        chances=np.array([0, 0.5, 0.75, 0.75]),
        drawn=np.array([2, 1]),
    )
    assert table["status"].tolist() == ["dead", "rare", "sampled", "eligible"]
    assert table["sampled"].tolist() == [False, False, True, False]
    assert table["look_order"].tolist() == [-1, 1, 0, -1]
    assert table["firing_rate_token"].tolist() == [0, 0.009, 0.099, 0.099]
    assert table["n_windows"].tolist() == [0, 2, 10, 10]
    np.testing.assert_allclose(table["firing_rate_window"], [0, 2 / 90, 10 / 90, 10 / 90])
