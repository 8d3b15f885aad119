"""Qwen Scope: one PyTorch file `layer<n>.sae.pt` per layer; TopK SAEs of the residual stream.

Source: huggingface.co/Qwen, as SAELens' `qwen_scope` loader reads it. k is part of the repository's name (`...-L0_50`)
only; elsewhere the study says it.
"""

import re

from autointerp.dictionaries.activations import Activation
from autointerp.dictionaries.base import DictionaryConfig
from autointerp.dictionaries.files import Files
from autointerp.dictionaries.formats._common import provenance
from autointerp.dictionaries.spec import Dictionary
from autointerp.dictionaries.tensors import read_tensors
from autointerp.errors import DictionaryError

FILE = re.compile(r"layer(\d+)\.sae\.pt")


def recognises(files: Files) -> bool:
    """Whether the source is such a file."""
    return bool(FILE.fullmatch(files.focus))


def read(files: Files, config: DictionaryConfig) -> Dictionary:
    """Read one layer's SAE.

    Raises:
        DictionaryError: damaged, or k is unknown.
    """
    named = FILE.fullmatch(files.focus)
    if not named:
        raise DictionaryError(f"{files.source}: name the file, such as layer0.sae.pt")
    match = re.search(r"-L0_(\d+)", files.folder)
    k = int(match[1]) if match else config.k
    if not k:
        raise DictionaryError(f"{files.source}: k is stored only in the repository's name (-L0_50); add `k: <number>`")
    tensors = read_tensors(files.path(files.focus))
    m, d = tensors.matrix("W_enc")
    W_enc, W_dec = tensors.take("W_enc", m, d).T, tensors.take("W_dec", d, m).T
    b_enc, b_dec = tensors.take("b_enc", m), tensors.take("b_dec", d)
    tensors.finish()
    site = f"blocks.{named[1]}.hook_resid_post"
    return Dictionary(
        name=config.name,
        architecture="sae",
        site_in=site,
        site_out=site,
        W_enc=W_enc,
        b_enc=b_enc,
        W_dec=W_dec,
        b_dec=b_dec,
        activation=Activation(kind="topk", k=k),
        provenance=provenance("qwen_scope", files, files.focus),
    )
