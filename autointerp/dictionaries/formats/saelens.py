"""SAELens: `cfg.json` + `sae_weights.safetensors`; SAEs and transcoders, 6.x and flat pre-6.0 configurations.

Source: github.com/decoderesearch/SAELens 6.x, `saes/*.py`, `loading/pretrained_sae_loaders.py`.
"""

import math
import re
from typing import Any

import torch

from autointerp.dictionaries.activations import Activation
from autointerp.dictionaries.base import Architecture, DictionaryConfig
from autointerp.dictionaries.files import Files, read_config
from autointerp.dictionaries.folds import Weights, unit_decoder
from autointerp.dictionaries.formats._common import Count, Settings, beside, provenance, validated
from autointerp.dictionaries.spec import Dictionary, InputNorm
from autointerp.dictionaries.tensors import Tensors, read_tensors
from autointerp.errors import DictionaryError

CONFIG, WEIGHTS, SCALER = "cfg.json", "sae_weights.safetensors", "activation_scaler.json"
SAES = ("standard", "topk", "abstopk", "jumprelu", "gated")
TRANSCODERS = ("transcoder", "jumprelu_transcoder", "skip_transcoder", "jumprelu_skip_transcoder")
REFUSED = {
    "temporal": "its latents depend on earlier tokens",
    "matching_pursuit": "it picks latents one after the other, which no single encoder does",
    "batchtopk": "a training form; SAELens saves it for inference as jumprelu: load that",
    "matryoshka_batchtopk": "a training form; SAELens saves it for inference as jumprelu: load that",
}
NORMS: dict[str, InputNorm] = {
    "none": "none",
    "layer_norm": "layer_norm",
    "constant_norm_rescale": "rms",
    "expected_average_only_in": "none",
}
OLD_NAMES = {
    "hook_point": "hook_name",
    "hook_point_head_index": "hook_head_index",
    "activation_fn_str": "activation_fn",
}
# SAELens 6.14 added `rescale_acts_by_decoder_norm`.
RESCALED_SINCE = (6, 14)
# Models with LayerNorm: in others TransformerLens never centres, whatever its options say.
CENTRED = re.compile(r"gpt2|gpt-2|pythia|neo|opt-|bloom|tiny-?stories", re.IGNORECASE)


class Metadata(Settings):
    """Source of the activations."""

    model_name: str | None = None
    hook_name: str | None = None
    hook_name_out: str | None = None
    hook_head_index: int | None = None
    prepend_bos: bool | None = None
    model_from_pretrained_kwargs: dict[str, Any] | None = None


class Saved(Settings):
    """cfg.json in its 6.x form."""

    architecture: str
    d_in: Count
    d_sae: Count
    d_out: Count | None = None
    k: Count | None = None
    apply_b_dec_to_input: bool = True
    normalize_activations: str = "none"
    reshape_activations: str = "none"
    rescale_acts_by_decoder_norm: bool | None = None
    finetuning_scaling_factor: bool = False
    activation_fn: str = "relu"
    metadata: Metadata = Metadata()


def recognises(files: Files) -> bool:
    """Whether the folder holds cfg.json and sae_weights.safetensors."""
    return beside(files, CONFIG, WEIGHTS)


def read(files: Files, config: DictionaryConfig) -> Dictionary:
    """Read one SAE or transcoder.

    Raises:
        DictionaryError: broken, of an architecture that cannot be read, or normalised by a scale that was not saved.
    """
    raw = read_config(files, CONFIG)
    raw = overridden(raw, files)
    settings = validated(Saved, modern(raw), f"{files.source}: {CONFIG}")
    _refuse_absent(raw, settings, files)
    _refuse(settings, config, files)
    tensors = read_tensors(files.path(WEIGHTS))
    transcodes = settings.architecture in TRANSCODERS
    d_in, m, d_out = settings.d_in, settings.d_sae, (settings.d_out or settings.d_in) if transcodes else settings.d_in
    weights, activation = _encoder(settings, tensors, m, d_out, config)
    b_dec = tensors.take("b_dec", d_out)
    W_skip = tensors.take("W_skip", d_out, d_in) if "skip" in settings.architecture else None
    tensors.finish()
    scale, read_too = _input_scale(settings, files, config)
    norm = _centred(settings) or NORMS[settings.normalize_activations]
    architecture: Architecture = "skip-transcoder" if W_skip is not None else "transcoder" if transcodes else "sae"
    site_in = site_out = settings.metadata.hook_name or ""
    if transcodes:
        site_out = settings.metadata.hook_name_out or ""
    return Dictionary(
        name=config.name,
        architecture=architecture,
        site_in=site_in,
        site_out=site_out,
        W_enc=weights.W_enc,
        b_enc=weights.b_enc,
        W_dec=weights.W_dec,
        b_dec=b_dec,
        W_skip=W_skip,
        activation=activation,
        pre_bias=b_dec if settings.apply_b_dec_to_input and not transcodes else None,
        input_norm=norm,
        undo_norm=not transcodes,
        input_scale=scale,
        output_scale=1 / scale,
        prepend_bos=settings.metadata.prepend_bos,
        provenance=provenance("saelens", files, CONFIG, WEIGHTS, *read_too),
    )


def overridden(settings: dict[str, Any], files: Files) -> dict[str, Any]:
    """Put the registry's settings in place of the checkpoint's own, as `SAE.from_pretrained` does."""
    changes = dict(files.registry.overrides) if files.registry else {}
    if isinstance(about := settings.get("metadata"), dict):
        inner = {name: value for name, value in changes.items() if name in Metadata.model_fields}
        outer = {name: value for name, value in changes.items() if name not in inner}
        return {**settings, **outer, "metadata": {**about, **inner}}
    return {**settings, **changes}


def modern(settings: dict[str, Any]) -> dict[str, Any]:
    """Bring a configuration of before 6.0, which is flat and has other names and defaults, into the 6.x form."""
    if isinstance(settings.get("metadata"), dict) and "architecture" in settings:
        return settings
    flat = {OLD_NAMES.get(name, name): value for name, value in settings.items()}
    flat.pop("metadata", None)
    for name in ("activation_fn", "apply_b_dec_to_input", "finetuning_scaling_factor"):
        if flat.get(name) is None:
            flat.pop(name, None)
    kwargs = flat.get("activation_fn_kwargs")
    flat["architecture"] = flat.get("architecture") or "standard"
    if flat.get("activation_fn") == "topk":
        flat["architecture"] = "topk" if flat["architecture"] == "standard" else flat["architecture"]
        flat["k"] = kwargs.get("k") if isinstance(kwargs, dict) else None
    norm = flat.get("normalize_activations")
    if norm is None or isinstance(norm, bool):
        flat["normalize_activations"] = "expected_average_only_in" if norm else "none"
    if flat.get("reshape_activations") is None:
        flat["reshape_activations"] = "hook_z" if "hook_z" in str(flat.get("hook_name")) else "none"
    if flat.get("prepend_bos") is None:
        flat["prepend_bos"] = True
    return {**flat, "metadata": {name: flat[name] for name in Metadata.model_fields if name in flat}}


def _refuse_absent(raw: dict[str, Any], settings: Saved, files: Files) -> None:
    """Ask for keys that SAELens writes, and whose default may be another function; flat files may be older than them.

    Raises:
        DictionaryError: one is absent.
    """
    about = raw.get("metadata")
    if not isinstance(about, dict) or "hook_point" in raw or "hook_name" in raw:
        kwargs = raw.get("activation_fn_kwargs")
        names = ["activation_fn_str"] if isinstance(kwargs, dict) and "k" in kwargs else []
        absent = names if raw.get("activation_fn_str", raw.get("activation_fn")) is None else []
    else:
        names = ["architecture", "normalize_activations", "apply_b_dec_to_input"]
        version = re.match(r"(\d+)\.(\d+)", str(about.get("sae_lens_version")))
        before = version is not None and (int(version[1]), int(version[2])) < RESCALED_SINCE
        names += ["rescale_acts_by_decoder_norm"] if settings.architecture == "topk" and not before else []
        absent = [name for name in names if raw.get(name) is None]
    if absent:
        raise DictionaryError(
            f"{files.source}: {CONFIG} has no {', '.join(absent)}, without which the function is unknown; correct the "
            "file"
        )


def _refuse(settings: Saved, config: DictionaryConfig, files: Files) -> None:
    kind, norm = settings.architecture, settings.normalize_activations
    if kind not in SAES + TRANSCODERS:
        why = REFUSED.get(kind, f"unknown; known: {', '.join(SAES + TRANSCODERS)}")
        raise DictionaryError(f"{files.source}: architecture {kind!r} cannot be read: {why}")
    if settings.activation_fn not in ("relu", "topk"):
        raise DictionaryError(f"{files.source}: activation_fn {settings.activation_fn!r}; known: relu, topk")
    if settings.activation_fn == "topk" and kind not in ("topk", "abstopk"):
        raise DictionaryError(
            f"{files.source}: architecture {kind!r} with activation_fn: topk in {CONFIG}: which of the two is it? "
            "Correct the file"
        )
    if norm not in NORMS:
        raise DictionaryError(
            f"{files.source}: normalize_activations {norm!r} cannot be read; known: {', '.join(NORMS)}"
            + ("; SAELens folds whitening when it saves for inference: load that" if "whitening" in norm else "")
        )
    if settings.reshape_activations not in ("none", "hook_z"):
        raise DictionaryError(
            f"{files.source}: reshape_activations {settings.reshape_activations!r}; known: none, hook_z"
        )
    if settings.metadata.hook_head_index is not None:
        raise DictionaryError(
            f"{files.source}: reads head {settings.metadata.hook_head_index} of {settings.metadata.hook_name} only; "
            "a site is a whole tensor here"
        )
    if kind in TRANSCODERS and settings.apply_b_dec_to_input:
        raise DictionaryError(
            f"{files.source}: a transcoder with apply_b_dec_to_input: true, which SAELens refuses too"
        )
    if config.pre_bias is not None and config.pre_bias != settings.apply_b_dec_to_input:
        raise DictionaryError(
            f"{files.source}: the study says pre_bias: {config.pre_bias}, {CONFIG} apply_b_dec_to_input: "
            f"{settings.apply_b_dec_to_input}; remove pre_bias"
        )


def _encoder(
    settings: Saved, tensors: Tensors, m: int, d_out: int, config: DictionaryConfig
) -> tuple[Weights, Activation]:
    W_enc, W_dec = tensors.take("W_enc", settings.d_in, m), tensors.take("W_dec", m, d_out)
    W_dec = _finetuned(settings, tensors, W_dec)
    if settings.architecture == "gated":
        tensors.ignore("b_enc")
        r_mag = tensors.take("r_mag", m)
        activation = Activation(
            kind="gated", gain=r_mag.exp(), mag_bias=tensors.take("b_mag", m), gate_bias=tensors.take("b_gate", m)
        )
        return Weights(W_enc=W_enc, b_enc=torch.zeros(m, dtype=W_enc.dtype), W_dec=W_dec), activation
    weights = Weights(W_enc=W_enc, b_enc=tensors.take("b_enc", m), W_dec=W_dec)
    if "jumprelu" in settings.architecture:
        return weights, Activation(kind="jumprelu", threshold=tensors.take("threshold", m))
    if settings.architecture in ("topk", "abstopk"):
        k = settings.k or config.k
        if k is None:
            raise DictionaryError(f"{tensors.origin}: {settings.architecture} without k in {CONFIG}; add `k: <number>`")
        kind = "topk" if settings.architecture == "topk" else "abstopk"
        return (unit_decoder(weights) if settings.rescale_acts_by_decoder_norm else weights), Activation(kind=kind, k=k)
    return weights, Activation(kind="relu")


def _finetuned(settings: Saved, tensors: Tensors, W_dec: torch.Tensor) -> torch.Tensor:
    """Fold the per-latent factor that old versions fine-tuned for the decoder; all ones was written without need."""
    if "scaling_factor" not in tensors:
        return W_dec
    factor = tensors.take("scaling_factor", len(W_dec))
    if bool(torch.allclose(factor, torch.ones_like(factor))):
        return W_dec
    if not settings.finetuning_scaling_factor:
        raise DictionaryError(
            f"{tensors.origin}: has a scaling_factor, but {CONFIG} says finetuning_scaling_factor: false"
        )
    return W_dec * factor[:, None]


def _input_scale(settings: Saved, files: Files, config: DictionaryConfig) -> tuple[float, tuple[str, ...]]:
    """Return the factor that training applied to activations, and the file that states it."""
    if settings.normalize_activations != "expected_average_only_in":
        if config.input_scale is not None:
            raise DictionaryError(
                f"{files.source}: input_scale is set, but {CONFIG} says normalize_activations: "
                f"{settings.normalize_activations}; remove it"
            )
        return 1.0, ()
    if config.input_scale is not None:
        return config.input_scale, ()
    if files.registry and files.registry.scale:
        return files.registry.scale, ()
    if SCALER in files.names:
        factor = read_config(files, SCALER).get("scaling_factor")
        if isinstance(factor, int | float) and not isinstance(factor, bool) and 0 < factor < math.inf:
            return float(factor), (SCALER,)
    raise DictionaryError(
        f"{files.source}: trained on activations scaled to norm sqrt({settings.d_in}) on average "
        f"(normalize_activations: expected_average_only_in), but the scale was not saved ({SCALER}). Add "
        "`input_scale: <sqrt(d_in) / mean norm of the site's activations>`"
    )


def _centred(settings: Saved) -> InputNorm | None:
    """TransformerLens' centred writing weights: sites that are written to the residual have mean 0 over their width."""
    about = settings.metadata
    asked = bool((about.model_from_pretrained_kwargs or {}).get("center_writing_weights"))
    written = re.search(r"hook_(resid_\w+|attn_out|mlp_out|embed)$", about.hook_name or "")
    if not (asked and written and CENTRED.search(about.model_name or "")):
        return None
    if settings.architecture in TRANSCODERS or settings.normalize_activations not in ("none", "layer_norm"):
        raise DictionaryError(f"{about.hook_name}: center_writing_weights with this normalisation is not read")
    return "center" if settings.normalize_activations == "none" else None
