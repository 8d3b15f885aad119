"""Sums per document that the metrics are computed from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from autointerp.records import Site

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Batch:
    """Documents side by side: ids, mask (1 for tokens) and text (True for what counts), all [batch, sequence]."""

    documents: NDArray[np.int64]
    ids: Tensor
    mask: Tensor | None
    text: Tensor

    def per_document(self, values: Tensor) -> Floats:
        """Sum values [batch, sequence] over each document's text tokens, in float64."""
        return values.double().masked_fill(~self.text, 0).sum(1).cpu().numpy()

    def predicted(self, values: Tensor) -> Floats:
        """Sum values [batch, sequence - 1], one per next token, over each document's text tokens."""
        return values.double().masked_fill(~self.text[:, 1:], 0).sum(1).cpu().numpy()


@dataclass(slots=True)
class SiteSums:
    """Per document, of one site's activations y: tokens, sum of y [n, d], sum of |y|^2; CE by kind of ablation."""

    n_tokens: Floats
    y: Floats
    y_square: Floats
    ce_ablated: dict[str, Floats] = field(default_factory=dict)


@dataclass(slots=True)
class ArmSums:
    """Per document, of one dictionary: squared error, cosines, active latents, firings [n, M], CE and KL.

    `ce_joint` and `kl_joint` are those with all layers of a cross-layer transcoder in place.
    """

    error: Floats
    cosine: Floats
    active: Floats
    ce: Floats
    kl: Floats
    fired: sparse.csr_array
    ce_joint: Floats
    kl_joint: Floats


@dataclass(slots=True)
class Sums:
    """All sums over the first n documents. `n_predicted` counts the next tokens that CE and KL are summed over."""

    n_predicted: Floats
    ce_clean: Floats
    sites: dict[Site, SiteSums] = field(default_factory=dict)
    arms: list[ArmSums] = field(default_factory=list)

    @staticmethod
    def empty(n: int, widths: dict[Site, int], n_latents: Sequence[int]) -> "Sums":
        """Return sums of n documents, all zero."""
        sums = Sums(np.zeros(n), np.zeros(n))
        for site, width in widths.items():
            sums.sites[site] = SiteSums(np.zeros(n), np.zeros((n, width)), np.zeros(n))
        for m in n_latents:
            fired = sparse.csr_array((n, m), dtype=np.float64)
            sums.arms.append(
                ArmSums(*(np.zeros(n) for _ in range(5)), fired=fired, ce_joint=np.zeros(n), kl_joint=np.zeros(n))
            )
        return sums

    def extend(self, other: "Sums") -> None:
        """Append the sums of further documents."""
        for name in ("n_predicted", "ce_clean"):
            setattr(self, name, np.concatenate([getattr(self, name), getattr(other, name)]))
        for site, more in other.sites.items():
            _append(self.sites[site], more, ("n_tokens", "y", "y_square"))
        for arm, more in zip(self.arms, other.arms, strict=True):
            _append(arm, more, ("error", "cosine", "active", "ce", "kl", "ce_joint", "kl_joint"))
            arm.fired = sparse.csr_array(sparse.vstack([arm.fired, more.fired], format="csr"))

    def spread(self, site: Site) -> Floats:
        """Return each document's sum of |y - mean y|^2, the mean over all tokens of all documents."""
        of = self.sites[site]
        centre = of.y.sum(0) / of.n_tokens.sum()
        return of.y_square - 2 * of.y @ centre + of.n_tokens * (centre @ centre)


def _append(of: SiteSums | ArmSums, more: SiteSums | ArmSums, names: Sequence[str]) -> None:
    for name in names:
        setattr(of, name, np.concatenate([getattr(of, name), getattr(more, name)]))


def standard_error(total: Floats, weight: Floats) -> float:
    """Return the standard error over documents of sum(total) / sum(weight), linearised; infinite for one document."""
    n = len(total)
    if n < 2 or weight.sum() <= 0:
        return float("inf")
    moved = (total - total.sum() / weight.sum() * weight) / weight.sum()
    return float(np.sqrt(n / (n - 1) * (moved**2).sum()))


def batches(
    documents: Sequence[NDArray[np.int64]], bos: int | None, batch_tokens: int, device: torch.device
) -> Iterator[Batch]:
    """Pad documents of similar length into batches, BOS before each where there is one."""
    head = [] if bos is None else [bos]
    order = np.argsort([-len(document) for document in documents], kind="stable")
    begin = 0
    while begin < len(order):
        width = len(documents[order[begin]]) + len(head)
        chosen = order[begin : begin + max(1, batch_tokens // width)]
        begin += len(chosen)
        ids, mask = np.zeros((len(chosen), width), np.int64), np.zeros((len(chosen), width), np.int64)
        for row, document in enumerate(chosen):
            tokens = np.concatenate([np.array(head, np.int64), documents[document]])
            ids[row, : len(tokens)], mask[row, : len(tokens)] = tokens, 1
        text = mask.astype(bool)
        text[:, : len(head)] = False
        on = torch.from_numpy(mask).to(device) if not mask.all() else None
        yield Batch(chosen, torch.from_numpy(ids).to(device), on, torch.from_numpy(text).to(device))
