"""Dictionary objects with the attributes of each library's, and builders of the real ones where they are installed.

Each builder returns (object, encode, reconstruct): the last two are the closed form, written out here.
"""

import importlib
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

Function = Callable[[Tensor], Tensor]


class Made(NamedTuple):
    module: Any
    encode: Function
    reconstruct: Function


def draw(seed: int, *shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) / 3)


def top(h: Tensor, k: int) -> Tensor:
    values, indices = h.relu().topk(k, dim=-1)
    return torch.zeros_like(h).scatter_(1, indices, values)


class _Sparsify(nn.Module):
    """eai-sparsify's SparseCoder (a skip transcoder): sparse codes, k in `cfg`."""

    def __init__(self, d: int, m: int) -> None:
        super().__init__()
        self.cfg, self.d_in, self.num_latents = SimpleNamespace(k=3, transcode=True), d, m
        self.encoder = nn.Linear(d, m)
        self.encoder.weight, self.encoder.bias = draw(0, m, d), draw(1, m)
        self.W_dec, self.b_dec, self.W_skip = draw(2, m, d), draw(3, d), draw(4, d, d)

    def encode(self, x: Tensor) -> Any:
        values, indices = self.encoder(x).relu().topk(self.cfg.k)
        return SimpleNamespace(top_acts=values, top_indices=indices)

    def decode(self, top_acts: Tensor, top_indices: Tensor) -> Tensor:
        return (top_acts[:, :, None] * self.W_dec[top_indices]).sum(1) + self.b_dec


def sparsify(d: int, m: int) -> Made:
    module = _Sparsify(d, m)

    def encode(x: Tensor) -> Tensor:
        return top(x @ module.encoder.weight.T + module.encoder.bias, 3).detach()

    return Made(module, encode, lambda x: (encode(x) @ module.W_dec + module.b_dec + x @ module.W_skip.T).detach())


class _SaeLens(nn.Module):
    """SAELens's SAE: hook in `cfg.metadata`, the input normalised, its statistics kept between encode and decode."""

    def __init__(self, d: int, m: int) -> None:
        super().__init__()
        self.cfg = SimpleNamespace(d_in=d, metadata=SimpleNamespace(hook_name="blocks.3.hook_resid_pre"))
        self.W_enc, self.b_enc, self.W_dec, self.b_dec = draw(0, d, m), draw(1, m), draw(2, m, d), draw(3, d)

    def encode(self, x: Tensor) -> Tensor:
        self.norm = x.norm(dim=-1, keepdim=True)
        return ((x / self.norm - self.b_dec) @ self.W_enc + self.b_enc).relu()

    def decode(self, acts: Tensor) -> Tensor:
        return (acts @ self.W_dec + self.b_dec) * self.norm


def saelens(d: int, m: int) -> Made:
    module = _SaeLens(d, m)

    def encode(x: Tensor) -> Tensor:
        unit = x / x.norm(dim=-1, keepdim=True)
        return ((unit - module.b_dec) @ module.W_enc + module.b_enc).relu().detach()

    def reconstruct(x: Tensor) -> Tensor:
        return ((encode(x) @ module.W_dec + module.b_dec) * x.norm(dim=-1, keepdim=True)).detach()

    return Made(module, encode, reconstruct)


class _DictionaryLearning(nn.Module):
    """dictionary_learning's BatchTopKSAE: `activation_dim`, k a buffer, encode returns a tuple only on request."""

    k: Tensor

    def __init__(self, d: int, m: int) -> None:
        super().__init__()
        self.activation_dim = d
        self.register_buffer("k", torch.tensor(4))
        self.register_buffer("threshold", torch.tensor(0.2))
        self.encoder, self.decoder, self.b_dec = nn.Linear(d, m), nn.Linear(m, d, bias=False), draw(3, d)
        self.encoder.weight, self.encoder.bias, self.decoder.weight = draw(0, m, d), draw(1, m), draw(2, d, m)

    def encode(self, x: Tensor, return_active: bool = False) -> Tensor:
        h = self.encoder(x - self.b_dec).relu()
        return h * (h > 0.2)

    def decode(self, acts: Tensor) -> Tensor:
        return self.decoder(acts) + self.b_dec


def dictionary_learning(d: int, m: int) -> Made:
    module = _DictionaryLearning(d, m)

    def encode(x: Tensor) -> Tensor:
        h = ((x - module.b_dec) @ module.encoder.weight.T + module.encoder.bias).relu()
        return torch.where(h > 0.2, h, 0).detach()

    return Made(module, encode, lambda x: (encode(x) @ module.decoder.weight.T + module.b_dec).detach())


class _CircuitTracer(nn.Module):
    """circuit-tracer's SingleLayerTranscoder: W_enc [M, D], the skip is added by decode from `input_acts`."""

    def __init__(self, d: int, m: int) -> None:
        super().__init__()
        self.d_model, self.layer_idx = d, 2
        self.W_enc, self.b_enc, self.W_dec, self.b_dec = draw(0, m, d), draw(1, m), draw(2, m, d), draw(3, d)
        self.W_skip, self.activation_function = draw(4, d, d), nn.ReLU()

    def encode(self, input_acts: Tensor, apply_activation_function: bool = True) -> Tensor:
        return (input_acts @ self.W_enc.T + self.b_enc).relu()

    def decode(self, acts: Tensor, input_acts: Tensor | None = None) -> Tensor:
        assert input_acts is not None
        return acts @ self.W_dec + self.b_dec + input_acts @ self.W_skip.T


def circuit_tracer(d: int, m: int) -> Made:
    module = _CircuitTracer(d, m)

    def encode(x: Tensor) -> Tensor:
        return (x @ module.W_enc.T + module.b_enc).relu().detach()

    return Made(module, encode, lambda x: (encode(x) @ module.W_dec + module.b_dec + x @ module.W_skip.T).detach())


class _Plain(nn.Module):
    """A module of one's own: names that no library uses."""

    def __init__(self, d: int, m: int) -> None:
        super().__init__()
        self.d_in, self.up, self.down = d, nn.Linear(d, m), nn.Linear(m, d)
        for seed, one in enumerate((self.up, self.down)):
            one.weight, one.bias = draw(2 * seed, *one.weight.shape), draw(2 * seed + 1, *one.bias.shape)

    def encode(self, x: Tensor) -> Tensor:
        return self.up(x).relu()

    def decode(self, acts: Tensor) -> Tensor:
        return self.down(acts)


def plain_module(d: int, m: int) -> Made:
    module = _Plain(d, m)

    def encode(x: Tensor) -> Tensor:
        return (x @ module.up.weight.T + module.up.bias).relu().detach()

    return Made(module, encode, lambda x: (encode(x) @ module.down.weight.T + module.down.bias).detach())


STAND_INS = (sparsify, saelens, dictionary_learning, circuit_tracer, plain_module)


def randomised(module: nn.Module) -> Any:
    """Draw every weight at random, so that no term is zero by initialisation."""
    for seed, (_, weight) in enumerate(sorted(module.named_parameters())):
        weight.data.copy_(draw(seed, *weight.shape))
    return module


def real_saelens(d: int, m: int) -> Iterator[Made]:
    """SAELens: a standard, a top-k, a JumpReLU SAE and a skip transcoder."""
    saes: Any = importlib.import_module("sae_lens.saes")

    common: dict[str, Any] = {"d_in": d, "d_sae": m, "device": "cpu"}
    made = [
        saes.StandardSAE(saes.StandardSAEConfig(**common, normalize_activations="layer_norm")),
        saes.TopKSAE(saes.TopKSAEConfig(**common, k=3)),
        saes.JumpReLUSAE(saes.JumpReLUSAEConfig(**common)),
        saes.SkipTranscoder(saes.SkipTranscoderConfig(**common, d_out=d)),
    ]
    for module in map(randomised, made):
        yield Made(module, module.encode, module)


def real_sparsify(d: int, m: int) -> Iterator[Made]:
    """EleutherAI sparsify: an SAE and a skip transcoder."""
    sparsify: Any = importlib.import_module("sparsify")

    for transcode in (False, True):
        cfg = sparsify.SparseCoderConfig(num_latents=m, k=3, transcode=transcode, skip_connection=transcode)
        module: Any = randomised(sparsify.SparseCoder(d, cfg))

        def encode(x: Tensor, module: Any = module) -> Tensor:
            found = module.encode(x)
            return torch.zeros(len(x), m).scatter_(1, found.top_indices, found.top_acts)

        yield Made(module, encode, lambda x, module=module: module(x).sae_out)


def real_dictionary_learning(d: int, m: int) -> Iterator[Made]:
    """dictionary_learning: ReLU, top-k and BatchTopK (at its threshold)."""
    library: Any = importlib.import_module("dictionary_learning.dictionary")
    batch_top_k: Any = importlib.import_module("dictionary_learning.trainers.batch_top_k")
    top_k: Any = importlib.import_module("dictionary_learning.trainers.top_k")

    batch = batch_top_k.BatchTopKSAE(d, m, 3)
    batch.threshold.fill_(0.3)
    for module in map(randomised, (library.AutoEncoder(d, m), top_k.AutoEncoderTopK(d, m, 3), batch)):
        yield Made(module, module.encode, module)


def real_circuit_tracer(d: int, m: int) -> Iterator[Made]:
    """circuit-tracer: a per-layer transcoder with a skip connection."""
    library: Any = importlib.import_module("circuit_tracer.transcoder.single_layer_transcoder")

    module: Any = randomised(
        library.SingleLayerTranscoder(
            d, m, torch.nn.functional.relu, 2, skip_connection=True, device=torch.device("cpu"), dtype=torch.float32
        )
    )
    yield Made(module, module.encode, lambda x: module.decode(module.encode(x), x))
