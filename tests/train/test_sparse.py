"""The sparse encoder and decoder are the dense ones: same values, same gradients, in float64."""

import torch
from torch import Tensor

from autointerp.train.sparse import Active, decode, grouped_sum, top_k

N, D, M, K = 7, 5, 12, 3


def draws() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    x, enc, bias, dec = (
        torch.randn(*shape, generator=rng, dtype=torch.float64) for shape in ((N, D), (M, D), (M,), (M, D))
    )
    return x, enc.requires_grad_(), bias.requires_grad_(), dec.requires_grad_()


def dense_code(x: Tensor, enc: Tensor, bias: Tensor, k: int) -> Tensor:
    """ReLU, then zero everywhere but at the k largest, as [n, M]."""
    h = (x @ enc.T + bias).relu()
    keep = torch.zeros_like(h).scatter_(1, h.topk(k, dim=1).indices, 1)
    return h * keep


def test_gradients_are_those_of_the_dense_form() -> None:
    """d loss / d (W_enc, b_enc, W_dec) agree to 1e-12, with a loss that weighs every output differently."""
    x, enc, bias, dec = draws()
    weigh = torch.arange(N * D, dtype=torch.float64).view(N, D).sin()
    sparse = (decode(top_k(x, enc, bias, K), dec) * weigh).square().sum()
    dense = (dense_code(x, enc, bias, K) @ dec * weigh).square().sum()
    assert torch.allclose(sparse, dense, rtol=1e-12)
    ours, theirs = (torch.autograd.grad(loss, (enc, bias, dec)) for loss in (sparse, dense))
    for mine, reference in zip(ours, theirs, strict=True):
        assert reference.abs().max() > 0
        assert torch.allclose(mine, reference, rtol=1e-12, atol=1e-14)


def test_gradients_agree_with_finite_differences() -> None:
    """`gradcheck` perturbs every parameter; the draw has no ties near the k-th place."""
    x, enc, bias, dec = draws()
    assert torch.autograd.gradcheck(lambda w, b, v: decode(top_k(x, w, b, K), v), (enc, bias, dec))


def test_fewer_than_k_fire_where_the_rest_is_negative() -> None:
    """ReLU comes first: a token whose pre-activations are all negative has no active latent, and passes no gradient."""
    x, enc, bias, _ = draws()
    active = top_k(x, enc, bias - 100.0, K)
    assert (active.values == 0).all()
    (gradient,) = torch.autograd.grad(active.values.sum(), enc)
    assert (gradient == 0).all()


def test_grouped_sum_by_hand() -> None:
    """Tokens 0 and 1 both use latent 2: 1 * [1, 0] + 3 * [0, 1] = [1, 3]; latent 1 is used by none."""
    weights, indices = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[2, 0], [2, 0]])
    found = grouped_sum(weights, indices, torch.eye(2), 3)
    assert found.tolist() == [[2, 4], [0, 0], [1, 3]]


def test_no_gradient_is_as_large_as_tokens_by_latents() -> None:
    """Nothing kept for the backward pass has n x M elements."""
    x, enc, bias, dec = draws()
    sizes: list[int] = []

    def keep(tensor: Tensor) -> Tensor:
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        decode(top_k(x, enc, bias, K), dec).sum()
    assert sizes
    assert max(sizes) <= max(N * D, M * D, N * K)
    assert isinstance(top_k(x, enc, bias, K), Active)
