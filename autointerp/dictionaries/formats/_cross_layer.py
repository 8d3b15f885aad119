"""One layer of a cross-layer transcoder: its latents read one site and write to that layer's output and all later ones.

The layers of one transcoder share `group`; `autointerp.dictionaries.cross_layer` computes their joint reconstruction.
"""

import re

from autointerp.dictionaries.activations import Activation
from autointerp.dictionaries.base import DictionaryConfig
from autointerp.dictionaries.files import Files
from autointerp.dictionaries.formats._common import provenance
from autointerp.dictionaries.spec import Dictionary, Write
from autointerp.dictionaries.tensors import Tensors, read_tensors
from autointerp.errors import DictionaryError

ENCODER = re.compile(r"W_enc_(\d+)\.safetensors")
GEMMA = re.compile(r"params_layer_(\d+)\.safetensors")
# A decoder saved for every layer must have zeros for those before its own.
ARCHITECTURE = "cross-layer-transcoder"


def circuit_tracer(files: Files, config: DictionaryConfig, hooks: tuple[str, str], *read_too: str) -> Dictionary:
    """Read `W_enc_<i>.safetensors` with `W_dec_<i>.safetensors` [M, L - i, D] in its folder.

    Raises:
        DictionaryError: broken, or a decoder that does not reach the last layer.
    """
    found = ENCODER.fullmatch(files.focus)
    if not found:
        raise DictionaryError(
            f"{files.source}: a cross-layer transcoder; name a layer's encoder, such as "
            f"{files.naming('W_enc_0.safetensors')}, or the folder with --layers for several"
        )
    layer, n_layers = int(found[1]), sum(bool(ENCODER.fullmatch(name)) for name in files.names)
    decoder = f"W_dec_{layer}.safetensors"
    tensors, decoders = read_tensors(files.path(files.focus)), read_tensors(files.path(decoder))
    m, d = tensors.matrix(f"W_enc_{layer}")
    activation = Activation(kind="relu")
    if f"threshold_{layer}" in tensors:
        threshold = tensors.take(f"threshold_{layer}", *tensors.shape(f"threshold_{layer}")).reshape(-1)
        activation = Activation(kind="jumprelu", threshold=threshold.expand(m).clone(), signed=True)
    W_dec = decoders.take(f"W_dec_{layer}", m, n_layers - layer, d)
    sites = [f"blocks.{at}.{hooks[1]}" for at in range(layer, n_layers)]
    opened = Dictionary(
        name=config.name,
        architecture=ARCHITECTURE,
        site_in=f"blocks.{layer}.{hooks[0]}",
        site_out=sites[0],
        W_enc=tensors.take(f"W_enc_{layer}", m, d).T,
        b_enc=tensors.take(f"b_enc_{layer}", m),
        W_dec=W_dec[:, 0],
        b_dec=tensors.take(f"b_dec_{layer}", d),
        activation=activation,
        writes=tuple(Write(site, W_dec[:, i]) for i, site in enumerate(sites) if i),
        group=files.folder,
        prepend_bos=True,
        provenance=provenance("circuit_tracer", files, *read_too, files.focus, decoder),
    )
    tensors.finish()
    decoders.finish()
    return opened


def gemma_scope_2(files: Files, config: DictionaryConfig, tensors: Tensors, *read_too: str) -> Dictionary:
    """Read `params_layer_<i>.safetensors`, whose w_dec [M, L, D] has a decoder for every layer.

    Raises:
        DictionaryError: broken, or a decoder that writes to layers before its own.
    """
    found = GEMMA.fullmatch(files.focus)
    if not found:
        raise DictionaryError(
            f"{files.source}: a cross-layer transcoder; name a layer, such as params_layer_0.safetensors"
        )
    layer, (d, m) = int(found[1]), tensors.matrix("w_enc")
    n_layers = tensors.shape("w_dec")[1]
    W_dec = tensors.take("w_dec", m, n_layers, d)
    if layer >= n_layers or bool(W_dec[:, :layer].any()):
        raise DictionaryError(
            f"{files.source}: layer {layer} of {n_layers} writes to earlier layers, which come before it"
        )
    affine = "affine_skip_connection" in tensors
    sites = [f"model.layers.{at}.post_feedforward_layernorm.output" for at in range(layer, n_layers)]
    opened = Dictionary(
        name=config.name,
        architecture=ARCHITECTURE,
        site_in=f"model.layers.{layer}.pre_feedforward_layernorm.output",
        site_out=sites[0],
        W_enc=tensors.take("w_enc", d, m),
        b_enc=tensors.take("b_enc", m),
        W_dec=W_dec[:, layer],
        b_dec=tensors.take("b_dec", d),
        W_skip=tensors.take("affine_skip_connection", d, d).T if affine else None,
        activation=Activation(kind="jumprelu", threshold=tensors.take("threshold", m)),
        writes=tuple(Write(site, W_dec[:, layer + i]) for i, site in enumerate(sites) if i),
        group=files.folder,
        prepend_bos=True,
        provenance=provenance("gemma_scope_2", files, *read_too, files.focus),
    )
    tensors.finish()
    return opened
