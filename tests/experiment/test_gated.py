"""`score --gate`: a candidate is scored only as far as the decision against a baseline needs."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from autointerp.__main__ import main
from autointerp.run.reading import RunTables, read_tables
from tests.experiment.conftest import write_study


@pytest.fixture(scope="module")
def finished(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study and its finished run `base`: ten latents of two dictionaries."""
    folder = tmp_path_factory.mktemp("finished")
    path = write_study(world, folder / "study.yaml")
    assert main(["score", str(path), "--out", str(folder / "base"), "--latents", "10"]) in (0, 3)
    return folder


@pytest.fixture
def place(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder, as the working directory; returns the study's path."""
    folder = Path(shutil.copytree(finished, tmp_path / "place"))
    monkeypatch.chdir(folder)
    return folder / "study.yaml"


def gated(place: Path, *more: str, out: str = "new") -> tuple[int, dict[str, Any]]:
    """Run the gate; return its exit code and gate.json."""
    code = main(["score", str(place), "--out", out, "--gate", "base", *more])
    kept = Path(out) / "gate.json"
    return code, json.loads(kept.read_text()) if kept.exists() else {}


def test_the_same_dictionaries_need_one_look_and_a_stopped_gate_asks_nothing_twice(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _ = gated(place, "--set", "limits.calls=9")
    assert code == 4  # stopped part-way
    capsys.readouterr()
    code, found = gated(place)
    shown = capsys.readouterr()
    rows = pd.DataFrame(found["endpoints"])
    scored = rows[rows["design"].isin(["paired", "unpaired"])]
    assert (scored["diff"] == 0).all()
    assert (scored["decision"] == "PASS").all()
    explained = pd.read_parquet("new/explanations.parquet")
    base = pd.read_parquet("base/latents.parquet")
    order = base[base["sampled"]].set_index(["dictionary", "latent"])["look_order"]
    keys = explained.set_index(["dictionary", "latent"]).index
    for name, n in explained.groupby("dictionary").size().items():
        assert sorted(order.loc[[key for key in keys if key[0] == name]]) == list(range(n))  # the baseline's first ones
    manifest = json.loads(Path("new/manifest.json").read_text())
    assert manifest["usage"]["explain"]["cached_calls"] > 0  # what the stopped run had asked
    assert manifest["gate"] == {"looks": 5}
    assert "saved by not judging" in found["reasons"][-1]
    assert code == found["exit_code"]
    assert len(pd.read_parquet("new/gate.parquet")) == len(rows)
    # The same decision again from the finished tables.
    assert main(["gate", "new", "--baseline", "base", "--json"]) == code
    again = json.loads(capsys.readouterr().out)
    columns = ["dictionary", "endpoint", "look", "n", "decision", "lower", "upper", "llm_calls", "llm_calls_saved"]
    assert pd.DataFrame(again["endpoints"])[columns].equals(rows[columns])
    # Ten latents of a baseline are too few; that is reported before the first look.
    lines = shown.err.splitlines()
    early = next(i for i, line in enumerate(lines) if "baseline may be too small" in line)
    assert early < next(i for i, line in enumerate(lines) if "look 1" in line)
    assert "has 10" in lines[early]


def test_a_dictionary_that_loses_more_cross_entropy_fails_before_any_question(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The baseline loses half a nat less on every document."""

    def read(path: Path | str, **settings: bool) -> RunTables:
        found = read_tables(path, **settings)
        rows = found.documents
        if Path(path).name == "base" and rows is not None:
            less = (rows["metric"] == "ce_increase") & (rows["dictionary"] == "noise")
            rows.loc[less, "total"] -= 0.5 * rows.loc[less, "weight"]
        return found

    monkeypatch.setattr("autointerp.experiment.gated.read_tables", read)
    code, found = gated(place)
    assert (code, found["decision"]) == (1, "FAIL")
    assert "no latent was explained" in " ".join(found["reasons"])
    assert not Path("new/explanations.parquet").exists()


def test_another_protocol_itself_and_no_store_are_refused_before_any_question(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["score", str(place), "--out", "new", "--gate", "base", "--set", "examples.n_positives=5"])
    assert code == 2
    assert "n_positives" in capsys.readouterr().err
    assert not Path("new/explanations.parquet").exists()
    assert main(["score", str(place), "--out", "base", "--gate", "base"]) == 2
    assert main(["score", str(place), "--out", "new", "--gate", "base", "--no-cache"]) == 2
    assert "--no-cache" in capsys.readouterr().err


def test_an_unexpected_error_ends_with_70_never_1(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """1 would read as FAIL."""
    from autointerp.gate import endpoints

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(endpoints, "limit_rows", broken)
    for arguments in (
        ["score", str(place), "--out", "new", "--gate", "base"],
        ["gate", "base", "--baseline", "base"],
    ):
        assert main(arguments) == 70
        assert "bug in autointerp" in capsys.readouterr().err
