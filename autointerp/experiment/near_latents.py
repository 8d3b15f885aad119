"""Context of each sampled latent: its nearest latents, and the text around its strongest windows."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from autointerp.collection.collection import Collection
from autointerp.corpus.base import Windows
from autointerp.dictionaries.spec import Dictionary
from autointerp.records import Example, LatentExamples, LatentId

# Nearest latents listed by each measure, and windows whose surroundings are kept.
N_NEAR, N_AROUND = 5, 6
# Firings of one dictionary's sampled latents whose co-firing is counted (about 1 GB); with more it is left out.
MAX_FIRINGS = 5 * 10**7
# Decoder rows compared at once: 2**14 rows of width 4,096 are 268 MB.
ROWS = 2**14


def by_decoder(dictionary: Dictionary, site: str, latents: NDArray[np.int64]) -> Iterator[dict[str, object]]:
    """Yield rows of `tables.NEIGHBOURS`: the latents of the whole dictionary with the most similar decoder rows.

    Args:
        dictionary: a trained one, whose rows W_dec [n_latents, d_out] are compared by cosine.
        site: as in the tables.
        latents: [n] the latents asked about.
    """
    own = _unit(dictionary.W_dec[latents.tolist()].float().cpu().numpy())
    likeness = np.concatenate(
        [own @ _unit(rows.float().cpu().numpy()).T for rows in dictionary.W_dec.split(ROWS)], axis=1
    )
    likeness[np.arange(len(latents)), latents] = -np.inf
    for latent, values in zip(latents.tolist(), likeness, strict=True):
        yield from _rows(LatentId(dictionary.name, site, latent), "decoder", np.arange(len(values)), values)


def by_cofiring(found: Collection, name: str, site: str, latents: NDArray[np.int64]) -> Iterator[dict[str, object]]:
    """Yield rows of `tables.NEIGHBOURS`: the sampled latents that fire on the same tokens, by cosine.

    The cosine of two latents is the number of tokens on which both fire over the root of the product of their counts.
    """
    positions = [found.firing(name, latent).positions for latent in latents.tolist()]
    counts = np.array([len(one) for one in positions], dtype=np.int64)
    if counts.sum() > MAX_FIRINGS or len(latents) < 2:
        return
    places, columns = np.unique(np.concatenate(positions), return_inverse=True)
    shape = (len(latents), len(places))
    fires = sparse.csr_array((np.ones(len(columns)), columns, np.append(0, np.cumsum(counts))), shape=shape)
    together = (fires @ fires.T).toarray()
    likeness = together / np.sqrt(np.maximum(1, counts[:, None] * counts[None, :]))
    np.fill_diagonal(likeness, 0)
    for latent, values in zip(latents.tolist(), likeness, strict=True):
        yield from _rows(LatentId(name, site, latent), "cofiring", latents, values)


def _rows(
    latent: LatentId, measure: str, others: NDArray[np.int64], values: NDArray[np.floating]
) -> Iterator[dict[str, object]]:
    for rank, place in enumerate(np.argsort(-values, kind="stable")[:N_NEAR].tolist()):
        if values[place] > 0:
            yield {
                "dictionary": latent.dictionary,
                "site": latent.site,
                "latent": latent.index,
                "measure": measure,
                "rank": rank,
                "other": int(others[place]),
                "value": float(values[place]),
            }


def _unit(rows: NDArray[np.floating]) -> NDArray[np.floating]:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def around(windows: Windows, examples: LatentExamples) -> Iterator[dict[str, object]]:
    """Yield rows of `tables.CONTEXTS`: the text before and after a latent's strongest windows, in their documents."""
    positives: Sequence[Example] = [*examples.explain, *examples.held_out]
    strongest = sorted(positives, key=lambda one: (-max(one.activations, default=0.0), one.window))[:N_AROUND]
    for one in strongest:
        inside = np.searchsorted(windows.documents, [windows.documents[one.window]], side="left")[0]
        last = np.searchsorted(windows.documents, windows.documents[one.window], side="right") - 1
        first, end = int(windows.starts[inside]), int(windows.starts[last]) + windows.length
        start = int(windows.starts[one.window])
        yield {
            "dictionary": examples.latent.dictionary,
            "site": examples.latent.site,
            "latent": examples.latent.index,
            "window_id": one.window,
            "before": _text(windows, max(first, start - windows.length), start),
            "after": _text(windows, start + windows.length, min(end, start + 2 * windows.length)),
        }


def _text(windows: Windows, start: int, end: int) -> str:
    return "".join(windows.decode(np.asarray(windows.tokens[start:end]))) if end > start else ""


def neighbours(found: Collection, trained: Sequence[tuple[Dictionary, str]]) -> Iterator[dict[str, object]]:
    """Yield rows of `tables.NEIGHBOURS` of the sampled latents of trained dictionaries with their sites."""
    sampled: pd.DataFrame = found.latents[found.latents["sampled"]]
    for dictionary, site in trained:
        latents = sampled.loc[sampled["dictionary"] == dictionary.name, "latent"].to_numpy()
        if len(latents):
            yield from by_decoder(dictionary, site, latents)
            yield from by_cofiring(found, dictionary.name, site, latents)
