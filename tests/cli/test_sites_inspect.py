"""`autointerp sites` and `autointerp inspect`, as a person runs them."""

import json
from pathlib import Path

import pytest
import torch

from autointerp.__main__ import main
from tests.helpers import tiny
from tests.helpers.checkpoints import CASES
from tests.helpers.shared import SHARED, STORIES, needs_shared

DICTIONARY = str(STORIES / "dictionaries/transcoder_k16/layers.2.mlp")
TEXT = str(SHARED / "text/tinystories.txt")


@pytest.fixture
def model(tmp_path: Path) -> str:
    """A tiny Gemma 2 on disk: configuration only, since no weights may be needed."""
    tiny.config("gemma2").save_pretrained(tmp_path / "gemma")
    return str(tmp_path / "gemma")


def test_sites_lists_names_widths_and_aliases(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sites", model, "--layer", "1"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["model.layers.1.post_feedforward_layernorm.output", "16", "blocks.1.hook_mlp_out"] in lines
    assert ["model.layers.1.mlp.down_proj.input", "32", "blocks.1.mlp.hook_post"] in lines
    assert all(".1." in line[0] for line in lines)


def test_sites_lists_modules_of_any_architecture(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sites", model, "--modules"]) == 0
    assert "model.layers.0.mlp " in capsys.readouterr().out


def test_sites_and_inspect_for_machines(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sites", model, "--layer", "1", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    hook = {"site": "model.layers.1.mlp.down_proj.input", "width": 32, "transformer_lens": "blocks.1.mlp.hook_post"}
    assert hook in rows
    assert main(["sites", model, "--modules", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0]).keys() == {"module", "type"}
    case = next(case for case in CASES if case.name == "sparsify:transcoder")
    folder = tmp_path / case.folder
    folder.mkdir()
    case.write(folder, torch.Generator().manual_seed(0))
    assert main(["inspect", str(folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["d_in"], told["n_latents"], told["k"], told["pre_bias"]) == (6, 12, 3, None)


def test_sites_refuses_in_one_line(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sites", model, "--layer", "9"]) == 2
    assert "blocks are 0..2" in capsys.readouterr().err
    assert main(["sites", str(tmp_path / "nothing")]) == 2
    assert "autointerp sites: subject" in capsys.readouterr().err


def test_inspect_says_what_a_checkpoint_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = next(case for case in CASES if case.name == "sparsify:transcoder")
    folder = tmp_path / case.folder
    folder.mkdir()
    case.write(folder, torch.Generator().manual_seed(0))
    assert main(["inspect", str(folder)]) == 0
    printed = capsys.readouterr().out
    for words in (
        "sparsify",
        "transcoder",
        "topk k = 3",
        "layers.1.mlp.input",
        "6 -> 12 latents -> 6",
        "open",
        "f02711e",
    ):
        assert words in printed
    assert main(["inspect", str(folder), "--pre-bias", "true"]) == 0
    assert "pre-bias:      yes" in capsys.readouterr().out
    assert main(["inspect", str(folder), "--data", "x.txt"]) == 2
    assert "needs a MODEL" in capsys.readouterr().err


@needs_shared
def test_inspect_tries_a_dictionary_on_text(capsys: pytest.CaptureFixture[str]) -> None:
    """At its own site it works; at the site of another layer it is told to be misread."""
    assert main(["inspect", DICTIONARY, str(STORIES), "--data", TEXT, "--device", "cpu"]) == 0
    printed = capsys.readouterr()
    fvu = float(next(line for line in printed.out.splitlines() if line.startswith("FVU")).split()[1])
    assert fvu == pytest.approx(0.228, abs=0.03)
    assert "read as `pre_bias: false`" in " ".join(printed.err.split())
    assert main(["inspect", DICTIONARY, str(STORIES), "--data", TEXT, "--device", "cpu", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["vitals"]["fvu"] == pytest.approx(fvu, abs=1e-4)
    assert told["plausible"] is True
    assert told["site_out"] == "model.layers.2.mlp.output"
    wrong = ["--site-in", "layers.0.mlp.input", "--site-out", "layers.4.mlp.output"]
    assert main(["inspect", DICTIONARY, str(STORIES), "--data", TEXT, "--device", "cpu", *wrong]) == 2
    assert "does not work as a dictionary here" in " ".join(capsys.readouterr().err.split())


@needs_shared
def test_inspect_places_sites_in_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", DICTIONARY, str(STORIES)]) == 0
    assert "site out:      model.layers.2.mlp.output" in capsys.readouterr().out
