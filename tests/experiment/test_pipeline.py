"""The whole experiment on a tiny model with latents whose meaning is known."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from autointerp import open_run
from autointerp.__main__ import main
from autointerp.dictionaries import identity, loading
from autointerp.errors import CorpusError, DictionaryError, RunDirectoryError, SiteError
from autointerp.experiment import pipeline
from autointerp.experiment.study import load_study
from autointerp.report._payload import LEVELS, _Parts
from autointerp.report.escaping import visible
from autointerp.run.store import Run, read_json
from tests.experiment.conftest import write_study

TABLES = tuple("dictionaries latents examples explanations judgements reconstruction estimates comparisons".split())


@pytest.fixture(scope="module")
def scored(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One finished run for all tests of this file."""
    folder = tmp_path_factory.mktemp("scored")
    return pipeline.score(load_study(write_study(world, folder / "study.yaml")), folder / "run")


@pytest.fixture
def finished(scored: Run, tmp_path: Path) -> Run:
    """A copy of it."""
    return Run(shutil.copytree(scored.path, tmp_path / "run"))


def scores(run: Run) -> pd.Series:
    """Mean score by dictionary and scorer."""
    table = run.read("estimates")
    table = table[(table["population"] == "eligible") & (table["statistic"] == "score")]
    return table.set_index(["dictionary", "scorer"])["value"]


def test_known_latents_are_explained_by_their_token_and_score_high(finished: Run) -> None:
    """A latent that fires on one noun is explained by that noun; random directions score lower."""
    told = finished.read("explanations").merge(finished.read("latents"), on=["dictionary", "site", "latent"])
    told = told[told["dictionary"] == "known"]
    assert len(told) == 6
    for text, piece in zip(told["text"], told["peak_token"], strict=True):
        assert f'"{piece.strip()}"' in text
    found = scores(finished)
    assert found["known", "detection"] > 0.95
    assert found["known", "fuzzing"] > 0.95
    assert found["noise", "detection"] < found["known", "detection"]


def test_everything_that_a_run_promises_is_there(finished: Run) -> None:
    """Tables, study, manifest, summary, report; every latent of every dictionary has its row."""
    for table in TABLES:
        assert len(finished.read(table)), table
    for name in ("study.yaml", "manifest.json", "summary.json", "report.html"):
        assert (finished / name).stat().st_size, name
    latents = finished.read("latents")
    assert latents.groupby("dictionary").size().to_dict() == {"known": 10, "noise": 10}
    sampled = latents[latents["sampled"]]
    assert (sampled["status"] == "scored").all()
    assert sampled["inclusion_probability"].between(0, 1, inclusive="right").all()
    assert set(finished.manifest["stages"]) == set(pipeline.STAGES)


def test_no_judged_document_was_shown_to_an_explainer(finished: Run) -> None:
    """The two splits share no document, over the whole run."""
    examples = finished.read("examples")
    shown = set(examples.loc[examples["split"] == "explain", "document_id"])
    judged = set(finished.read("judgements")["document_id"])
    assert shown
    assert judged
    assert not shown & judged


def test_negatives_are_silent_and_of_one_pool(finished: Run) -> None:
    """No negative of a latent is a window in which it fires."""
    examples = finished.read("examples")
    silent = examples[examples["kind"] == "random"]
    assert len(silent)
    assert silent["activations"].map(max).max() == 0


def test_the_study_in_the_run_directory_replays_the_run(finished: Run, tmp_path: Path) -> None:
    """Another directory, the written study: the same judgements to the last row."""
    again = pipeline.score(load_study(finished / "study.yaml"), tmp_path / "again")
    pd.testing.assert_frame_equal(again.read("judgements"), finished.read("judgements"))
    pd.testing.assert_frame_equal(again.read("estimates"), finished.read("estimates"))


def test_a_changed_study_is_refused_and_named_and_updated_on_request(
    finished: Run, study_of: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The refusal says what changed; --update redoes that stage and none before it."""
    changed = str(study_of(controls={"n_planted": 0, "n_empty": 3}))
    assert main(["score", changed, "--out", str(finished.path)]) == 2
    assert "controls.n_empty: 30 -> 3" in " ".join(capsys.readouterr().err.split())
    before = finished.stages()
    assert main(["score", changed, "--out", str(finished.path), "--update"]) == 0
    after = finished.stages()
    assert before["collect"] == after["collect"]
    assert before["judge"]["fingerprint"] != after["judge"]["fingerprint"]


def test_a_retrained_dictionary_at_the_same_path_is_noticed(study_of: Any, world: Path, tmp_path: Path) -> None:
    """The weights' hash is part of what the first stage depends on."""
    shutil.copytree(world / "known", tmp_path / "copy")
    site = {"site_in": "model.embed_tokens.output", "site_out": "model.embed_tokens.output", "accept": True}
    arms = [{"name": "one", "source": str(tmp_path / "copy" / "embed"), **site}]
    study = load_study(study_of(dictionaries=arms))
    run = pipeline.score(study, tmp_path / "run", until="collect")
    before = run.stages()["collect"]["fingerprint"]
    shutil.copy(world / "noise" / "embed" / "sae.safetensors", tmp_path / "copy" / "embed")
    pipeline.score(study, tmp_path / "run", until="collect")
    assert run.stages()["collect"]["fingerprint"] != before


def test_a_finished_run_starts_again_without_reading_its_dictionaries(
    study_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hashing gigabytes to learn that nothing is to be done would be a slow start."""
    study = load_study(study_of())
    monkeypatch.setattr(identity, "SETTLED", 0.0)
    pipeline.score(study, tmp_path / "run")

    def opened(*_: object, **__: object) -> None:
        raise AssertionError("a dictionary was opened")

    monkeypatch.setattr(loading, "open_dictionary", opened)
    pipeline.score(study, tmp_path / "run")
    with pytest.raises(AssertionError, match="was opened"):
        pipeline.score(study, tmp_path / "other")


@pytest.mark.parametrize(
    ("sections", "error", "words"),
    [
        ({"examples": {"min_windows": 100_000}}, CorpusError, "became eligible"),
        ({"corpus": {"use": "text", "path": "absent.txt"}}, CorpusError, r"absent\.txt"),
        ({"windows": {"bos": "<nothing>"}}, CorpusError, "is not a token of the vocabulary"),
    ],
)
def test_bad_input_is_one_clear_error(
    study_of: Any, tmp_path: Path, sections: Any, error: type[Exception], words: str
) -> None:
    """Each says what was seen and what would help."""
    with pytest.raises(error, match=words):
        pipeline.score(load_study(study_of(**sections)), tmp_path / "run")


def test_a_misspelt_site_lists_those_that_exist(study_of: Any, world: Path, tmp_path: Path) -> None:
    """The line names near ones."""
    source = str(world / "known" / "embed")
    arms = [{"name": "one", "source": source, "site_in": "model.layers.7.mlp.output", "site_out": "model.norm.output"}]
    with pytest.raises(SiteError, match=r"model\.layers"):
        pipeline.score(load_study(study_of(dictionaries=arms)), tmp_path / "run")


def test_a_dictionary_of_another_width_is_refused(study_of: Any, world: Path, tmp_path: Path) -> None:
    """64 numbers per token cannot be read where there are 32."""
    source = str(world / "known" / "embed")
    site = "model.layers.0.mlp.up_proj.output"
    arms = [{"name": "one", "source": source, "site_in": site, "site_out": site}]
    with pytest.raises(DictionaryError, match="64"):
        pipeline.score(load_study(study_of(dictionaries=arms)), tmp_path / "run")


def test_a_dictionary_that_rebuilds_nothing_is_stopped_before_anything_is_collected(
    study_of: Any, world: Path, tmp_path: Path
) -> None:
    """FVU above 1 is no dictionary at its own site; the line names the override, and no token was stored."""
    site, folder = "model.embed_tokens.output", tmp_path / "upside-down" / "embed"
    shutil.copytree(world / "noise" / "embed", folder)
    weights = load_file(folder / "sae.safetensors")
    save_file(weights | {"W_dec": -3 * weights["W_dec"]}, folder / "sae.safetensors")
    arms = [{"name": "broken", "source": str(folder), "site_in": site, "site_out": site}]
    with pytest.raises(DictionaryError, match="accept: true"):
        pipeline.score(load_study(study_of(dictionaries=arms)), tmp_path / "run")
    assert not (tmp_path / "run" / "tokens").exists()


def test_a_directory_in_use_is_refused(study_of: Any, tmp_path: Path) -> None:
    """Two processes never write into one run."""
    from autointerp.run.lock import claimed

    with claimed(tmp_path / "run"), pytest.raises(RunDirectoryError, match="another process"):
        pipeline.score(load_study(study_of()), tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [4, 6, 7, 8, 9])
def test_a_killed_run_goes_on_to_the_same_numbers(study_of: Any, tmp_path: Path, seconds: float) -> None:
    """kill -9 at some moment, the same command again: the numbers of an undisturbed run."""
    study = study_of()
    command = [sys.executable, "-m", "autointerp", "score", str(study), "--out", str(tmp_path / "run")]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert subprocess.run(command, check=False, capture_output=True).returncode in {0, 3}
    whole = pipeline.score(load_study(study), tmp_path / "whole")
    pd.testing.assert_frame_equal(Run(tmp_path / "run").read("judgements"), whole.read("judgements"))
    assert read_json(tmp_path / "run" / "summary.json") == read_json(whole / "summary.json")


def test_every_sampled_latent_is_described(finished: Run) -> None:
    """Its histogram counts every token it fires on; a latent whose decoder row is a noun's embedding promotes it."""
    histograms, logits = finished.read("histograms"), finished.read("logits")
    latents = finished.read("latents").set_index(["dictionary", "site", "latent"])
    sampled = latents[latents["sampled"]]
    n_tokens = read_json(finished / "stages/collect.json")["counts"]["tokens"]
    summed = histograms.groupby(["dictionary", "site", "latent"])["n_tokens"].sum()
    assert summed.sort_index().to_dict() == (sampled["firing_rate_token"] * n_tokens).round().astype(int).to_dict()
    assert logits.groupby(["dictionary", "latent", "side"]).size().eq(10).all()
    model: Any = AutoModelForCausalLM.from_pretrained(finished.manifest["subject"]["model"])
    known = load_file(Path(load_study(finished / "study.yaml").dictionaries[0].source) / "sae.safetensors")["W_dec"]
    tokenizer = AutoTokenizer.from_pretrained(finished.manifest["subject"]["model"])
    for (name, _), rows in logits.groupby(["dictionary", "latent"]):
        if name == "known":
            expected = model.lm_head.weight.detach()[: len(tokenizer)] @ known[int(rows["latent"].iloc[0])]
            top = rows[rows["side"] == "top"].sort_values("rank")
            assert top["value"].to_list() == pytest.approx(expected.topk(10).values.tolist(), rel=1e-5)
            assert top["token"].iloc[0] == tokenizer.decode([int(expected.argmax())])


def test_a_page_and_show_have_the_run_s_histograms_and_logits(
    finished: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the stage wrote reaches the browser and the terminal: counts of all activations, ten tokens a side."""
    opened = open_run(finished.path)
    for row in opened.latents[opened.latents["sampled"]].head(2).to_dict("records"):
        key = (row["dictionary"], row["site"], row["latent"])
        detail, _ = _Parts(opened, {}).detail(key, LEVELS[0])
        assert len(detail["histogram"]["edges"]) == len(detail["histogram"]["counts"]) + 1
        assert len(detail["logits"]["top"]) == len(detail["logits"]["bottom"]) == 10
        assert main(["show", str(finished.path), f"{row['dictionary']}/{row['latent']}"]) == 0
        shown = " ".join(capsys.readouterr().out.split())
        token, value = detail["logits"]["top"][0]
        assert f"promotes {visible(token)!r} {value:+.2f}" in shown
        assert f"{sum(detail['histogram']['counts']):,} activations, 0 to" in shown
