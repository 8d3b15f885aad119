"""Fingerprint of a loaded subject: a hash of what its activations depend on."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from autointerp.subject.base import SubjectConfig

# Weights of a local folder above this size are fingerprinted by their ends, so that a study starts at once.
HASH_WHOLE_BYTES = 2 << 30
HASH_END_BYTES = 16 << 20


def fingerprint(config: SubjectConfig, model: Any, tokenizer: Any, uncut: Mapping[str, Any]) -> str:
    """Hash what activations depend on: weights, settings of the model, dtype, attention, vocabulary.

    `uncut` are settings of the whole model that loading a part of it changed.
    """
    settings = {key: value for key, value in {**model.config.to_dict(), **uncut}.items() if key != "_name_or_path"}
    found = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    found.update(
        f"{model.dtype} {model.config._attn_implementation} {getattr(model.config, '_commit_hash', None)}".encode()
    )
    found.update(repr(sorted(tokenizer.get_vocab().items())).encode())
    folder = Path(config.model)
    if folder.is_dir():
        files = sorted(path for path in folder.iterdir() if path.suffix in {".safetensors", ".bin"})
        whole = sum(path.stat().st_size for path in files) <= HASH_WHOLE_BYTES
        for path in files:
            found.update(f"{path.name} {path.stat().st_size}".encode())
            with path.open("rb") as file:
                if whole:
                    found.update(hashlib.file_digest(file, "sha256").digest())
                else:
                    found.update(file.read(HASH_END_BYTES))
                    file.seek(-min(HASH_END_BYTES, path.stat().st_size), 2)
                    found.update(file.read())
    return found.hexdigest()[:32]


def of_weights(model: Any, tokenizer: Any) -> str:
    """Hash what the activations of a model in memory depend on: as `fingerprint`, with the weights as they are."""
    settings = {key: value for key, value in model.config.to_dict().items() if key != "_name_or_path"}
    found = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    found.update(f"{model.dtype} {model.config._attn_implementation}".encode())
    found.update(repr(sorted(tokenizer.get_vocab().items())).encode())
    for name, value in sorted(model.state_dict().items()):
        found.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        found.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()[:32]
