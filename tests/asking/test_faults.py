"""Under any trouble of the server, and killed at any moment: every question ends answered or counted, none invented."""

import json
import multiprocessing
import random
import resource
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from autointerp.asking import ask
from autointerp.asking.budget import StageUsage
from autointerp.llm import _client, openai
from autointerp.records import LatentId, Question
from tests.helpers import asker, asking
from tests.helpers.server import CONTENT, FORMS, TRANSPORT, Faults, Model, Server

PATIENT = ask.AskConfig(attempts=6)


@pytest.fixture(autouse=True)
def _quick_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_client, "FIRST_WAIT_S", 0.01)


def run(
    server: Server, n: int, config: ask.AskConfig = PATIENT, **settings: object
) -> tuple[list[ask.Judged], StageUsage]:
    usage = StageUsage()
    client = openai.Config(base_url=server.url, **settings)  # pyright: ignore[reportArgumentType]
    with closing(openai.open(client)) as llm:
        questions = (asking.question(number, ("sae", "transcoder")[number % 2], top=5) for number in range(n))
        told = list(ask.judgements({"yes_no": asking.YesNo()}, llm, questions, config=config, usage=usage))
    return told, usage


def scores(told: list[ask.Judged]) -> dict[LatentId, float]:
    """Balanced accuracy per latent, over answered items."""
    right: dict[tuple[LatentId, bool], list[bool]] = {}
    for one in told:
        for judgement in one.judgements:
            if judgement.answer != "unanswered":
                truth = judgement.item.truth
                right.setdefault((judgement.latent, truth), []).append((judgement.answer == "yes") == truth)
    latents = {latent for latent, _ in right}
    return {one: sum(sum(right[one, t]) / len(right[one, t]) for t in (True, False)) / 2 for one in latents}


def test_a_fifth_of_calls_faulty_changes_no_score() -> None:
    # 1,500 questions of two dictionaries: 1,000 latents (three questions of alternating dictionaries make two).
    with Server() as server:
        clean, _ = run(server, 1500)
    with Server(faults=Faults(seed=1, rate=0.2)) as server:
        faulty, usage = run(server, 1500, concurrency=128)
        kinds = {call.fault for call in server.log}
    assert {"", *TRANSPORT, *CONTENT} <= kinds | {"delay"}
    assert sorted(one.question.question_id for one in faulty) == sorted(one.question.question_id for one in clean)
    assert usage.failures == {}
    assert len(scores(clean)) == 1000
    assert scores(faulty) == scores(clean)
    assert sum(usage.retried.values()) > 50


def _answers(told: list[ask.Judged]) -> dict[str, list[str]]:
    return {one.question.question_id: [judgement.answer for judgement in one.judgements] for one in told}


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_trouble_of_every_kind_changes_no_answer(seed: int) -> None:
    with Server(faults=Faults(seed=seed, rate=0.4, kinds=TRANSPORT + CONTENT + FORMS)) as server:
        told, usage = run(server, 150, ask.AskConfig(attempts=12), concurrency=32)
    assert usage.failures == {}
    assert _answers(told) == {one.question.question_id: asking.truths(one.question) for one in told}
    assert len(told) == 150


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(10, 20))
def test_many_seeds_change_no_answer(seed: int) -> None:
    with Server(faults=Faults(seed=seed, rate=0.2, kinds=TRANSPORT + CONTENT + FORMS)) as server:
        told, usage = run(server, 1500, ask.AskConfig(attempts=8), concurrency=128)
    assert usage.failures == {}
    assert _answers(told) == {one.question.question_id: asking.truths(one.question) for one in told}
    assert len(told) == 1500


def test_what_stays_unreadable_is_unanswered_and_counted_per_dictionary() -> None:
    # Every other reply is unreadable, and each question is asked twice: a quarter stays unanswered.
    with Server(faults=Faults(rate=0.5, kinds=("garbage", "short", "long", "truncated", "empty"))) as server:
        told, usage = run(server, 400, ask.AskConfig(attempts=2))
    unanswered = [one for one in told if one.row.failure]
    assert 60 < len(unanswered) < 140
    assert all({judgement.answer for judgement in one.judgements} == {"unanswered"} for one in unanswered)
    assert all(one.row.reply is not None for one in unanswered)
    counted = usage.manifest()["failures_by_dictionary"]
    assert isinstance(counted, dict)
    assert sum(sum(reasons.values()) for reasons in counted.values()) == len(unanswered)
    assert set(counted) == {"sae", "transcoder"}
    assert all([j.answer for j in one.judgements] == asking.truths(one.question) for one in told if not one.row.failure)


def test_nan_logprobs_cost_the_probability_never_the_answer() -> None:
    with Server(faults=Faults(rate=1.0, kinds=("nan-logprobs",))) as server:
        told, _ = run(server, 5)
    assert all([one.answer for one in each.judgements] == asking.truths(each.question) for each in told)
    assert {one.probability for each in told for one in each.judgements} == {None}


def test_killed_again_and_again_it_resumes_to_the_same_result(tmp_path: Path) -> None:
    context, rng, n = multiprocessing.get_context("forkserver"), random.Random(0), 300
    context.set_forkserver_preload(["tests.helpers.asker"])
    faults = Faults(seed=5, rate=0.2, kinds=("500", "drop", "garbage", "short", "nan-logprobs"))
    with Server(model=Model(latency_s=0.02), faults=faults) as server:
        asker.main(server.url, str(tmp_path / "undisturbed"), n, str(tmp_path / "expected"))
        calls_before = server.n_calls
        kills = 0
        while kills < 10 and not (tmp_path / "found").exists():
            arguments = (server.url, str(tmp_path / "store"), n, str(tmp_path / "found"))
            child = context.Process(target=asker.main, args=arguments)
            child.start()
            _wait_for_replies(tmp_path / "store", rng.randrange(5, 25))
            child.kill()
            child.join()
            kills += 1
        asker.main(server.url, str(tmp_path / "store"), n, str(tmp_path / "found"))
        calls = server.n_calls - calls_before
    expected, found = (json.loads((tmp_path / name).read_text()) for name in ("expected", "found"))
    assert found["answers"] == expected["answers"]
    assert kills == 10
    # Every kill loses at most what was in flight: 16 calls.
    assert calls <= calls_before + kills * 16


def _wait_for_replies(store: Path, more: int) -> None:
    began = time.monotonic()
    first: int | None = None
    while time.monotonic() - began < 20:
        try:
            with closing(sqlite3.connect(store, timeout=1)) as db:
                n = db.execute("SELECT count(*) FROM responses").fetchone()[0]
        except sqlite3.Error:
            n = 0
        assert isinstance(n, int)
        first = n if first is None else first
        if n >= first + more:
            return
        time.sleep(0.005)


def test_the_key_is_in_no_written_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    key = "sk-live/0123456789+abcdef"
    monkeypatch.setenv("OPENAI_API_KEY", key)

    def leak(body: dict[str, object]) -> str:
        return f"Authorization: Bearer {key}"

    model = Model(key=key, json_schema="ignored", echo_key=True)
    with Server(leak, model=model, faults=Faults(rate=0.3, kinds=("500", "not-json", "429"))) as server:
        asker.main(server.url, str(tmp_path / "store"), 3, str(tmp_path / "out"))
        assert server.log[0].headers["authorization"] == f"Bearer {key}"
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"Authorization: Bearer [key]" in written
    said = capfd.readouterr()
    for form in (key, key.replace("/", "\\/"), key.replace("+", "\\u002B"), "0123456789"):
        assert form.encode() not in written
        assert form not in said.out + said.err


def _many(n: int) -> tuple[int, float]:
    """Ask n questions; return the most that were made and not yet ended, and MB of memory grown from a tenth on."""
    made = ended = most = 0
    at_tenth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def questions() -> Iterator[Question]:
        nonlocal made
        for number in range(n):
            made += 1
            yield asking.question(number)

    with (
        Server(keep_log=False, keep_count=False) as server,
        closing(openai.open(openai.Config(base_url=server.url, structured="plain"))) as llm,
    ):
        for _ in ask.judgements({"yes_no": asking.YesNo()}, llm, questions(), config=PATIENT):
            ended += 1
            most = max(most, made - ended)
            if ended == n // 10:
                at_tenth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert ended == n
    return most, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - at_tenth) / 1024


def test_questions_are_made_only_as_there_is_room() -> None:
    most, _ = _many(1500)
    assert most <= 64 + 16 + 1  # in flight, a quarter read ahead, one being made


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_memory_is_flat_with_a_hundred_thousand_questions() -> None:
    most, grown_mb = _many(100_000)
    assert most <= 64 + 16 + 1  # in flight, a quarter read ahead, one being made
    assert grown_mb < 30
