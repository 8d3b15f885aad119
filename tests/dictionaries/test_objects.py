"""Objects in memory as dictionaries: what they compute is what is measured, whichever library they come from."""

import importlib.util
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from autointerp.dictionaries.objects import fingerprint, from_object
from autointerp.errors import DictionaryError
from tests.helpers import objects

D, M, N = 6, 20, 50


def rows(n: int = N) -> Tensor:
    return torch.randn(n, D, generator=torch.Generator().manual_seed(1))


SITES: dict[str, Any] = {"site_in": "a.input", "site_out": "a.output"}


@pytest.mark.parametrize("make", objects.STAND_INS, ids=lambda make: make.__name__)
def test_codes_and_reconstruction_are_the_objects_own(make: Callable[..., Any]) -> None:
    """Against the closed form that each stand-in states for itself."""
    module, encode, reconstruct = make(D, M)
    found = from_object(module, name="x", **SITES)
    x = rows()
    assert (found.d_in, found.n_latents, found.d_out) == (D, M, D)
    torch.testing.assert_close(found.encode(x).dense(M), encode(x))
    torch.testing.assert_close(found.encode_dense(x, torch.tensor([3, 1])), encode(x)[:, [3, 1]])
    torch.testing.assert_close(found.reconstruct(x), reconstruct(x))
    one = found.directions([2])
    skip = getattr(module, "W_skip", None)
    assert found.architecture == ("transcoder" if skip is None else "skip-transcoder")
    assert one.shape == (1, D)


def test_a_module_without_a_decoder_matrix_gives_its_directions_by_decoding_units() -> None:
    module, _, _ = objects.plain_module(D, M)
    found = from_object(module, name="x", site_in="a.output")
    torch.testing.assert_close(found.W_dec, module.down.weight.T.detach())
    torch.testing.assert_close(found.b_dec, module.down.bias.detach())
    assert found.architecture == "sae"


def test_the_hash_follows_weights_and_settings() -> None:
    """Equal objects have one hash; a changed weight, k or class has another."""
    same = {fingerprint(objects.sparsify(D, M)[0]) for _ in range(2)}
    changed = objects.sparsify(D, M)[0]
    with torch.no_grad():
        changed.b_dec[0] += 1
    other_k = objects.sparsify(D, M)[0]
    other_k.cfg.k += 1
    assert len(same | {fingerprint(changed), fingerprint(other_k)}) == 3
    assert len(same) == 1


class _Bare:
    pass


class _ByBatch(nn.Module):
    """BatchTopK as in training: the k * n largest of the whole batch."""

    def __init__(self) -> None:
        super().__init__()
        self.d_in = D
        self.W_dec = nn.Parameter(torch.randn(M, D, generator=torch.Generator().manual_seed(0)))

    def encode(self, x: Tensor) -> Tensor:
        h = (x @ self.W_dec.T).relu()
        return h * (h >= h.flatten().topk(2 * len(x)).values[-1])

    def decode(self, acts: Tensor) -> Tensor:
        return acts @ self.W_dec


class _Broken(_ByBatch):
    def decode(self, acts: Tensor) -> Tensor:
        raise RuntimeError("shapes do not fit")


class Refusal(NamedTuple):
    make: Callable[[], Any]
    sites: dict[str, Any]
    words: str


REFUSALS = {
    "no encode": Refusal(_Bare, SITES, r"no encode\(x\)"),
    "no decode": Refusal(
        lambda: type("OnlyEncode", (), {"encode": lambda self, x: x, "d_in": D})(), SITES, "no decode"
    ),
    "no site": Refusal(lambda: objects.sparsify(D, M)[0], {}, "does not say which site"),
    "batch": Refusal(_ByBatch, SITES, "depend on the other rows"),
    "broken": Refusal(_Broken, SITES, "fails on rows .*shapes do not fit"),
    "width": Refusal(lambda: type("NoWidth", (), {"encode": print, "decode": print})(), SITES, "input width"),
}


@pytest.mark.parametrize("case", REFUSALS.values(), ids=REFUSALS.keys())
def test_objects_that_cannot_be_measured_are_refused_in_one_line(case: Refusal) -> None:
    with pytest.raises(DictionaryError, match=case.words) as error:
        from_object(case.make(), name="x", **case.sites)
    assert "\n" not in str(error.value)


def test_a_configured_hook_is_the_site() -> None:
    """SAELens records where its activations came from."""
    module, _, _ = objects.saelens(D, M)
    assert from_object(module, name="x").site_in == "blocks.3.hook_resid_pre"


REAL = {
    "sae_lens": objects.real_saelens,
    "sparsify": objects.real_sparsify,
    "dictionary_learning": objects.real_dictionary_learning,
    "circuit_tracer": objects.real_circuit_tracer,
}


@pytest.mark.slow
@pytest.mark.parametrize("library", REAL)
def test_objects_of_the_real_libraries(library: str) -> None:
    """Each object's own encode and forward pass, as its library runs them."""
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    for module, encode, reconstruct in REAL[library](D, M):
        found, x = from_object(module, name="x", **SITES), rows()
        with torch.no_grad():
            torch.testing.assert_close(found.encode(x).dense(M), encode(x))
            torch.testing.assert_close(found.reconstruct(x), reconstruct(x))
