"""Histogram of a latent's positive activations over the whole corpus, in bins of equal width."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from autointerp.examples.base import Firing
from autointerp.records import LatentId

N_BINS = 40


def to_rows(latent: LatentId, firing: Firing, n_bins: int = N_BINS) -> Iterator[dict[str, Any]]:
    """Yield one row of `tables.HISTOGRAMS` per bin, from 0 to the greatest activation; none for a silent latent.

    A bin holds its lower edge and not its upper one, but for the last, which holds both. Counts sum to the tokens of
    the corpus on which the latent fires, those outside every window too.
    """
    if len(firing.values) == 0:
        return
    values = np.asarray(firing.values, dtype=np.float64)
    counts, edges = np.histogram(values, bins=n_bins, range=(0.0, float(values.max())))
    key = {"dictionary": latent.dictionary, "site": latent.site, "latent": latent.index}
    for low, high, n_tokens in zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True):
        yield {**key, "low": low, "high": high, "n_tokens": n_tokens}
