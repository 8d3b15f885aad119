"""The command line over a server with a fifth of calls faulty, killed at random: the same result, nothing paid twice.

What the run reports is compared with what an independent proxy counted between the two.
"""

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from autointerp.experiment import pipeline
from autointerp.experiment.study import load_study
from autointerp.llm import _client
from autointerp.run.store import read_json
from tests.helpers.proxy import Passed, Proxy
from tests.helpers.server import CONTENT, TRANSPORT, Faults, Model, Server, chance

ROOT = Path(__file__).parents[2]
# Not what is sent twice, which a proxy cannot pass on, nor what only takes long.
KINDS = tuple(kind for kind in TRANSPORT + CONTENT if kind not in {"twice", "503-date", "delay"})
CONCURRENCY = 8
# What tells of the way, not of the result.
WAY = {"n_calls", "latency_s", "from_cache", "n_retries", "retried_for", "tokens_cached"}


def study(study_of: Any, url: str) -> Path:
    llm = {"use": "openai", "base_url": url, "model": "scripted", "concurrency": CONCURRENCY, "timeout_s": 20}
    return study_of(explainer="default", explainer_llm=llm, judge_llm=llm, ask={"attempts": 8})


def killed(kills: int, seed: int, seconds: float, way: str, path: Path, out: Path) -> int:
    """Run `autointerp score`, killed that often; return how many were killed before they ended."""
    line = [sys.executable, "-m", "tests.helpers.killed", str(kills), str(seed), str(seconds), way,
            "score", str(path), "--out", str(out)]  # fmt: skip
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    # 3: the judge throws coins, so a control fails; the run is whole.
    assert done.returncode in {0, 3}, done.stderr[-3000:]
    return int(done.stdout.splitlines()[0])


def table(run: Path, name: str) -> pd.DataFrame:
    found = pd.read_parquet(run / f"{name}.parquet")
    found = found.drop(columns=[column for column in found.columns if column in WAY])
    return found.sort_values(list(found.columns[:7])).reset_index(drop=True)


def same(run: Path, other: Path) -> None:
    for name in ("explanations", "judgements", "questions", "estimates"):
        pd.testing.assert_frame_equal(table(run, name), table(other, name))


def reported(run: Path) -> Counter[str]:
    """Calls and tokens as the last invocation reports them: its own, and those of replies found in the store."""
    told: Counter[str] = Counter()
    for usage in read_json(run / "manifest.json")["usage"].values():
        told += Counter({name: n for name, n in usage.items() if isinstance(n, int)})
    return told


def paid(passed: list[Passed]) -> list[Passed]:
    return [one for one in passed if one.answered]


@pytest.mark.parametrize(
    ("kills", "seed", "seconds", "way"),
    [
        (3, 432, 0.6, "fork"),
        pytest.param(10, 202, 0.4, "fork", marks=pytest.mark.slow),
        pytest.param(10, 303, 0.4, "fork", marks=pytest.mark.slow),
        pytest.param(10, 404, 0.4, "spawn", marks=pytest.mark.slow),
    ],
)
@pytest.mark.timeout(1800)
def test_killed_at_random_it_ends_as_if_it_had_not_been(
    study_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kills: int, seed: int, seconds: float, way: str
) -> None:
    monkeypatch.setattr(_client, "FIRST_WAIT_S", 0.01)
    served = {"model": Model(latency_s=0.08), "faults": Faults(seed=seed, rate=0.2, kinds=KINDS), "keep_log": False}
    with Server(chance, **served) as server, Proxy(server.url) as proxy:
        pipeline.score(load_study(study(study_of, proxy.url)), tmp_path / "calm")
        calm = proxy.passed.copy()
    expected = reported(tmp_path / "calm")
    assert expected["tokens_in"] == sum(one.tokens_in or 0 for one in paid(calm))
    assert expected["tokens_out"] == sum(one.tokens_out or 0 for one in paid(calm))
    assert expected["calls"] == len(calm)
    with Server(chance, **served) as server, Proxy(server.url) as proxy:
        n_killed = killed(kills, seed, seconds, way, study(study_of, proxy.url), tmp_path / "run")
        passed = proxy.passed.copy()
    assert n_killed == kills
    same(tmp_path / "run", tmp_path / "calm")
    assert {one.asked for one in paid(passed)} == {one.asked for one in paid(calm)}
    # What was in flight at a kill is lost, and nothing else is asked again.
    twice = sum(n - 1 for n in Counter(one.asked for one in paid(passed)).values())
    print(f"{kills} kills: {len(paid(passed))} answers, {twice} of them a second time; undisturbed {len(paid(calm))}")
    assert twice <= kills * CONCURRENCY
    told = reported(tmp_path / "run")
    for name in ("tokens_in", "tokens_out"):
        assert told[name] + told[f"stored_{name}"] == expected[name] + expected[f"stored_{name}"]
