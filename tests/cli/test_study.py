"""Arguments become the study a person meant, or one clear line."""

import argparse
from pathlib import Path

import pytest

from autointerp.cli import _study
from autointerp.errors import StudyError


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
        "use": "huggingface", "name": "org/name", "subset": "en", "split": "train",
    }  # fmt: skip
    (tmp_path / "b.parquet").write_text("")
    with pytest.raises(StudyError, match="one kind of text"):
        _study.corpus_of(str(tmp_path))
    (tmp_path / "c.xyz").write_text("")
    with pytest.raises(StudyError, match=r"\.jsonl"):
        _study.corpus_of(str(tmp_path / "c.xyz"))


def test_llms_are_pattern_a_server_or_vllm() -> None:
    """Three forms; a server needs the model's name."""
    assert _study.llm_of("pattern", None) == {"use": "pattern"}
    assert _study.llm_of("vllm:org/m", None) == {"use": "vllm", "model": "org/m"}
    assert _study.llm_of("http://localhost:1/v1", "m")["base_url"] == "http://localhost:1/v1"
    with pytest.raises(StudyError, match="--explainer-model"):
        _study.llm_of("http://localhost:1/v1", None)
    with pytest.raises(StudyError, match="there are: pattern"):
        _study.llm_of("gpt", None)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["model"], "name its dictionaries"),
        (["model", "sae"], "--data is needed"),
        (["model", "sae", "--data", "x.txt"], "--explainer is needed"),
        (["absent.yaml"], "autointerp init"),
        (["absent.yaml", "sae"], "names its own dictionaries"),
    ],
)
def test_arguments_that_do_not_go_together_say_what_is_missing(argv: list[str], words: str) -> None:
    """One line with the way out."""
    with pytest.raises(StudyError, match=words):
        _study.study_of(parsed(*argv))
