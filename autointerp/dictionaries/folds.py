"""Changes of frame that leave what a dictionary computes as it is, for formats that store another frame."""

from dataclasses import dataclass

import torch
from torch import Tensor

# Of SAELens: decoder rows shorter than this count as this long, so that nothing is divided by zero.
SHORTEST_ROW = 1e-8


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """The part of a dictionary that a change of frame touches: W_enc [D, M], b_enc [M], W_dec [M, O], threshold [M]."""

    W_enc: Tensor
    b_enc: Tensor
    W_dec: Tensor
    threshold: Tensor | None = None


def unit_decoder(weights: Weights, *, scale_threshold: bool = True) -> Weights:
    """Scale every latent so that its decoder row has length 1: its activations become contributions' lengths.

    The reconstruction stays for relu and jumprelu. For topk it is what "rescale activations by decoder norm" selects
    by. With `scale_threshold` False the threshold is meant in the new frame already (Llama Scope).
    """
    norms = torch.linalg.vector_norm(weights.W_dec.float(), dim=1).clamp_min(SHORTEST_ROW)
    threshold = weights.threshold
    if threshold is not None and scale_threshold:
        threshold = (threshold.float() * norms).to(threshold.dtype)
    return Weights(
        W_enc=(weights.W_enc.float() * norms).to(weights.W_enc.dtype),
        b_enc=(weights.b_enc.float() * norms).to(weights.b_enc.dtype),
        W_dec=(weights.W_dec.float() / norms[:, None]).to(weights.W_dec.dtype),
        threshold=threshold,
    )


def raw_frame(weights: Weights, *, scale_in: float, scale_out: float) -> Weights:
    """Turn weights for inputs `scale_in * x` and outputs `scale_out * y` into weights for x and y.

    Activations shrink by `scale_in`; a threshold is left alone, whatever frame it is in. b_dec is the caller's, /
    scale_out.
    """
    return Weights(
        W_enc=weights.W_enc,
        b_enc=weights.b_enc / scale_in,
        W_dec=weights.W_dec * (scale_in / scale_out),
        threshold=weights.threshold,
    )
