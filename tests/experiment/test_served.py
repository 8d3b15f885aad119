"""The whole experiment with an LLM behind HTTP: trouble, limits, keys and a dead server change no number."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from autointerp.__main__ import main
from autointerp.asking import budget
from autointerp.errors import LimitError, StudyError
from autointerp.experiment import dry_run, pipeline
from autointerp.experiment.context import Experiment
from autointerp.experiment.study import Study, load_study
from autointerp.llm import _client
from autointerp.run.store import Run
from tests.helpers.server import Faults, Model, Server, chance


@pytest.fixture(autouse=True)
def _quick_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_client, "FIRST_WAIT_S", 0.01)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(chance) as running:
        yield running


def served(study_of: Any, server: Server, **sections: Any) -> Study:
    llm = {"use": "openai", "base_url": server.url, "model": "scripted", "concurrency": 16}
    return load_study(study_of(explainer="default", explainer_llm=llm, judge_llm=llm, **sections))


def answers(run: Run) -> list[list[object]]:
    columns = ["dictionary", "latent", "scorer", "control", "question_id", "position", "truth", "answer"]
    return run.read("judgements")[columns].to_numpy(object).tolist()


def test_tokens_and_calls_are_those_that_the_server_saw(study_of: Any, server: Server, tmp_path: Path) -> None:
    run = pipeline.score(served(study_of, server), tmp_path / "run")
    usage = run.manifest["usage"]
    assert usage["explain"]["questions"] == 12
    for told, seen in (("tokens_in", "tokens_in"), ("tokens_out", "tokens_out")):
        assert usage["explain"][told] + usage["judge"][told] == sum(getattr(call, seen) for call in server.log)
    assert usage["explain"]["calls"] + usage["judge"]["calls"] == len(server.log)
    questions = run.read("questions")
    assert (questions["failure"] == "").all()
    assert run.manifest["llms"]["judge"]["structured"] == "json_schema"


def test_a_fifth_of_calls_faulty_and_stops_at_limits_change_no_answer(
    study_of: Any, server: Server, tmp_path: Path
) -> None:
    expected = answers(pipeline.score(served(study_of, server), tmp_path / "clean"))
    with Server(chance, faults=Faults(seed=4, rate=0.2)) as faulty:
        stops, run = 0, None
        while run is None:
            try:
                run = pipeline.score(served(study_of, faulty, limits={"calls": 40}), tmp_path / "faulty")
            except LimitError:
                stops += 1
    assert stops >= 2
    assert answers(run) == expected


def test_the_key_is_in_no_byte_of_the_run(study_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789-secret")
    with Server(chance, model=Model(key="sk-0123456789-secret", echo_key=True), faults=Faults(rate=0.1)) as locked:
        pipeline.score(served(study_of, locked), tmp_path / "run")
        assert all(call.headers["authorization"] == "Bearer sk-0123456789-secret" for call in locked.log)
    written = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert any(path.name == "responses.sqlite" for path in written)
    assert not [path for path in written if b"0123456789-secret" in path.read_bytes()]


def test_a_server_that_is_down_is_said_before_anything_is_collected(study_of: Any, tmp_path: Path) -> None:
    with Server(chance) as server:
        study = served(study_of, server)
    with pytest.raises(StudyError, match="no server answers at"):
        pipeline.score(study, tmp_path / "run")
    assert not (tmp_path / "run" / "tokens").exists()


def test_settings_of_speed_and_price_make_no_other_study(study_of: Any, server: Server, tmp_path: Path) -> None:
    study = served(study_of, server)
    pipeline.score(study, tmp_path / "run")
    n_calls = server.n_calls
    changes = {"concurrency": 3, "timeout_s": 9.0, "price": {"input": 1.0}}
    llm = {"use": "openai", "base_url": server.url, "model": "scripted", **changes}
    changed = load_study(study_of(explainer="default", explainer_llm=llm, judge_llm=llm))
    pipeline.score(changed, tmp_path / "run")
    assert server.n_calls == n_calls
    assert changed.fingerprint() == study.fingerprint()


def test_a_dry_run_asks_nothing_and_reckons_money(
    study_of: Any, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    llm = {"use": "openai", "base_url": server.url, "model": "scripted", "price": {"input": 1.0, "output": 2.0}}
    path = study_of(explainer="default", explainer_llm=llm, judge_llm=llm)
    assert main(["score", str(path), "--out", str(tmp_path / "run"), "--dry-run"]) == 0
    said = capsys.readouterr()
    assert server.n_calls == 0
    assert "judge" in said.out + said.err
    assert "$" in said.out + said.err


def own_words(body: dict[str, Any]) -> str:
    """As `chance`, but no two latents' explanations are the same, and all have the length that is expected of them."""
    said = chance(body)
    number = int(hashlib.sha256(str(body["messages"][-1]["content"]).encode()).hexdigest()[:3], 16)
    return said if said.startswith("[") else f"Explanation: {dry_run.TYPICAL} ({number})"


@pytest.mark.parametrize("most", [2, 400])
def test_a_dry_run_plans_what_the_server_then_sees(
    study_of: Any, world: Path, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """From one latent of each dictionary, and from all: calls and prompt tokens of all roles and controls within 3 %.

    Duplicates are drawn by chance, so that their number varies by its root: with them, all within 3 % of 3 % and that.
    """
    monkeypatch.setattr(dry_run, "SAMPLE", most)
    monkeypatch.setattr(budget, "MOST_COUNTED", 8)
    monkeypatch.setattr(server, "answer", own_words)
    tokenizer = str(world / "subject")
    llm = {"use": "openai", "base_url": server.url, "model": "scripted", "tokenizer": tokenizer, "structured": "plain"}
    few = {"n_planted": 4, "n_shuffled": 2, "n_empty": 1, "duplicate_share": 0.0 if most == 2 else 0.05}
    study = load_study(study_of(explainer="default", explainer_llm=llm, judge_llm=llm, controls=few, qualify="off"))
    run = pipeline.score(study, tmp_path / "run", until="select")
    planned = list(dry_run.plan(Experiment(study=study, run=run)))
    assert server.n_calls == 0
    pipeline.score(study, tmp_path / "run")
    encode = AutoTokenizer.from_pretrained(tokenizer).encode
    seen = sum(len(encode(message["content"])) for call in server.log for message in call.body["messages"])
    n_calls = len(server.log)
    by_chance = 3 * (few["duplicate_share"] * n_calls) ** 0.5
    assert sum(part.calls for part in planned) == pytest.approx(n_calls, abs=0.03 * n_calls * (most == 2) + by_chance)
    tolerance = 0.03 * seen + by_chance * seen / n_calls
    assert sum(part.tokens_in for part in planned) == pytest.approx(seen, abs=tolerance)
    assert sum(part.tokens_out for part in planned) >= sum(call.tokens_out for call in server.log)


def test_a_server_that_dies_during_qualification_disqualifies_nobody(
    study_of: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 4 and no verdict; when it is back, what was answered is not asked again."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    asked: list[str] = []

    def answer(body: dict[str, Any]) -> str:
        asked.append(str(body["messages"]))
        running.down = len(asked) >= 4 and not back
        return chance(body)

    back = False
    with Server(answer) as running:
        llm = {
            "use": "openai",
            "base_url": running.url,
            "model": "scripted",
            "concurrency": 2,
            "retries": 1,
            "structured": "json_schema",
        }
        path = study_of(explainer="default", explainer_llm=llm, judge_llm=llm, qualify="stop")
        argv = ["score", str(path), "--out", str(tmp_path / "run")]
        assert main(argv) == 4
        assert "no reply" in capsys.readouterr().err.splitlines()[-1]
        assert not (tmp_path / "run" / "qualification.json").exists()
        assert not list((tmp_path / "cache").rglob("*.json"))
        first, back, running.down = list(asked), True, False
        assert main(argv) == 3  # the server answers at random, which is no judge
    again = asked[len(first) :]
    # Only calls in flight when the server died are sent again.
    assert len(set(first) & set(again)) <= 2
    assert len(asked) <= 100
