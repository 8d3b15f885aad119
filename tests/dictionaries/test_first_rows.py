"""Rows for the load check: one pass for dictionaries of few sites, the same rows as a pass of one's own."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from autointerp.dictionaries import first_rows, load_check
from autointerp.dictionaries.first_rows import FirstRows
from autointerp.records import Site

IN, OUT = Site("m", "input"), Site("m", "output")


class Counting:
    """A subject whose activation at a site is a function of token and site; counts its passes."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        self.n_passes = 0

    def capture(self, ids: torch.Tensor, mask: None, wanted: Sequence[Site]) -> dict[Site, torch.Tensor]:
        self.n_passes += 1
        return {site: ids[:, :, None] * torch.ones(3) + (site == OUT) for site in wanted}


@pytest.mark.parametrize("limit", [1, 4])
def test_sharing_changes_passes_and_no_row(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_rows, "SHARED_SITES", limit)
    subject: Any = Counting()
    documents = [np.arange(n, n + 5) for n in range(3)]
    rows = FirstRows(subject, documents, {IN, OUT}, 9)
    found = [rows.at(OUT, OUT), rows.at(IN, OUT), rows.at(IN, OUT)]
    assert subject.n_passes == (3 if limit > 1 else 9)
    for pair, (site_in, site_out) in zip(found, [(OUT, OUT), (IN, OUT), (IN, OUT)], strict=True):
        own = load_check.rows(subject, documents, site_in, site_out, bos=9)
        assert all(torch.equal(one, other) for one, other in zip(pair, own, strict=True))
