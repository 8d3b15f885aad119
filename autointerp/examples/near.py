"""Similarity of pool windows to a latent's windows, in four senses; the nearest silent ones are hard negatives.

* `words`: by the words they share with the latent's explain windows (tf-idf over token ids): sparse, exact, and without
  a model.
* `embedding`: the same by a sentence-embedding model.
* `cofiring`: by how strongly the latent's nearest neighbours fire there: the reference latents of the same dictionary
  that fire in the same windows most often (cosine of co-firing).
* `decoder`: likewise, with the latents of the most similar decoder rows (cosine) as neighbours.

Each gives a number per window of the pool; more is nearer, nothing at or below 0 is near. `contrast.negatives` takes
the same small share of the latent's silent windows by each. Reference latents (`collection.sample`) are the same
however many latents are sampled, so a latent's hard negatives are too.

Source: hard negatives answer arXiv 2506.05774 (random ones cannot punish an explanation that is too broad).
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from autointerp.corpus.base import Windows
from autointerp.examples.base import Firing
from autointerp.records import Example

# Texts -> unit vectors, [n_texts, d].
Embed = Callable[[Sequence[str]], NDArray[np.floating]]
# How many neighbours tell nearness by co-firing or decoder rows.
N_NEIGHBOURS = 3


class Words:
    """The pool's windows as unit tf-idf vectors over token ids, [n_pool, n_vocabulary], sparse."""

    def __init__(self, windows: Windows, pool: NDArray[np.int64]) -> None:
        self._windows, self._pool = windows, pool
        n_vocabulary = int(np.max(windows.tokens, initial=0)) + 1
        counts = self._counts(pool, n_vocabulary)
        # Inverse document frequency, smoothed so that no token is worth nothing or everything.
        in_windows = np.bincount(counts.indices, minlength=n_vocabulary)
        self._idf = np.log((1 + len(pool)) / (1 + in_windows)) + 1
        self._vectors = self._unit(counts)

    def near(self, positives: Sequence[Example]) -> NDArray[np.float64]:
        """Return how like each window of the pool is to these windows (cosine to their mean vector): [n_pool]."""
        if not positives or not len(self._pool):
            return np.zeros(len(self._pool))
        own = self._unit(self._counts(np.array([e.window for e in positives]), len(self._idf)))
        mean = np.asarray(own.mean(axis=0)).ravel()
        return np.asarray(self._vectors @ mean, dtype=np.float64)

    def _counts(self, which: NDArray[np.int64], n_vocabulary: int) -> sparse.csr_array:
        length = self._windows.length
        places = self._windows.starts[which][:, None] + np.arange(length)
        ids = np.asarray(self._windows.tokens[places.ravel()], dtype=np.int64)
        rows = np.repeat(np.arange(len(which)), length)
        return sparse.coo_array((np.ones(len(ids)), (rows, ids)), shape=(len(which), n_vocabulary)).tocsr()

    def _unit(self, counts: sparse.csr_array) -> sparse.csr_array:
        weighted = sparse.csr_array(counts * self._idf[None, :])
        norms = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
        return sparse.csr_array(sparse.diags_array(1 / np.maximum(norms, 1e-12)) @ weighted)


class Meanings:
    """The pool's windows as unit vectors of a sentence-embedding model, [n_pool, d]."""

    def __init__(self, windows: Windows, pool: NDArray[np.int64], embed: Embed) -> None:
        self._pool, self._embed = pool, embed
        texts = ["".join(windows.pieces(int(window))) for window in pool]
        self._vectors = embed(texts) if texts else np.empty((0, 1))

    def near(self, positives: Sequence[Example]) -> NDArray[np.float64]:
        """Return how like each window of the pool is to these windows (cosine to their mean vector): [n_pool]."""
        if not positives or not len(self._pool):
            return np.zeros(len(self._pool))
        mean = self._embed([example.text for example in positives]).mean(axis=0)
        return np.asarray(self._vectors @ mean, dtype=np.float64)


class Decoders:
    """Decoder rows of one dictionary's reference latents as unit vectors, [n_reference, d]."""

    def __init__(self, latents: NDArray[np.integer], rows: NDArray[np.floating]) -> None:
        self._latents, self._unit = latents, _unit_rows(rows)

    def near(self, latent: int, row: NDArray[np.floating]) -> NDArray[np.intp]:
        """Return the indices of the reference latents with the most similar decoder rows, without itself.

        A row of zeros is near to none.
        """
        return nearest(self._unit @ _unit_rows(row[None])[0], self._latents != latent)


def _unit_rows(rows: NDArray[np.floating]) -> NDArray[np.floating]:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


class Cofiring:
    """Return each reference latent's activation in each pool window, as a sparse matrix.

    Strength is the window's greatest activation over the latent's greatest in the pool, in (0, 1]. Memory is linear in
    the (reference latent, pool window) pairs in which one fires, time per query in the pairs of the query's windows.
    """

    def __init__(
        self, windows: Windows, pool: NDArray[np.int64], latents: Sequence[int], firing: Callable[[int], Firing]
    ) -> None:
        self._windows, self._pool = windows, pool
        self._latents = np.array(latents, dtype=np.int64)
        found = [_strength(windows, pool, firing(latent)) for latent in self._latents.tolist()]
        sizes = np.array([len(where) for where, _ in found], dtype=np.int64)
        empty = (np.empty(0, np.int64), np.empty(0))
        places, strengths = (np.concatenate(part) for part in zip(empty, *found, strict=True))
        shape = (len(self._latents), len(pool))
        self._strength = sparse.csr_array((strengths, places, np.append(0, np.cumsum(sizes))), shape=shape)
        self._by_window = sparse.csr_array(self._strength.T)
        self._norms = np.sqrt(np.maximum(1, sizes))

    def near(self, latent: int, firing: Firing) -> NDArray[np.float64]:
        """Return `of` a latent's nearest reference latents by the cosine of co-firing, itself left out: [n_pool]."""
        places, _ = _strength(self._windows, self._pool, firing)
        together = np.bincount(self._by_window[places].indices, minlength=len(self._latents))
        likeness = together / self._norms / np.sqrt(max(1, len(places)))
        return self.of(nearest(likeness, self._latents != latent))

    def of(self, places: NDArray[np.integer] | Sequence[int]) -> NDArray[np.float64]:
        """Return the sum of some reference latents' strengths in each window of the pool: [n_pool]."""
        found = np.zeros(self._strength.shape[1])
        for row in places:
            at = slice(self._strength.indptr[row], self._strength.indptr[row + 1])
            found[self._strength.indices[at]] += self._strength.data[at]
        return found


def nearest(likeness: NDArray[np.floating], allowed: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the indices of up to N_NEIGHBOURS allowed entries above 0, greatest first, ties by index."""
    likeness = np.where(allowed, likeness, 0)
    first = np.argsort(-likeness, kind="stable")[:N_NEIGHBOURS]
    return first[likeness[first] > 0]


def _strength(
    windows: Windows, pool: NDArray[np.int64], firing: Firing
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the indices of pool windows in which a latent fires, ascending, and its activations there."""
    window = windows.of(np.asarray(firing.positions))
    place = np.searchsorted(pool, window)
    inside = (place < len(pool)) & (pool[np.minimum(place, len(pool) - 1)] == window) if len(pool) else window < -1
    values, place = np.asarray(firing.values, dtype=np.float64)[inside], place[inside]
    starts = np.flatnonzero(np.diff(place, prepend=-1))
    if len(starts) == 0:
        return place, values
    peaks = np.maximum.reduceat(values, starts)
    return place[starts], peaks / max(peaks.max(), 1e-300)
