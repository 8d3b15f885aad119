"""The three architectures are the written formulas; their losses, init and constraints are those of the protocol."""

import pytest
import torch
from torch import Tensor

from autointerp.train.arms import Weights
from autointerp.train.base import Architecture, Arm, TrainConfig

N, D, M, K = 40, 6, 16, 3
ARCHITECTURES: tuple[Architecture, ...] = ("sae", "transcoder", "skip-transcoder")


def trained_looking(architecture: Architecture) -> Weights:
    """Weights as after some training: nothing is at its initial zero."""
    weights = Weights(Arm(module="m", architecture=architecture, n_latents=M, k=K, seed=1), D, torch.zeros(D)).double()
    rng = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in weights.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=rng, dtype=torch.float64))
    return weights


def data() -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(5)
    return tuple(torch.randn(N, D, generator=rng, dtype=torch.float64) + 0.5 for _ in range(2))  # type: ignore[return-value]


def formula(w: Weights, x: Tensor, k: int) -> Tensor:
    """Protocol section 1, densely."""
    z = x - w.b_dec if w.arm.architecture == "sae" else x
    h = (z @ w.W_enc.T + w.b_enc).relu()
    code = h * torch.zeros_like(h).scatter_(1, h.topk(k, dim=1).indices, 1)
    y = code @ w.W_dec + w.b_dec
    return y + x @ w.W_skip.T if w.W_skip is not None else y


def config(**changes: object) -> TrainConfig:
    return TrainConfig.model_validate({"sites": ["m"], "latents": [M], "k": [K], **changes})


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_reconstruction_is_the_formula(architecture: Architecture) -> None:
    w, (x, _) = trained_looking(architecture), data()
    assert torch.allclose(w(x), formula(w, x, K), rtol=1e-12)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_gradients_of_the_loss_are_the_dense_ones(architecture: Architecture) -> None:
    """FVU + FVU at 4 k / 8: every parameter's gradient, b_dec's through the SAE's encoder included."""
    w, (x, y) = trained_looking(architecture), data()
    x = y if architecture == "sae" else x
    loss = w.loss(x, y, config(multi_topk=True), torch.zeros(M, dtype=torch.bool))
    scale = (y - y.mean(0)).square().sum()
    fvu = (formula(w, x, K) - y).square().sum() / scale
    dense = fvu + (formula(w, x, 4 * K) - y).square().sum() / scale / 8
    assert torch.allclose(loss.total, dense, rtol=1e-12)
    assert torch.allclose(loss.fvu, fvu, rtol=1e-12)
    parameters = list(w.parameters())
    for mine, theirs in zip(*(torch.autograd.grad(one, parameters) for one in (loss.total, dense)), strict=True):
        assert theirs.abs().max() > 0
        assert torch.allclose(mine, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_auxk_predicts_what_the_whole_reconstruction_missed(architecture: Architecture) -> None:
    """The residual is y - yhat with the skip in it; 4 dead latents of k_aux = 3 give the full weight."""
    w, (x, y) = trained_looking(architecture), data()
    x = y if architecture == "sae" else x
    dead = torch.zeros(M, dtype=torch.bool)
    dead[[1, 4, 9, 12]] = True
    on, off = (w.loss(x, y, config(auxk_weight=weight), dead).total for weight in (0.25, 0.0))
    z = x - w.b_dec if architecture == "sae" else x
    h = (z @ w.W_enc[dead].T + w.b_enc[dead]).relu()
    code = h * torch.zeros_like(h).scatter_(1, h.topk(D // 2, dim=1).indices, 1)
    error = code @ w.W_dec[dead] - (y - formula(w, x, K))
    aux = error.square().sum() / (y - y.mean(0)).square().sum()
    assert torch.allclose(on - off, 0.25 * aux, rtol=1e-10)
    (gradient,) = torch.autograd.grad(on - off, w.W_dec)
    assert (gradient[~dead] == 0).all()


@pytest.mark.parametrize("architecture", ["transcoder", "skip-transcoder"])
def test_a_transcoder_begins_as_the_mean(architecture: Architecture) -> None:
    """Source: protocol section 1, init."""
    _, y = data()
    w = Weights(Arm(module="m", architecture=architecture, n_latents=M, k=K, seed=0), D, y.mean(0)).double()
    assert torch.allclose(w(y), y.mean(0).expand(N, D), rtol=1e-12)
    loss = w.loss(y, y, config(), torch.zeros(M, dtype=torch.bool))
    assert loss.fvu.item() == pytest.approx(1.0)


def test_pre_activations_begin_centred() -> None:
    """The mean of the first batch is taken off before the encoder, by b_enc or, in an SAE, by b_dec.

    Source: sparsify, trainer.py.
    """
    x, y = data()
    transcoder, sae = (Arm(module="m", architecture=name, n_latents=M, k=K, seed=0) for name in ("transcoder", "sae"))
    w = Weights(transcoder, D, y.mean(0), x.mean(0).float()).double()
    assert torch.allclose((x @ w.W_enc.T + w.b_enc).mean(0), torch.zeros(M, dtype=torch.float64), atol=1e-6)
    w = Weights(sae, D, y.mean(0), y.mean(0)).double()
    assert torch.allclose(((y - w.b_dec) @ w.W_enc.T + w.b_enc).mean(0), torch.zeros(M).double(), atol=1e-6)


def test_an_sae_keeps_decoder_rows_of_norm_one() -> None:
    """The gradient has nothing along a row, and rows are renormalised after a step."""
    _, y = data()
    w = Weights(Arm(module="m", architecture="sae", n_latents=M, k=K, seed=0), D, y.mean(0)).double()
    w.after_step()  # it was initialised in single precision
    w.loss(y, y, config(), torch.zeros(M, dtype=torch.bool)).total.backward()
    w.before_step()
    assert w.W_dec.grad is not None
    assert torch.allclose((w.W_dec.grad * w.W_dec).sum(1), torch.zeros(M, dtype=torch.float64), atol=1e-12)
    torch.optim.SGD(w.parameters(), lr=1.0).step()
    w.after_step()
    assert torch.allclose(w.W_dec.norm(dim=1), torch.ones(M, dtype=torch.float64), rtol=1e-12)


def test_k_above_the_latents_is_refused() -> None:
    with pytest.raises(ValueError, match=r"k = 64 is more than the 32 latents"):
        TrainConfig(sites=("m",), latents=(32,), k=(64,))
