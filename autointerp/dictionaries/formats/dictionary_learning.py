"""dictionary_learning: `config.json` + `ae.pt`; its seven dictionary classes.

Source: github.com/saprmarks/dictionary_learning, `dictionary.py`, `trainers/*.py`. Latents are read as saved; its
`AutoEncoder.from_pretrained` rescales each to a unit decoder column, which changes activations by a factor per latent
and nothing else.
"""

from typing import Any

import torch
from pydantic import Field

from autointerp.dictionaries.activations import Activation
from autointerp.dictionaries.base import Architecture, DictionaryConfig
from autointerp.dictionaries.files import Files
from autointerp.dictionaries.formats._common import SHORT, Count, Settings, beside, provenance, saved
from autointerp.dictionaries.spec import Dictionary
from autointerp.dictionaries.tensors import Tensors, read_tensors
from autointerp.errors import DictionaryError

CONFIG, WEIGHTS = "config.json", "ae.pt"
SIDES = {"out": ("", ""), "in": (".input", ".input"), "in_and_out": (".input", ".output")}


class Trainer(Settings):
    """The `trainer` part of config.json."""

    dict_class: str
    k: Count | None = None
    layer: int | None = None
    submodule_name: str | None = None
    seed: int | None = None


class Saved(Settings):
    """config.json."""

    trainer: Trainer
    buffer: dict[str, Any] = Field(default_factory=dict)


def recognises(files: Files) -> bool:
    """Whether the folder holds config.json and ae.pt."""
    return beside(files, CONFIG, WEIGHTS)


def read(files: Files, config: DictionaryConfig) -> Dictionary:
    """Read one dictionary.

    Raises:
        DictionaryError: damaged, of an unknown class, or a BatchTopK without a threshold.
    """
    settings = saved(Saved, files, CONFIG)
    kind = settings.trainer.dict_class
    if kind not in CLASSES:
        raise DictionaryError(f"{files.source}: dict_class {kind!r} in {CONFIG}; known: {', '.join(CLASSES)}")
    tensors = read_tensors(files.path(WEIGHTS))
    parts = CLASSES[kind](tensors, settings.trainer, config)
    tensors.finish()
    site_in, site_out, remarks = _sites(settings, files)
    architecture: Architecture = "sae" if site_in == site_out else "transcoder"
    return Dictionary(
        name=config.name,
        architecture=architecture,
        site_in=site_in,
        site_out=site_out,
        remarks=remarks,
        seed=settings.trainer.seed if settings.trainer.seed is not None else -1,
        provenance=provenance("dictionary_learning", files, CONFIG, WEIGHTS),
        **parts,
    )


def _sites(settings: Saved, files: Files) -> tuple[str, str, tuple[str, ...]]:
    io = settings.buffer.get("io", "out")
    if not isinstance(io, str) or io not in SIDES:
        raise DictionaryError(f"{files.source}: io {SHORT.repr(io)} in {CONFIG}; known: {', '.join(SIDES)}")
    name = settings.trainer.submodule_name
    remarks = ()
    if not name:
        if settings.trainer.layer is None:
            return "", "", ()
        name = f"resid_post_layer_{settings.trainer.layer}"
        remarks = (f"{CONFIG} names layer {settings.trainer.layer} and no submodule; taken as its residual output",)
    return name + SIDES[io][0], name + SIDES[io][1], remarks


def _linear(tensors: Tensors, *, encoder_bias: bool = True) -> dict[str, Any]:
    """Take weights saved by nn.Linear layers."""
    m, d = tensors.matrix("encoder.weight")
    W_enc = tensors.take("encoder.weight", m, d).T
    b_enc = tensors.take("encoder.bias", m) if encoder_bias else torch.zeros(m, dtype=W_enc.dtype)
    return {"W_enc": W_enc, "b_enc": b_enc, "W_dec": tensors.take("decoder.weight", d, m).T}


def _raw(tensors: Tensors) -> dict[str, Any]:
    """Take weights saved as plain parameters."""
    d, m = tensors.matrix("W_enc")
    return {
        "W_enc": tensors.take("W_enc", d, m),
        "b_enc": tensors.take("b_enc", m),
        "W_dec": tensors.take("W_dec", m, d),
        "b_dec": tensors.take("b_dec", d),
    }


def _auto_encoder(tensors: Tensors, trainer: Trainer, config: DictionaryConfig) -> dict[str, Any]:
    parts = _linear(tensors)
    bias = tensors.take("bias", parts["W_enc"].shape[0])
    return {**parts, "b_dec": bias, "pre_bias": bias, "activation": Activation(kind="relu")}


def _auto_encoder_new(tensors: Tensors, trainer: Trainer, config: DictionaryConfig) -> dict[str, Any]:
    parts = _linear(tensors)
    return {
        **parts,
        "b_dec": tensors.take("decoder.bias", parts["W_enc"].shape[0]),
        "activation": Activation(kind="relu"),
    }


def _gated(tensors: Tensors, trainer: Trainer, config: DictionaryConfig) -> dict[str, Any]:
    parts = _linear(tensors, encoder_bias=False)
    d, m = parts["W_enc"].shape
    bias = tensors.take("decoder_bias", d)
    activation = Activation(
        kind="gated",
        gain=tensors.take("r_mag", m).exp(),
        mag_bias=tensors.take("mag_bias", m),
        gate_bias=tensors.take("gate_bias", m),
    )
    return {**parts, "b_dec": bias, "pre_bias": bias, "activation": activation}


def _jump_relu(tensors: Tensors, trainer: Trainer, config: DictionaryConfig) -> dict[str, Any]:
    parts = _raw(tensors)
    return {
        **parts,
        "activation": Activation(kind="jumprelu", threshold=tensors.take("threshold", len(parts["b_enc"]))),
    }


def _top_k(tensors: Tensors, trainer: Trainer, config: DictionaryConfig) -> dict[str, Any]:
    parts = _linear(tensors)
    tensors.ignore("threshold")
    bias = tensors.take("b_dec", parts["W_enc"].shape[0])
    k = _k(tensors, trainer, config)
    return {**parts, "b_dec": bias, "pre_bias": bias, "activation": Activation(kind="topk", k=k)}


def _batch_top_k(tensors: Tensors, trainer: Trainer, config: DictionaryConfig) -> dict[str, Any]:
    parts = _linear(tensors)
    bias = tensors.take("b_dec", parts["W_enc"].shape[0])
    threshold = _threshold(tensors, parts["b_enc"])
    activation = Activation(kind="jumprelu", threshold=threshold)
    return {
        **parts,
        "b_dec": bias,
        "pre_bias": bias,
        "activation": activation,
        "l0": float(_k(tensors, trainer, config)),
    }


def _matryoshka(tensors: Tensors, trainer: Trainer, config: DictionaryConfig) -> dict[str, Any]:
    parts = _raw(tensors)
    m = len(parts["b_enc"])
    sizes = tensors.integers("group_sizes")
    if sum(sizes) != m or min(sizes, default=0) <= 0:
        raise DictionaryError(f"{tensors.origin}: group_sizes add up to {sum(sizes)}, but it has {m} latents")
    activation = Activation(kind="jumprelu", threshold=_threshold(tensors, parts["b_enc"]))
    return {**parts, "pre_bias": parts["b_dec"], "activation": activation, "l0": float(_k(tensors, trainer, config))}


CLASSES = {
    "AutoEncoder": _auto_encoder,
    "AutoEncoderNew": _auto_encoder_new,
    "GatedAutoEncoder": _gated,
    "JumpReluAutoEncoder": _jump_relu,
    "AutoEncoderTopK": _top_k,
    "BatchTopKSAE": _batch_top_k,
    "MatryoshkaBatchTopKSAE": _matryoshka,
}


def _k(tensors: Tensors, trainer: Trainer, config: DictionaryConfig) -> int:
    """Latents per token, from the weights, config.json or the study; they must agree."""
    found = {"ae.pt": tensors.integer("k") if "k" in tensors else None, CONFIG: trainer.k, "the study": config.k}
    values = {value for value in found.values() if value is not None}
    if len(values) != 1:
        stated = ", ".join(f"{where} says {value}" for where, value in found.items() if value is not None)
        raise DictionaryError(
            f"{tensors.origin}: k is {stated or 'not given'}; " + ("they must agree" if stated else "add k")
        )
    return values.pop()


def _threshold(tensors: Tensors, like: torch.Tensor) -> torch.Tensor:
    """Scalar threshold of a BatchTopK dictionary, for every latent."""
    threshold = tensors.number("threshold")
    if not threshold >= 0:
        raise DictionaryError(
            f"{tensors.origin}: the BatchTopK threshold is {threshold:g}, so it was never set (training sets it after "
            "threshold_start_step); at inference every positive pre-activation would fire. Train on, or set "
            "`threshold` "
            "in ae.pt to the mean smallest active value over a sample"
        )
    return torch.full_like(like, threshold)
