"""Gemma Scope 2 (Gemma 3): `<kind>/layer_N_width_16k_l0_small[_affine]/{config.json, params.safetensors}`.

Source: huggingface.co/google/gemma-scope-2; a missing config.json is inferred from the folder's name, as SAELens does.
Its `hf_hook_point_in` and `_out` are module paths with a side: our own vocabulary.
"""

from autointerp.dictionaries.activations import Activation
from autointerp.dictionaries.base import Architecture, DictionaryConfig
from autointerp.dictionaries.files import Files, layer_in
from autointerp.dictionaries.formats import _cross_layer
from autointerp.dictionaries.formats._common import Settings, provenance, saved
from autointerp.dictionaries.spec import Dictionary
from autointerp.dictionaries.tensors import read_tensors
from autointerp.errors import DictionaryError

CONFIG, WEIGHTS = "config.json", "params.safetensors"
# Kind of folder -> site below `model.layers.N`, in and out.
PLACES = {
    "transcoder": (".pre_feedforward_layernorm.output", ".post_feedforward_layernorm.output"),
    "resid_post": (".output", ".output"),
    "attn_out": (".self_attn.o_proj.input", ".self_attn.o_proj.input"),
    "mlp_out": (".post_feedforward_layernorm.output", ".post_feedforward_layernorm.output"),
}


class Saved(Settings):
    """config.json."""

    architecture: str
    hf_hook_point_in: str
    hf_hook_point_out: str | None = None
    affine_connection: bool | None = None


def recognises(files: Files) -> bool:
    """Whether there is a params.safetensors, or one layer's file of a cross-layer transcoder."""
    return (WEIGHTS in files.names and files.focus in ("", WEIGHTS, CONFIG)) or files.focus.startswith("params_layer_")


def read(files: Files, config: DictionaryConfig) -> Dictionary:
    """Read one SAE, transcoder or affine (skip) transcoder.

    Raises:
        DictionaryError: broken.
    """
    name = files.focus if files.focus.endswith(".safetensors") else WEIGHTS
    tensors = read_tensors(files.path(name))
    d, m = tensors.matrix("w_enc")
    shape = tensors.shape("w_dec")
    if len(shape) == 3:
        return _cross_layer.gemma_scope_2(files, config, tensors)
    W_enc, W_dec, b_enc = tensors.take("w_enc", d, m), tensors.take("w_dec", m, d), tensors.take("b_enc", m)
    b_dec, threshold = tensors.take("b_dec", d), tensors.take("threshold", m)
    affine = "affine_skip_connection" in tensors
    W_skip = tensors.take("affine_skip_connection", d, d).T if affine else None
    tensors.finish()
    settings = saved(Saved, files, CONFIG) if CONFIG in files.names else inferred(files.folder)
    if settings is not None:
        _check(settings, affine, files)
    site_in = settings.hf_hook_point_in if settings else ""
    site_out = (settings.hf_hook_point_out or site_in) if settings else ""
    transcodes = site_in != site_out or config.architecture == "transcoder"
    architecture: Architecture = "skip-transcoder" if affine else "transcoder" if transcodes else "sae"
    read_too = (CONFIG,) if CONFIG in files.names else ()
    return Dictionary(
        name=config.name,
        architecture=architecture,
        site_in=site_in,
        site_out=site_out,
        W_enc=W_enc,
        b_enc=b_enc,
        W_dec=W_dec,
        b_dec=b_dec,
        W_skip=W_skip,
        activation=Activation(kind="jumprelu", threshold=threshold),
        prepend_bos=True,
        provenance=provenance("gemma_scope_2", files, *read_too, name),
        remarks=() if settings is None or read_too else ("no config.json: sites taken from the folder's name",),
    )


def inferred(folder: str) -> Saved | None:
    """Return the settings that a folder's name implies; None if it implies none."""
    layer = layer_in(folder)
    kind = next((kind for kind in PLACES if kind in folder), None)
    if layer is None or kind is None:
        return None
    below = f"model.layers.{layer}"
    return Saved(
        architecture="jump_relu", hf_hook_point_in=below + PLACES[kind][0], hf_hook_point_out=below + PLACES[kind][1]
    )


def _check(settings: Saved, affine: bool, files: Files) -> None:
    if settings.architecture != "jump_relu":
        raise DictionaryError(f"{files.source}: architecture {settings.architecture!r} in {CONFIG}; known: jump_relu")
    if settings.affine_connection is not None and settings.affine_connection != affine:
        raise DictionaryError(
            f"{files.source}: {CONFIG} says affine_connection: {settings.affine_connection}, but "
            "affine_skip_connection is " + ("there" if affine else "missing")
        )
