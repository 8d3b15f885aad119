"""Negatives: windows on which a latent is wholly silent, from one pool that all dictionaries of a study share.

The pool is drawn once, by seed, from the windows of one split; a latent's negatives are those of the pool in which no
token activates it at all (checked on its activations, not assumed), without replacement, by a draw of its own. Windows
lie on one fixed grid, so that negatives and positives have the same length and place.

With hard strata the latent's silent pool is parted: stratum 1.. are the `hard` ones, stratum 0 all the rest, each with
the share of the silent population it stands for. The shares sum to 1, so that a specificity over strata can be weighted
to the real distribution (Horvitz-Thompson).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from autointerp.examples.base import Firing, Windows
from autointerp.records import Example, LatentId
from autointerp.seeds import generator


def pool(windows: Windows, *, held_out: bool, size: int, seed: int) -> NDArray[np.int64]:
    """Draw the shared pool: at most `size` windows of one split, ascending; the same for every dictionary.

    Source: one pool for all halves the variance of differences (design note on crossed contexts; Cameron et al. 2011).
    """
    candidates = np.flatnonzero(windows.held_out == held_out)
    rng = generator(seed, "contrast pool", held_out)
    return np.sort(rng.permutation(candidates)[:size])


def silent(windows: Windows, firing: Firing, pool: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the windows of the pool in which no token activates the latent."""
    active = np.unique(windows.of(np.asarray(firing.positions)))
    return pool[~np.isin(pool, active, assume_unique=True)]


def negatives(
    windows: Windows,
    firing: Firing,
    pool: NDArray[np.int64],
    *,
    latent: LatentId,
    n: int,
    seed: int,
    n_hard: int = 0,
    near: Sequence[NDArray[np.int64]] = (),
) -> tuple[Example, ...]:
    """Draw a latent's negatives: `n` random ones, and `n_hard` from each hard stratum.

    Args:
        windows: the corpus.
        firing: the latent's activations on it.
        pool: the shared pool of one split.
        latent: keys the draw, with the split, so that it depends on nothing else.
        n: random negatives wanted.
        seed: the study's.
        n_hard: negatives wanted from each of `near`.
        near: hard strata, most wanted first: windows of the pool that are near to the latent's own. A window in several
            belongs to the first.

    Returns:
        As many as there are; a dense latent may have fewer than wanted, or none, which the caller counts.
    """
    quiet = silent(windows, firing, pool)
    strata, rest = [], quiet
    for stratum in near if n_hard else ():
        strata.append(rest[np.isin(rest, stratum)])
        rest = rest[~np.isin(rest, stratum)]
    split = bool(windows.held_out[pool[0]]) if len(pool) else False
    rng = generator(seed, "contrast", latent, split)
    wanted = [(rest, n), *((stratum, n_hard) for stratum in strata)]
    return tuple(
        _example(windows, int(window), number, len(members) / len(quiet))
        for number, (members, count) in enumerate(wanted)
        for window in rng.permutation(members)[:count]
    )


def _example(windows: Windows, window: int, stratum: int, share: float) -> Example:
    pieces = windows.pieces(window)
    return Example(
        window=window,
        document=int(windows.documents[window]),
        pieces=pieces,
        activations=(0.0,) * len(pieces),
        kind="hard" if stratum else "random",
        stratum=stratum,
        stratum_share=share,
    )
