"""`autointerp init`: each preset is a valid study in which every setting has its meaning above it."""

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from autointerp import plugins
from autointerp.__main__ import main
from autointerp.cli import init
from autointerp.experiment import dry_run
from autointerp.experiment.study import EMBEDDED, load_study, read_study, validate_study


@pytest.mark.parametrize("preset", init.PRESETS)
def test_a_preset_is_the_study_that_it_promises(preset: str, tmp_path: Path) -> None:
    """Read back, the file is the embedded study with the preset's changes and nothing else."""
    path = tmp_path / "study.yaml"
    assert main(["init", str(path), "--preset", preset]) == 0
    expected = {**read_study(EMBEDDED / "study.yaml"), **init.PRESETS[preset][1]}
    assert load_study(path) == validate_study(expected, source="test")


def test_every_setting_has_its_meaning_above_it() -> None:
    """Also within lists, members, back ends and the commented members at the end."""
    lines = init.study_file("standard").splitlines()
    setting = re.compile(r"^[# ]*(?:- )?(\w+):(?: |$)")
    naked = []
    for before, line in itertools.pairwise(lines):
        if (found := setting.match(line)) and found[1] != "use" and not before.lstrip(" #-"):
            naked.append(line)
    assert naked == []
    text = "\n".join(lines)
    for words in (
        "api_key_env: OPENAI_API_KEY",
        "thinking_tokens",
        "concurrency",
        "US dollars per million prompt tokens",
    ):
        assert words in text


def test_members_at_the_end_are_valid_sections() -> None:
    """Without the `#`, each is a section that its family accepts once its required settings are filled in."""
    _, _, appendix = init.study_file("quick").partition(init.APPENDIX.strip())
    sections = re.split(r"(?m)^#\n", appendix)[1:]
    uncommented = [re.sub(r"(?m)^#   ?", "", block.partition("\n")[2]) for block in sections]
    values: list[dict[str, Any]] = [yaml.safe_load(block) for block in uncommented]
    names = {one["use"] for one in values}
    assert {"openai", "vllm", "intruder", "embedding", "contrastive", "single_token", "huggingface"} <= names
    for one in values:
        family = next(f for f in init.FAMILIES.values() if one["use"] in plugins.names(f) and _fits(f, one))
        module = plugins.load(family, one.pop("use"))
        filled = {
            key: "http://127.0.0.1:1/v1" if key == "base_url" else "x/y"
            for key, value in one.items()
            if value is None and module.Config.model_fields[key].is_required()
        }
        assert module.Config.model_validate({**one, **filled})


def _fits(family: str, section: dict[str, Any]) -> bool:
    return set(section) - {"use"} == set(plugins.load(family, section["use"]).Config.model_fields)


def test_an_existing_file_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("mine")
    assert main(["init", str(path)]) == 2
    assert "exists; name another file" in capsys.readouterr().err
    assert path.read_text() == "mine"


def test_a_dry_run_names_the_money_or_how_to_see_it() -> None:
    """A program costs none; a server without a price names the settings; one with a price is in the estimate."""
    study = read_study(EMBEDDED / "study.yaml")
    assert dry_run.money(validate_study(study, source="test")) == ["money: none; pattern runs on this machine"]
    server = {"use": "openai", "base_url": "http://127.0.0.1:1/v1", "model": "m"}
    served = validate_study({**study, "judge_llm": server}, source="test")
    (line,) = dry_run.money(served)
    assert "--set judge_llm.price.input=" in line
    priced = validate_study({**study, "judge_llm": {**server, "price": {"input": 1.0}}}, source="test")
    assert dry_run.money(priced) == []
