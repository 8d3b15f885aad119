"""Llama Scope: `hyperparams.json` + `checkpoints/{pruned,final}.safetensors`; JumpReLU or TopK SAEs and transcoders.

Source: github.com/OpenMOSS/Language-Model-SAEs at 1e710367, `lm_saes/sae.py: from_config`. Weights are saved for
activations scaled to norm sqrt(d) on average; the scalar threshold is meant for decoder rows of length 1 in the raw
frame. Read from that code, not tried on a published checkpoint: a remark asks to look at L0. SAELens' loader skips the
step to unit rows, so its active set differs wherever decoder norms are not 1.
"""

from typing import Literal

import torch
from pydantic import Field

from autointerp.dictionaries.activations import Activation
from autointerp.dictionaries.base import DictionaryConfig
from autointerp.dictionaries.files import Files
from autointerp.dictionaries.folds import Weights, raw_frame, unit_decoder
from autointerp.dictionaries.formats._common import Count, Settings, beside, provenance, saved
from autointerp.dictionaries.spec import Dictionary
from autointerp.dictionaries.tensors import read_tensors
from autointerp.errors import DictionaryError

CONFIG = "hyperparams.json"
# In the order in which the authors' loader looks.
WEIGHTS = ("checkpoints/pruned.safetensors", "checkpoints/final.safetensors")
REMARK = "read after the authors' code, not tried on a published checkpoint: compare its L0 with the published one"


class Norms(Settings):
    """Mean norms of the activations it was trained on."""

    norm_in: float = Field(alias="in", gt=0)
    norm_out: float = Field(alias="out", gt=0)


class Saved(Settings):
    """hyperparams.json."""

    d_model: Count
    d_sae: Count
    hook_point_in: str
    hook_point_out: str | None = None
    act_fn: Literal["jumprelu", "topk", "relu"]
    jump_relu_threshold: float | None = None
    top_k: Count | None = None
    norm_activation: str
    dataset_average_activation_norm: Norms | None = None
    sparsity_include_decoder_norm: bool
    apply_decoder_bias_to_pre_encoder: bool = False
    use_decoder_bias: bool = True
    use_glu_encoder: bool = False


def recognises(files: Files) -> bool:
    """Whether the folder holds hyperparams.json and a checkpoints folder."""
    return any(beside(files, CONFIG, name) for name in WEIGHTS)


def read(files: Files, config: DictionaryConfig) -> Dictionary:
    """Read one SAE or transcoder.

    Raises:
        DictionaryError: broken, gated-linear, or of a normalisation that is not read.
    """
    settings = saved(Saved, files, CONFIG)
    if settings.use_glu_encoder:
        raise DictionaryError(f"{files.source}: use_glu_encoder: a gated linear encoder, which is not read")
    name = next(name for name in WEIGHTS if name in files.names)
    tensors = read_tensors(files.path(name))
    d, m = settings.d_model, settings.d_sae
    weights = Weights(
        W_enc=tensors.take("encoder.weight", m, d).T,
        b_enc=tensors.take("encoder.bias", m),
        W_dec=tensors.take("decoder.weight", d, m).T,
    )
    b_dec = tensors.take("decoder.bias", d) if settings.use_decoder_bias else torch.zeros(d, dtype=weights.W_enc.dtype)
    tensors.finish()
    scale_in, scale_out = _scales(settings, files)
    weights = raw_frame(weights, scale_in=scale_in, scale_out=scale_out)
    if settings.sparsity_include_decoder_norm:
        weights = unit_decoder(weights)
    b_dec = b_dec / scale_out
    site_in, site_out = settings.hook_point_in, settings.hook_point_out or settings.hook_point_in
    return Dictionary(
        name=config.name,
        architecture="sae" if site_in == site_out else "transcoder",
        site_in=site_in,
        site_out=site_out,
        W_enc=weights.W_enc,
        b_enc=weights.b_enc,
        W_dec=weights.W_dec,
        b_dec=b_dec,
        activation=_activation(settings, weights, config, files),
        prepend_bos=True,
        remarks=(REMARK,),
        pre_bias=b_dec if settings.apply_decoder_bias_to_pre_encoder else None,
        provenance=provenance("llama_scope", files, CONFIG, name),
    )


def _scales(settings: Saved, files: Files) -> tuple[float, float]:
    if settings.norm_activation in ("none", "inference"):
        return 1.0, 1.0
    norms = settings.dataset_average_activation_norm
    if settings.norm_activation != "dataset-wise":
        raise DictionaryError(
            f"{files.source}: norm_activation {settings.norm_activation!r} in {CONFIG}; known: dataset-wise, "
            "inference, none"
        )
    if norms is None:
        raise DictionaryError(f"{files.source}: dataset_average_activation_norm is missing in {CONFIG}")
    root = settings.d_model**0.5
    return root / norms.norm_in, root / norms.norm_out


def _activation(settings: Saved, weights: Weights, config: DictionaryConfig, files: Files) -> Activation:
    if settings.act_fn == "jumprelu":
        if settings.jump_relu_threshold is None:
            raise DictionaryError(f"{files.source}: act_fn: jumprelu without jump_relu_threshold in {CONFIG}")
        threshold = torch.full_like(weights.b_enc, settings.jump_relu_threshold)
        return Activation(kind="jumprelu", threshold=threshold)
    if settings.act_fn == "relu":
        return Activation(kind="relu")
    k = settings.top_k or config.k
    if not k:
        raise DictionaryError(f"{files.source}: act_fn: topk without top_k in {CONFIG}; add `k: <number>`")
    return Activation(kind="topk", k=k)
