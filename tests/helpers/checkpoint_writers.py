"""Tiny checkpoints of every format, written by the layouts' own rules, each with its formula written out plainly."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor

D, M = 6, 12
Function = Callable[[Tensor], Tensor]
Writer = Callable[[Path, torch.Generator], tuple[Function, Function]]


@dataclass(frozen=True, kw_only=True)
class Case:
    """`write(folder, generator)` writes a checkpoint and returns what it must compute: (encode, reconstruct)."""

    name: str
    format: str
    architecture: str
    write: Writer
    folder: str = ""
    focus: str = ""
    settings: tuple[tuple[str, object], ...] = ()
    sites: tuple[str, str] = ("", "")


def top_k(h: Tensor, k: int) -> Tensor:
    """The k largest of each row, the rest zero; by sorting."""
    kept = h.argsort(dim=1, descending=True)[:, :k]
    return torch.zeros_like(h).scatter(1, kept, h.gather(1, kept))


def draw(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator)


def sparsify(transcode: bool = False, skip: bool = False, activation: str = "topk", old: bool = False) -> Writer:
    def write(folder: Path, g: torch.Generator) -> tuple[Function, Function]:
        W, b, W_dec, b_dec, W_skip = draw(g, M, D), draw(g, M), draw(g, M, D), draw(g, D), draw(g, D, D)
        tensors = {"encoder.weight": W, "encoder.bias": b, "W_dec": W_dec, "b_dec": b_dec}
        save_file(tensors | ({"W_skip": W_skip} if skip else {}), folder / "sae.safetensors")
        settings = {
            "activation": activation,
            "expansion_factor": 2,
            "num_latents": 0,
            "k": 3,
            "transcode": transcode,
            "skip_connection": skip,
            "normalize_decoder": True,
            "multi_topk": False,
            "d_in": D,
        }
        (folder / "cfg.json").write_text(json.dumps(settings))

        def encode(x: Tensor) -> Tensor:
            z = x if transcode and not old else x - b_dec
            h = (z @ W.T + b).clamp_min(0)
            if activation == "topk":
                return top_k(h, 3)
            return torch.cat([top_k(group, 1) for group in h.split(M // 3, dim=1)], dim=1)

        return encode, lambda x: encode(x) @ W_dec + b_dec + (x @ W_skip.T if skip else 0)

    return write


def saelens(architecture: str, *, flat: bool = False, **changes: object) -> Writer:
    transcodes = "transcoder" in architecture
    settings = {"apply_b_dec_to_input": not transcodes, "normalize_activations": "none", **changes}
    width = D - 2 if transcodes else D

    def write(folder: Path, g: torch.Generator) -> tuple[Function, Function]:
        W, W_dec, b_enc, b_dec = draw(g, D, M), draw(g, M, width), draw(g, M), draw(g, width)
        threshold, W_skip = draw(g, M).abs(), draw(g, width, D)
        b_gate, b_mag, r_mag = draw(g, M), draw(g, M), draw(g, M)
        tensors = {"W_enc": W, "W_dec": W_dec, "b_dec": b_dec}
        tensors |= {"b_gate": b_gate, "b_mag": b_mag, "r_mag": r_mag} if architecture == "gated" else {"b_enc": b_enc}
        tensors |= {"threshold": threshold} if "jumprelu" in architecture else {}
        tensors |= {"W_skip": W_skip} if "skip" in architecture else {}
        save_file(tensors, folder / "sae_weights.safetensors")
        _saelens_config(folder, architecture, settings, width, flat)
        scale = 1.0
        if settings["normalize_activations"] == "expected_average_only_in":
            scale = 0.7
            (folder / "activation_scaler.json").write_text(json.dumps({"scaling_factor": scale}))
        rescale = settings.get("rescale_acts_by_decoder_norm", False)
        norms = W_dec.norm(dim=1) if rescale else torch.ones(M)

        def encode(x: Tensor) -> Tensor:
            z = normalised(x)[0] * scale - (b_dec if settings["apply_b_dec_to_input"] else 0)
            h = z @ W + (0 if architecture == "gated" else b_enc)
            if architecture == "gated":
                return (z @ (W * r_mag.exp()) + b_mag).clamp_min(0) * (h + b_gate > 0)
            if "jumprelu" in architecture:
                return h.clamp_min(0) * (h > threshold)
            if architecture == "topk":
                return top_k((h * norms).clamp_min(0), 3)
            if architecture == "abstopk":
                return top_k(h.abs(), 3) * h.sign()
            return h.clamp_min(0)

        def normalised(x: Tensor) -> tuple[Tensor, Tensor | float, Tensor | float]:
            if settings["normalize_activations"] == "layer_norm":
                mean, std = x.mean(dim=1, keepdim=True), x.std(dim=1, keepdim=True) + 1e-5
                return (x - mean) / std, std, mean
            if settings["normalize_activations"] == "constant_norm_rescale":
                length = x.norm(dim=1, keepdim=True) / D**0.5
                return x / length, length, 0.0
            return x, 1.0, 0.0

        def reconstruct(x: Tensor) -> Tensor:
            _, std, mean = (x, 1.0, 0.0) if transcodes else normalised(x)
            y = (encode(x) / norms @ W_dec + b_dec) / scale * std + mean
            return y + (x @ W_skip.T if "skip" in architecture else 0)

        return encode, reconstruct

    return write


def _saelens_config(folder: Path, architecture: str, settings: dict, width: int, flat: bool) -> None:
    about = {"model_name": "gpt2", "hook_name": "blocks.1.hook_mlp_out", "prepend_bos": False}
    if "transcoder" in architecture:
        about |= {"hook_name": "blocks.1.mlp.hook_in", "hook_name_out": "blocks.1.hook_mlp_out"}
    common = {"d_in": D, "d_sae": M, "dtype": "float32", "device": "cpu", **settings}
    if flat:
        old = {"hook_point": about["hook_name"], "prepend_bos": True, "normalize_activations": False}
        old |= {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 3}} if architecture == "topk" else {}
        old |= {} if architecture in ("topk", "standard") else {"architecture": architecture}
        (folder / "cfg.json").write_text(json.dumps({"d_in": D, "d_sae": M, "dtype": "torch.float32"} | old))
        return
    common |= {"architecture": architecture, "metadata": about}
    common |= {"k": 3} if "topk" in architecture else {}
    if architecture == "topk":
        common.setdefault("rescale_acts_by_decoder_norm", False)
    common |= {"d_out": width} if "transcoder" in architecture else {}
    (folder / "cfg.json").write_text(json.dumps(common))


def dictionary_learning(kind: str) -> Writer:
    def write(folder: Path, g: torch.Generator) -> tuple[Function, Function]:
        W, b, W_dec, b_dec = draw(g, M, D), draw(g, M), draw(g, D, M), draw(g, D)
        theta, r_mag, b_gate, b_mag = draw(g, M).abs(), draw(g, M), draw(g, M), draw(g, M)
        linear = {"encoder.weight": W, "encoder.bias": b, "decoder.weight": W_dec}
        raw = {"W_enc": W.T.contiguous(), "b_enc": b, "W_dec": W_dec.T.contiguous(), "b_dec": b_dec}
        k, scalar = torch.tensor(3, dtype=torch.int), torch.tensor(0.4)
        state = {
            "AutoEncoder": linear | {"bias": b_dec},
            "AutoEncoderNew": linear | {"decoder.bias": b_dec},
            "GatedAutoEncoder": {
                "encoder.weight": W,
                "decoder.weight": W_dec,
                "decoder_bias": b_dec,
                "r_mag": r_mag,
                "gate_bias": b_gate,
                "mag_bias": b_mag,
            },
            "JumpReluAutoEncoder": raw | {"threshold": theta},
            "AutoEncoderTopK": linear | {"b_dec": b_dec, "k": k, "threshold": torch.tensor(-1.0)},
            "BatchTopKSAE": linear | {"b_dec": b_dec, "k": k, "threshold": scalar},
            "MatryoshkaBatchTopKSAE": raw | {"k": k, "threshold": scalar, "group_sizes": torch.tensor([4, 8])},
        }[kind]
        torch.save(state, folder / "ae.pt")
        trainer = {"dict_class": kind, "k": 3, "layer": 1, "submodule_name": "resid_post_layer_1", "seed": 7}
        (folder / "config.json").write_text(json.dumps({"trainer": trainer, "buffer": {"io": "out"}}))

        def encode(x: Tensor) -> Tensor:
            h = (x if kind in ("AutoEncoderNew", "JumpReluAutoEncoder") else x - b_dec) @ W.T
            if kind == "GatedAutoEncoder":
                return (h * r_mag.exp() + b_mag).clamp_min(0) * (h + b_gate > 0)
            acts = (h + b).clamp_min(0)
            if kind == "AutoEncoderTopK":
                return top_k(acts, 3)
            if "BatchTopK" in kind:
                return acts * (acts > scalar)
            return acts * (h + b > theta) if kind == "JumpReluAutoEncoder" else acts

        return encode, lambda x: encode(x) @ W_dec.T + b_dec

    return write


def gemma_scope(prefix: str = "W", embedding: bool = False) -> Writer:
    def write(folder: Path, g: torch.Generator) -> tuple[Function, Function]:
        W, W_dec, b, b_dec, theta = draw(g, D, M), draw(g, M, D), draw(g, M), draw(g, D), draw(g, M).abs()
        arrays = {f"{prefix}_enc": W, f"{prefix}_dec": W_dec, "b_enc": b, "b_dec": b_dec, "threshold": theta}
        np.savez(folder / "params.npz", allow_pickle=False, **{name: tensor.numpy() for name, tensor in arrays.items()})
        root = D**0.5 if embedding else 1.0

        def encode(x: Tensor) -> Tensor:
            h = x @ W / root + b
            return h.clamp_min(0) * (h > theta)

        return encode, lambda x: encode(x) @ W_dec * root + b_dec

    return write


def gemma_scope_2(affine: bool = False, config: bool = True, transcode: bool = False) -> Writer:
    def write(folder: Path, g: torch.Generator) -> tuple[Function, Function]:
        W, W_dec, b, b_dec, theta = draw(g, D, M), draw(g, M, D), draw(g, M), draw(g, D), draw(g, M).abs()
        A = draw(g, D, D)
        tensors = {"w_enc": W, "w_dec": W_dec, "b_enc": b, "b_dec": b_dec, "threshold": theta}
        save_file(tensors | ({"affine_skip_connection": A} if affine else {}), folder / "params.safetensors")
        if config:
            below = "model.layers.1"
            settings = {"architecture": "jump_relu", "model_name": "m", "hf_hook_point_in": f"{below}.output"}
            if transcode:
                settings |= {
                    "hf_hook_point_in": f"{below}.pre_feedforward_layernorm.output",
                    "hf_hook_point_out": f"{below}.post_feedforward_layernorm.output",
                    "affine_connection": affine,
                }
            (folder / "config.json").write_text(json.dumps(settings))

        def encode(x: Tensor) -> Tensor:
            h = x @ W + b
            return h.clamp_min(0) * (h > theta)

        return encode, lambda x: encode(x) @ W_dec + b_dec + (x @ A if affine else 0)

    return write


def circuit_tracer(kind: str, skip: bool = False) -> Writer:
    def write(folder: Path, g: torch.Generator) -> tuple[Function, Function]:
        W, W_dec, b, b_dec, theta = draw(g, M, D), draw(g, M, D), draw(g, M), draw(g, D), draw(g, M)
        W_skip = draw(g, D, D)
        tensors = {"W_enc": W, "W_dec": W_dec, "b_enc": b, "b_dec": b_dec}
        tensors |= {"activation_function.threshold": theta} if kind == "jumprelu" else {}
        tensors |= {"W_skip": W_skip} if skip else {}
        save_file(tensors, folder / "layer_1.safetensors")
        settings = {"model_name": "m", "model_kind": "transcoder_set", "scan": "s"}
        settings |= {"feature_input_hook": "mlp.hook_in", "feature_output_hook": "hook_mlp_out"}
        settings |= {"activation": "topk", "k": 3} if kind == "topk" else {}
        (folder / "config.yaml").write_text(yaml.safe_dump(settings))

        def encode(x: Tensor) -> Tensor:
            h = x @ W.T + b
            return {"relu": h.clamp_min(0), "jumprelu": h * (h > theta), "topk": top_k(h, 3)}[kind]

        return encode, lambda x: encode(x) @ W_dec + b_dec + (x @ W_skip.T if skip else 0)

    return write


def llama_scope(transcode: bool = False, unit: bool = True, act: str = "jumprelu", norm_out: float = 5.0) -> Writer:
    def write(folder: Path, g: torch.Generator) -> tuple[Function, Function]:
        W, W_dec, b, b_dec = draw(g, M, D), draw(g, D, M), draw(g, M), draw(g, D)
        (folder / "checkpoints").mkdir()
        tensors = {"encoder.weight": W, "encoder.bias": b, "decoder.weight": W_dec, "decoder.bias": b_dec}
        save_file(tensors, folder / "checkpoints/final.safetensors")
        settings = {
            "d_model": D,
            "d_sae": M,
            "jump_relu_threshold": 0.3,
            "act_fn": act,
            "top_k": 3,
            "norm_activation": "dataset-wise",
            "sparsity_include_decoder_norm": unit,
            "dataset_average_activation_norm": {"in": 2.0, "out": norm_out},
            "hook_point_in": "blocks.1.mlp.hook_in" if transcode else "blocks.1.hook_mlp_out",
            "hook_point_out": "blocks.1.hook_mlp_out",
        }
        (folder / "hyperparams.json").write_text(json.dumps(settings))
        s_in, s_out = D**0.5 / 2.0, D**0.5 / norm_out

        def raw(x: Tensor) -> Tensor:  # the normalised frame's activations, brought to the raw frame
            return ((s_in * x) @ W.T + b) / s_in

        def encode(x: Tensor) -> Tensor:
            norms = (W_dec * s_in / s_out).norm(dim=0) if unit else torch.ones(M)
            h = raw(x) * norms
            return top_k(h.clamp_min(0), 3) if act == "topk" else h.clamp_min(0) * (h > 0.3)

        def reconstruct(x: Tensor) -> Tensor:  # activations in the normalised frame, through its decoder, un-scaled
            active = encode(x) > 0
            return ((raw(x) * s_in * active) @ W_dec.T + b_dec) / s_out

        return encode, reconstruct

    return write


def openai(act: str) -> Writer:
    def write(folder: Path, g: torch.Generator) -> tuple[Function, Function]:
        W, W_dec, b, bias = draw(g, M, D), draw(g, D, M), draw(g, M), draw(g, D)
        state: dict[str, object] = {
            "pre_bias": bias,
            "encoder.weight": W,
            "latent_bias": b,
            "decoder.weight": W_dec,
            "stats_last_nonzero": torch.zeros(M, dtype=torch.long),
            "activation": act,
        }
        if act == "TopK":
            state["activation_state_dict"] = {"k": 3, "postact_fn": "ReLU"}
        torch.save(state, folder / "8.pt")

        def moments(x: Tensor) -> tuple[Tensor, Tensor]:
            if act == "ReLU":
                return torch.zeros(len(x), 1), torch.ones(len(x), 1)
            return x.mean(dim=1, keepdim=True), x.std(dim=1, keepdim=True) + 1e-5

        def encode(x: Tensor) -> Tensor:
            mean, std = moments(x)
            h = ((x - mean) / std - bias) @ W.T + b
            return top_k(h.clamp_min(0), 3) if act == "TopK" else h.clamp_min(0)

        def reconstruct(x: Tensor) -> Tensor:
            mean, std = moments(x)
            return (encode(x) @ W_dec.T + bias) * std + mean

        return encode, reconstruct

    return write


def qwen_scope(folder: Path, g: torch.Generator) -> tuple[Function, Function]:
    W, W_dec, b, b_dec = draw(g, M, D), draw(g, D, M), draw(g, M), draw(g, D)
    torch.save({"W_enc": W, "W_dec": W_dec, "b_enc": b, "b_dec": b_dec}, folder / "layer4.sae.pt")

    def encode(x: Tensor) -> Tensor:
        return top_k((x @ W.T + b).clamp_min(0), 3)

    return encode, lambda x: encode(x) @ W_dec.T + b_dec


def llamascopium(
    act: str = "jumprelu", *, transcode: bool = False, norm: str = "dataset-wise", r1: bool = False, unit: bool = True
) -> Writer:
    def write(folder: Path, g: torch.Generator) -> tuple[Function, Function]:
        W, W_dec, b, b_dec, theta = draw(g, D, M), draw(g, M, D), draw(g, M), draw(g, D), draw(g, M).abs() + 0.1
        below = ("blocks.1.mlp.hook_in" if transcode else "blocks.1.hook_mlp_out", "blocks.1.hook_mlp_out")
        tensors = {"W_E": W, "b_E": b, "W_D": W_dec, "b_D": b_dec}
        if r1:
            tensors = {"encoder.weight": W.T, "encoder.bias": b, "decoder.weight": W_dec.T, "decoder.bias": b_dec}
        if act == "jumprelu":
            tensors["log_jumprelu_threshold" if r1 else "activation_function.log_jumprelu_threshold"] = theta.log()
        if not r1:
            tensors |= {
                f"dataset_average_activation_norm.{site}": torch.tensor(3.0 + i) for i, site in enumerate(below)
            }
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "sae_weights.safetensors")
        settings = {"d_model": D, "expansion_factor": M // D, "hook_point_in": below[0], "act_fn": act}
        settings |= {"sparsity_include_decoder_norm": unit}
        settings |= (
            {}
            if r1
            else {
                "sae_type": "sae",
                "hook_point_out": below[1],
                "norm_activation": norm,
                "top_k": 3,
                "dtype": "float32",
            }
        )
        (folder / "config.json").write_text(json.dumps(settings))
        root = D**0.5
        # An SAE's two sites are one, whose norm was written last.
        s_in, s_out = {
            "dataset-wise": (0.5, 0.5) if r1 else (root / (3.0 if transcode else 4.0), root / 4.0),
            "inference": (1, 1),
            "token-wise": (1, 1),
        }[norm]

        def length(x: Tensor) -> Tensor:
            return x.norm(dim=1, keepdim=True) / root if norm == "token-wise" else torch.ones(len(x), 1)

        def encode(x: Tensor) -> Tensor:
            h = (x / length(x) * s_in) @ W + b
            scaled = h * W_dec.norm(dim=1) if unit else h
            if act == "topk":  # of our own scale: their activations times the decoder's norm
                return top_k(scaled.clamp_min(0), 3)
            return h.clamp_min(0) * (scaled > (theta if act == "jumprelu" else 0))

        def reconstruct(x: Tensor) -> Tensor:
            acts = encode(x) / (W_dec.norm(dim=1) if act == "topk" and unit else 1)
            return (acts @ W_dec + b_dec) / s_out * length(x)

        return encode, reconstruct

    return write
