"""Run the subject over held-out documents, untouched and with each dictionary in place: sums per document.

One run to the end per batch reads activations and the untouched predictions; each dictionary adds a run of the blocks
after its site. Documents are read in their order until the estimates are as precise as asked for. Ablations are asked
for by name, and are run once per site at the end. The BOS token keeps its own activation, and no statistic counts it.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse, stats
from torch import Tensor

from autointerp.console import Bar
from autointerp.errors import SiteError, SubjectError
from autointerp.reconstruction import cross_layer
from autointerp.reconstruction.base import Ablation, Arm, ReconstructionConfig, Spliceable
from autointerp.reconstruction.sums import Batch, Sums, batches, standard_error
from autointerp.records import Site
from autointerp.subject.base import CleanRun

# Runs of one site in a batch; their last hidden states are held at once.
RUNS = 8
# Documents before the first look at the precision; each later look has a quarter more.
FIRST_LOOK = 40


def measure(
    subject: Spliceable,
    arms: Sequence[Arm],
    documents: Sequence[NDArray[np.int64]],
    bos: int | None,
    config: ReconstructionConfig,
) -> Sums:
    """Measure every arm on the same documents, in their order, until the estimates are precise enough.

    Raises:
        SubjectError: an activation is NaN or infinite, or replacing a site by itself changes the loss.
        SiteError: a dictionary reads a site after the one it reconstructs.
    """
    outputs = list(dict.fromkeys(arm.site_out for arm in arms))
    widths = subject.widths(outputs)
    sums = Sums.empty(0, widths, [arm.dictionary.n_latents for arm in arms])
    tokens = _batch_tokens(arms, config)
    with Bar("reconstruct", total=len(documents), unit="documents", estimated=True) as bar:
        for first, last in _looks(len(documents)):
            part = documents[first:last]
            more = Sums.empty(len(part), widths, [arm.dictionary.n_latents for arm in arms])
            for batch in batches(part, bos, tokens, subject.device):
                _add(subject, arms, batch, more, check=bar.done == 0)
                bar.advance(len(batch.documents))
            sums.extend(more)
            if config.precision.stops and precise(sums, arms, config):
                break
    measured = documents[: len(sums.ce_clean)]
    if config.ablations:
        _ablate(subject, outputs, measured, list(batches(measured, bos, tokens, subject.device)), config, sums)
    return sums


def _batch_tokens(arms: Sequence[Arm], config: ReconstructionConfig) -> int:
    """Tokens of a batch of documents: its runs side by side are as many as the study allows."""
    outputs = [arm.site_out for arm in arms]
    return max(1, config.batch_tokens // min(RUNS, max(map(outputs.count, outputs), default=1)))


def _looks(n: int) -> Iterator[tuple[int, int]]:
    """Yield first and last document of each part between two looks at the precision."""
    first, last = 0, min(FIRST_LOOK, n)
    while first < n:
        yield first, last
        first, last = last, min(n, last + last // 4)


def precise(sums: Sums, arms: Sequence[Arm], config: ReconstructionConfig) -> bool:
    """Whether the intervals of every dictionary's CE increase and FVU are no wider than asked for."""
    z = float(stats.norm.ppf((1 + config.level) / 2))
    for arm, of in zip(arms, sums.arms, strict=True):
        if z * standard_error(of.ce - sums.ce_clean, sums.n_predicted) > config.precision.ce_increase:
            return False
        if z * standard_error(of.error, sums.spread(arm.site_out)) > config.precision.fvu:
            return False
    return True


@torch.inference_mode()
def _add(subject: Spliceable, arms: Sequence[Arm], batch: Batch, sums: Sums, *, check: bool) -> None:
    """Add one batch: the untouched run, and one with each dictionary in place."""
    sites = sorted({site for arm in arms for site in (arm.site_in, arm.site_out)})
    clean = subject.run(batch.ids, batch.mask, sites, list(sums.sites))
    at = batch.documents
    sums.n_predicted[at] = batch.text[:, 1:].sum(1).cpu().numpy()
    _add_sites(clean, batch, sums)
    if not arms:
        (run,) = subject.predictions(batch.ids, batch.mask, [clean.hidden], kl=False)
        sums.ce_clean[at] = batch.predicted(run.ce)
    codes: dict[str, Any] = {}
    for site in sums.sites:
        if check:
            _check_identity(subject, clean, site)
        numbers = [number for number, arm in enumerate(arms) if arm.site_out == site]
        for some in (numbers[first : first + RUNS] for first in range(0, len(numbers), RUNS)):
            new = torch.stack([_reconstructed(clean, arms, batch, sums, number, codes) for number in some])
            hidden = [clean.hidden, *subject.replaced(clean, site, new)]
            untouched, *runs = subject.predictions(batch.ids, batch.mask, hidden)
            sums.ce_clean[at] = batch.predicted(untouched.ce)
            for number, run in zip(some, runs, strict=True):
                sums.arms[number].ce[at] = batch.predicted(run.ce)
                sums.arms[number].kl[at] = batch.predicted(run.kl)
    for numbers in cross_layer.groups(arms):
        together = cross_layer.hidden(subject, [arms[number] for number in numbers], batch)
        _, run = subject.predictions(batch.ids, batch.mask, [clean.hidden, together])
        for number in numbers:
            sums.arms[number].ce_joint[at] = batch.predicted(run.ce)
            sums.arms[number].kl_joint[at] = batch.predicted(run.kl)


def _add_sites(clean: CleanRun, batch: Batch, sums: Sums) -> None:
    at = batch.documents
    for site, of in sums.sites.items():
        y = clean.activations[site].double()
        if not bool(torch.isfinite(y[batch.text]).all()):
            raise SubjectError(f"site {site}: NaN or infinite activations; try subject dtype float32")
        of.n_tokens[at] = batch.text.sum(1).cpu().numpy()
        of.y[at] = y.masked_fill(~batch.text[:, :, None], 0).sum(1).cpu().numpy()
        of.y_square[at] = batch.per_document(y.square().sum(-1))


def _reconstructed(
    clean: CleanRun, arms: Sequence[Arm], batch: Batch, sums: Sums, number: int, held: dict[str, Any]
) -> Tensor:
    """Return the site's activation [batch, sequence, d] with text tokens reconstructed; add up errors and firings.

    `held` keeps the codes of cross-layer transcoders' layers on this batch.
    """
    arm, order = arms[number], list(clean.activations)
    if order.index(arm.site_in) > order.index(arm.site_out):
        raise SiteError(
            f"{arm.dictionary.name}: {arm.site_in}, which it reads, comes after {arm.site_out}, which it reconstructs"
        )
    at, of, y = batch.documents, sums.arms[number], clean.activations[arm.site_out]
    x = clean.activations[arm.site_in].flatten(0, 1)
    codes = arm.dictionary.encode(x)
    if arm.dictionary.group:
        held[arm.dictionary.name] = codes
        new = cross_layer.joint(arm, arms, clean.activations, held).view(y.shape)
    else:
        new = arm.dictionary.decode(codes, x).view(y.shape)
    of.error[at] = batch.per_document((new.double() - y.double()).square().sum(-1))
    of.cosine[at] = batch.per_document(torch.nn.functional.cosine_similarity(new.double(), y.double(), dim=-1))
    is_active = codes.values != 0
    of.active[at] = batch.per_document(is_active.sum(1).view(batch.text.shape))
    of.fired = sparse.csr_array(
        of.fired + _firings(codes, is_active, batch, (len(of.active), arm.dictionary.n_latents))
    )
    return torch.where(batch.text[:, :, None], new.to(y.dtype), y)


def _firings(codes: Any, is_active: Tensor, batch: Batch, shape: tuple[int, int]) -> sparse.coo_array:
    """Count the text tokens of each document on which each latent fires: [documents, latents]."""
    rows, columns = (part.cpu().numpy() for part in (is_active & batch.text.flatten()[:, None]).nonzero(as_tuple=True))
    latents = codes.indices.cpu().numpy()[rows, columns]
    document = np.repeat(batch.documents, batch.text.shape[1])[rows]
    return sparse.coo_array((np.ones(len(rows)), (document, latents)), shape=shape)


@torch.inference_mode()
def _ablate(
    subject: Spliceable,
    sites: Sequence[Site],
    documents: Sequence[NDArray[np.int64]],
    ready: Sequence[Batch],
    config: ReconstructionConfig,
    sums: Sums,
) -> None:
    """Add each site's cross-entropy with zero, or its mean over these tokens, in place of every text token."""
    values: dict[Site, dict[Ablation, Tensor]] = {}
    for site, of in sums.sites.items():
        mean = torch.from_numpy(of.y.sum(0) / of.n_tokens.sum())
        values[site] = {kind: mean if kind == "mean" else torch.zeros_like(mean) for kind in config.ablations}
        of.ce_ablated = {kind: np.zeros(len(documents)) for kind in config.ablations}
    with Bar("ablate", total=len(documents), unit="documents") as bar:
        for batch in ready:
            clean = subject.run(batch.ids, batch.mask, [], sites)
            for site, kinds in values.items():
                y, text = clean.activations[site], batch.text[:, :, None]
                new = torch.stack([torch.where(text, value.to(y), y) for value in kinds.values()])
                runs = subject.predictions(batch.ids, batch.mask, list(subject.replaced(clean, site, new)), kl=False)
                for kind, run in zip(kinds, runs, strict=True):
                    sums.sites[site].ce_ablated[kind][batch.documents] = batch.predicted(run.ce)
            bar.advance(len(batch.documents))


def _check_identity(subject: Spliceable, clean: CleanRun, site: Site) -> None:
    """Check that replacing a site's activation by itself changes no loss at all."""
    (same,) = subject.replaced(clean, site, clean.activations[site][None])
    runs = subject.predictions(clean.ids, clean.attention_mask, [clean.hidden, same], kl=False)
    before, after = (run.ce.nan_to_num() for run in runs)
    if not torch.equal(before, after):
        worst = float((after - before).abs().max())
        raise SubjectError(f"site {site}: replacing it by itself changes the loss by up to {worst:.3g}; it must not")
