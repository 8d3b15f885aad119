"""Settings of the reconstruction measurements, and what they need of subject and dictionaries. Light: no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from autointerp.corpus.base import Windows
from autointerp.records import Site
from autointerp.subject.base import CleanRun, Predicted, Subject

if TYPE_CHECKING:
    import torch


Ablation = Literal["zero", "mean"]


class Precision(BaseModel):
    """Half-widths of intervals at which measuring stops; half of what comparisons call negligible is a good choice."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    ce_increase: float = Field(default=0.005, ge=0, description="of the cross-entropy increase, in nats; 0: never stop")
    fvu: float = Field(default=0.01, ge=0, description="of the fraction of variance unexplained; 0: never stop")

    @property
    def stops(self) -> bool:
        """Whether measuring can stop before the last document."""
        return self.ce_increase > 0 and self.fvu > 0


class ReconstructionConfig(BaseModel):
    """On how much text dictionaries are measured, and how precisely."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    enabled: bool = Field(default=True, description="measure reconstruction at all")
    n_documents: int = Field(
        default=200, ge=2, le=10**7, description="held-out documents at most; of each its first context"
    )
    precision: Precision = Field(
        default=Precision(),
        description="stop, after 40 documents or more, once the intervals of every dictionary are this narrow",
    )
    ablations: tuple[Ablation, ...] = Field(
        default=(),
        description="also replace each site by zero, mean or both: gives ce_recovered_zero, ce_recovered_mean",
    )
    batch_tokens: int = Field(default=4096, ge=1, le=2**24, description="tokens per forward pass, padding included")
    n_bootstrap: int = Field(default=1000, ge=100, le=100_000, description="resamples of documents for each interval")
    level: float = Field(default=0.95, gt=0, lt=1, description="level of the intervals")
    dense_above: float = Field(
        default=0.1, gt=0, lt=1, description="a latent that fires on more of the tokens is dense"
    )


class Dictionary(Protocol):
    """What is measured: activations of rows, and the reconstruction from them."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def n_latents(self) -> int: ...  # noqa: D102
    @property
    def group(self) -> str: ...  # noqa: D102
    @property
    def site_out(self) -> str: ...  # noqa: D102

    def encode(self, x: torch.Tensor) -> Any:
        """Activations of rows [n, d_in], with `values` and `indices` [n, w]; a zero value is padding."""
        ...

    def writes_to(self, site: str) -> bool:
        """Whether a layer of a cross-layer transcoder writes to this later site."""
        ...

    def written(self, codes: Any, site: str) -> torch.Tensor:
        """Its output there [n, d_out]."""
        ...

    def decode(self, codes: Any, x: torch.Tensor) -> torch.Tensor:
        """Reconstruction [n, d_out] from activations; x is what was encoded."""
        ...


class Spliceable(Subject, Protocol):
    """A subject whose activations can be replaced; see `HookedSubject`."""

    def run(
        self,
        ids: torch.Tensor,
        attention_mask: torch.Tensor | None,
        sites: Sequence[Site],
        changed: Sequence[Site] = (),
    ) -> CleanRun:
        """Run untouched to the end; keep what `replaced` needs to change an activation at one of `changed`."""
        ...

    def replaced(self, clean: CleanRun, site: Site, new: torch.Tensor) -> torch.Tensor:
        """Last hidden states [runs, batch, sequence, d] with `new` [runs, batch, sequence, d] at a site."""
        ...

    def spliced(
        self,
        ids: torch.Tensor,
        attention_mask: torch.Tensor | None,
        reads: Sequence[Site],
        gives: Mapping[Site, Callable[[Mapping[Site, torch.Tensor]], torch.Tensor]],
    ) -> torch.Tensor:
        """Last hidden states [batch, sequence, d] with an activation replaced at every site of `gives`."""
        ...

    def predictions(
        self, ids: torch.Tensor, attention_mask: torch.Tensor | None, hidden: Sequence[torch.Tensor], *, kl: bool = True
    ) -> list[Predicted]:
        """Cross-entropy of several runs over the same tokens, and their KL from the first."""
        ...


@dataclass(frozen=True, slots=True)
class Arm:
    """A dictionary with its sites in the subject at hand."""

    dictionary: Dictionary
    site_in: Site
    site_out: Site


def held_out_documents(windows: Windows, config: ReconstructionConfig, context_length: int) -> list[NDArray[np.int64]]:
    """Token ids of the first held-out documents of a corpus, each cut to its first context, without special tokens.

    A document counts with its whole windows: a document shorter than a window has none and is ignored.
    """
    texts: list[NDArray[np.int64]] = []
    for document in dict.fromkeys(windows.documents[windows.held_out].tolist()):
        starts = windows.starts[windows.documents == document]
        end = min(int(starts[-1]) + windows.length, int(starts[0]) + context_length)
        texts.append(np.asarray(windows.tokens[int(starts[0]) : end], dtype=np.int64))
        if len(texts) == config.n_documents:
            break
    return texts
