"""Gemma Scope 1 (Gemma 2): `layer_N/width_16k/average_l0_X/params.npz`; JumpReLU SAEs and transcoders.

Source: huggingface.co/google/gemma-scope; site names as SAELens' `gemma_2` loaders read them. The file names no site:
repository and folder do. MLP outputs were read after the post-feedforward norm; transcoders read the pre-feedforward
norm's output before its gain.
"""

import re

from autointerp.dictionaries.activations import Activation
from autointerp.dictionaries.base import Architecture, DictionaryConfig
from autointerp.dictionaries.files import Files, layer_in, shortened
from autointerp.dictionaries.formats._common import provenance
from autointerp.dictionaries.spec import Dictionary
from autointerp.dictionaries.tensors import Tensors, read_tensors
from autointerp.errors import DictionaryError

WEIGHTS = "params.npz"
EMBEDDING = (
    "an embedding SAE: trained on embeddings scaled by sqrt(d), weights brought to the model's own scale (W_enc / "
    "sqrt(d), "
    "W_dec * sqrt(d)); check its FVU"
)


def recognises(files: Files) -> bool:
    """Whether the source is an npz file, or a folder with params.npz."""
    return files.focus.endswith(".npz") or (not files.focus and WEIGHTS in files.names)


def read(files: Files, config: DictionaryConfig) -> Dictionary:
    """Read one SAE or transcoder.

    Raises:
        DictionaryError: broken, or fine-tuned by a factor that is not folded.
    """
    name = files.focus or WEIGHTS
    if name not in files.names:
        raise DictionaryError(f"{files.source}: no {WEIGHTS}; the folder has: {shortened(files.names)}")
    tensors = read_tensors(files.path(name))
    lower = "w_enc" in tensors
    d, m = tensors.matrix("w_enc" if lower else "W_enc")
    W_enc, W_dec = (
        tensors.take("w_enc" if lower else "W_enc", d, m),
        tensors.take("w_dec" if lower else "W_dec", m, d),
    )
    b_enc, b_dec, threshold = tensors.take("b_enc", m), tensors.take("b_dec", d), tensors.take("threshold", m)
    _all_ones(tensors)
    tensors.finish()
    site_in, site_out = sites_of(files.folder)
    embedding = site_in == "hook_embed"
    transcodes = site_in != site_out or config.architecture == "transcoder"
    architecture: Architecture = "transcoder" if transcodes else "sae"
    match = re.search(r"average_l0_(\d+)", files.folder)
    return Dictionary(
        name=config.name,
        architecture=architecture,
        site_in=site_in,
        site_out=site_out,
        W_enc=W_enc / d**0.5 if embedding else W_enc,
        b_enc=b_enc,
        W_dec=W_dec * d**0.5 if embedding else W_dec,
        b_dec=b_dec,
        activation=Activation(kind="jumprelu", threshold=threshold),
        prepend_bos=True,
        l0=float(match[1]) if match else 0.0,
        remarks=(EMBEDDING,) if embedding else (),
        provenance=provenance("gemma_scope", files, name),
    )


def sites_of(folder: str) -> tuple[str, str]:
    """Return the sites that a Gemma Scope folder's name implies, by TransformerLens names; "" if unknown."""
    layer = layer_in(folder)
    if re.search(r"embedding", folder):
        return "hook_embed", "hook_embed"
    if layer is None:
        return "", ""
    if "transcoder" in folder:
        return f"blocks.{layer}.ln2.hook_normalized", f"blocks.{layer}.hook_mlp_out"
    kinds = {"res": "hook_resid_post", "mlp": "hook_mlp_out", "att": "attn.hook_z"}
    found = re.search(r"-(res|mlp|att)(?:[-/]|$)", folder)
    site = f"blocks.{layer}.{kinds[found[1]]}" if found else ""
    return site, site


def _all_ones(tensors: Tensors) -> None:
    if "scaling_factor" not in tensors:
        return
    factor = tensors.take("scaling_factor", *tensors.shape("scaling_factor"))
    if not bool((factor == 1).all()):
        raise DictionaryError(
            f"{tensors.origin}: scaling_factor is not 1 everywhere: a fine-tuned SAE, which is not read"
        )
