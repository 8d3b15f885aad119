"""`autointerp convert`: folders as delphi, SAEBench and Neuronpedia write them."""

import gzip
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from autointerp.__main__ import main
from autointerp.experiment.study import load_study
from autointerp.report.exports import export
from autointerp.report.imports import delphi, neuronpedia, saebench
from tests.helpers import readme


def item(activating: bool, prediction: bool | None) -> dict[str, Any]:
    """One judged context, with every key that delphi writes."""
    correct = None if prediction is None else prediction == activating
    return {
        "str_tokens": [" a"],
        "activations": [1.0 * activating],
        "distance": 1,
        "activating": activating,
        "prediction": prediction,
        "probability": None,
        "correct": correct,
    }


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of two latents of one hookpoint, with a damaged file and a scorer without a counterpart."""
    folder = tmp_path / "delphi"
    for name in ("explanations", "scores/fuzz", "scores/detection", "scores/simulation"):
        (folder / name).mkdir(parents=True)
    config = {
        "model": "org/m",
        "sparse_model": "org/sae",
        "hookpoints": ["layers.5.mlp"],
        "explainer_model": "org/judge",
        "explainer_provider": "offline",
        "scorers": ["fuzz", "detection"],
        "name": "run 1",
        "max_latents": 100,
        "seed": 22,
        "num_examples_per_scorer_prompt": 5,
        "cache_cfg": {
            "dataset_repo": "org/data",
            "dataset_split": "train[:1%]",
            "dataset_name": "",
            "n_tokens": 5000000,
            "cache_ctx_len": 256,
        },
        "constructor_cfg": {
            "example_ctx_len": 32,
            "min_examples": 150,
            "n_non_activating": 50,
            "non_activating_source": "random",
        },
        "sampler_cfg": {"n_examples_train": 40, "n_examples_test": 50},
    }
    (folder / "run_config.json").write_text(json.dumps(config))
    mixed = [item(True, True)] * 3 + [item(True, False), item(False, False), item(False, True), item(False, None)]
    for latent, items in ((7, mixed), (12, [item(True, True), item(False, False)])):
        (folder / "explanations" / f"layers.5.mlp_latent{latent}.txt").write_text(json.dumps(f"words {latent}"))
        (folder / "scores/detection" / f"layers.5.mlp_latent{latent}.txt").write_text(json.dumps(items))
    (folder / "scores/fuzz/layers.5.mlp_latent7.txt").write_text(json.dumps([item(True, True)]))
    (folder / "scores/fuzz/layers.5.mlp_latent12.txt").write_text("[{")
    (folder / "scores/simulation/layers.5.mlp_latent7.txt").write_text("{}")
    return folder


def test_delphi_scores_are_balanced_accuracies_of_what_was_predicted(run: Path) -> None:
    """3 of 4 positives and 1 of 2 negatives: (.75 + .5) / 2; a latent without negatives has no score."""
    found = delphi.read(run)
    table = found.table.set_index(["scorer", "latent"])
    assert table.loc[("detection", 7), "score"] == pytest.approx(0.625)
    assert table.loc[("detection", 7), "n_unanswered"] == 1
    assert table.loc[("detection", 12), "score"] == 1.0
    assert table.loc[("detection", 12), "explanation"] == "words 12"
    assert table["score"].isna().loc[("fuzzing", 7)]
    assert found.left_out == {"unreadable score files": 1, "files of scorer simulation, which has no counterpart": 1}


def test_a_delphi_run_becomes_a_study_that_is_valid(run: Path, tmp_path: Path) -> None:
    study, table = tmp_path / "study.yaml", tmp_path / "scores.csv"
    assert main(["convert", str(run), "--csv", str(table), "--study", str(study)]) == 0
    loaded = load_study(study)
    assert loaded.name == "run-1"
    assert (loaded.windows.n_tokens, loaded.windows.window_length, loaded.examples.min_windows) == (5_000_000, 32, 150)
    assert loaded.dictionaries[0].source == "org/sae:layers.5.mlp"
    assert loaded.judge_llm.title == "vllm:org/judge"
    assert [one.use for one in loaded.scorers] == ["fuzzing", "detection"]
    assert len(pd.read_csv(table)) == 3
    assert main(["convert", str(run), "--study", str(study)]) == 2  # it is there already


@pytest.mark.parametrize("source", ["random", "neighbours", "FAISS"])
def test_every_source_of_negatives_has_its_counterpart(run: Path, source: str, tmp_path: Path) -> None:
    config = json.loads((run / "run_config.json").read_text())
    config["constructor_cfg"] |= {"non_activating_source": source, "faiss_embedding_model": "org/embed"}
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(delphi.study(config)))
    examples = load_study(tmp_path / "s.yaml").examples
    assert (examples.n_hard == 0) == (source == "random")


def test_saebench_files_written_here_are_read_back(tmp_path: Path) -> None:
    """The export's own score, one row per dictionary; another evaluation is counted."""
    export(readme.REFERENCE, "saebench", tmp_path)
    (tmp_path / "other_eval_results.json").write_text(json.dumps({"eval_type_id": "core"}))
    found = saebench.read(tmp_path)
    kept = pd.read_parquet(readme.REFERENCE / "estimates.parquet")
    kept = kept[(kept["statistic"] == "score") & (kept["population"] == "eligible") & (kept["scorer"] == "detection")]
    assert sorted(found.table["score"]) == pytest.approx(sorted(kept["value"]))
    assert found.left_out == {"files of evaluation core": 1}
    assert main(["convert", str(tmp_path)]) == 0


def test_neuronpedia_explanations_are_read_plain_and_compressed(tmp_path: Path) -> None:
    one = {"modelId": "gpt2-small", "layer": "8-res-jb", "index": "3", "description": "dates"}
    (tmp_path / "batch-0.jsonl").write_text(json.dumps(one) + "\n{broken\n")
    (tmp_path / "batch-1.jsonl.gz").write_bytes(gzip.compress((json.dumps({**one, "index": "4"}) + "\n").encode()))
    found = neuronpedia.read(tmp_path)
    assert found.table[["dictionary", "latent", "explanation"]].to_numpy().tolist() == [
        ["gpt2-small/8-res-jb", 3, "dates"],
        ["gpt2-small/8-res-jb", 4, "dates"],
    ]
    assert found.left_out == {"records that are no explanation": 1}


@pytest.mark.parametrize("made", ["absent", "empty"])
def test_what_is_of_no_known_tool_is_refused_in_one_line(
    made: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if made == "empty":
        (tmp_path / "empty").mkdir()
    assert main(["convert", str(tmp_path / made)]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
