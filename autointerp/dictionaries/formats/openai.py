"""OpenAI's GPT-2 autoencoders: one PyTorch file `<hook>/autoencoders/<layer>.pt`.

Source: github.com/openai/sparse_autoencoder, `model.py` and `paths.py`. TopK ones normalise each token's activations
(mean subtracted, divided by the unbiased standard deviation) and undo it on the output. Use the model's own weights:
where TransformerLens runs it, `center_writing_weights=False`.
"""

import re
from collections.abc import Mapping

from autointerp.dictionaries.activations import Activation
from autointerp.dictionaries.base import DictionaryConfig
from autointerp.dictionaries.files import Files
from autointerp.dictionaries.formats._common import provenance
from autointerp.dictionaries.spec import Dictionary
from autointerp.dictionaries.tensors import Tensors, read_tensors
from autointerp.errors import DictionaryError

HALLMARKS = {"pre_bias", "latent_bias"}
# Folder of the release -> TransformerLens' name below the block.
PLACES = {
    "mlp_post_act": "mlp.hook_post",
    "resid_delta_attn": "hook_attn_out",
    "resid_post_attn": "hook_resid_mid",
    "resid_delta_mlp": "hook_mlp_out",
    "resid_post_mlp": "hook_resid_post",
}


def recognises(files: Files) -> bool:
    """Whether the source is a PyTorch file with this model's tensors."""
    return files.focus.endswith(".pt") and set(read_tensors(files.path(files.focus)).names) >= HALLMARKS


def read(files: Files, config: DictionaryConfig) -> Dictionary:
    """Read one autoencoder.

    Raises:
        DictionaryError: broken, or of an unknown activation.
    """
    if not files.focus.endswith(".pt"):
        raise DictionaryError(f"{files.source}: name the file, such as resid_post_mlp/autoencoders/8.pt")
    tensors = read_tensors(files.path(files.focus))
    m, d = tensors.matrix("encoder.weight")
    W_enc, W_dec = tensors.take("encoder.weight", m, d).T, tensors.take("decoder.weight", d, m).T
    pre_bias, b_enc = tensors.take("pre_bias", d), tensors.take("latent_bias", m)
    tensors.ignore("stats_last_nonzero", "latents_activation_frequency", "latents_mean_square")
    tensors.finish()
    activation = _activation(tensors)
    site = _site(files)
    return Dictionary(
        name=config.name,
        architecture="sae",
        site_in=site,
        site_out=site,
        W_enc=W_enc,
        b_enc=b_enc,
        W_dec=W_dec,
        b_dec=pre_bias,
        pre_bias=pre_bias,
        activation=activation,
        input_norm="layer_norm" if activation.kind == "topk" else "none",
        provenance=provenance("openai", files, files.focus),
    )


def _activation(tensors: Tensors) -> Activation:
    kind, state = tensors.extras.get("activation", "ReLU"), tensors.extras.get("activation_state_dict")
    if kind == "ReLU":
        return Activation(kind="relu")
    k = state.get("k") if isinstance(state, Mapping) else None
    after = state.get("postact_fn", "ReLU") if isinstance(state, Mapping) else None
    if kind != "TopK" or not isinstance(k, int) or after not in ("ReLU", "Identity"):
        raise DictionaryError(
            f"{tensors.origin}: activation {kind!r} with k {k!r} and postact_fn {after!r}; known: ReLU, TopK with a k "
            "and "
            "postact_fn ReLU or Identity"
        )
    return Activation(kind="topk", k=k, signed=after == "Identity")


def _site(files: Files) -> str:
    place = next((hook for name, hook in PLACES.items() if name in files.folder), None)
    layer = re.fullmatch(r"(\d+)\.pt", files.focus)
    return f"blocks.{layer[1]}.{place}" if place and layer else ""
