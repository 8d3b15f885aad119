"""Checkpoints to be broken: one of each format, and how to read, edit and write their files."""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from autointerp import dictionaries
from tests.helpers.checkpoints import CASES, Case

BY_NAME = {case.name: case for case in CASES}
SPARSIFY, SAELENS = BY_NAME["sparsify:transcoder"], BY_NAME["saelens:jumprelu"]
LEARNING, TRACER = BY_NAME["dictionary_learning:BatchTopKSAE"], BY_NAME["circuit_tracer:jumprelu"]
FILES = {
    "sparsify": "sae.safetensors",
    "saelens": "sae_weights.safetensors",
    "gemma_scope_2": "params.safetensors",
    "circuit_tracer": "layer_1.safetensors",
    "llama_scope": "checkpoints/final.safetensors",
    "dictionary_learning": "ae.pt",
    "openai": "8.pt",
    "qwen_scope": "layer4.sae.pt",
    "gemma_scope": "params.npz",
    "llamascopium": "sae_weights.safetensors",
}


def written(case: Case, tmp_path: Path) -> Path:
    folder = tmp_path / case.folder
    folder.mkdir(parents=True, exist_ok=True)
    case.write(folder, torch.Generator().manual_seed(0))
    return folder


def load(case: Case, folder: Path) -> object:
    sites = {} if all(case.sites) else {"site_in": "layers.1.output", "site_out": "layers.1.output"}
    return dictionaries.load(folder / case.focus, **sites, **dict(case.settings))  # type: ignore[arg-type]


def tensors_of(path: Path) -> dict[str, torch.Tensor]:
    if path.suffix == ".safetensors":
        return load_file(path)
    if path.suffix == ".npz":
        return {name: torch.from_numpy(array) for name, array in np.load(path).items()}
    return torch.load(path, weights_only=True)


def rewrite(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    if path.suffix == ".safetensors":
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    elif path.suffix == ".npz":
        np.savez(path, allow_pickle=False, **{name: tensor.numpy() for name, tensor in tensors.items()})
    else:
        torch.save(tensors, path)


def edit(folder: Path, name: str, **changes: object) -> None:
    settings = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(settings | changes))


# One case per format stands for it; what is done to its largest matrix must be noticed in every format.
ONE_EACH = [next(case for case in CASES if case.format == name) for name in FILES]


def largest(tensors: dict[str, torch.Tensor]) -> str:
    return next(name for name in ("encoder.weight", "W_enc", "w_enc", "W_E") if name in tensors)
