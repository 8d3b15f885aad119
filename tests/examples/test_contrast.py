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


def test_strata_part_the_silent_population() -> None:
    """Windows near the latent's own are one class, all others another, and their shares sum to one."""
    pool = contrast.pool(corpus(), held_out=True, size=500, seed=0)
    near = [pool[:50], pool[25:100]]
    latent = firing(0.001)
    drawn = contrast.negatives(corpus(), latent, pool, latent=LATENT, n=20, seed=0, n_hard=5, near=near)
    shares = {example.stratum: example.stratum_share for example in drawn}
    assert sum(shares.values()) == pytest.approx(1)
    silent = set(contrast.silent(corpus(), latent, pool).tolist())
    members = [silent - set(pool[:100].tolist()), silent & set(pool[:50].tolist()), silent & set(pool[50:100].tolist())]
    for stratum, windows in enumerate(members):
        assert shares[stratum] == pytest.approx(len(windows) / len(silent))
        assert {e.window for e in drawn if e.stratum == stratum} <= windows
    assert {example.kind for example in drawn if example.stratum} == {"hard"}
