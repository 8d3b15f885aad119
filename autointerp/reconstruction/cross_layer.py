"""Reconstruction by all layers of a cross-layer transcoder, and its splice at every layer at once.

The output of layer j is the sum over layers i <= j of what i's latents write there, plus j's bias and skip:

    yhat_j = sum_{i <= j} acts_i @ W_dec[i -> j] + b_dec_j (+ x_j @ W_skip_j.T)

A single layer's FVU is that of yhat_j; its `ce_increase` and `kl` replace that layer's output alone,
`ce_increase_joint` and `kl_joint` those of all layers of the study, each encoder reading what the layers before left.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from autointerp.reconstruction.base import Arm, Spliceable
from autointerp.reconstruction.sums import Batch
from autointerp.records import Site


def groups(arms: Sequence[Arm]) -> list[list[int]]:
    """Return the numbers of the arms of each cross-layer transcoder."""
    found: dict[str, list[int]] = {}
    for number, arm in enumerate(arms):
        if arm.dictionary.group:
            found.setdefault(arm.dictionary.group, []).append(number)
    return list(found.values())


def joint(arm: Arm, arms: Sequence[Arm], seen: Mapping[Site, Tensor], codes: dict[str, Any] | None = None) -> Tensor:
    """Return the reconstruction [n, d_out] at a layer's output by all layers of its transcoder.

    Args:
        arm: the layer.
        arms: every arm of the study; those of other groups, or that do not write to this output, are not encoded.
        seen: activations [batch, sequence, d] or rows [n, d_in] at the sites that the layers read.
        codes: kept between the layers of one run, so that each is encoded once.
    """
    codes = {} if codes is None else codes
    rows = _rows(seen[arm.site_in])
    total = arm.dictionary.decode(_codes(arm, seen, codes), rows)
    for other in arms:
        if other is arm or other.dictionary.group != arm.dictionary.group:
            continue
        if other.dictionary.writes_to(arm.dictionary.site_out):
            more = other.dictionary.written(_codes(other, seen, codes), arm.dictionary.site_out)
            total = total + more.to(total.dtype)
    return total


def _rows(x: Tensor) -> Tensor:
    return x.flatten(0, -2)


def _codes(arm: Arm, seen: Mapping[Site, Tensor], codes: dict[str, Any]) -> Any:
    name = arm.dictionary.name
    if name not in codes:
        codes[name] = arm.dictionary.encode(_rows(seen[arm.site_in]))
    return codes[name]


def hidden(subject: Spliceable, arms: Sequence[Arm], batch: Batch) -> Tensor:
    """Return the last hidden states [batch, sequence, d] with every arm's output replaced in one run."""
    codes: dict[str, Any] = {}

    def give(arm: Arm, seen: Mapping[Site, Tensor]) -> Tensor:
        y = seen[arm.site_out]
        return torch.where(batch.text[:, :, None], joint(arm, arms, seen, codes).view(y.shape).to(y.dtype), y)

    gives = {arm.site_out: partial(give, arm) for arm in arms}
    return subject.spliced(batch.ids, batch.mask, [arm.site_in for arm in arms], gives)
