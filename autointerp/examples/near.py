"""How near windows of the pool are to a latent's own, in four senses; the nearest silent ones are hard negatives.

* `words`: by the words they share with the latent's explain windows (tf-idf over token ids): sparse, exact, and without
  a model.
* `embedding`: the same by a sentence-embedding model.
* `cofiring`: by how strongly the latent's nearest neighbours fire there: the sampled latents of the same dictionary
  that fire in the same windows most often (cosine of co-firing, by a sparse product).
* `decoder`: likewise, the neighbours being those whose decoder rows are most alike (cosine, block by block).

Each gives a number per window of the pool; more is nearer, nothing at or below 0 is near. `contrast.negatives` takes
the same small share of the latent's silent windows by each. Neighbours are looked for among the sampled latents of
the same dictionary, since only their activations are kept; a latents x latents matrix is never held.

Source: hard negatives answer arXiv 2506.05774 (random ones cannot punish an explanation that is too broad).
"""

from collections.abc import Callable, Iterator, Sequence

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
# Rows of decoder weights that are compared with all others at once.
BLOCK = 1024
# (window, latent) pairs that the search for neighbours by co-firing holds at once: 12 bytes each.
PAIRS = 2**23


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


def decoder_neighbours(rows: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return each row's nearest other rows by cosine, nearest first: [n, min(N_NEIGHBOURS, n - 1)].

    Args:
        rows: [n, d] decoder rows of one dictionary's sampled latents; a row of zeros is near to nothing in particular.
    """
    unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    found = np.empty((len(rows), min(N_NEIGHBOURS, max(0, len(rows) - 1))), dtype=np.int64)
    for start in range(0, len(rows), BLOCK):
        likeness = unit[start : start + BLOCK] @ unit.T
        own = np.arange(len(likeness))
        likeness[own, start + own] = -np.inf
        found[start : start + BLOCK] = np.argsort(-likeness, axis=1, kind="stable")[:, : found.shape[1]]
    return found


class Cofiring:
    """How strongly each sampled latent of one dictionary fires in each of the pool's windows, sparse.

    Strength is the window's greatest activation over the latent's greatest in the pool, in (0, 1]. Memory and time are
    linear in the number of (latent, pool window) pairs in which a latent fires; the search for neighbours takes time
    linear in the pairs of latents that share a window.

    Attributes:
        latents: [n] indices of the latents, ascending.
    """

    def __init__(
        self, windows: Windows, pool: NDArray[np.int64], latents: Sequence[int], firing: Callable[[int], Firing]
    ) -> None:
        self.latents = np.array(latents, dtype=np.int64)
        fired, strengths, sizes = [np.array([], np.int32)], [np.array([], np.float64)], []
        for latent in latents:
            where, strength = _strength(windows, pool, firing(latent))
            fired.append(where.astype(np.int32))
            strengths.append(strength)
            sizes.append(len(where))
        offsets = np.append(0, np.cumsum(sizes, dtype=np.int64))
        shape = (len(self.latents), len(pool))
        self._strength = sparse.csr_array((np.concatenate(strengths), np.concatenate(fired), offsets), shape=shape)
        self._neighbours: NDArray[np.int64] | None = None

    def near(self, latent: int) -> NDArray[np.float64]:
        """Return `of` the latent's nearest neighbours by co-firing: [n_pool]."""
        if self._neighbours is None:
            self._neighbours = self.neighbours()
        own = self._neighbours[np.searchsorted(self.latents, latent)]
        return self.of(self.latents[own[own >= 0]])

    def of(self, latents: NDArray[np.integer] | Sequence[int]) -> NDArray[np.float64]:
        """Return the sum of these latents' strengths in each window of the pool: [n_pool]."""
        found = np.zeros(self._strength.shape[1])
        for row in np.searchsorted(self.latents, latents):
            at = slice(self._strength.indptr[row], self._strength.indptr[row + 1])
            found[self._strength.indices[at]] += self._strength.data[at]
        return found

    def neighbours(self) -> NDArray[np.int64]:
        """Return for each latent its nearest others by the cosine of co-firing, nearest first, as places in `latents`.

        Shape [n, N_NEIGHBOURS]; -1 where fewer others fire in any of its windows.
        """
        fires = sparse.csr_array(
            (np.ones(self._strength.nnz, np.float32), self._strength.indices, self._strength.indptr),
            shape=self._strength.shape,
        )
        by_window = fires.T.tocsr()
        sizes = np.diff(fires.indptr)
        norms = np.sqrt(np.maximum(1, sizes))
        found = np.full((len(sizes), N_NEIGHBOURS), -1, dtype=np.int64)
        for first, last in _blocks(_pairs(fires, by_window), PAIRS):
            together = fires[first:last] @ by_window
            for row, own in enumerate(range(first, last)):
                at = slice(together.indptr[row], together.indptr[row + 1])
                others, counts = together.indices[at], together.data[at].astype(np.float64)
                nearest = _largest(counts / norms[others] / norms[own], others, own)
                found[own, : len(nearest)] = nearest
        return found


def _pairs(fires: sparse.csr_array, by_window: sparse.csr_array) -> NDArray[np.int64]:
    """Return how many (window, other latent) pairs the search for each latent's neighbours looks at: [n]."""
    per_window = np.append(0, np.cumsum(np.diff(by_window.indptr)[fires.indices], dtype=np.int64))
    return np.diff(per_window[fires.indptr])


def _blocks(costs: NDArray[np.int64], most: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of rows whose costs add up to at most `most`, or of a single row."""
    total, first = np.append(0, np.cumsum(costs)), 0
    while first < len(costs):
        last = max(first + 1, int(np.searchsorted(total, total[first] + most, side="right")) - 1)
        yield first, last
        first = last


def _largest(likeness: NDArray[np.float64], others: NDArray[np.integer], own: int) -> NDArray[np.int64]:
    """Return up to N_NEIGHBOURS of the others with the greatest likeness, the smaller index first of equals."""
    if len(others) > 4 * N_NEIGHBOURS:
        least = np.partition(likeness, -(N_NEIGHBOURS + 1))[-(N_NEIGHBOURS + 1)]
        kept = likeness >= least
        likeness, others = likeness[kept], others[kept]
    order = np.lexsort((others, -likeness))
    return others[order][others[order] != own][:N_NEIGHBOURS].astype(np.int64)


def _strength(
    windows: Windows, pool: NDArray[np.int64], firing: Firing
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the places in the pool of the windows in which a latent fires, ascending, and how strongly it does."""
    window = windows.of(np.asarray(firing.positions))
    place = np.searchsorted(pool, window)
    inside = (place < len(pool)) & (pool[np.minimum(place, len(pool) - 1)] == window) if len(pool) else window < -1
    values, place = np.asarray(firing.values, dtype=np.float64)[inside], place[inside]
    starts = np.flatnonzero(np.diff(place, prepend=-1))
    if len(starts) == 0:
        return place, values
    peaks = np.maximum.reduceat(values, starts)
    return place[starts], peaks / max(peaks.max(), 1e-300)
