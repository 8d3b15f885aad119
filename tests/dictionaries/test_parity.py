"""Checkpoints written by the upstream libraries compute here what they compute there, to 1e-5.

The libraries' pins exclude each other, so each has an extra of its own, to be installed into an environment of its own:
`pip install -e '.[parity-sparsify]'` (-saelens, -dictionary-learning, -circuit-tracer), then
`pytest tests/dictionaries/test_parity.py`. What is not installed is skipped.
"""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import yaml

from autointerp import dictionaries
from autointerp.reconstruction import cross_layer
from autointerp.reconstruction.base import Arm
from autointerp.records import Site

D, M, K = 16, 64, 5
# Upstream code warns of its own deprecations.
pytestmark = pytest.mark.filterwarnings("default")


def upstream(module: str, package: str) -> ModuleType:
    try:
        return __import__(module, fromlist=["x"])
    except ImportError as error:
        pytest.skip(f"{package} is not installed in this environment ({error})")


def randomised(module: Any, seed: int = 0) -> Any:
    """Every parameter random, so that no term is silent; thresholds positive."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * (0.5 if parameter.ndim > 1 else 0.3))
            if "threshold" in name:
                parameter.abs_()
    return module


def rows() -> torch.Tensor:
    return torch.randn(50, D, generator=torch.Generator().manual_seed(9)) * 1.5


def agree(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    torch.testing.assert_close(ours, theirs.detach(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("activation", ["topk", "groupmax"])
@pytest.mark.parametrize("transcode, skip", [(False, False), (False, True), (True, False), (True, True)])
def test_sparsify(activation: str, transcode: bool, skip: bool, tmp_path: Path) -> None:
    library = upstream("sparsify.sparse_coder", "eai-sparsify")
    k = 4 if activation == "groupmax" else K
    settings = library.SparseCoderConfig(
        activation=activation, num_latents=M, k=k, transcode=transcode, skip_connection=skip
    )
    theirs = randomised(library.SparseCoder(D, settings))
    folder = tmp_path / "layers.3.mlp"
    theirs.save_to_disk(folder)
    ours = dictionaries.load(folder)
    x = rows()
    code, (values, indices, _) = ours.encode(x), theirs.encode(x)
    agree(code.dense(M), torch.zeros(len(x), M).scatter(1, indices, values))
    agree(ours.reconstruct(x), theirs.forward(x).sae_out)
    assert ours.site_in == f"layers.3.mlp.{'input' if transcode else 'output'}"


SAELENS = {
    "standard": ("StandardSAE", "StandardSAEConfig", {}),
    "topk": ("TopKSAE", "TopKSAEConfig", {"k": K}),
    "topk rescaled": ("TopKSAE", "TopKSAEConfig", {"k": K, "rescale_acts_by_decoder_norm": True}),
    "abstopk": ("AbsTopKSAE", "AbsTopKSAEConfig", {"k": K}),
    "jumprelu": ("JumpReLUSAE", "JumpReLUSAEConfig", {}),
    "gated": ("GatedSAE", "GatedSAEConfig", {}),
    "transcoder": ("Transcoder", "TranscoderConfig", {"d_out": D - 4, "apply_b_dec_to_input": False}),
    "skip_transcoder": ("SkipTranscoder", "SkipTranscoderConfig", {"d_out": D - 4, "apply_b_dec_to_input": False}),
    "jumprelu_transcoder": (
        "JumpReLUTranscoder",
        "JumpReLUTranscoderConfig",
        {"d_out": D - 4, "apply_b_dec_to_input": False},
    ),
    "jumprelu_skip_transcoder": (
        "JumpReLUSkipTranscoder",
        "JumpReLUSkipTranscoderConfig",
        {"d_out": D - 4, "apply_b_dec_to_input": False},
    ),
}


def saelens(kind: str, **changes: Any) -> Any:
    library = upstream("sae_lens.saes", "sae-lens")
    names = {
        name: getattr(upstream(f"sae_lens.saes.{file}", "sae-lens"), name)
        for file in ("standard_sae", "topk_sae", "abstopk_sae", "jumprelu_sae", "gated_sae", "transcoder")
        for name in dir(upstream(f"sae_lens.saes.{file}", "sae-lens"))
    }
    sae, config, settings = SAELENS[kind]
    about = library.sae.SAEMetadata(hook_name="blocks.1.hook_mlp_out", hook_name_out="blocks.1.hook_mlp_out")
    made = names[config](d_in=D, d_sae=M, metadata=about, **{**settings, **changes})
    return randomised(names[sae](made))


@pytest.mark.parametrize("norm", ["none", "layer_norm", "constant_norm_rescale"])
@pytest.mark.parametrize("pre_bias", [True, False])
@pytest.mark.parametrize("kind", list(SAELENS))
def test_saelens(kind: str, pre_bias: bool, norm: str, tmp_path: Path) -> None:
    if pre_bias and "transcoder" in kind:
        pytest.skip("SAELens refuses a pre-bias in transcoders")
    theirs = saelens(kind, apply_b_dec_to_input=pre_bias, normalize_activations=norm)
    theirs.save_model(tmp_path)
    ours, x = dictionaries.load(tmp_path), rows()
    agree(ours.encode(x).dense(M), theirs.encode(x))
    agree(ours.reconstruct(x), theirs(x))


@pytest.mark.parametrize("kind", ["standard", "topk", "jumprelu", "gated"])
def test_saelens_folds_the_expected_average_as_we_do(kind: str, tmp_path: Path) -> None:
    """SAELens' fold of its scale, against ours from activation_scaler.json."""
    theirs = saelens(kind, normalize_activations="expected_average_only_in")
    theirs.save_model(tmp_path)
    (tmp_path / "activation_scaler.json").write_text(json.dumps({"scaling_factor": 0.37}))
    ours, x = dictionaries.load(tmp_path), rows()
    theirs.fold_activation_norm_scaling_factor(0.37)
    agree(ours.encode(x).dense(M), theirs.encode(x))
    agree(ours.reconstruct(x), theirs(x))


@pytest.mark.parametrize("kind", ["standard", "topk", "jumprelu", "gated"])
def test_saelens_flat_configurations(kind: str, tmp_path: Path) -> None:
    """A pre-6.0 configuration means to us what SAELens' own upgrade makes of it."""
    theirs = saelens(kind)
    theirs.save_model(tmp_path)
    flat = {
        "d_in": D, "d_sae": M, "dtype": "float32", "device": "cpu", "model_name": "gpt2-small", "architecture": kind,
        "hook_point": "blocks.8.hook_resid_pre", "hook_point_layer": 8, "hook_point_head_index": None,
        "activation_fn_str": "relu", "normalize_activations": False, "apply_b_dec_to_input": True,
        "finetuning_scaling_factor": False, "context_size": 128,
    }  # fmt: skip
    if kind == "topk":
        flat |= {"architecture": "standard", "activation_fn_str": "topk", "activation_fn_kwargs": {"k": K}}
    (tmp_path / "cfg.json").write_text(json.dumps(flat))
    again = upstream("sae_lens", "sae-lens").SAE.load_from_disk(tmp_path)
    ours, x = dictionaries.load(tmp_path), rows()
    agree(ours.encode(x).dense(M), again.encode(x))
    agree(ours.reconstruct(x), again(x))
    assert ours.site_in == again.cfg.metadata.hook_name == "blocks.8.hook_resid_pre"


CLASSES = {
    "AutoEncoder": "dictionary",
    "AutoEncoderNew": "dictionary",
    "GatedAutoEncoder": "dictionary",
    "JumpReluAutoEncoder": "dictionary",
    "AutoEncoderTopK": "trainers.top_k",
    "BatchTopKSAE": "trainers.batch_top_k",
    "MatryoshkaBatchTopKSAE": "trainers.matryoshka_batch_top_k",
}


@pytest.mark.parametrize("kind", list(CLASSES))
def test_dictionary_learning(kind: str, tmp_path: Path) -> None:
    module = upstream(f"dictionary_learning.{CLASSES[kind]}", "dictionary-learning")
    more = {"k": K} if "TopK" in kind else {}
    more |= {"group_sizes": [16, 48]} if kind.startswith("Matryoshka") else {}
    theirs = randomised(getattr(module, kind)(D, M, **more))
    if "BatchTopK" in kind:
        theirs.threshold.fill_(0.8)
    torch.save(theirs.state_dict(), tmp_path / "ae.pt")
    trainer = {"dict_class": kind, "layer": 2, "submodule_name": "resid_post_layer_2", **({"k": K} if more else {})}
    (tmp_path / "config.json").write_text(json.dumps({"trainer": trainer}))
    ours, x = dictionaries.load(tmp_path), rows()
    agree(ours.encode(x).dense(M), theirs.encode(x))
    agree(ours.reconstruct(x), theirs(x))


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("kind", ["relu", "jumprelu", "topk"])
def test_circuit_tracer(kind: str, skip: bool, tmp_path: Path) -> None:
    """A set written by `to_safetensors`; TopK's k goes into config.yaml, as its development version reads it."""
    library = upstream("circuit_tracer.transcoder.single_layer_transcoder", "circuit-tracer")
    functions = upstream("circuit_tracer.transcoder.activation_functions", "circuit-tracer")
    made = {"relu": torch.relu, "jumprelu": functions.JumpReLU(torch.zeros(M)), "topk": functions.TopK(K)}[kind]
    theirs = randomised(
        library.SingleLayerTranscoder(
            D, M, made, 1, skip_connection=skip, device=torch.device("cpu"), dtype=torch.float32
        )
    )
    theirs.to_safetensors(str(tmp_path / "layer_1.safetensors"))
    settings = {
        "model_kind": "transcoder_set",
        "feature_input_hook": "mlp.hook_in",
        "feature_output_hook": "hook_mlp_out",
    }
    settings |= {"activation": "topk", "k": K} if kind == "topk" else {}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    ours, x = dictionaries.load(tmp_path / "layer_1.safetensors"), rows()
    agree(ours.encode(x).dense(M), theirs.encode(x))
    agree(ours.reconstruct(x), theirs(x))


@pytest.mark.parametrize("affine", [False, True])
def test_gemma_scope_2_as_circuit_tracer_reads_it(affine: bool, tmp_path: Path) -> None:
    library = upstream("circuit_tracer.transcoder.single_layer_transcoder", "circuit-tracer")
    safetensors = upstream("safetensors.torch", "safetensors")
    g = torch.Generator().manual_seed(3)
    tensors = {"w_enc": torch.randn(D, M, generator=g), "w_dec": torch.randn(M, D, generator=g)}
    tensors |= {"b_enc": torch.randn(M, generator=g), "b_dec": torch.randn(D, generator=g)}
    tensors |= {"threshold": torch.rand(M, generator=g)}
    tensors |= {"affine_skip_connection": torch.randn(D, D, generator=g)} if affine else {}
    folder = tmp_path / "transcoder" / "layer_1_width_16k_l0_small"
    folder.mkdir(parents=True)
    safetensors.save_file(tensors, folder / "params.safetensors")
    theirs = library.load_gemma_scope_2_transcoder(str(folder / "params.safetensors"), 1, device=torch.device("cpu"))
    ours, x = dictionaries.load(folder), rows()
    agree(ours.encode(x).dense(M), theirs.encode(x))
    agree(ours.reconstruct(x), theirs(x))


def test_a_cross_layer_transcoder_as_circuit_tracer_computes_it(tmp_path: Path) -> None:
    """Written by the library itself: activations and joint reconstructions of every layer."""
    library = upstream("circuit_tracer.transcoder.cross_layer_transcoder", "circuit-tracer")
    theirs = library.CrossLayerTranscoder(
        3, M, D, activation_function="jump_relu", lazy_decoder=False, device=torch.device("cpu"), dtype=torch.float32
    )
    randomised(theirs)
    theirs.to_safetensors(str(tmp_path))
    layers = [dictionaries.load(tmp_path / f"W_enc_{i}.safetensors", name=f"l{i}") for i in range(3)]
    arms = [Arm(one, Site(f"in.{i}", "input"), Site(f"out.{i}", "output")) for i, one in enumerate(layers)]
    xs = torch.stack([rows() for _ in range(3)])
    with torch.no_grad():
        acts, out = theirs.encode(xs), theirs(xs)
    for i, arm in enumerate(arms):
        agree(layers[i].encode(xs[i]).dense(M), acts[i])
        agree(cross_layer.joint(arm, arms, {arm.site_in: x for arm, x in zip(arms, xs, strict=True)}), out[i])
