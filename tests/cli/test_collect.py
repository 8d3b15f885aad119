"""`autointerp collect` stops after collection, says what it cost, and does nothing twice."""

import json
from pathlib import Path

import pytest

from autointerp.__main__ import main
from tests.helpers.shared import SHARED, STORIES, needs_shared


@needs_shared
def test_it_collects_once_and_tells_the_cost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Shares of time sum to 1, and the second run computes nothing."""
    dictionaries = [
        f"{name}={STORIES}/dictionaries/{folder}_k16/layers.2.mlp"
        for name, folder in (("sae", "sae"), ("tc", "transcoder"))
    ]
    text, out = str(SHARED / "text/tinystories.txt"), str(tmp_path / "run")
    settings = "--explainer pattern --tokens 8k --latents 7 --set examples.min_windows=60 --json".split()
    command = ["collect", str(STORIES), *dictionaries, "--data", text, "--out", out, *settings]
    assert main(command) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["tokens_computed"] == found["tokens"] >= 8000
    assert found["sampled"] == 14
    assert found["bytes_written"] >= found["bytes_kept"] > 0
    assert sum(found["share_of_time"].values()) == pytest.approx(1, abs=0.001)
    assert found["tokens_per_second"] == pytest.approx(found["tokens"] / found["seconds"], rel=0.01)
    assert not (tmp_path / "run" / "examples.parquet").exists()
    shards = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*.safetensors")}
    assert main(command[:-1]) == 0
    assert "tokens/s over" in capsys.readouterr().out
    assert shards == {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*.safetensors")}
