"""Negatives: windows on which a latent is wholly silent, from one pool that all dictionaries of a study share.

The pool is drawn once, by seed, from the windows of one split; a latent's negatives are those of the pool in which no
token activates it at all (checked on its activations, not assumed), without replacement, by a draw of its own. Windows
lie on one fixed grid, so that negatives and positives have the same length and alignment.

With hard strata the latent's silent pool is parted: strata 1.. are the `NEAR_SHARE` of it that lies nearest to the
latent's own windows in one sense each (`near`), matched to its positives in length and in whether they begin a
document, so that neither distinguishes them; stratum 0 is all the rest. `random` negatives are drawn from the whole
pool, whatever stratum they fall into, so that a score by them means the same with and without hard ones; their
`stratum_share` is the share of these draws. `hard` negatives are drawn from one stratum each, besides; their
`stratum_share` is the share of the silent population that the stratum is. From both a specificity can be weighted to
the real distribution (Horvitz-Thompson; `statistics.prevalence`).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from autointerp.corpus.base import Windows
from autointerp.examples.base import Firing
from autointerp.records import Example, Kind, LatentId
from autointerp.seeds import generator

# Share of a latent's silent windows that counts as near, by each kind of nearness.
NEAR_SHARE = 0.02
# Characters by which a hard negative's length may differ from its positive's; first windows of documents differ most.
CALIPER, APART = 5, 1e6


def pool(
    windows: Windows, *, held_out: bool, size: int, seed: int, fit: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """Draw the shared pool: at most `size` windows of one split, ascending; the same for every dictionary.

    Args:
        windows: the corpus.
        held_out: which split.
        size: number of windows.
        seed: the study's.
        fit: [n_windows] the windows that may be drawn (`repeats.fit_to_judge`); None for all of the split.

    Source: one pool for all halves the variance of differences (design note on crossed contexts; Cameron et al. 2011).
    """
    candidates = np.flatnonzero((windows.held_out == held_out) & (True if fit is None else fit))
    rng = generator(seed, "contrast pool", held_out)
    return np.sort(rng.permutation(candidates)[:size])


def silent(windows: Windows, firing: Firing, pool: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the windows of the pool in which no token activates the latent."""
    active = np.zeros(len(windows) + 1, dtype=np.bool_)
    active[windows.of(np.asarray(firing.positions))] = True  # the last entry is of positions outside every window
    return pool[~active[pool]]


def negatives(
    windows: Windows,
    firing: Firing,
    pool: NDArray[np.int64],
    *,
    latent: LatentId,
    n: int,
    seed: int,
    n_hard: int = 0,
    near: Sequence[NDArray[np.floating]] = (),
    shapes: NDArray[np.floating] | None = None,
    like: NDArray[np.floating] | None = None,
) -> tuple[Example, ...]:
    """Draw a latent's negatives: `n` random ones, and `n_hard` from each hard stratum.

    Args:
        windows: the corpus.
        firing: the latent's activations on it.
        pool: the shared pool of one split.
        latent: keys the draw, with the split, so that it depends on nothing else.
        n: number of random negatives, from the whole silent pool.
        seed: the study's.
        n_hard: number of further negatives from each of `near`.
        near: [n_pool] each, one per hard stratum, nearest first: how near windows of the pool are to the latent's
            own; what is not above 0 is not near at all. A window that is among the nearest of several belongs to the
            first.
        shapes: [n_pool] `shapes` of the pool's windows.
        like: [n_positives] those of the latent's positives, which hard negatives are then matched to.

    Returns:
        Up to that many, without repetition; a dense latent may have fewer, or none, which the caller counts.
    """
    quiet = silent(windows, firing, pool)
    places = np.searchsorted(pool, quiet)
    stratum = np.zeros(len(quiet), dtype=np.int64)
    for number, nearness in reversed(list(enumerate(near, start=1))):
        if shapes is None or like is None or not len(like):
            stratum[_nearest(nearness[places])] = number
        else:
            stratum[_matched(nearness[places], shapes[places], like)] = number
    split = bool(windows.held_out[pool[0]]) if len(pool) else False
    rng = generator(seed, "contrast", latent, split)
    order = rng.permutation(len(quiet))
    drawn, left = order[:n], order[n:]
    falls = np.bincount(stratum[drawn], minlength=len(near) + 1)
    sizes = np.bincount(stratum, minlength=len(near) + 1)
    chosen = [
        _example(windows, int(quiet[i]), "random", int(stratum[i]), float(falls[stratum[i]] / len(drawn)))
        for i in drawn
    ]
    for number in range(1, len(near) + 1):
        hard = left[stratum[left] == number][:n_hard]
        chosen += [_example(windows, int(quiet[i]), "hard", number, float(sizes[number] / len(quiet))) for i in hard]
    return tuple(chosen)


def _nearest(nearness: NDArray[np.floating]) -> NDArray[np.intp]:
    """Return the indices of the nearest `NEAR_SHARE`, at least one, among windows with any nearness."""
    first = np.argsort(-nearness, kind="stable")[: max(1, round(NEAR_SHARE * len(nearness)))]
    return first[nearness[first] > 0]


def shapes(windows: Windows, which: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return each window's length in characters, plus `APART` for the first window of a document: [n]."""
    first = np.diff(windows.documents, prepend=-1)[which] != 0
    return np.array([sum(map(len, windows.pieces(int(window)))) for window in which], dtype=np.float64) + APART * first


def _matched(
    nearness: NDArray[np.floating], shapes: NDArray[np.floating], like: NDArray[np.floating]
) -> NDArray[np.intp]:
    """Return the indices of the nearest `NEAR_SHARE`, matched to the positives' distribution of shapes.

    Each silent window belongs to the positive of the most similar shape, if it is within `CALIPER` characters. Each
    positive has an equal part of the stratum, the nearest of those that belong to it: as many longer as shorter ones
    (of equal ones every other counts as longer), at least one each.
    """
    values, counts = np.unique(like, return_counts=True)
    close = np.flatnonzero(nearness > 0)
    cell = np.searchsorted((values[1:] + values[:-1]) / 2, shapes[close])
    off = shapes[close] - values[cell]
    fits = np.abs(off) <= CALIPER
    close, cell, off = close[fits], cell[fits], off[fits]
    longer = np.where(off == 0, close % 2 == 0, off > 0)
    half = 2 * cell + longer
    order = np.lexsort((-nearness[close], half))
    sizes = np.bincount(half[order], minlength=2 * len(values))
    rank = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    part = NEAR_SHARE * len(nearness) / len(like) * counts / 2
    return close[order[rank < np.maximum(1, np.round(part))[cell[order]]]]


def _example(windows: Windows, window: int, kind: Kind, stratum: int, share: float) -> Example:
    pieces = windows.pieces(window)
    return Example(
        window=window,
        document=int(windows.documents[window]),
        pieces=pieces,
        activations=(0.0,) * len(pieces),
        kind=kind,
        stratum=stratum,
        stratum_share=share,
    )
