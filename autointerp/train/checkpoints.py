"""Output of a training run: dictionaries in EleutherAI sparsify's layout, a log, and the state to resume from.

    <out>/config.json                                   settings, subject and text of the run
    <out>/log.jsonl                                     one line per arm every `log_steps` steps
    <out>/contexts.bin                                  token rows
    <out>/state.pt                                      everything needed to go on, bit by bit
    <out>/<architecture>_m<M>_k<k>/<module>/seed<s>/    cfg.json, sae.safetensors

Source of the inner layout: github.com/EleutherAI/sparsify, sparse_coder.py; the `seed<s>` folder is its own for several
seeds.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from autointerp.errors import RunDirectoryError
from autointerp.train.arms import Weights
from autointerp.train.base import Arm

STATE, LOG, CONFIG = "state.pt", "log.jsonl", "config.json"


def folder_of(out: Path, arm: Arm) -> Path:
    """Folder of one dictionary."""
    return out / f"{arm.architecture}_m{arm.n_latents}_k{arm.k}" / arm.module / f"seed{arm.seed}"


def save_dictionary(weights: Weights, folder: Path, scale_in: float, scale_out: float) -> None:
    """Write one dictionary as sparsify does, for raw activations; see `Weights.folded` for the scales."""
    folder.mkdir(parents=True, exist_ok=True)
    arm, width = weights.arm, weights.W_dec.shape[1]
    transcodes = arm.architecture != "sae"
    config = {
        "activation": "topk",
        "expansion_factor": max(1, arm.n_latents // width),
        "normalize_decoder": not transcodes,
        "num_latents": arm.n_latents,
        "k": arm.k,
        "multi_topk": False,
        "transcode": transcodes,
        "skip_connection": weights.W_skip is not None,
        "d_in": width,
        "pre_bias": not transcodes,  # ours; sparsify passes over keys that it does not know
    }
    names = {"W_enc": "encoder.weight", "b_enc": "encoder.bias"}
    found = weights.folded(scale_in, scale_out)
    tensors = {names.get(name, name): tensor.cpu().contiguous() for name, tensor in found.items()}
    half = folder / "sae.safetensors.half"
    save_file(tensors, half)
    half.replace(folder / "sae.safetensors")
    (folder / "cfg.json").write_text(json.dumps(config))


def save_state(out: Path, state: dict[str, Any]) -> None:
    """Write the state in one step, so that a kill leaves the old one or the new one."""
    half = out / f"{STATE}.half"
    torch.save(state, half)
    half.replace(out / STATE)


def read_state(
    out: Path, identity: dict[str, Any], defaults: dict[str, Any], device: torch.device
) -> dict[str, Any] | None:
    """Read the state of a run that is to go on, None where there is none; forget log lines written after it.

    Args:
        out: the run's folder.
        identity: settings, subject and text of the run that asks.
        defaults: what a setting was in a run that was begun before there was that setting.
        device: where the tensors go.

    Raises:
        RunDirectoryError: the folder's run has another identity (settings, subject or text).
    """
    if not (out / STATE).exists():
        (out / LOG).unlink(missing_ok=True)
        return None
    state = torch.load(out / STATE, weights_only=True, map_location=device)
    then = {**defaults, **state["identity"]}
    changed = [f"{key}: {then.get(key)!r} -> {now!r}" for key, now in identity.items() if then.get(key) != now]
    if changed:
        raise RunDirectoryError(
            f"{out} holds a run with other settings ({'; '.join(changed)}): give them again, or another --out"
        )
    lines = (out / LOG).read_text().splitlines() if (out / LOG).exists() else []
    kept = [line for line in lines if json.loads(line)["step"] <= state["step"]]
    (out / LOG).write_text("".join(f"{line}\n" for line in kept))
    return state
