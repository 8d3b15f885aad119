"""Arguments become the study a person meant, or one clear line."""

import argparse
from pathlib import Path
from typing import Any

import pytest

from autointerp.cli import _study
from autointerp.errors import CorpusError, StudyError
from autointerp.experiment.study import EMBEDDED


def parsed(*argv: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    _study.add_arguments(parser)
    return parser.parse_args(argv)


def test_counts_are_read_as_people_write_them() -> None:
    """2000, 500k, 1.5M."""
    assert [_study.count(text) for text in ("2000", "500k", "1.5M")] == [2000, 500_000, 1_500_000]
    with pytest.raises(argparse.ArgumentTypeError, match="500k"):
        _study.count("many")


def test_dictionaries_are_named_by_what_tells_them_apart() -> None:
    """The shortest end of the paths that differs; a name given wins."""
    found = _study.named(["d/sae/layers.2.mlp", "d/skip/layers.2.mlp", "mine=d/x/layers.2.mlp"])
    assert [one["name"] for one in found] == ["sae-layers.2.mlp", "skip-layers.2.mlp", "mine"]
    assert found[2]["source"] == "d/x/layers.2.mlp"
    assert [one["name"] for one in _study.named(["a/sae", "b/transcoder"])] == ["sae", "transcoder"]


def test_data_is_told_by_its_ending_or_is_a_hub_name(tmp_path: Path) -> None:
    """Files by ending, folders by what they hold, everything else on the hub."""
    (tmp_path / "a.txt").write_text("text")
    assert _study.corpus_of("docstrings") == {"use": "docstrings"}
    assert _study.corpus_of("x.jsonl")["use"] == "jsonl"
    assert _study.corpus_of(str(tmp_path))["use"] == "text"
    assert _study.corpus_of("org/name:en:train") == {
        "use": "huggingface",
        "name": "org/name",
        "subset": "en",
        "split": "train",
    }
    (tmp_path / "b.parquet").write_text("")
    with pytest.raises(CorpusError, match="of several kinds"):
        _study.corpus_of(str(tmp_path))
    (tmp_path / "c.xyz").write_text("")
    with pytest.raises(CorpusError, match=r"\.jsonl"):
        _study.corpus_of(str(tmp_path / "c.xyz"))


def test_llms_are_pattern_a_server_vllm_or_a_trained_judge() -> None:
    """Four forms; a server that serves one model needs no model name."""
    assert _study.llm_of("pattern", None) == {"use": "pattern"}
    assert _study.llm_of("vllm:org/m", None) == {"use": "vllm", "model": "org/m"}
    assert _study.llm_of("cross_encoder:judges/a", None) == {"use": "cross_encoder", "model": "judges/a"}
    for model, sent in (("m", "m"), (None, "")):
        assert _study.llm_of(URL, model) == {"use": "openai", "base_url": URL, "model": sent}
    for wrong in ("gpt", "vllm:", "cross_encoder:", ""):
        with pytest.raises(StudyError, match="use pattern, vllm:MODEL"):
            _study.llm_of(wrong, None)
    with pytest.raises(StudyError, match="for http servers"):
        _study.llm_of("vllm:org/m", "m")


URL, OTHER = "http://localhost:1/v1", "http://localhost:2/v1"


@pytest.fixture(params=["default", "study file", "names"])
def form(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """The three forms in which a study is given; `pattern` explains and judges unless a flag changes it."""
    if request.param == "default":
        return []
    if request.param == "study file":
        copy = tmp_path / "study.yaml"
        copy.write_text((EMBEDDED / "study.yaml").read_text(encoding="utf-8"), encoding="utf-8")
        return [str(copy)]
    return ["model", "sae", "--data", "x.txt"]


@pytest.mark.parametrize(
    ("flags", "explainer", "judge", "prompt"),
    [
        (["--explainer", "pattern"], "pattern", "pattern", "pattern"),
        (["--explainer", URL], URL, URL, "default"),
        (["--explainer", URL, "--judge", "pattern"], URL, "pattern", "default"),
        (["--explainer", "pattern", "--judge", URL], "pattern", URL, "pattern"),
        (["--explainer", URL, "--judge", OTHER], URL, OTHER, "default"),
    ],
)
def test_explainer_and_judge_flags_mean_the_same_in_every_form(
    form: list[str], flags: list[str], explainer: str, judge: str, prompt: str
) -> None:
    """The judge follows the explainer, the prompt follows the back end, and a language model is not asked about the
    twenty contexts at once that suit a program."""
    study = _study.study_of(parsed(*form, *flags))

    def address(member: Any) -> str:
        return getattr(member.settings, "base_url", member.use)

    assert (address(study.explainer_llm), address(study.judge_llm), study.explainer.use) == (explainer, judge, prompt)
    batches = {getattr(scorer.settings, "n_per_question") for scorer in study.scorers}  # noqa: B009
    assert batches == ({5} if judge != "pattern" or "sae" in form else {20})


def test_flags_keep_what_a_study_says_of_a_language_model(tmp_path: Path) -> None:
    """A prompt and contexts per prompt that were set for a language model are kept; `--set` wins over everything."""
    text = (EMBEDDED / "study.yaml").read_text(encoding="utf-8")
    text = text.replace("judge_llm: pattern", f"judge_llm: {{use: openai, base_url: '{URL}'}}")
    (tmp_path / "s.yaml").write_text(text.replace("explainer: pattern", "explainer: contrastive"), encoding="utf-8")
    study = _study.study_of(parsed(str(tmp_path / "s.yaml"), "--explainer", OTHER))
    assert study.explainer.use == "contrastive"
    assert study.scorers[0].settings.model_dump()["n_per_question"] == 20
    study = _study.study_of(parsed("--explainer", URL, "--set", "scorers.0.n_per_question=1"))
    assert [scorer.settings.model_dump()["n_per_question"] for scorer in study.scorers] == [1, 5]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["model"], "name its dictionaries"),
        (["model", "sae"], "--data is needed"),
        (["model", "sae", "--data", "x.txt"], "--explainer is needed"),
        (["absent.yaml"], "autointerp init"),
        (["--explainer-model", "m"], "--explainer-model names a model of a server"),
        (["--judge-model", "m"], "--judge-model names a model of a server"),
        (["--explainer", "cross_encoder:d"], "name it by --judge"),
        (["absent.yaml", "sae"], "names its own dictionaries"),
    ],
)
def test_arguments_that_do_not_go_together_say_what_is_missing(argv: list[str], words: str) -> None:
    """One line with the way out."""
    with pytest.raises(StudyError, match=words):
        _study.study_of(parsed(*argv))
