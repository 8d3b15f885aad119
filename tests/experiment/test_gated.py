"""`score --gate`: a candidate is asked about only as far as the verdict against a baseline needs."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from autointerp.__main__ import main


@pytest.fixture
def place(study_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a study and its finished run `base`: ten latents of the dictionary `known`."""
    monkeypatch.chdir(tmp_path)
    path = study_of()
    main(["score", str(path), "--out", "base", "--latents", "10", *ONE])
    return path


ONE = ["--set", "sampling.n_latents=10"]


def gated(place: Path, *more: str, out: str = "new", capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    """Run the gate; return its exit code and gate.json."""
    capsys.readouterr()
    code = main(["score", str(place), "--out", out, "--gate", "base", *more])
    kept = Path(out) / "gate.json"
    return code, json.loads(kept.read_text()) if kept.exists() else {}


def test_the_same_dictionaries_need_one_look_and_a_stopped_gate_asks_nothing_twice(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _ = gated(place, "--set", "limits.calls=9", capsys=capsys)
    assert code == 4  # stopped part-way
    code, found = gated(place, capsys=capsys)
    rows = pd.DataFrame(found["endpoints"])
    scored = rows[rows["design"] != "limit"]
    assert (scored["diff"] == 0).all()
    asked = pd.read_parquet("new/explanations.parquet").groupby("dictionary").size()
    base = pd.read_parquet("base/latents.parquet")
    order = base[base["sampled"]].set_index(["dictionary", "latent"])["look_order"]
    told = pd.read_parquet("new/explanations.parquet").set_index(["dictionary", "latent"]).index
    for name, n in asked.items():
        assert sorted(order.loc[[key for key in told if key[0] == name]]) == list(range(n))  # the baseline's first ones
    usage = json.loads(Path("new/manifest.json").read_text())["usage"]
    assert usage["explain"]["cached_calls"] > 0  # what the stopped run had asked
    assert any("LLM calls saved" in reason for reason in found["reasons"])
    assert code == found["exit_code"]
    assert len(pd.read_parquet("new/gate.parquet")) == len(rows)


def test_a_dictionary_that_loses_more_cross_entropy_fails_before_any_question(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    swapped = place.read_text().replace("/noise/embed", "/known/embed")
    place.write_text(swapped)
    code, found = gated(place, capsys=capsys)
    assert (code, found["decision"]) == (1, "FAIL_inferior")
    assert "no LLM was asked" in " ".join(found["reasons"])
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
