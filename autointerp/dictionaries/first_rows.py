"""Activations on a corpus's first documents, on which dictionaries are checked before anything is collected."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from autointerp.dictionaries import load_check
from autointerp.records import Site
from autointerp.subject.base import Subject

# Sites whose activations are held together: 8,192 rows of width 4,096 are 134 MB each.
SHARED_SITES = 4


@dataclass(slots=True)
class FirstRows:
    """Activations of a subject on the first documents; `bos` is the id before each, or None.

    Dictionaries of few sites share one pass; with more sites each makes its own, so that activations of all layers
    of a large model are never held together.
    """

    subject: Subject
    documents: list[NDArray[np.int64]]
    sites: AbstractSet[Site]
    bos: int | None
    _captured: dict[Site, Tensor] = field(default_factory=dict)

    def at(self, site_in: Site, site_out: Site) -> tuple[Tensor, Tensor]:
        """Return x [n, d_in] at one site and y [n, d_out] at another one, on the same tokens."""
        if len(self.sites) > SHARED_SITES:
            return load_check.rows(self.subject, self.documents, site_in, site_out, bos=self.bos)
        if not self._captured:
            self._captured = load_check.captured(
                self.subject, self.documents, sorted(self.sites), bos=self.bos, n_wanted=load_check.N_TOKENS
            )
        return self._captured[site_in], self._captured[site_out]
