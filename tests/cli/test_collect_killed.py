"""`autointerp collect` of a real model, killed again and again, leaves what one run leaves."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.helpers.shared import SHARED, STORIES, needs_shared

N_KILLS = 20


def command(out: Path) -> list[str]:
    """Three dictionaries, 15 shards, a survey of five of them."""
    dictionaries = [f"{kind}={STORIES}/dictionaries/{kind}_k16/layers.2.mlp" for kind in ("sae", "transcoder")]
    settings = "--explainer pattern --tokens 60k --latents 20 --set collection.shard_tokens=4096"
    settings += " --set sampling.survey_share=0.3 --set examples.min_windows=60"
    line = [sys.executable, "-m", "autointerp", "collect", str(STORIES), *dictionaries]
    return [*line, "--data", str(SHARED / "text/tinystories.txt"), "--out", str(out), *settings.split()]


def files(out: Path) -> dict[str, bytes]:
    """Shards, tokens and tables."""
    found = (path for kind in ("*.safetensors", "*.parquet", "tokens.bin") for path in out.rglob(kind))
    return {str(path.relative_to(out)): path.read_bytes() for path in found}


@needs_shared
@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_killed_at_random_moments_the_command_ends_the_same(tmp_path: Path) -> None:
    """kill -9 by moments spread over a whole run, then once to the end: the files are those of one run."""
    rng, n_killed, seen = random.Random(1), 0, set()
    began = time.monotonic()
    subprocess.run(command(tmp_path / "whole"), check=True, capture_output=True)
    whole = time.monotonic() - began
    for number in range(N_KILLS):
        run = subprocess.Popen(command(tmp_path / "killed"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # Each resumes where the one before was stopped, so that later ones come further.
        time.sleep(whole * rng.uniform(0.35, 0.75))
        run.send_signal(signal.SIGKILL)
        n_killed += run.wait() == -signal.SIGKILL
        seen.add((number, len(list((tmp_path / "killed").rglob("*.safetensors")))))
    assert n_killed >= N_KILLS / 4, f"most runs ended before they were killed: {sorted(seen)}"
    subprocess.run(command(tmp_path / "killed"), check=True, capture_output=True)
    mine, theirs = files(tmp_path / "killed"), files(tmp_path / "whole")
    assert len([name for name in theirs if name.endswith(".safetensors")]) > 10
    assert mine.keys() == theirs.keys()
    assert [name for name in theirs if mine[name] != theirs[name]] == []
