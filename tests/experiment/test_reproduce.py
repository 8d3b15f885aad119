"""Presets are ordinary studies of published dictionaries; one command answers the paper's claims over layers."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from autointerp.__main__ import main
from autointerp.dictionaries import load_check
from autointerp.dictionaries.globs import expanded
from autointerp.errors import StudyError
from autointerp.experiment import presets
from autointerp.experiment.study import validate_study
from autointerp.statistics.paper import paper_metrics
from autointerp.subject import sites
from autointerp.subject.model import HookedSubject
from tests.helpers import architectures, tiny
from tests.helpers.hub import Hub, pointed, serving


@pytest.mark.parametrize("model", presets.models("gemma-scope-2"))
def test_every_model_of_gemma_scope_2_has_its_three_arms_at_every_layer(model: str) -> None:
    """Valid study files; SAE, transcoder and affine-skip transcoder of one model, resolved without a network."""
    values = presets.preset("gemma-scope-2", model)
    study = validate_study(values, source=model)
    size = model.removeprefix("gemma-3-")
    arms = ("sae", "transcoder", "skip-transcoder")
    layers = {
        arm: {one.name.removeprefix(f"{arm}-L") for one in study.dictionaries if one.name.startswith(f"{arm}-L")}
        for arm in arms
    }
    assert all(f"gemma-scope-2-{size}-" in one.source for one in study.dictionaries)
    assert min(map(len, layers.values())) >= 18
    assert (
        len(set.union(*layers.values())) - len(set.intersection(*layers.values())) <= 3
    )  # the release of 27b-it lacks three
    assert study.subject.model in (f"google/{model}", "google/gemma-3-270m")


@pytest.mark.parametrize("name", presets.names())
def test_presets_are_ordinary_study_files(name: str) -> None:
    values = presets.preset(name, None)
    named = [{**one, "source": "embedded/" + one["name"], "name": one["name"]} for one in values["dictionaries"]]
    validate_study({**values, "dictionaries": named}, source=name)
    assert [one["name"] for one in values["dictionaries"]][-1] == "skip-transcoder"


@pytest.mark.parametrize(
    "name, model, words",
    [
        ("gemma-scope-2", "gemma-3-4b", "nearest: gemma-3-4b-"),
        ("pythia-160m", "pythia-70m", "nearest: pythia-160m"),
        ("gema-scope-2", None, "nearest: gemma-scope-2"),
        ("x", None, "there are: gemma-scope-2, llama-3.2-1b, pythia-160m"),
    ],
)
def test_unknown_presets_and_models_get_the_nearest(name: str, model: str | None, words: str) -> None:
    with pytest.raises(StudyError, match=words):
        presets.preset(name, model)


def test_a_latent_of_neuronpedia_is_a_dictionary_and_a_chosen_latent() -> None:
    """Two latents of one dictionary are one dictionary; a study's own choice goes first."""
    sources = [
        "gemma-2-2b/20-gemmascope-res-16k/7",
        "np:gemma-2-2b/20-gemmascope-res-16k/9",
        "gemma-2-2b/0-gemmascope-res-16k",
    ]
    values: dict[str, Any] = {
        "name": "a",
        "subject": {"model": "google/gemma-2-2b"},
        "corpus": {"use": "docstrings"},
        "dictionaries": [{"name": name, "source": source} for name, source in zip("abc", sources, strict=True)],
        "explainer_llm": "pattern",
        "judge_llm": "pattern",
    }
    study = validate_study(values, source="test")
    assert [(one.name, one.source.rpartition("/layer")[2]) for one in study.dictionaries] == [
        ("a", "_20/width_16k/canonical"),
        ("c", "gemma-2-2b/0-gemmascope-res-16k"),
    ]
    assert study.sampling.latents == {"a": (7, 9)}
    own = validate_study({**values, "sampling": {"latents": {"a": [1]}}}, source="test")
    assert own.sampling.latents == {"a": (1,)}


def judged(answers: dict[str, list[bool]], dictionary: str = "sae", latent: int = 0) -> pd.DataFrame:
    """Judgements of one latent: for each kind, which items were answered yes."""
    rows = [
        {
            "dictionary": dictionary, "scorer": "detection", "latent": latent, "control": "none", "kind": kind,
            "truth": kind == "positive", "answer": "yes" if yes else "no",
        }
        for kind, found in answers.items()
        for yes in found
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_the_paper_s_metrics_on_known_answers() -> None:
    """By hand: TPR .75, FPR .25 -> accuracy .75, F1 .75; always yes -> .5 and 2/3; unanswered counts as wrong."""
    table = judged({"positive": [True, True, True, False], "random": [True, False, False, False], "hard": [True] * 9})
    row = paper_metrics(table).iloc[0]
    assert (row["accuracy"], row["f1"], row["n_latents"]) == pytest.approx((0.75, 0.75, 1))
    always = paper_metrics(judged({"positive": [True] * 3, "random": [True] * 7})).iloc[0]
    assert (always["accuracy"], always["f1"]) == pytest.approx((0.5, 2 / 3))
    never = paper_metrics(judged({"positive": [False] * 3, "random": [False] * 7})).iloc[0]
    assert (never["accuracy"], never["f1"]) == (0.5, 0.0)
    unsaid = judged({"positive": [True], "random": [False]}).assign(answer="unanswered")
    assert paper_metrics(unsaid).iloc[0]["accuracy"] == 0.0
    assert paper_metrics(judged({"positive": [True]})).empty


def linear(x: Tensor, y: Tensor, skip: Tensor | None) -> dict[str, Tensor]:
    """Weights in Gemma Scope 2's layout of latents +-x that reconstruct y as well as a linear map does."""
    d = x.shape[1]
    w_enc = torch.cat([torch.eye(d), -torch.eye(d)], dim=1)
    left = y if skip is None else y - x @ skip
    feats = torch.cat([(x @ w_enc).clamp_min(0), torch.ones(len(x), 1)], dim=1)
    fit = torch.linalg.lstsq(feats, left).solution
    tensors = {"w_enc": w_enc, "b_enc": torch.zeros(2 * d), "threshold": torch.zeros(2 * d)}
    tensors |= {"w_dec": fit[:-1], "b_dec": fit[-1]}
    return {
        name: t.contiguous()
        for name, t in (tensors | ({} if skip is None else {"affine_skip_connection": skip})).items()
    }


def gemma(folder: Path) -> Path:
    """A tiny Gemma 3 with a tokenizer, as the hub would hold it."""
    model = architectures.tiny("gemma3_text", vocab_size=tiny.VOCABULARY, max_position_embeddings=256)
    model.save_pretrained(folder)  # pyright: ignore[reportCallIssue]
    tiny.tokenizer().save_pretrained(folder)
    return folder


def release(folder: Path, model: Any) -> None:
    """SAE, transcoder and affine transcoder of two layers, in the release's folders."""
    subject = HookedSubject(model, None, fingerprint="")
    ids = torch.randint(3, tiny.VOCABULARY, (8, 64), generator=torch.Generator().manual_seed(0))
    for layer in (0, 1):
        names = [f"model.layers.{layer}.{side}_feedforward_layernorm.output" for side in ("pre", "post")]
        found = [sites.resolve(model, name) for name in names]
        x, y = (subject.capture(ids, None, found)[site].flatten(0, 1).float() for site in found)
        skip = torch.linalg.lstsq(x, y).solution
        arms = {
            f"mlp_out_all/layer_{layer}_width_16k_l0_small": linear(y, y, None),
            f"transcoder_all/layer_{layer}_width_16k_l0_small": linear(x, y, None),
            f"transcoder_all/layer_{layer}_width_16k_l0_small_affine": linear(x, y, skip),
        }
        for place, tensors in arms.items():
            (folder / place).mkdir(parents=True)
            save_file(tensors, folder / place / "params.safetensors")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::ResourceWarning")
def test_one_command_from_the_hub_to_claims_over_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loopback hub serves a tiny Gemma 3 and tiny checkpoints by the release's names and layout."""
    monkeypatch.setattr(load_check, "MAX_FVU", 2.0)  # no linear map fits a random model's MLP better than its mean
    text = tmp_path / "text.txt"
    words = np.random.default_rng(0).choice("the cat sat on mat and dog ran after".split(), size=(300, 60))
    text.write_text("\n\n".join(" ".join(line) for line in words))
    with serving(Hub()) as hub:
        pointed(monkeypatch, hub.url, tmp_path / "cache")
        folder = gemma(tmp_path / "gemma-3-1b-pt")
        release(
            tmp_path / "scope",
            architectures.tiny("gemma3_text", vocab_size=tiny.VOCABULARY, max_position_embeddings=256),
        )
        hub.publish("google/gemma-3-1b-pt", folder, "aa", "main")
        hub.publish("google/gemma-scope-2-1b-pt", tmp_path / "scope", "bb", "main")
        out = tmp_path / "run"
        code = main([
            "reproduce", "gemma-scope-2", "--model", "gemma-3-1b-pt", "--layers", "0-1", "--data", str(text),
            "--explainer", "pattern", "--tokens", "20k", "--latents", "8", "--out", str(out),
            "--set", "subject.dtype=float32", "--set", "examples.min_windows=10", "--set", "windows.window_length=16",
            "--set", "reconstruction.n_documents=20", "--set", "qualify.mode=off",
        ])  # fmt: skip
    assert code in (0, 3)
    claims = pd.read_csv(out / "compare" / "claims.csv")
    assert {"a", "b", "c"} <= set(claims["claim"])
    told = pd.read_csv(out / "compare" / "paper_metrics.csv")
    assert set(told["dictionary"]) >= {"sae-L0", "transcoder-L1", "skip-transcoder-L1"}
    study = (out / "study.yaml").read_text()
    assert study.count("saelens:gemma-scope-2-1b-pt") == 6
    layers = {
        one["name"]
        for one in expanded(
            [{"name": "sae", "source": "saelens:gemma-scope-2-1b-pt-mlp-all/layer_[01]_width_16k_l0_small"}]
        )
    }
    assert layers == {"sae-L0", "sae-L1"}
