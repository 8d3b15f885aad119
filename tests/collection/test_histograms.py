"""Histograms count every activation once."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from autointerp.collection.histograms import to_rows
from autointerp.examples.base import Firing
from autointerp.records import LatentId

LATENT = LatentId("d", "s", 3)


def rows(values: list[float], n_bins: int) -> list[dict]:
    firing = Firing(positions=np.arange(len(values), dtype=np.uint32), values=np.array(values, dtype=np.float32))
    return list(to_rows(LATENT, firing, n_bins))


def test_by_hand() -> None:
    """Up to 4 in four bins: 1 and 1.5 lie in [1, 2), 2 in [2, 3), 4 in [3, 4]."""
    found = rows([1.5, 4, 1, 2], 4)
    assert [(row["low"], row["high"], row["n_tokens"]) for row in found] == [(0, 1, 0), (1, 2, 2), (2, 3, 1), (3, 4, 1)]
    assert {(row["dictionary"], row["site"], row["latent"]) for row in found} == {("d", "s", 3)}


def test_a_silent_latent_has_none() -> None:
    assert rows([], 4) == []


@given(st.lists(st.floats(2.0**-60, 2.0**60, width=32), min_size=1, max_size=50), st.integers(1, 50))
def test_counts_sum_to_the_tokens_it_fires_on(values: list[float], n_bins: int) -> None:
    found = rows(values, n_bins)
    assert sum(row["n_tokens"] for row in found) == len(values)
    assert len(found) == n_bins
    assert found[-1]["high"] == max(values)
