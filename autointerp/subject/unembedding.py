"""Tokens that a direction written to the residual stream promotes: the direction times the unembedding, no norm.

The final norm divides by the size of the whole stream and multiplies by a gain, which no single direction tells, so
both are left out, as is usual for this reading ("direct logit attribution"). Values are logits per unit of activation.

Source: nostalgebraist, "interpreting GPT: the logit lens", 2020; Elhage et al., "A Mathematical Framework for
Transformer Circuits", 2021.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from autointerp.errors import SiteError
from autointerp.records import Site
from autointerp.subject.sites import writers

# Entries of the tile [rows, vocabulary]: 2**25 floats are 134 MB.
TILE = 2**25


@dataclass(frozen=True, slots=True)
class Extremes:
    """The tokens that one direction promotes most and suppresses most, as (token id, logit), strongest first."""

    top: tuple[tuple[int, float], ...]
    bottom: tuple[tuple[int, float], ...]


def obstacle(model: Any, site: Site, width: int) -> str:
    """Explain why directions of a site have no logits in this model; "" if they have."""
    try:
        writes = site in writers(model)
    except SiteError as error:
        return f"where this model writes to its residual stream is not known ({error})"
    if not writes:
        return f"{site} is not added to the residual stream as it is"
    head = model.get_output_embeddings()
    if head is None or getattr(head, "weight", None) is None:
        return f"{type(model).__name__} has no unembedding matrix"
    if head.weight.shape[1] != width:
        return f"the unembedding reads {head.weight.shape[1]} numbers, the site has {width}"
    return ""


@torch.inference_mode()
def extremes(model: Any, directions: Tensor, n_tokens: int, n: int = 10) -> Iterator[Extremes]:
    """Yield for each direction [width] of `directions` [m, width] its strongest tokens, at most n a side.

    Args:
        model: a causal language model without an `obstacle` at the site.
        directions: what one unit of activation adds to the residual stream.
        n_tokens: size of the tokenizer's vocabulary; later rows of the unembedding are padding.
        n: tokens a side.
    """
    config = model.config
    weight = model.get_output_embeddings().weight[:n_tokens]
    scale = getattr(config, "logit_scale", 1.0) / getattr(config, "logits_scaling", 1.0)  # Cohere, Granite
    n = min(n, len(weight))
    for part in directions.split(max(1, TILE // len(weight))):
        logits = part.to(weight.device, torch.float32) @ weight.float().T * scale
        sides = [torch.topk(logits, n, dim=1, largest=largest) for largest in (True, False)]
        ids, values = ([side[at].tolist() for side in sides] for at in (1, 0))
        for row in range(len(part)):
            pairs = [tuple(zip(ids[side][row], values[side][row], strict=True)) for side in (0, 1)]
            yield Extremes(top=pairs[0], bottom=pairs[1])
