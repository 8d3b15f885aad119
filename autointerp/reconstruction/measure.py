"""Run the subject over held-out documents, clean, ablated and with each dictionary in place: sums per document.

Two passes over the same tokens: one reads activations (and stops there), one runs to the end once untouched, twice
ablated per site, and once per dictionary. The BOS token keeps its own activation, and no statistic counts it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autointerp.console import track
from autointerp.errors import SubjectError
from autointerp.reconstruction.base import Arm, Spliceable
from autointerp.records import Site

# Runs whose last hidden states are held at once, to share the untouched run's logits.
RUNS = 8


@dataclass(frozen=True, slots=True)
class Batch:
    """Documents side by side: ids, mask (1 for tokens) and text (True for what counts), all [batch, sequence]."""

    documents: NDArray[np.int64]
    ids: Tensor
    mask: Tensor | None
    text: Tensor

    def per_document(self, values: Tensor) -> NDArray[np.float64]:
        """Sum values [batch, sequence] over each document's text tokens, in float64."""
        return values.double().masked_fill(~self.text, 0).sum(1).cpu().numpy()

    def predicted(self, values: Tensor) -> NDArray[np.float64]:
        """Sum values [batch, sequence - 1], one per next token, over each document's text tokens."""
        return values.double().masked_fill(~self.text[:, 1:], 0).sum(1).cpu().numpy()


@dataclass(frozen=True, slots=True)
class SiteSums:
    """Per document, of one site's activations y: tokens, sum of y [n, d], sum of |y|^2, CE when ablated (sums)."""

    n_tokens: NDArray[np.float64]
    y: NDArray[np.float64]
    y_square: NDArray[np.float64]
    ce_zero: NDArray[np.float64]
    ce_mean: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ArmSums:
    """Per document, of one dictionary: squared error, cosines, active latents, firings [n, M], CE and KL (sums)."""

    error: NDArray[np.float64]
    cosine: NDArray[np.float64]
    active: NDArray[np.float64]
    fired: NDArray[np.float32]
    ce: NDArray[np.float64]
    kl: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sums:
    """Everything the metrics are made of. `n_predicted` counts the next tokens that CE and KL are summed over."""

    n_predicted: NDArray[np.float64]
    ce_clean: NDArray[np.float64]
    sites: dict[Site, SiteSums] = field(default_factory=dict)
    arms: list[ArmSums] = field(default_factory=list)


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


def measure(
    subject: Spliceable, arms: Sequence[Arm], documents: Sequence[NDArray[np.int64]], bos: int | None, batch_tokens: int
) -> Sums:
    """Measure every arm on the same tokens, in two passes, with a progress bar.

    Raises:
        SubjectError: an activation is NaN or infinite, or replacing a site by itself changes the loss.
    """
    n = len(documents)
    ready = list(batches(documents, bos, batch_tokens, subject.device))
    sums = Sums(np.zeros(n), np.zeros(n))
    for site in dict.fromkeys(arm.site_out for arm in arms):
        width = subject.capture(ready[0].ids[:1, :2], None, [site])[site].shape[-1]
        sums.sites[site] = SiteSums(np.zeros(n), np.zeros((n, width)), np.zeros(n), np.zeros(n), np.zeros(n))
    for arm in arms:
        fired = np.zeros((n, arm.dictionary.n_latents), np.float32)
        sums.arms.append(ArmSums(np.zeros(n), np.zeros(n), np.zeros(n), fired, np.zeros(n), np.zeros(n)))
    for batch in track(ready, "reconstruct", total=len(ready), unit="batches"):
        _read(subject, arms, batch, sums)
    means = {site: torch.from_numpy(found.y.sum(0) / found.n_tokens.sum()) for site, found in sums.sites.items()}
    for number, batch in enumerate(track(ready, "splice", total=len(ready), unit="batches")):
        _splice(subject, arms, batch, means, sums, check=number == 0)
    return sums


@torch.inference_mode()
def _read(subject: Spliceable, arms: Sequence[Arm], batch: Batch, sums: Sums) -> None:
    """Add one batch's activations and reconstructions."""
    captured = subject.capture(batch.ids, batch.mask, sorted({s for arm in arms for s in (arm.site_in, arm.site_out)}))
    at = batch.documents
    for site, found in sums.sites.items():
        y = captured[site].double()
        if not bool(torch.isfinite(y[batch.text]).all()):
            raise SubjectError(f"site {site}: NaN or infinite activations; try subject dtype float32")
        found.n_tokens[at] = batch.text.sum(1).cpu().numpy()
        found.y[at] = y.masked_fill(~batch.text[:, :, None], 0).sum(1).cpu().numpy()
        found.y_square[at] = batch.per_document(y.square().sum(-1))
    for arm, found in zip(arms, sums.arms, strict=True):
        y = captured[arm.site_out].double()
        x = captured[arm.site_in].flatten(0, 1)
        codes = arm.dictionary.encode(x)
        predicted = arm.dictionary.decode(codes, x).double().view(y.shape)
        found.error[at] = batch.per_document((predicted - y).square().sum(-1))
        found.cosine[at] = batch.per_document(torch.nn.functional.cosine_similarity(predicted, y, dim=-1))
        is_active = codes.values != 0
        found.active[at] = batch.per_document(is_active.sum(1).view(batch.text.shape))
        _add_firings(found.fired, at, codes.indices, is_active & batch.text.flatten()[:, None], y.shape[1])


def _add_firings(fired: NDArray[np.float32], at: NDArray[np.int64], indices: Tensor, on: Tensor, width: int) -> None:
    document = np.repeat(at, width)
    rows, columns = (part.cpu().numpy() for part in on.nonzero(as_tuple=True))
    latents = indices.cpu().numpy()[rows, columns]
    np.add.at(fired, (document[rows], latents), 1)


@torch.inference_mode()
def _splice(
    subject: Spliceable, arms: Sequence[Arm], batch: Batch, means: Mapping[Site, Tensor], sums: Sums, *, check: bool
) -> None:
    """Add one batch's losses: untouched, ablated, and with each dictionary in place."""
    at = batch.documents
    clean = subject.clean(batch.ids, batch.mask)
    sums.n_predicted[at] = batch.text[:, 1:].sum(1).cpu().numpy()
    for site, found in sums.sites.items():
        if check:
            _check_identity(subject, batch, site, clean)
        zero, mean = (_ablated(subject, batch, site, value) for value in (torch.zeros(()), means[site]))
        runs = subject.predictions(batch.ids, batch.mask, [clean, zero, mean])
        sums.ce_clean[at], found.ce_zero[at], found.ce_mean[at] = (batch.predicted(run.ce) for run in runs)
    for first in range(0, len(arms), RUNS):
        some = slice(first, first + RUNS)
        hidden = [clean, *(_spliced(subject, batch, arm) for arm in arms[some])]
        _, *runs = subject.predictions(batch.ids, batch.mask, hidden)
        for found, run in zip(sums.arms[some], runs, strict=True):
            found.ce[at], found.kl[at] = batch.predicted(run.ce), batch.predicted(run.kl)


def _ablated(subject: Spliceable, batch: Batch, site: Site, value: Tensor) -> Tensor:
    """Last hidden states with one value in place of a site's activation on every text token."""
    text, new = batch.text[:, :, None], value.to(batch.ids.device)
    return subject.splice(
        batch.ids, batch.mask, site, lambda read: torch.where(text, new.to(read[site].dtype), read[site])
    )


def _spliced(subject: Spliceable, batch: Batch, arm: Arm) -> Tensor:
    """Last hidden states with a dictionary's reconstruction in place of its site's activation on every text token."""

    def replace(read: Mapping[Site, Tensor]) -> Tensor:
        x, y = read[arm.site_in], read[arm.site_out]
        rows = x.flatten(0, 1)
        new = arm.dictionary.decode(arm.dictionary.encode(rows), rows)
        return torch.where(batch.text[:, :, None], new.to(y.dtype).view(y.shape), y)

    return subject.splice(batch.ids, batch.mask, arm.site_out, replace, (arm.site_in,))


def _check_identity(subject: Spliceable, batch: Batch, site: Site, clean: Tensor) -> None:
    """Check that replacing a site by what it gives anyway changes no loss at all."""
    same = subject.splice(batch.ids, batch.mask, site, lambda read: read[site])
    before, after = (run.ce.nan_to_num() for run in subject.predictions(batch.ids, batch.mask, [clean, same]))
    if not torch.equal(before, after):
        worst = float((after - before).abs().max())
        raise SubjectError(f"site {site}: replacing it by itself changes the loss by up to {worst:.3g}; it must not")
