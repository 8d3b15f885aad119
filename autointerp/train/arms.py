"""One arm of a training run: the parameters of an SAE, transcoder or skip transcoder, its loss, what follows a step.

    SAE              yhat = W_dec TopK(ReLU(W_enc (y - b_dec) + b_enc)) + b_dec
    transcoder       yhat = W_dec TopK(ReLU(W_enc x + b_enc)) + b_dec
    skip transcoder  yhat = W_dec TopK(ReLU(W_enc x + b_enc)) + W_skip x + b_dec

Source: arXiv 2501.18823 and EleutherAI sparsify. Two terms differ from sparsify, where they are wrong with a skip: the
AuxK residual is y - yhat with the skip in it, and MultiTopK's reconstruction has the skip too.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from autointerp.train.base import Arm, TrainConfig
from autointerp.train.sparse import Active, decode, top_k

# Weight of AuxK's loss where it is on, and of MultiTopK's. Source: sparsify, trainer.py and sparse_coder.py.
MULTI_TOPK_WEIGHT = 1 / 8
MULTI_TOPK_FACTOR = 4


@dataclass(frozen=True, slots=True)
class Loss:
    """The loss to minimise and the batch FVU alone, as scalar tensors; the latents that fired, [M] bool."""

    total: Tensor
    fvu: Tensor
    fired: Tensor


class Weights(torch.nn.Module):
    """Parameters of one arm: `W_enc` and `W_dec` [M, d], `b_enc` [M], `b_dec` [d], `W_skip` [d, d] or none."""

    def __init__(self, arm: Arm, width: int, mean: Tensor, mean_in: Tensor | None = None) -> None:
        """Initialise from the arm's seed.

        Args:
            arm: which architecture, size and seed.
            width: d.
            mean: [d] mean of the target over the first batch, where every arm's b_dec starts.
            mean_in: [d] mean of what a transcoder reads, which its b_enc takes off as an SAE's encoder takes off b_dec
                (sparsify, trainer.py); 0 if not given.
        """
        super().__init__()
        self.arm = arm
        draw = torch.Generator().manual_seed(arm.seed)
        bound = width**-0.5  # torch.nn.Linear's own range
        enc = (torch.rand(arm.n_latents, width, generator=draw) * 2 - 1) * bound
        is_sae = arm.architecture == "sae"
        self.W_enc = torch.nn.Parameter(enc)
        centred = torch.zeros(arm.n_latents) if is_sae or mean_in is None else -enc @ mean_in.detach()
        self.b_enc = torch.nn.Parameter(centred)
        self.W_dec = torch.nn.Parameter(unit_rows(enc) if is_sae else torch.zeros_like(enc))
        self.b_dec = torch.nn.Parameter(mean.detach().clone())
        self.W_skip = torch.nn.Parameter(torch.zeros(width, width)) if arm.architecture == "skip-transcoder" else None

    @torch.no_grad()
    def folded(self, scale_in: float, scale_out: float) -> dict[str, Tensor]:
        """Parameters of the same function of raw activations, where this was trained on x / scale_in, y / scale_out.

        An SAE reads y, so its activations grow with the scale and its unit decoder rows stay.
        """
        if self.arm.architecture == "sae":
            assert scale_in == scale_out
            factors = {"W_enc": 1.0, "b_enc": scale_in, "W_dec": 1.0, "b_dec": scale_in}
        else:
            ratio = scale_out / scale_in
            factors = {"W_enc": 1 / scale_in, "b_enc": 1.0, "W_dec": scale_out, "b_dec": scale_out, "W_skip": ratio}
        return {name: parameter * factors[name] for name, parameter in self.named_parameters()}

    def encode(self, x: Tensor, k: int, latents: Tensor | None = None) -> Active:
        """Activations of x [n, d], of all latents or of `latents` only (indices then count among those)."""
        weight, bias = (self.W_enc, self.b_enc) if latents is None else (self.W_enc[latents], self.b_enc[latents])
        if self.arm.architecture == "sae":
            bias = bias - weight @ self.b_dec
        return top_k(x, weight, bias, k)

    def predict(self, active: Active, x: Tensor) -> Tensor:
        """Reconstruction [n, d] from activations; x [n, d] is what was encoded."""
        base = decode(active, self.W_dec) + self.b_dec
        return base if self.W_skip is None else base + x @ self.W_skip.T

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct from x [n, d]."""
        return self.predict(self.encode(x, self.arm.k), x)

    def loss(self, x: Tensor, y: Tensor, config: TrainConfig, dead: Tensor) -> Loss:
        """Loss on one batch.

        Args:
            x: [n, d] what the arm reads.
            y: [n, d] what it reconstructs; an SAE's x is y.
            config: the auxiliary terms' settings.
            dead: [M] bool, latents that AuxK revives.
        """
        active = self.encode(x, self.arm.k)
        predicted = self.predict(active, x)
        scale = (y - y.mean(0)).square().sum()
        fvu = (predicted - y).square().sum() / scale
        total = fvu
        if config.auxk_weight and bool(dead.any()):
            total = total + config.auxk_weight * self._auxk(x, y - predicted.detach(), dead) / scale
        if config.multi_topk:
            more = self.encode(x, min(MULTI_TOPK_FACTOR * self.arm.k, self.arm.n_latents))
            total = total + MULTI_TOPK_WEIGHT * (self.predict(more, x) - y).square().sum() / scale
        fired = torch.zeros_like(dead).index_fill_(0, active.indices[active.values > 0], True)
        return Loss(total, fvu.detach(), fired)

    def _auxk(self, x: Tensor, residual: Tensor, dead: Tensor) -> Tensor:
        """Squared error of the dead latents' prediction of the residual; scaled down where they are few.

        Source: Gao et al. 2024, arXiv 2406.04093, appendix A.2; k_aux is half the width, as there.
        """
        latents = dead.nonzero()[:, 0]
        k_aux = x.shape[1] // 2
        active = self.encode(x, min(k_aux, len(latents)), latents)
        error = decode(active, self.W_dec[latents]) - residual
        return min(1.0, len(latents) / k_aux) * error.square().sum()

    @torch.no_grad()
    def before_step(self) -> None:
        """Remove from an SAE's decoder gradient what would only change the rows' norms."""
        if self.arm.architecture == "sae" and self.W_dec.grad is not None:
            along = (self.W_dec.grad * self.W_dec).sum(1, keepdim=True)
            self.W_dec.grad -= along * self.W_dec

    @torch.no_grad()
    def after_step(self) -> None:
        """Renormalise an SAE's decoder rows to unit norm."""
        if self.arm.architecture == "sae":
            self.W_dec.copy_(unit_rows(self.W_dec))


def unit_rows(matrix: Tensor) -> Tensor:
    """Rows divided by their norm; a zero row stays zero."""
    return matrix / matrix.norm(dim=1, keepdim=True).clamp_min(torch.finfo(matrix.dtype).tiny)
