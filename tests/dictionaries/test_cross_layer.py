"""Cross-layer transcoders: a layer encodes as any transcoder; layers together reconstruct and are spliced at once."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor

from autointerp import dictionaries
from autointerp.dictionaries import load_check
from autointerp.dictionaries.globs import expanded
from autointerp.errors import DictionaryError, SiteError
from autointerp.reconstruction import cross_layer, metrics
from autointerp.reconstruction.base import Arm, ReconstructionConfig
from autointerp.records import Site
from autointerp.subject import sites
from autointerp.subject.model import HookedSubject
from tests.helpers import tiny

D, M, LAYERS = 16, 24, 3


def draw(g: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=g) * 0.3


def circuit_tracer(folder: Path) -> dict[str, Tensor]:
    """Write the library's layout; return the weights."""
    g, weights = torch.Generator().manual_seed(0), {}
    for i in range(LAYERS):
        encoder = {
            f"W_enc_{i}": draw(g, M, D),
            f"b_enc_{i}": draw(g, M),
            f"b_dec_{i}": draw(g, D),
            f"threshold_{i}": draw(g, M).abs(),
        }
        decoder = {f"W_dec_{i}": draw(g, M, LAYERS - i, D)}
        save_file(encoder, folder / f"W_enc_{i}.safetensors")
        save_file(decoder, folder / f"W_dec_{i}.safetensors")
        weights |= encoder | decoder
    told = {"model_kind": "cross_layer_transcoder", "feature_input_hook": "hook_resid_mid"}
    (folder / "config.yaml").write_text(
        yaml.safe_dump(told | {"feature_output_hook": "hook_mlp_out", "model_name": "m"})
    )
    return weights


def gemma(folder: Path) -> dict[str, Tensor]:
    """Write Gemma Scope 2's layout, whose decoders reach every layer, with zeros before their own."""
    g, weights = torch.Generator().manual_seed(0), {}
    for i in range(LAYERS):
        W_dec = draw(g, M, LAYERS, D)
        W_dec[:, :i] = 0
        tensors = {"w_enc": draw(g, D, M), "b_enc": draw(g, M), "w_dec": W_dec, "b_dec": draw(g, D)}
        tensors |= {"threshold": draw(g, M).abs(), "affine_skip_connection": draw(g, D, D)}
        save_file(tensors, folder / f"params_layer_{i}.safetensors")
        weights |= {f"W_enc_{i}": tensors["w_enc"].T, f"W_dec_{i}": W_dec[:, i:]}
        weights |= {f"{name}_{i}": tensors[name] for name in ("b_enc", "b_dec", "threshold")}
        weights[f"skip_{i}"] = tensors["affine_skip_connection"]
    return weights


def formula(weights: dict[str, Tensor], xs: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Return activations and reconstructions of every layer, written out."""
    acts = []
    for i, x in enumerate(xs):
        h = x @ weights[f"W_enc_{i}"].T + weights[f"b_enc_{i}"]
        acts.append(h * (h > weights[f"threshold_{i}"]))
    out = []
    for j, x in enumerate(xs):
        y = weights[f"b_dec_{j}"] + sum(acts[i] @ weights[f"W_dec_{i}"][:, j - i] for i in range(j + 1))
        out.append(y + x @ weights[f"skip_{j}"] if f"skip_{j}" in weights else y)
    return acts, out


def opened(folder: Path) -> list[Any]:
    named = expanded([{"name": "clt", "source": str(folder)}])
    assert [one["name"] for one in named] == [f"clt-L{i}" for i in range(LAYERS)]
    return [dictionaries.load(one["source"], name=one["name"]) for one in named]


@pytest.mark.parametrize("write", [circuit_tracer, gemma])
def test_every_layer_encodes_and_all_reconstruct_as_the_formula_says(write: Any, tmp_path: Path) -> None:
    """A folder is its layers; negative pre-activations never pass a positive threshold."""
    weights, g = write(tmp_path), torch.Generator().manual_seed(1)
    layers, xs = opened(tmp_path), [draw(g, 40, D) * 5 for _ in range(LAYERS)]
    acts, out = formula(weights, xs)
    arms = [Arm(one, Site(f"in.{i}", "input"), Site(f"out.{i}", "output")) for i, one in enumerate(layers)]
    seen = {arm.site_in: x for arm, x in zip(arms, xs, strict=True)}
    for i, arm in enumerate(arms):
        assert layers[i].architecture == "cross-layer-transcoder"
        torch.testing.assert_close(layers[i].encode(xs[i]).dense(M), acts[i], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(cross_layer.joint(arm, arms, seen), out[i], atol=1e-5, rtol=1e-5)
        assert len(layers[i].writes) == LAYERS - 1 - i
    assert len({one.group for one in layers}) == 1


def test_a_decoder_that_writes_backwards_or_is_missing_is_refused(tmp_path: Path) -> None:
    gemma(tmp_path)
    tensors = {"w_enc": torch.ones(D, M), "w_dec": torch.ones(M, LAYERS, D), "b_enc": torch.ones(M)}
    tensors |= {"b_dec": torch.ones(D), "threshold": torch.ones(M)}
    save_file(tensors, tmp_path / "params_layer_1.safetensors")
    with pytest.raises(DictionaryError, match="earlier layers"):
        dictionaries.load(tmp_path / "params_layer_1.safetensors")
    circuit_tracer(tmp_path)
    (tmp_path / "W_dec_1.safetensors").unlink()
    with pytest.raises(DictionaryError, match=r"W_dec_1\.safetensors is missing"):
        dictionaries.load(tmp_path / "W_enc_1.safetensors")


@pytest.fixture(scope="module")
def subject() -> HookedSubject:
    return HookedSubject(tiny.model("llama"), tiny.tokenizer(), fingerprint="")


def arms_of(subject: HookedSubject, layers: list[Any]) -> list[Arm]:
    resolve = sites.resolve
    return [Arm(one, resolve(subject.model, one.site_in), resolve(subject.model, one.site_out)) for one in layers]


def test_the_joint_splice_replaces_all_layers_in_one_run(subject: HookedSubject, tmp_path: Path) -> None:
    """By a loop that recomputes the model block by block with the formula in place of each MLP."""
    weights = circuit_tracer(tmp_path)
    arms, ids = arms_of(subject, opened(tmp_path)), torch.arange(3, 13)[None]
    config = ReconstructionConfig(n_documents=2, n_bootstrap=100)
    text = torch.ones(1, 10, dtype=torch.bool)
    from autointerp.reconstruction.sums import Batch

    found = cross_layer.hidden(subject, arms, Batch(np.array([0]), ids, None, text))
    xs: list[Tensor] = []
    model = subject.model.model
    kept = [layer.mlp.forward for layer in model.layers]
    mids: list[Tensor] = []
    handles = [
        layer.post_attention_layernorm.register_forward_pre_hook(lambda _, args: mids.append(args[0]))
        for layer in model.layers
    ]

    def replaced(_: Tensor) -> Tensor:
        xs.append(mids[-1][0])
        return formula(weights, xs)[1][-1][None]

    for layer in model.layers:
        layer.mlp.forward = replaced
    with torch.no_grad():
        wanted = model(input_ids=ids, use_cache=False)[0]
    for layer, forward, handle in zip(model.layers, kept, handles, strict=True):
        layer.mlp.forward = forward
        handle.remove()
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)

    table = metrics.evaluate(subject, arms, [np.arange(3, 13), np.arange(5, 17)], config, bos=0, seed=0)
    told = table.set_index(["dictionary", "metric"])["value"]
    joint = [told[f"clt-L{i}", "ce_increase_joint"] for i in range(LAYERS)]
    assert joint[0] == joint[1] == joint[2] != told["clt-L2", "ce_increase"]
    assert ("clt-L0", "kl_joint") in told.index


def test_an_identity_at_every_layer_changes_nothing(subject: HookedSubject, tmp_path: Path) -> None:
    """Bit for bit; and a replacement that needs what comes later is refused."""
    ids = torch.arange(3, 13)[None]
    mid, out = (sites.resolve(subject.model, f"blocks.{i}.hook_mlp_out") for i in (0, 2))
    same = subject.spliced(ids, None, [], {mid: lambda seen: seen[mid], out: lambda seen: seen[out]})
    assert torch.equal(same, subject.run(ids, None, []).hidden)
    with pytest.raises(SiteError, match="comes after"):
        subject.spliced(ids, None, [out], {mid: lambda seen: seen[out]})


def test_the_load_check_judges_a_layer_by_its_firing(subject: HookedSubject, tmp_path: Path) -> None:
    """A layer's own decoder explains little by itself; that is no symptom, a silent encoder still is."""
    circuit_tracer(tmp_path)
    x, y = torch.randn(200, D, generator=torch.Generator().manual_seed(2)) * 3, torch.ones(200, D).cumsum(0)
    found = {}
    for raised in (4.0, 1e4):
        layer = opened(tmp_path)[2]
        threshold = layer.activation.threshold + raised
        layer = replace(layer, activation=replace(layer.activation, threshold=threshold))
        vitals = load_check.measure(layer, x, y)
        assert vitals.fvu > 1
        found[raised] = load_check.symptoms(vitals, layer)
    assert found[4.0] == ()
    assert "fire at all" in found[1e4][0]
