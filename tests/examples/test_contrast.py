"""Negatives are silent, shared by seed, drawn without replacement, and stand for known shares."""

import numpy as np
import pytest

from autointerp.examples import contrast
from autointerp.examples.base import Firing
from autointerp.records import LatentId
from tests.helpers.planted import corpus

LATENT = LatentId("sae", "site", 3)


def firing(rate: float, seed: int = 0) -> Firing:
    rng = np.random.default_rng(seed)
    positions = np.flatnonzero(rng.random(len(corpus().tokens)) < rate)
    return Firing(positions=positions, values=np.ones(len(positions)))


@pytest.mark.parametrize("rate", [0.0, 0.001, 0.02, 0.1])
def test_negatives_are_silent_held_out_and_different(rate: float) -> None:
    """By a plain loop over tokens: no negative holds an active token, none comes twice, all are of the pool."""
    pool = contrast.pool(corpus(), held_out=True, size=500, seed=0)
    latent = firing(rate)
    drawn = contrast.negatives(corpus(), latent, pool, latent=LATENT, n=20, seed=0)
    active = set(latent.positions.tolist())
    for example in drawn:
        start = int(corpus().starts[example.window])
        assert not active & set(range(start, start + corpus().length))
        assert example.window in pool
        assert corpus().held_out[example.window]
        assert example.kind == "random"
    assert len({example.window for example in drawn}) == len(drawn)


def test_a_dense_latent_gets_what_there_is() -> None:
    """A latent that fires everywhere has no negatives: an empty tuple, which callers count, and no crash."""
    pool = contrast.pool(corpus(), held_out=True, size=500, seed=0)
    assert contrast.negatives(corpus(), firing(1.0), pool, latent=LATENT, n=20, seed=0) == ()


def test_the_pool_is_one_for_all_and_each_latents_draw_its_own() -> None:
    """The pool depends on the seed and the split; two latents' negatives differ, the same latent's never."""
    pool = contrast.pool(corpus(), held_out=True, size=500, seed=0)
    assert (pool == contrast.pool(corpus(), held_out=True, size=500, seed=0)).all()
    assert not np.array_equal(pool, contrast.pool(corpus(), held_out=True, size=500, seed=1))
    assert not set(pool) & set(contrast.pool(corpus(), held_out=False, size=500, seed=0))
    draws = [
        {
            e.window
            for e in contrast.negatives(corpus(), firing(0.001), pool, latent=LatentId("x", "y", i), n=20, seed=0)
        }
        for i in (1, 2, 1)
    ]
    assert draws[0] == draws[2] != draws[1]


def near_to(pool: np.ndarray, *some: slice) -> list[np.ndarray]:
    """Nearness that is 1 in some windows of the pool and 0 in all others."""
    return [np.isin(np.arange(len(pool)), np.arange(len(pool))[one]).astype(float) for one in some]


def test_hard_strata_part_the_silent_population(monkeypatch: pytest.MonkeyPatch) -> None:
    """A window in two strata is of the first; a hard negative's share is its stratum's part of all silent windows."""
    monkeypatch.setattr(contrast, "NEAR_SHARE", 0.2)
    pool = contrast.pool(corpus(), held_out=True, size=500, seed=0)
    near = near_to(pool, slice(0, 50), slice(25, 100))
    latent = firing(0.001)
    drawn = contrast.negatives(corpus(), latent, pool, latent=LATENT, n=20, seed=0, n_hard=5, near=near)
    silent = set(contrast.silent(corpus(), latent, pool).tolist())
    members = [silent - set(pool[:100].tolist()), silent & set(pool[:50].tolist()), silent & set(pool[50:100].tolist())]
    hard = [example for example in drawn if example.kind == "hard"]
    assert [example.stratum for example in hard] == [1] * 5 + [2] * 5
    for example in hard:
        assert example.stratum_share == pytest.approx(len(members[example.stratum]) / len(silent))
    for example in drawn:
        assert example.window in members[example.stratum]
    assert len({example.window for example in drawn}) == len(drawn) == 30


def test_a_stratum_is_the_nearest_share_of_the_silent_windows() -> None:
    """However many windows are near, and however near active ones are: 2 % of the silent ones, the nearest."""
    pool = contrast.pool(corpus(), held_out=True, size=500, seed=0)
    latent = firing(0.02)
    silent = contrast.silent(corpus(), latent, pool)
    nearness = np.random.default_rng(0).random(len(pool)) + ~np.isin(pool, silent)
    drawn = contrast.negatives(corpus(), latent, pool, latent=LATENT, n=0, seed=0, n_hard=len(pool), near=[nearness])
    of = dict(zip(pool.tolist(), nearness.tolist(), strict=True))
    expected = sorted(silent.tolist(), key=lambda window: -of[window])[: round(0.02 * len(silent))]
    assert 1 < len(expected) < len(silent) < len(pool)
    assert sorted(example.window for example in drawn) == sorted(expected)
    nothing = contrast.negatives(corpus(), latent, pool, latent=LATENT, n=0, seed=0, n_hard=5, near=[0 * nearness])
    assert nothing == ()


def test_random_negatives_are_the_same_with_and_without_hard_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """A score by random negatives means the same in both: they come from all silent windows, and weigh alike."""
    monkeypatch.setattr(contrast, "NEAR_SHARE", 0.6)
    pool = contrast.pool(corpus(), held_out=True, size=500, seed=0)
    latent = firing(0.001)
    plain = contrast.negatives(corpus(), latent, pool, latent=LATENT, n=20, seed=0)
    both = contrast.negatives(
        corpus(), latent, pool, latent=LATENT, n=20, seed=0, n_hard=5, near=near_to(pool, slice(0, 250))
    )
    random = [example for example in both if example.kind == "random"]
    assert [example.window for example in random] == [example.window for example in plain]
    fell = sum(example.stratum for example in random)
    assert 0 < fell < 20
    assert {example.stratum_share for example in random} == {fell / 20, 1 - fell / 20}


def test_windows_not_fit_to_judge_are_not_in_the_pool() -> None:
    """Those left out by the mask are never drawn, whatever the size."""
    fit = corpus().held_out & (np.arange(len(corpus())) % 3 == 0)
    pool = contrast.pool(corpus(), held_out=True, size=10**6, seed=0, fit=fit)
    assert pool.tolist() == np.flatnonzero(fit).tolist()


def test_hard_negatives_are_as_long_and_as_often_first_as_positives() -> None:
    """Although nearness goes with length: over latents, a judge that goes by length, or by whether a document begins,
    scores .5 +- .02 (two one-sided tests) between positives and hard negatives; unmatched, by length, below .2."""
    pool = contrast.pool(corpus(), held_out=True, size=2000, seed=0)
    shapes = contrast.shapes(corpus(), pool)
    long = shapes % contrast.APART
    scores = {"length": [], "first": []}
    rng = np.random.default_rng(0)
    for number in range(300):
        like = shapes[rng.choice(len(pool), 20, replace=False)]
        nearness = long / long.max() + 0.3 * rng.random(len(pool))
        drawn = contrast.negatives(
            corpus(),
            firing(0.001, number),
            pool,
            latent=LatentId("a", "s", number),
            n=10,
            seed=0,
            n_hard=10,
            near=[nearness],
            shapes=shapes,
            like=like,
        )
        hard = contrast.shapes(corpus(), np.array([one.window for one in drawn if one.kind == "hard"]))
        assert len(hard) == 10
        above = (like % contrast.APART)[:, None] - (hard % contrast.APART)
        scores["length"].append(((above > 0) + 0.5 * (above == 0)).mean())  # AUROC by length
        scores["first"].append(0.5 + ((like >= contrast.APART).mean() - (hard >= contrast.APART).mean()) / 2)
    nearest = np.argsort(-(long / long.max() + 0.3 * rng.random(len(pool))))[:40]
    assert (long[:, None] > long[nearest]).mean() < 0.2
    for name, found in scores.items():
        error = np.std(found) / len(found) ** 0.5
        assert abs(np.mean(found) - 0.5) + 1.645 * error < 0.02, (name, np.mean(found), error)
