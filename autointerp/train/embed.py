"""Write a trained subject and its dictionaries as small as the package ships them: float16, one seed."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from autointerp.train.base import Arm

TOKENIZER = ("tokenizer.json", "tokenizer_config.json")


def embed(subject: Path, trained: Mapping[Arm, Path], out: Path) -> list[Path]:
    """Replace `out/subject` and `out/dictionaries` by float16 copies; of the dictionaries those of the first seed.

    Args:
        subject: folder of the model with its tokenizer.
        trained: folder of each dictionary; no two of the first seed may share architecture and module.
        out: the folder of the embedded default.

    Returns:
        The dictionaries' new folders, `out/dictionaries/<architecture>/<module>/seed<seed>`.
    """
    for name in ("subject", "dictionaries"):
        shutil.rmtree(out / name, ignore_errors=True)
    (out / "subject").mkdir(parents=True)
    for name in ("config.json", *TOKENIZER):
        shutil.copyfile(subject / name, out / "subject" / name)
    _halve(subject / "model.safetensors", out / "subject" / "model.safetensors")
    first = min(arm.seed for arm in trained)
    folders = []
    for arm, source in trained.items():
        if arm.seed == first:
            folder = out / "dictionaries" / arm.architecture / arm.module / f"seed{arm.seed}"
            folder.mkdir(parents=True)
            shutil.copyfile(source / "cfg.json", folder / "cfg.json")
            _halve(source / "sae.safetensors", folder / "sae.safetensors")
            folders.append(folder)
    return folders


def _halve(source: Path, target: Path) -> None:
    tensors = {name: tensor.to(torch.float16) for name, tensor in load_file(source).items()}
    assert all(bool(tensor.isfinite().all()) for tensor in tensors.values()), f"{source} does not fit into float16"
    save_file(tensors, target, metadata={"format": "pt"})
    target.chmod(0o644)
