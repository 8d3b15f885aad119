"""Activation functions of dictionaries: pre-activations [n, M] to activations, dense or sparse."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

ActivationKind = Literal["relu", "topk", "abstopk", "groupmax", "jumprelu", "gated"]
# Width of the groups whose maxima narrow a top-k down. On one core, 512 rows of 2**15, k = 32: 69, 40, 37 and 48 ms for
# 16, 32, 64 and 128; torch.topk alone 57 ms.
GROUP = 32


@dataclass(frozen=True, slots=True)
class Codes:
    """Sparse activations: `values` and `indices` [n, w]. A zero value is padding, whatever its index."""

    values: Tensor
    indices: Tensor

    @staticmethod
    def cat(parts: "list[Codes]") -> "Codes":
        """Stack rows; narrower parts are padded to the widest."""
        if len(parts) == 1:
            return parts[0]
        width = max(part.values.shape[1] for part in parts)
        pads = [(0, width - part.values.shape[1]) for part in parts]
        pad = torch.nn.functional.pad
        return Codes(
            torch.cat([pad(part.values, by) for part, by in zip(parts, pads, strict=True)]),
            torch.cat([pad(part.indices, by) for part, by in zip(parts, pads, strict=True)]),
        )

    def dense(self, n_latents: int) -> Tensor:
        """Write them out as [n, n_latents]."""
        return self.values.new_zeros(len(self.values), n_latents).scatter_add_(1, self.indices, self.values)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Activation:
    """One activation function with its parameters.

    relu       max(h, 0)
    topk       the k largest of max(h, 0) (of h itself where `signed`), zero elsewhere
    abstopk    the k largest in size, signs kept
    groupmax   the largest of max(h, 0) in each of k contiguous groups
    jumprelu   max(h, 0) (h itself where `signed`) where h > threshold, zero elsewhere
    gated      max(h * gain + mag_bias, 0) where h + gate_bias > 0, zero elsewhere (h without any bias)

    `threshold`, `gain`, `mag_bias` and `gate_bias` are [M].
    """

    kind: ActivationKind
    k: int = 0
    signed: bool = False
    threshold: Tensor | None = None
    gain: Tensor | None = None
    mag_bias: Tensor | None = None
    gate_bias: Tensor | None = None

    @property
    def competes(self) -> bool:
        """Whether a latent's activation depends on the other latents."""
        return self.kind in ("topk", "abstopk", "groupmax")

    def sparse(self, h: Tensor) -> Codes:
        """Activations of pre-activations [n, M] as codes; may overwrite `h`."""
        if self.kind == "topk":
            codes = top_k(h, self.k)
            return codes if self.signed else Codes(codes.values.relu_(), codes.indices)
        if self.kind == "abstopk":
            indices = top_k(h.abs(), self.k).indices
            return Codes(h.gather(1, indices), indices)
        if self.kind == "groupmax":
            values, offsets = h.unflatten(1, (self.k, -1)).max(dim=-1)
            starts = torch.arange(0, h.shape[1], h.shape[1] // self.k, device=h.device)
            return Codes(values.relu_(), offsets + starts)
        return nonzero(self.dense(h))

    def dense(self, h: Tensor) -> Tensor:
        """Activations of pre-activations [n, M] as [n, M]; may overwrite `h`."""
        if self.competes:
            return self.sparse(h).dense(h.shape[1])
        if self.kind == "relu":
            return h.relu_()
        if self.kind == "jumprelu":
            assert self.threshold is not None
            h = h.masked_fill_(h <= self.threshold.to(h.dtype), 0)
            return h if self.signed else h.relu_()
        assert self.gain is not None
        assert self.mag_bias is not None
        assert self.gate_bias is not None
        magnitudes = (h * self.gain.to(h.dtype) + self.mag_bias.to(h.dtype)).relu_()
        return magnitudes.masked_fill_(h + self.gate_bias.to(h.dtype) <= 0, 0)

    def select(self, latents: Tensor) -> "Activation":
        """Return the same function of some latents only; not for those that compete."""
        assert not self.competes
        return self._map(lambda tensor: tensor[latents])

    def to(self, device: str | torch.device, dtype: torch.dtype | None = None) -> "Activation":
        """Move the parameters."""
        return self._map(lambda tensor: tensor.to(device, dtype))

    def _map(self, change: Callable[[Tensor], Tensor]) -> "Activation":
        names = ("threshold", "gain", "mag_bias", "gate_bias")
        present = {name: getattr(self, name) for name in names}
        return replace(self, **{name: change(tensor) for name, tensor in present.items() if tensor is not None})


def top_k(h: Tensor, k: int) -> Codes:
    """Return the k largest of each row of h [n, M], unordered.

    Exact: at least k values are no smaller than the k-th largest group maximum, so the top k lie in the k groups of
    largest maxima. Looking for those first reads `h` once, fast, where a plain top-k sorts it.
    """
    n, width = h.shape
    n_groups = width // GROUP
    if width % GROUP or n_groups < 2 * k:
        return Codes(*torch.topk(h, min(k, width), dim=1, sorted=False))
    groups = h.unflatten(1, (n_groups, GROUP))
    chosen = torch.topk(groups.amax(dim=-1), k, dim=1, sorted=False).indices
    candidates = groups.gather(1, chosen[:, :, None].expand(n, k, GROUP)).flatten(1)
    values, places = torch.topk(candidates, k, dim=1, sorted=False)
    return Codes(values, chosen.gather(1, places // GROUP) * GROUP + places % GROUP)


def nonzero(acts: Tensor) -> Codes:
    """Return the non-zero entries of acts [n, M] in order of their index, as wide as the fullest row (at least 1)."""
    rows, columns = acts.nonzero(as_tuple=True)
    counts = torch.bincount(rows, minlength=len(acts))
    width = max(1, int(counts.max())) if len(acts) else 1
    places = torch.arange(len(rows), device=acts.device) - (counts.cumsum(0) - counts)[rows]
    values, indices = acts.new_zeros(len(acts), width), rows.new_zeros(len(acts), width)
    values[rows, places] = acts[rows, columns]
    indices[rows, places] = columns
    return Codes(values, indices)
