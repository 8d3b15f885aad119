"""Encode to the k largest latents and decode them, with gradients that touch only those: no [tokens, latents] gradient.

Every gradient of a weight matrix here is a sum over (token, latent) pairs grouped by latent, which is
`embedding_bag` with one bag per latent. It equals the dense form exactly (gradient-checked in float64).
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag


@dataclass(frozen=True, slots=True)
class Active:
    """Activations of n tokens: `values` and `indices` [n, k]; a zero value is padding."""

    values: Tensor
    indices: Tensor


def grouped_sum(weights: Tensor, indices: Tensor, rows: Tensor, n_groups: int) -> Tensor:
    """Sum `weights[i, j] * rows[i]` over all (i, j) with `indices[i, j] = m`, for each m; [n_groups, d]."""
    flat = indices.flatten()
    order = flat.argsort(stable=True)
    starts = torch.searchsorted(flat[order], torch.arange(n_groups, device=flat.device))
    tokens = order // indices.shape[1]
    return embedding_bag(tokens, rows, starts, per_sample_weights=weights.flatten()[order], mode="sum")


class _TopK(torch.autograd.Function):
    """Values of the k largest entries of max(x @ W.T + b, 0); x is data and gets no gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, k: int) -> tuple[Tensor, Tensor]:
        pre = torch.addmm(bias, x, weight.T)
        values, indices = pre.topk(k, dim=1, sorted=False)
        values = values.to(x.dtype).relu()
        ctx.save_for_backward(x, values, indices)
        ctx.n_latents = len(weight)
        ctx.mark_non_differentiable(indices)
        return values, indices

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor, Tensor, None]:
        x, values, indices = ctx.saved_tensors
        grad = grads[0].masked_fill(values <= 0, 0)
        weight = grouped_sum(grad, indices, x, ctx.n_latents)
        bias = grad.new_zeros(ctx.n_latents).index_add_(0, indices.flatten(), grad.flatten())
        return None, weight, bias, None


class _Decode(torch.autograd.Function):
    """`sum_j values[i, j] * W_dec[indices[i, j]]` for each token i."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, indices: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(values, indices, weight)
        return embedding_bag(indices, weight, per_sample_weights=values, mode="sum")

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, Tensor]:
        values, indices, weight = ctx.saved_tensors
        rows = grads[0].contiguous()
        with torch.enable_grad():  # embedding_bag's own gradient for its weights per sample
            free = values.detach().requires_grad_()
            out = embedding_bag(indices, weight.detach(), per_sample_weights=free, mode="sum")
            (by_value,) = torch.autograd.grad(out, free, rows)
        return by_value, None, grouped_sum(values, indices, rows, len(weight))


def top_k(x: Tensor, weight: Tensor, bias: Tensor, k: int) -> Active:
    """Activations of x [n, d] under encoder rows weight [M, d], bias [M]: ReLU, then the k largest."""
    values, indices = _TopK.apply(x, weight, bias, k)  # pyright: ignore[reportGeneralTypeIssues]
    return Active(values, indices)


def decode(active: Active, weight: Tensor) -> Tensor:
    """Return `activations @ weight` [n, d] for decoder rows weight [M, d], without any bias."""
    return _Decode.apply(active.values, active.indices, weight)  # pyright: ignore[reportReturnType]
