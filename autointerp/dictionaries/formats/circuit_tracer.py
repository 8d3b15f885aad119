"""circuit-tracer: one layer of a per-layer transcoder set, `config.yaml` + `layer_<i>.safetensors`.

Source: github.com/safety-research/circuit-tracer, `transcoder/single_layer_transcoder.py` and
`activation_functions.py`. Its JumpReLU and TopK have no ReLU: what passes the gate passes with its sign. Attribution
zeroes the first position, which is not part of the transcoder and not done here.
"""

import re
import reprlib
from typing import Any

from autointerp.dictionaries.activations import Activation
from autointerp.dictionaries.base import DictionaryConfig
from autointerp.dictionaries.files import Files, read_config, shortened
from autointerp.dictionaries.formats import _cross_layer
from autointerp.dictionaries.formats._common import Count, Settings, provenance, saved
from autointerp.dictionaries.spec import Dictionary
from autointerp.dictionaries.tensors import Tensors, read_tensors
from autointerp.errors import DictionaryError

CONFIG = "config.yaml"
# Repositories of mwhanna's transcoders without config.yaml carry one of these (the second is their spelling).
TRAINING_CONFIGS = ("wandb-config.yaml", "wanb-config.yaml")
LAYER = re.compile(r"layer_(\d+)\.safetensors")
CROSS_LAYER = re.compile(r"W_(?:enc|dec)_\d+\.safetensors")
# k is not stored in this repository; circuit-tracer sets it by the repository's name.
KNOWN_K = {"facebook/crv-8b-instruct-transcoders": 128}
REFUSAL = (
    "no W_enc_<i>.safetensors of a cross-layer transcoder in its folder, and of other kinds only per-layer sets "
    "(model_kind: transcoder_set) are read"
)
# Of circuit-tracer's `load_clt`.
DEFAULT_HOOKS = ("hook_resid_mid", "hook_mlp_out")


class Saved(Settings):
    """config.yaml. Files it names elsewhere are never opened."""

    model_kind: str = "transcoder_set"
    feature_input_hook: str
    feature_output_hook: str
    activation: str | None = None
    k: Count | None = None
    transcoders: list[Any] | None = None


def recognises(files: Files) -> bool:
    """Whether the source holds or names a layer file, or a configuration that lists them."""
    if files.focus not in ("", CONFIG):
        return bool(LAYER.fullmatch(files.focus) or CROSS_LAYER.fullmatch(files.focus))
    if any(LAYER.fullmatch(name) or CROSS_LAYER.fullmatch(name) for name in files.names):
        return True
    return CONFIG in files.names and "model_kind" in read_config(files, CONFIG)


def read(files: Files, config: DictionaryConfig) -> Dictionary:
    """Read one layer's transcoder, of a cross-layer one too.

    Raises:
        DictionaryError: broken, or a folder of several layers with none named.
    """
    if is_cross_layer(files):
        settings = saved(Saved, files, CONFIG) if CONFIG in files.names else None
        hooks = (settings.feature_input_hook, settings.feature_output_hook) if settings else DEFAULT_HOOKS
        return _cross_layer.circuit_tracer(files, config, hooks, *((CONFIG,) if settings else ()))
    name = layer_file(files)
    layer = int(LAYER.fullmatch(name)[1])  # type: ignore[index]
    settings = saved(Saved, files, CONFIG) if CONFIG in files.names else None
    tensors = read_tensors(files.path(name))
    m, d = tensors.matrix("W_enc")
    W_enc, b_enc = tensors.take("W_enc", m, d).T, tensors.take("b_enc", m)
    W_dec, b_dec = tensors.take("W_dec", m, d), tensors.take("b_dec", d)
    W_skip = tensors.take("W_skip", d, d) if "W_skip" in tensors else None
    activation = _activation(tensors, settings, config, files)
    tensors.finish()
    hooks = (settings.feature_input_hook, settings.feature_output_hook) if settings else _training_hooks(files)
    return Dictionary(
        name=config.name,
        architecture="transcoder" if W_skip is None else "skip-transcoder",
        site_in=f"blocks.{layer}.{hooks[0]}" if hooks[0] else "",
        site_out=f"blocks.{layer}.{hooks[1]}" if hooks[1] else "",
        W_enc=W_enc,
        b_enc=b_enc,
        W_dec=W_dec,
        b_dec=b_dec,
        W_skip=W_skip,
        activation=activation,
        prepend_bos=True,
        provenance=provenance("circuit_tracer", files, *((CONFIG,) if settings else ()), name),
    )


def is_cross_layer(files: Files) -> bool:
    """Whether the source is a layer of a cross-layer transcoder, or a folder of one."""
    if files.focus in ("", CONFIG):
        return any(map(CROSS_LAYER.fullmatch, files.names))
    return bool(CROSS_LAYER.fullmatch(files.focus))


def layer_file(files: Files) -> str:
    """Return the file of the layer that the source names, or of the only one there is.

    Raises:
        DictionaryError: of another kind, or several layers and none named.
    """
    if CONFIG in files.names and (kind := saved(Saved, files, CONFIG).model_kind) != "transcoder_set":
        raise DictionaryError(f"{files.source}: model_kind {reprlib.repr(kind)}: {REFUSAL}")
    layers = [name for name in files.names if LAYER.fullmatch(name)]
    if LAYER.fullmatch(files.focus):
        return files.focus
    if not layers:
        raise DictionaryError(f"{files.source}: {elsewhere(saved(Saved, files, CONFIG))}")
    if len(layers) > 1:
        raise DictionaryError(
            f"{files.source}: {len(layers)} layers ({shortened(layers, 4)}); name one file in the source, such as "
            f"{files.naming(layers[0])}"
        )
    return layers[0]


def elsewhere(settings: Saved) -> str:
    """Explain how to name a transcoder that config.yaml only points to."""
    listed = [entry for entry in settings.transcoders or () if isinstance(entry, str)]
    if not listed:
        return f"{CONFIG} without layer_<i>.safetensors in its folder and without a list of transcoders"
    return (
        f"{CONFIG} names {len(listed)} transcoders that lie elsewhere, which are not opened on a file's word; name the "
        f"one you mean as the source (layer 0 is {source_of(listed[0])!r}), with architecture: transcoder, site_in: "
        f"blocks.<layer>.{settings.feature_input_hook}, site_out: blocks.<layer>.{settings.feature_output_hook}"
    )


def source_of(entry: str) -> str:
    """Turn circuit-tracer's `hf://org/repo/file?revision=r` into a source of a study; other entries stay."""
    found = re.fullmatch(r"hf://([^/?]+/[^/?]+)/([^?]+)(?:\?(?:.*&)?revision=([^&]+).*)?", entry)
    return f"{found[1]}{f'@{found[3]}' if found[3] else ''}:{found[2]}" if found else entry


def _activation(tensors: Tensors, settings: Saved | None, config: DictionaryConfig, files: Files) -> Activation:
    m = tensors.matrix("W_enc")[0]
    named = settings.activation if settings else None
    if "activation_function.threshold" in tensors:
        shape = tensors.shape("activation_function.threshold")
        threshold = tensors.take("activation_function.threshold", *shape).reshape(-1)
        if len(threshold) not in (1, m):
            raise DictionaryError(
                f"{tensors.origin}: activation_function.threshold has {len(threshold)} values, expected 1 or {m}"
            )
        threshold = threshold.expand(m).clone()
        return Activation(kind="jumprelu", threshold=threshold, signed=True)
    known = next((k for repo, k in KNOWN_K.items() if files.folder.startswith(repo)), None)
    k = tensors.integer("k") if "k" in tensors else (settings.k if settings else None) or config.k or known
    if named == "topk" or (named is None and k is not None):
        if k is None:
            raise DictionaryError(f"{files.source}: activation: topk without k in {CONFIG}; add `k: <number>`")
        return Activation(kind="topk", k=k, signed=True)
    if named not in (None, "relu"):
        raise DictionaryError(f"{files.source}: activation {named!r} in {CONFIG}; known: relu, topk")
    if settings is None and config.activation is None and not any(name in files.names for name in TRAINING_CONFIGS):
        raise DictionaryError(
            f"{files.source}: without {CONFIG} and without a threshold, ReLU and top-k cannot be distinguished; add "
            "`k: <number>` for top-k or `activation: relu`"
        )
    return Activation(kind="relu")


def _training_hooks(files: Files) -> tuple[str, str]:
    """Sites of the sets that come without config.yaml: all that are known read the MLP's input."""
    return ("mlp.hook_in", "hook_mlp_out") if any(name in files.names for name in TRAINING_CONFIGS) else ("", "")
