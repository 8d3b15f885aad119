"""llamascopium (formerly lm_saes): `config.json` + `sae_weights.safetensors`; SAEs and transcoders, Llama Scope R1 too.

Source: github.com/OpenMOSS/Language-Model-SAEs at 95281ac7, `models/sae.py`, `models/sparse_dictionary.py`. Activations
are those of its `encode` on normalised inputs. Where the decoder's norm takes part in the gate, a jumprelu threshold is
divided by it, which changes nothing else; topk selects by what is scaled, so its latents are scaled to unit decoder
rows here: their activations are its own times the decoder's norm.
"""

from typing import Literal

import torch
from pydantic import Field

from autointerp.dictionaries.activations import Activation
from autointerp.dictionaries.base import DictionaryConfig
from autointerp.dictionaries.files import Files, read_config
from autointerp.dictionaries.folds import SHORTEST_ROW, Weights, unit_decoder
from autointerp.dictionaries.formats._common import Count, Settings, beside, provenance, validated
from autointerp.dictionaries.spec import Dictionary, InputNorm
from autointerp.dictionaries.tensors import Tensors, read_tensors
from autointerp.errors import DictionaryError

CONFIG, WEIGHTS = "config.json", "sae_weights.safetensors"
REFUSED = {
    "crosscoder": "its latents read from and write to several sites, which one site_in -> site_out cannot hold",
    "clt": "a cross-layer transcoder: its latents write to several layers, which one site_in -> site_out cannot hold",
    "lorsa": "sparse attention: a latent's activation depends on other tokens, which no row of activations shows",
    "molt": "a mixture of linear transforms: its latents are matrices, not directions",
}
THRESHOLDS = ("activation_function.log_jumprelu_threshold", "log_jumprelu_threshold")
LINEAR = "encoder.weight"  # of Llama Scope R1
NORM = "dataset_average_activation_norm."


class Saved(Settings):
    """config.json."""

    d_model: Count
    expansion_factor: float = Field(gt=0)
    hook_point_in: str
    hook_point_out: str | None = None
    act_fn: Literal["relu", "jumprelu", "topk", "batchtopk"] = "jumprelu"
    top_k: Count | None = None
    norm_activation: str | None = None
    sparsity_include_decoder_norm: bool
    use_decoder_bias: bool = True
    use_glu_encoder: bool = False


def recognises(files: Files) -> bool:
    """Whether the folder holds config.json and sae_weights.safetensors, or config.json names this library."""
    if beside(files, CONFIG, WEIGHTS):
        return True
    return files.focus in ("", CONFIG) and CONFIG in files.names and "sae_type" in read_config(files, CONFIG)


def read(files: Files, config: DictionaryConfig) -> Dictionary:
    """Read one SAE or transcoder.

    Raises:
        DictionaryError: broken, of a kind that one site in and one site out cannot hold, or of an unknown scale.
    """
    stated = read_config(files, CONFIG)
    kind = stated.get("sae_type", "sae")
    if kind != "sae":
        why = REFUSED.get(str(kind), f"unknown; known: sae; refused: {', '.join(REFUSED)}")
        raise DictionaryError(f"{files.source}: sae_type {str(kind)[:100]!r} cannot be read: {why}")
    settings = validated(Saved, stated, f"{files.source}: {CONFIG}")
    tensors = read_tensors(files.path(WEIGHTS))
    if settings.norm_activation is None and LINEAR in tensors:  # Llama Scope R1 states none
        settings = settings.model_copy(update={"norm_activation": "dataset-wise"})
    _refuse(settings, files)
    site_in, site_out = settings.hook_point_in, settings.hook_point_out or settings.hook_point_in
    stated = config.input_scale or (files.registry.scale if files.registry else None)
    scale_in, scale_out = _scales(settings, tensors, stated, site_in, site_out)
    weights, b_dec = _weights(settings, tensors)
    tensors.finish()
    if settings.act_fn == "topk" and settings.sparsity_include_decoder_norm:
        weights = unit_decoder(weights)
    norm: InputNorm = "rms" if settings.norm_activation == "token-wise" else "none"
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
        input_norm=norm,
        input_scale=scale_in,
        output_scale=1 / scale_out,
        provenance=provenance("llamascopium", files, CONFIG, WEIGHTS),
    )


def _refuse(settings: Saved, files: Files) -> None:
    if settings.act_fn == "batchtopk":
        raise DictionaryError(
            f"{files.source}: act_fn: batchtopk: which latents fire depends on the other rows of a batch, and no "
            "threshold for inference was saved; train with jumprelu or topk, or convert it to jumprelu"
        )
    if settings.use_glu_encoder:
        raise DictionaryError(f"{files.source}: use_glu_encoder: a gated linear encoder, which is not read")
    norm, transcodes = settings.norm_activation, settings.hook_point_out not in (None, settings.hook_point_in)
    if norm not in ("dataset-wise", "inference", "token-wise") or (norm == "token-wise" and transcodes):
        raise DictionaryError(
            f"{files.source}: norm_activation {norm!r} in {CONFIG} of {'a transcoder' if transcodes else 'an SAE'}; "
            "known: dataset-wise, inference, and token-wise for SAEs"
        )


def _weights(settings: Saved, tensors: Tensors) -> tuple[Weights, torch.Tensor]:
    """Take the weights, [D, M] and [M, D], or as nn.Linear saves them in Llama Scope R1; and b_dec."""
    d, m = settings.d_model, int(settings.d_model * settings.expansion_factor)
    linear = LINEAR in tensors
    W_enc = tensors.take(LINEAR, m, d).T if linear else tensors.take("W_E", d, m)
    W_dec = tensors.take("decoder.weight", d, m).T if linear else tensors.take("W_D", m, d)
    b_enc = tensors.take("encoder.bias" if linear else "b_E", m)
    name = "decoder.bias" if linear else "b_D"
    b_dec = tensors.take(name, d) if settings.use_decoder_bias else torch.zeros(d, dtype=W_enc.dtype)
    threshold = None
    if settings.act_fn == "jumprelu":
        name = next((name for name in THRESHOLDS if name in tensors), THRESHOLDS[0])
        threshold = tensors.take(name, m).exp()
        if settings.sparsity_include_decoder_norm:
            threshold = threshold / torch.linalg.vector_norm(W_dec.float(), dim=1).clamp_min(SHORTEST_ROW)
    return Weights(W_enc=W_enc, b_enc=b_enc, W_dec=W_dec, threshold=threshold), b_dec


def _scales(
    settings: Saved, tensors: Tensors, stated: float | None, site_in: str, site_out: str
) -> tuple[float, float]:
    """Return the factors on activations that training used at both sites."""
    saved = [name for name in tensors.names if name.startswith(NORM)]
    if settings.norm_activation != "dataset-wise":
        tensors.ignore(*saved)  # written uninitialised in this case
        return 1.0, 1.0
    if not saved and stated is not None:
        return stated, stated
    if not saved:
        raise DictionaryError(
            f"{tensors.origin}: trained on activations scaled to norm sqrt({settings.d_model}) on average "
            "(norm_activation: dataset-wise), but the scale was not saved. Add "
            "`input_scale: <sqrt(d_model) / mean norm of the site's activations>`"
        )
    norms = {site: tensors.number(NORM + site) for site in {site_in, site_out}}
    if not all(norm > 0 for norm in norms.values()):
        raise DictionaryError(f"{tensors.origin}: mean activation norms are {norms}, expected positive numbers")
    root = settings.d_model**0.5
    return root / norms[site_in], root / norms[site_out]


def _activation(settings: Saved, weights: Weights, config: DictionaryConfig, files: Files) -> Activation:
    if settings.act_fn == "jumprelu":
        return Activation(kind="jumprelu", threshold=weights.threshold)
    if settings.act_fn == "relu":
        return Activation(kind="relu")
    k = settings.top_k or config.k
    if not k:
        raise DictionaryError(f"{files.source}: act_fn: topk without top_k in {CONFIG}; add `k: <number>`")
    return Activation(kind="topk", k=k)
