"""How near windows of the pool are to a latent's own, in four senses; the nearest silent ones are hard negatives.

* `words`: by the words they share with the latent's explain windows (tf-idf over token ids): sparse, exact, and without
  a model.
* `embedding`: the same by a sentence-embedding model.
* `cofiring`: by how strongly the latent's nearest neighbours fire there: the sampled latents of the same dictionary
  that fire in the same windows most often (cosine of co-firing, by a sparse product).
* `decoder`: likewise, the neighbours being those whose decoder rows are most alike (cosine, block by block).

Each gives a number per window of the pool; more is nearer, nothing at or below 0 is near. `contrast.negatives` takes
the same small share of the latent's silent windows by each. Neighbours are looked for among the sampled latents, since
only their activations are kept; a latents x latents matrix is never held.

Source: hard negatives answer arXiv 2506.05774 (random ones cannot punish an explanation that is too broad).
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from autointerp.corpus.base import Windows
from autointerp.examples.base import Firing
from autointerp.records import Example, LatentId

# Texts -> unit vectors, [n_texts, d].
Embed = Callable[[Sequence[str]], NDArray[np.floating]]
# How many neighbours tell nearness by co-firing or decoder rows.
N_NEIGHBOURS = 3
# Rows of decoder weights that are compared with all others at once.
BLOCK = 1024


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
    """How strongly each of some latents fires in each of the pool's windows, [n_pool, n_latents], sparse.

    Strength is the window's greatest activation over the latent's greatest in the pool, in (0, 1].
    """

    def __init__(self, windows: Windows, pool: NDArray[np.int64], firings: Mapping[LatentId, Firing]) -> None:
        self._column = {latent: i for i, latent in enumerate(firings)}
        rows, columns, strengths = [np.array([], int)], [np.array([], int)], [np.array([], float)]
        for i, firing in enumerate(firings.values()):
            fired, strength = _strength(windows, pool, firing)
            rows.append(fired)
            columns.append(np.full(len(fired), i))
            strengths.append(strength)
        place, shape = (np.concatenate(rows), np.concatenate(columns)), (len(pool), len(firings))
        self._strength = sparse.coo_array((np.concatenate(strengths), place), shape=shape).tocsc()
        self._fires = self._strength.copy()
        self._fires.data[:] = 1
        self._size = np.sqrt(np.maximum(1, np.asarray(self._fires.sum(axis=0)).ravel()))

    def near(self, latent: LatentId) -> NDArray[np.float64]:
        """Return `of` the latent's neighbours by co-firing, those of its own dictionary only: [n_pool]."""
        own = self._column[latent]
        together = np.asarray((self._fires.T @ self._fires[:, [own]]).todense()).ravel()
        likeness = together / self._size / self._size[own]
        others = [(other, i) for other, i in self._column.items() if i != own and other.dictionary == latent.dictionary]
        nearest = sorted((one for one in others if likeness[one[1]] > 0), key=lambda one: (-likeness[one[1]], one[1]))
        return self.of([other for other, _ in nearest[:N_NEIGHBOURS]])

    def of(self, latents: Sequence[LatentId]) -> NDArray[np.float64]:
        """Return the sum of these latents' strengths in each window of the pool: [n_pool]."""
        columns = [self._column[latent] for latent in latents]
        return np.asarray(self._strength[:, columns].sum(axis=1), dtype=np.float64).ravel()


def _strength(
    windows: Windows, pool: NDArray[np.int64], firing: Firing
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the places in the pool of the windows in which a latent fires, and how strongly it does."""
    values, window = np.asarray(firing.values, dtype=np.float64), windows.of(np.asarray(firing.positions))
    place = np.searchsorted(pool, window)
    inside = (place < len(pool)) & (pool[np.minimum(place, len(pool) - 1)] == window) if len(pool) else window < -1
    peaks = np.zeros(len(pool))
    np.maximum.at(peaks, place[inside], values[inside])
    fired = np.flatnonzero(peaks)
    return fired, peaks[fired] / max(peaks.max(initial=0), 1e-300)
