"""`autointerp.score` on objects in memory gives what the same model and dictionaries give from files."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import autointerp
from autointerp.errors import StudyError, SubjectError, UserError
from autointerp.experiment import pipeline
from autointerp.experiment.study import load_study
from tests.helpers import objects

SITE = {"site_in": "model.embed_tokens.output", "site_out": "model.embed_tokens.output", "accept": True}
SETTINGS = {
    "windows": {"n_tokens": 24_000, "context_length": 32, "window_length": 8},
    "sampling.n_latents": 6,
    "examples": {"min_windows": 30, "n_explain": 10, "n_positives": 10, "n_negatives": 10, "n_explain_negatives": 10},
    "reconstruction": {"n_documents": 10, "n_bootstrap": 100},
    "scorers": [{"use": "detection", "n_per_question": 10}, {"use": "fuzzing", "n_per_question": 10}],
    "controls.n_planted": 0,
    "qualify.mode": "off",
}


class Coder(torch.nn.Module):
    """The world's checkpoint as sparsify's object."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        weights = load_file(folder / "sae.safetensors")
        self.d_in, self.num_latents, self.k = weights["W_dec"].shape[1], len(weights["W_dec"]), 1
        self.encoder = torch.nn.Linear(self.d_in, self.num_latents)
        self.encoder.weight.data, self.encoder.bias.data = weights["encoder.weight"], weights["encoder.bias"]
        self.W_dec, self.b_dec = torch.nn.Parameter(weights["W_dec"]), torch.nn.Parameter(weights["b_dec"])

    def encode(self, x: torch.Tensor) -> Any:
        values, indices = self.encoder(x - self.b_dec).relu().topk(self.k)
        return objects.SimpleNamespace(top_acts=values, top_indices=indices)

    def decode(self, top_acts: torch.Tensor, top_indices: torch.Tensor) -> torch.Tensor:
        return (top_acts[:, :, None] * self.W_dec[top_indices]).sum(1) + self.b_dec


@pytest.fixture
def given(world: Path, tmp_path: Path) -> dict[str, Any]:
    """Arguments of `score` with everything in memory."""
    return {
        "model": AutoModelForCausalLM.from_pretrained(world / "subject").train(),
        "tokenizer": AutoTokenizer.from_pretrained(world / "subject"),
        "dictionaries": {name: {"source": Coder(world / name / "embed"), **SITE} for name in ("known", "noise")},
        "text": (world / "text.txt").read_text().split("\n\n"),
        "explainer": "pattern",
        "settings": SETTINGS,
        "out": tmp_path / "objects",
    }


def test_objects_score_as_their_files_do(given: dict[str, Any], study_of: Any, tmp_path: Path) -> None:
    """Latents, examples and reconstruction equal those from files; the model is as before; the call continues."""
    model = given["model"]
    run = autointerp.score(**given)
    files = pipeline.score(load_study(study_of()), tmp_path / "files", until="select")
    for table in ("latents", "examples", "reconstruction"):
        a, b = (one.read(table).drop(columns="status", errors="ignore") for one in (run.files, files))
        pd.testing.assert_frame_equal(a, b, rtol=1e-6)
    assert set(run.brief.scores["dictionary"]) == {"known", "noise"}
    assert model.training
    assert all(weight.requires_grad for weight in model.parameters())
    assert run.manifest["subject"]["model"] == f"object:{type(model).__name__}"
    judged = (run.path / "judgements.parquet").stat().st_mtime_ns
    assert autointerp.score(**given).path == run.path
    assert (run.path / "judgements.parquet").stat().st_mtime_ns == judged
    with pytest.raises(UserError, match="was an object in memory: run this study from Python"):
        pipeline.score(load_study(run.path / "study.yaml"), tmp_path / "elsewhere")


def test_wrong_arguments_end_in_one_line(given: dict[str, Any]) -> None:
    for change, words in (
        ({"text": None}, r"text=\[...\] is needed"),
        ({"explainer": None}, "explainer is needed"),
        ({"dictionaries": None}, "needs dictionaries"),
        ({"text": [1, 2]}, "one is a int"),
        ({"text": []}, "text is empty"),
        ({"study": "x.yaml"}, "not both"),
        ({"explainer": {"model": "m"}}, 'explainer has no "use"'),
        ({"settings": {"sampling.n_latent": 3}}, "did you mean sampling.n_latents"),
    ):
        with pytest.raises(StudyError, match=words):
            autointerp.score(**{**given, **change})
    with pytest.raises(SubjectError, match="no causal language model"):
        autointerp.score(**{**given, "model": torch.nn.Linear(2, 2)})
