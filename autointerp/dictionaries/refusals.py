"""Checkpoints that are known and not read: recognised by their files, refused by name with the reason.

Formats that are read refuse such members of their own themselves; here are those of which nothing is read.
"""

from collections.abc import Callable
from pathlib import PurePosixPath

from autointerp.dictionaries.files import Files, read_config
from autointerp.dictionaries.tensors import read_tensors

CROSS_LAYER = "a cross-layer transcoder: its latents write to several layers, which one site_in -> site_out cannot hold"
CROSSCODER = "a crosscoder: its latents read several layers or models, which one site_in -> site_out cannot hold"


def refusal(files: Files) -> str:
    """Return what the source holds and why it is not read; "" where it is none of these."""
    return next((why for look, why in KNOWN if look(files)), "")


def _has(*names: str) -> Callable[[Files], bool]:
    return lambda files: set(names) <= set(files.names) and not files.focus


def _settings(name: str, *keys: str) -> Callable[[Files], bool]:
    """Whether a configuration file of that name has these keys."""
    return lambda files: name in files.names and set(keys) <= set(read_config(files, name))


def _tensors(suffixes: tuple[str, ...], *wanted: str) -> Callable[[Files], bool]:
    """Whether the file that the source names holds these tensors."""

    def look(files: Files) -> bool:
        if PurePosixPath(files.focus).suffix not in suffixes:
            return False
        return set(wanted) <= set(read_tensors(files.path(files.focus)).names)

    return look


def _three_axes(files: Files) -> bool:
    """Whether the encoder of the file that the source names has three axes."""
    if PurePosixPath(files.focus).suffix not in (".pt", ".pth", ".bin", ".safetensors"):
        return False
    tensors = read_tensors(files.path(files.focus))
    return any(name in tensors and len(tensors.shape(name)) == 3 for name in ("W_enc", "encoder.weight", "W_encoder"))


TORCH = (".pt", ".pth", ".bin")
KNOWN: tuple[tuple[Callable[[Files], bool], str], ...] = (
    (_settings("cfg.json", "num_layers", "num_features", "d_model"), f"SAEDashboard's layout of {CROSS_LAYER}"),
    (
        _has("conf.yaml", "latest_ckpt.safetensors"),
        "a temporal SAE: a latent's activation depends on earlier tokens, which no row of activations shows",
    ),
    (
        _tensors(TORCH, "encoder_linear.weight", "decoder_linear.weight"),
        "a Goodfire SAE: the file says neither its site nor how its inputs were scaled. Where you know both, save it "
        "as SAELens does (cfg.json + sae_weights.safetensors: architecture standard, apply_b_dec_to_input false, "
        "normalize_activations none, W_enc = encoder_linear.weight.T, b_enc = encoder_linear.bias, W_dec = "
        "decoder_linear.weight.T, b_dec = decoder_linear.bias)",
    ),
    (
        _tensors(TORCH, "encoder.weight", "encoder.bias", "decoder.weight", "decoder.bias"),
        "an autoencoder's bare state dict: its activation function, site and input scale are unknown. If you know "
        "them, put a config.json of its library next to it (dictionary_learning: file name ae.pt, dict_class "
        "AutoEncoderNew)",
    ),
    (_three_axes, CROSSCODER),
    (_has("cfg.json", "cc_weights.pt"), CROSSCODER),
    (
        _settings("cfg.json", "n_models", "dict_size"),
        CROSSCODER,
    ),
)
