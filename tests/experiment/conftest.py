"""A study small enough to run whole in a test: a tiny model, and dictionaries whose latents are known."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file

from tests.helpers import tiny

NOUNS = ["cat", "dog", "bird", "fish", "tree", "house", "river", "stone", "apple", "chair"]
FILLERS = "the a one this every old young small green quiet ran sat saw took over under near with and then".split()


def text(n_documents: int, seed: int = 0) -> str:
    """Documents of some sixty random words, one noun in six."""
    rng = np.random.default_rng(seed)

    def word() -> str:
        return str(rng.choice(NOUNS if rng.random() < 1 / 6 else FILLERS))

    return "\n\n".join(" ".join(word() for _ in range(60)) for _ in range(n_documents))


def save_dictionary(folder: Path, encoder: torch.Tensor, bias: float) -> Path:
    """A dictionary in sparsify's layout that reads and rebuilds the token embeddings."""
    folder.mkdir(parents=True)
    cfg = {"activation": "topk", "k": 1, "num_latents": len(encoder), "d_in": encoder.shape[1], "expansion_factor": 1,
           "normalize_decoder": True, "multi_topk": False, "skip_connection": False, "transcode": False}  # fmt: skip
    (folder / "cfg.json").write_text(json.dumps(cfg))
    tensors = {
        "encoder.weight": encoder,
        "encoder.bias": torch.full((len(encoder),), bias),
        "W_dec": encoder.clone(),
        "b_dec": torch.zeros(encoder.shape[1]),
    }
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "sae.safetensors")
    return folder


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a subject, text, and two dictionaries: `known`, a latent per noun, and `noise`."""
    folder = tmp_path_factory.mktemp("world")
    words = text(400)
    (folder / "text.txt").write_text(words)
    tiny.save(folder / "subject", words=text(20), vocab_size=400, hidden_size=64)
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder / "subject")
    model: Any = AutoModelForCausalLM.from_pretrained(folder / "subject")
    embeddings = model.get_input_embeddings().weight.detach()
    unit = embeddings / embeddings.norm(dim=1, keepdim=True)
    ids = [tokenizer(f" {noun}")["input_ids"] for noun in NOUNS]
    assert all(len(one) == 1 for one in ids), "every noun is one token of the test's tokenizer"
    known = unit[[one[0] for one in ids]]
    # A token fires its own latent alone: another's embedding is far from parallel.
    save_dictionary(folder / "known" / "embed", known, bias=-0.8 * float(embeddings.norm(dim=1).mean()))
    noise = torch.randn(10, 64, generator=torch.Generator().manual_seed(0))
    save_dictionary(folder / "noise" / "embed", noise / noise.norm(dim=1, keepdim=True), bias=0.0)
    return folder


def write_study(world: Path, path: Path, **sections: Any) -> Path:
    """Write a study file over the world; keyword arguments replace whole sections."""
    site = {"site_in": "model.embed_tokens.output", "site_out": "model.embed_tokens.output", "accept": True}
    study = {
        "name": "tiny",
        "subject": {"model": str(world / "subject")},
        "corpus": {"use": "text", "path": str(world / "text.txt"), "split": "blank_lines"},
        "windows": {"n_tokens": 24_000, "context_length": 32, "window_length": 8},
        "dictionaries": [{"name": n, "source": str(world / n / "embed"), **site} for n in ("known", "noise")],
        "sampling": {"n_latents": 6},
        "examples": {
            "min_windows": 30,
            "n_explain": 10,
            "n_positives": 10,
            "n_negatives": 10,
            "n_explain_negatives": 10,
        },
        "reconstruction": {"n_documents": 10, "n_bootstrap": 100},
        "explainer": "pattern",
        "explainer_llm": "pattern",
        "scorers": [{"use": "detection", "n_per_question": 10}, {"use": "fuzzing", "n_per_question": 10}],
        "judge_llm": "pattern",
        "controls": {"n_planted": 0},
        "qualify": "off",
        **sections,
    }
    path.write_text(yaml.safe_dump(study))
    return path


@pytest.fixture
def study_of(world: Path, tmp_path: Path) -> Any:
    """Write a study file over the world; keyword arguments replace whole sections."""
    return partial(write_study, world, tmp_path / "study.yaml")
