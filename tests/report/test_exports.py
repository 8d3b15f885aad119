"""What other tools receive: within Neuronpedia's limits, in SAEBench's shape, readable by `datasets`."""

import json
from pathlib import Path

import pandas as pd
import pytest
from pydantic import ValidationError

from autointerp.__main__ import main
from autointerp.errors import StudyError
from autointerp.report.drawing import members
from autointerp.report.exports import export, neuronpedia
from autointerp.report.run import ReportRun
from autointerp.report.tables import Number
from tests.helpers.runs import RunSpec, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ReportRun:
    return ReportRun(write_run(tmp_path_factory.mktemp("runs") / "exported", RunSpec(n_latents=40, n_sampled=8)))


def test_every_neuronpedia_line_is_a_valid_upload(run: ReportRun, tmp_path: Path) -> None:
    """Each line is read back by the strict model of the receiver's limits; all sampled latents are there or counted."""
    found = export(run, "neuronpedia", tmp_path, ["model_id=Tiny-Stories"])
    n = 0
    for file in found.files:
        if not file.endswith(".scores.jsonl"):
            for line in Path(file).read_text(encoding="utf-8").splitlines():
                batch = neuronpedia.UploadBatch.model_validate_json(line)
                assert batch.modelId == "tiny-stories"
                n += len(batch.features)
    assert n == found.counts["latents"]
    assert n + found.left_out.get("without an activating example", 0) == run.latents["sampled"].sum()


def test_neuronpedia_limits_refuse_what_the_receiver_would() -> None:
    activation = {"tokens": ["a"], "values": [1.0], "quantileMin": 0.0, "quantileMax": 1.0, "quantileFraction": 0.1}
    good = {
        "index": 0,
        "density": 0.1,
        "topLogits": [],
        "bottomLogits": [],
        "explanations": [],
        "activations": [activation],
    }
    body = {"modelId": "m", "source": "5-my-set", "features": [good]}
    assert neuronpedia.UploadBatch.model_validate(body)
    explanation = {"text": "x" * 513, "methodName": "m", "modelName": "n"}
    wrong: list[dict] = [
        {**body, "features": []},
        {**body, "features": [good] * 129},
        {**body, "source": "5-My_Set"},
        {**body, "features": [{**good, "index": 10_000_001}]},
        {**body, "features": [{**good, "activations": []}]},
        {**body, "features": [{**good, "activations": [{**activation, "values": [1.0, 2.0]}]}]},
        {**body, "features": [{**good, "explanations": [explanation]}]},
        {**body, "features": [{**good, "topLogits": [{"token": "a", "value": 1.0}] * 21}]},
    ]
    for one in wrong:
        with pytest.raises(ValidationError):
            neuronpedia.UploadBatch.model_validate(one)


def test_neuronpedia_scores_have_one_detail_per_judged_context(run: ReportRun, tmp_path: Path) -> None:
    found = export(run, "neuronpedia", tmp_path)
    lines = [
        json.loads(line)
        for file in found.files
        if file.endswith(".scores.jsonl")
        for line in Path(file).read_text().splitlines()
    ]
    own = run.judgements[(run.judgements["control"] == "none") & (run.judgements["dictionary"] != "planted")]
    assert sum(len(line["jsonDetails"]) for line in lines) == len(own)
    assert {type(line["value"]) for line in lines} <= {float, type(None)}


def test_saebench_record_holds_the_estimate_and_says_what_it_is(run: ReportRun, tmp_path: Path) -> None:
    found = export(run, "saebench", tmp_path)
    assert found.counts == {"dictionaries": len(run.dictionaries)}
    estimates = run.estimates
    for file in found.files:
        record = json.loads(Path(file).read_text(encoding="utf-8"))
        required = {"eval_type_id", "eval_config", "eval_id", "datetime_epoch_millis", "eval_result_metrics"}
        required |= {"eval_result_details", "sae_bench_commit_hash", "sae_lens_id", "sae_lens_release_id"}
        assert required | {"sae_lens_version", "sae_cfg_dict", "eval_result_unstructured"} == set(record)
        mine = estimates[(estimates["dictionary"] == record["sae_lens_id"]) & (estimates["scorer"] == "detection")]
        mean = mine[(mine["statistic"] == "score") & (mine["population"] == "eligible")]["value"].iloc[0]
        assert record["eval_result_metrics"]["autointerp"]["autointerp_score"] == pytest.approx(mean)
        assert "balanced accuracy" in record["eval_result_unstructured"]["metric"]


def test_datasets_reads_every_table_of_the_folder(
    run: ReportRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    out = tmp_path / "folder"
    export(run, "huggingface", out)
    for name in ("judgements", "latents", "examples"):
        loaded = datasets.load_dataset(str(out), name, cache_dir=str(tmp_path / "cache"), split="train")
        assert loaded.num_rows == len(pd.read_parquet(run.path / f"{name}.parquet"))
    assert (out / "README.md").read_text(encoding="utf-8").startswith("---\nlicense: other\n")


def test_unknown_forms_and_settings_are_refused_with_what_there_is(run: ReportRun, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="huggingface"):
        export(run, "kaggle", tmp_path)
    with pytest.raises(StudyError, match="scorer, release"):
        export(run, "saebench", tmp_path, ["colour=red"])
    with pytest.raises(StudyError, match="name=value"):
        export(run, "saebench", tmp_path, ["detection"])
    with pytest.raises(StudyError, match="detection, fuzzing"):
        export(run, "saebench", tmp_path, ["scorer=simulation"])


def test_a_reference_run_gives_the_same_numbers_figures_and_comparisons(run: ReportRun, tmp_path: Path) -> None:
    """Without windows, prompts and replies, every figure, estimate and control is what the run itself gives."""
    found = export(run, "reference", tmp_path / "kept")
    kept = ReportRun(tmp_path / "kept")
    assert found.left_out == {"rows of examples": len(run.examples), "rows of questions": len(run.questions)}
    pd.testing.assert_frame_equal(kept.estimates, run.estimates)
    pd.testing.assert_frame_equal(kept.controls, run.controls)
    for module in members().values():
        pd.testing.assert_frame_equal(module.data(kept), module.data(run))
    assert main(["compare", str(kept.path), "--json"]) == (3 if (kept.controls["status"] == "failed").any() else 0)
    assert main(["gate", str(run.path), "--baseline", str(kept.path)]) in {0, 2, 3}


def test_a_reference_run_says_its_numbers_with_intervals_and_never_overwrites_its_run(
    run: ReportRun, tmp_path: Path
) -> None:
    export(run, "reference", tmp_path / "kept")
    text = (tmp_path / "kept" / "README.md").read_text(encoding="utf-8")
    means = run.estimates[(run.estimates["statistic"] == "score") & (run.estimates["population"] == "eligible")]
    for row in means[means["architecture"] != "planted"].to_dict("records"):
        assert str(Number(value=row["value"], low=row["low"], high=row["high"])) in text
    assert f"controls: {run.summary['controls']['verdict']}" in text
    with pytest.raises(StudyError, match="is the run itself"):
        export(run, "reference", run.path)
