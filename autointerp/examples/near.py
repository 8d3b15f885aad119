"""Hard negatives: silent windows near to a latent's own, in four senses; a stratum each of the shared pool.

* `words`: windows whose words are most like those of the latent's explain windows, by tf-idf over token ids: sparse,
  exact, and without a model.
* `embedding`: the same by a sentence-embedding model.
* `cofiring`: windows in which the latent's nearest neighbours fire: the sampled latents of the same dictionary that
  fire in the same windows most often (cosine of co-firing, by a sparse product).
* `decoder`: likewise, the neighbours being those whose decoder rows are most alike (cosine, block by block).

Neighbours are looked for among the sampled latents, since only their activations are kept; a latents x latents matrix
is never held. The strata are verified silent like all negatives (`contrast.negatives`), which also tells the share of
the silent population each stands for.

Source: hard negatives answer arXiv 2506.05774 (random ones cannot punish an explanation that is too broad).
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from autointerp.examples.base import Firing, Windows
from autointerp.records import Example, LatentId

# Texts -> unit vectors, [n_texts, d].
Embed = Callable[[Sequence[str]], NDArray[np.floating]]
# Share of the pool that counts as near in words or in meaning.
NEAR_SHARE = 0.02
# How many neighbours' windows count as near by co-firing or decoder rows.
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

    def near(self, positives: Sequence[Example]) -> NDArray[np.int64]:
        """Return the share `NEAR_SHARE` of the pool that is most like these windows (cosine to their mean vector)."""
        if not positives or not len(self._pool):
            return self._pool[:0]
        own = self._unit(self._counts(np.array([e.window for e in positives]), len(self._idf)))
        mean = np.asarray(own.mean(axis=0)).ravel()
        return _nearest(self._pool, self._vectors @ mean)

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

    def near(self, positives: Sequence[Example]) -> NDArray[np.int64]:
        """Return the share `NEAR_SHARE` of the pool that is most like these windows (cosine to their mean vector)."""
        if not positives or not len(self._pool):
            return self._pool[:0]
        return _nearest(self._pool, self._vectors @ self._embed([example.text for example in positives]).mean(axis=0))


def _nearest(pool: NDArray[np.int64], likeness: NDArray[np.floating]) -> NDArray[np.int64]:
    n = max(1, round(NEAR_SHARE * len(pool)))
    return pool[np.argsort(-likeness, kind="stable")[:n]]


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
    """In which of the pool's windows each of some latents fires, [n_pool, n_latents], sparse, 0 or 1."""

    def __init__(self, windows: Windows, pool: NDArray[np.int64], firings: Mapping[LatentId, Firing]) -> None:
        self._pool = pool
        self._column = {latent: i for i, latent in enumerate(firings)}
        rows, columns = [], []
        for i, firing in enumerate(firings.values()):
            fired = np.flatnonzero(np.isin(pool, windows.of(np.asarray(firing.positions))))
            rows.append(fired)
            columns.append(np.full(len(fired), i))
        place = (np.concatenate([*rows, np.array([], int)]), np.concatenate([*columns, np.array([], int)]))
        shape = (len(pool), len(firings))
        self._fires = sparse.coo_array((np.ones(len(place[0])), place), shape=shape).tocsc()
        self._size = np.sqrt(np.maximum(1, np.asarray(self._fires.sum(axis=0)).ravel()))

    def near(self, latent: LatentId) -> NDArray[np.int64]:
        """Return the windows in which the latent's neighbours by co-firing fire, those of its own dictionary only."""
        own = self._column[latent]
        together = np.asarray((self._fires.T @ self._fires[:, [own]]).todense()).ravel()
        likeness = together / self._size / self._size[own]
        others = [i for other, i in self._column.items() if i != own and other.dictionary == latent.dictionary]
        nearest = sorted((i for i in others if likeness[i] > 0), key=lambda i: (-likeness[i], i))[:N_NEIGHBOURS]
        return self._fired(nearest)

    def of(self, latents: Sequence[LatentId]) -> NDArray[np.int64]:
        """Return the windows in which any of these latents fires."""
        return self._fired([self._column[latent] for latent in latents])

    def _fired(self, columns: Sequence[int]) -> NDArray[np.int64]:
        found = np.unique(self._fires[:, list(columns)].tocoo().row) if columns else np.array([], dtype=np.int64)
        return self._pool[found]
