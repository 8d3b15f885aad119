"""What was paid for is kept: byte for byte, over kills, for several processes, and never asked twice."""

import json
import multiprocessing
import os
import re
import signal
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from autointerp.__main__ import main
from autointerp.asking import ask, responses
from autointerp.asking.cached import Cached
from autointerp.asking.responses import CachedReply, Store, key
from autointerp.errors import EngineError, RunDirectoryError
from autointerp.llm import openai
from autointerp.llm.scripted import Scripted
from autointerp.records import Message, Reply, Request, Sampling, TokenLogprob, Usage
from autointerp.report.exports import export
from tests.helpers import asking
from tests.helpers.server import Model, Server

RICH = Reply(
    key="",
    text='[1, "é\u2028\ud800"]',
    finish_reason="stop",
    usage=Usage(calls=2, tokens_in=7, tokens_out=3),
    logprobs=(TokenLogprob("1", -0.1, (("1", -0.1), ("0", float("-inf")))),),
)


def test_a_hit_equals_the_reply_it_was_made_of(tmp_path: Path) -> None:
    first = list(Cached(Scripted(lambda _: RICH), Store(tmp_path / "s")).generate(asking.requests(3)))
    again = list(Cached(Scripted([]), Store(tmp_path / "s")).generate(asking.requests(3)))
    assert again == [replace(reply, from_cache=True) for reply in first]


@pytest.mark.parametrize(
    "change",
    [
        {"messages": (Message("user", "other"),)},
        {"schema": None},
        {"sampling": Sampling(seed=1)},
        {"sampling": Sampling(temperature=0.5)},
        {"sampling": Sampling(top_logprobs=5)},
    ],
)
def test_the_key_is_what_was_asked(change: dict[str, object]) -> None:
    (request,) = asking.requests(1)
    assert key("m", request) == key("m", replace(request, key="other"))
    assert key("m", request) != key("m", replace(request, **change))  # pyright: ignore[reportArgumentType]
    assert key("m", request) != key("m2", request)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([("user", "a"), ("user", "b")], [("user", "a\x1fuser\x1fb")]),
        ([("user", "a4:user1:b")], [("user", "a"), ("user", "b")]),
        ([("user", "")], [("user", "0:")]),
    ],
)
def test_no_text_makes_two_questions_one(one: list[tuple[str, str]], other: list[tuple[str, str]]) -> None:
    (request,) = asking.requests(1)
    names = {
        key("m", replace(request, messages=tuple(Message(*part) for part in parts)))  # pyright: ignore[reportArgumentType]
        for parts in (one, other)
    }
    assert len(names) == 2


def test_a_reply_that_never_came_is_not_stored(tmp_path: Path) -> None:
    assert [reply.text for reply in Cached(Scripted([None]), Store(tmp_path / "s")).generate(asking.requests(1))] == [
        None
    ]
    assert len(Store(tmp_path / "s")) == 0


def test_twins_in_flight_are_asked_once(tmp_path: Path) -> None:
    (request,) = asking.requests(1)
    llm = Scripted(asking.oracle, shuffled=0)
    twins = [replace(request, key=str(number)) for number in range(5)]
    replies = list(Cached(llm, Store(tmp_path / "s")).generate(twins))
    assert {reply.key for reply in replies} == set("01234")
    assert len({reply.text for reply in replies}) == 1
    assert len(llm.asked) == 1


@pytest.mark.parametrize("n_known", [0, 1, 2500, 3000])
def test_found_and_missing_mix_in_any_share(tmp_path: Path, n_known: int) -> None:
    asked = [
        Request(key=str(i), messages=(Message("user", str(i)),), task=asking.requests(1)[0].task) for i in range(3000)
    ]
    echo = Scripted(lambda request: request.messages[0].content)
    assert len(list(Cached(echo, Store(tmp_path / "s")).generate(asked[:n_known]))) == n_known
    llm = Scripted(lambda request: request.messages[0].content, shuffled=1)
    replies = list(Cached(llm, Store(tmp_path / "s")).generate(asked))
    assert sorted(int(reply.key) for reply in replies) == list(range(3000))
    assert all(reply.text == reply.key for reply in replies)
    assert len(llm.asked) == 3000 - n_known


def _fill(path: Path, numbers: range, die_at: int | None) -> None:
    def answer(request: Request) -> str:
        if die_at is not None and request.key == str(die_at):
            os.kill(os.getpid(), signal.SIGKILL)
        return asking.oracle(request)

    wanted = [request for request in asking.requests(200) if int(request.key) in numbers]
    for _ in Cached(Scripted(answer), Store(path)).generate(wanted):
        pass


def _run(*jobs: tuple[Path, range, int | None]) -> list[int | None]:
    spawn = multiprocessing.get_context("fork")
    processes = [spawn.Process(target=_fill, args=job) for job in jobs]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


@pytest.fixture(params=["ext4", "nfs4"])
def system(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A type of file system for the test's folder."""
    mounts = tmp_path / "mounts"
    point = str(tmp_path).replace(" ", "\\040")
    mounts.write_text(
        f"1 0 8:1 / / rw - ext4 /dev/sda rw\n2 1 0:1 / {point} rw,noatime shared:2 - {request.param} x rw\n"
    )
    monkeypatch.setattr(responses, "MOUNTS", mounts)
    return request.param


def test_a_network_file_system_gets_no_write_ahead_log(
    system: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the store was written on a local disk before; what it holds stays."""
    requests = asking.requests(5)
    with closing(Cached(Scripted(lambda _: RICH), Store(tmp_path / "s"))) as first:
        replies = list(first.generate(requests))
        assert (tmp_path / "s-wal").exists() == (system == "ext4")
    with closing(Cached(Scripted([]), Store(tmp_path / "s"))) as again:
        assert [replace(one, from_cache=False) for one in again.generate(requests)] == replies
    assert capsys.readouterr().err.count("is on nfs4") == (system == "nfs4")
    monkeypatch.setattr(responses, "NETWORK", re.compile("ext4|nfs4"))
    with closing(Cached(Scripted([]), Store(tmp_path / "s"))) as moved:
        assert [replace(one, from_cache=False) for one in moved.generate(requests)] == replies
        assert not (tmp_path / "s-wal").exists()


def test_the_file_system_of_a_folder_is_that_of_the_deepest_mount(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mounts"
    table = {
        "/": "ext4",
        "/data": "lustre",
        "/data/my\\040disk": "xfs",
        "/datas": "tmpfs",
        "/home": "ext4",
    }
    lines = [f"1 0 8:1 / {point} rw shared:1 - {kind} device rw" for point, kind in table.items()]
    lines += ["6 5 0:5 / /home rw - fuse.sshfs device rw", "not a mount"]
    mounts.write_text("\n".join(lines))
    monkeypatch.setattr(responses, "MOUNTS", mounts)
    folders = ["/", "/data", "/data/x", "/data/my disk/y", "/datas/z", "/home/me", "/elsewhere"]
    found = [responses.file_system(Path(folder)) for folder in folders]
    assert found == ["ext4", "lustre", "lustre", "xfs", "tmpfs", "fuse.sshfs", "ext4"]
    monkeypatch.setattr(responses, "MOUNTS", tmp_path / "absent")
    assert responses.file_system(Path("/data")) == ""


def test_a_killed_process_loses_no_finished_reply(system: str, tmp_path: Path) -> None:
    assert _run((tmp_path / "s", range(200), 57)) == [-signal.SIGKILL]
    assert len(Store(tmp_path / "s")) == 57


def test_two_processes_share_a_store(system: str, tmp_path: Path) -> None:
    assert _run((tmp_path / "s", range(150), None), (tmp_path / "s", range(50, 200), None)) == [0, 0]
    assert len(Store(tmp_path / "s")) == 200


def test_the_export_holds_prompts_and_replies(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    list(Cached(Scripted(asking.oracle), store).generate(asking.requests(4)))
    exported = list(store.export())
    prompts = {str(one["messages"][-1]["content"]) for one in exported}  # pyright: ignore[reportIndexIssue]
    assert prompts == {request.messages[-1].content for request in asking.requests(4)}
    assert {one["reply"]["text"] for one in exported} == {"[1, 0, 1, 0, 1]", "[0, 1, 0, 1, 0]"}  # pyright: ignore[reportIndexIssue]


def test_a_file_that_is_no_store_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("not a database " * 100)
    with pytest.raises(RunDirectoryError, match="response store cannot be used"):
        Store(tmp_path / "s")


def test_a_store_of_an_earlier_version_is_one_clear_line_and_left_as_it_is(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "s") as db:
        db.execute("CREATE TABLE responses (key BLOB PRIMARY KEY, reply TEXT) WITHOUT ROWID")
        db.execute("INSERT INTO responses VALUES ('k', 'paid')")
    db.close()
    with pytest.raises(RunDirectoryError, match=r"has version 1, this program reads 2: remove it"):
        Store(tmp_path / "s")
    assert sqlite3.connect(tmp_path / "s").execute("SELECT reply FROM responses").fetchall() == [("paid",)]


class Dying(Scripted):
    """Has all its replies at hand, and dies with the last of them not yet taken."""

    context_length = None

    def learn(self, put: object, like: object) -> None:
        pass

    def facts(self) -> dict[str, str | int | float | bool]:
        return {}

    def at_hand(self) -> int:
        return 1

    def generate(self, requests: Iterable[Request]) -> Iterator[Reply]:
        yield from super().generate(requests)
        raise EngineError("gone")


def test_replies_that_wait_to_be_stored_together_survive_the_back_ends_death(tmp_path: Path) -> None:
    cached, seen = Cached(Dying(asking.oracle), Store(tmp_path / "s")), []
    with pytest.raises(EngineError, match="gone"):
        seen += cached.generate(asking.requests(150))
    assert len(Store(tmp_path / "s")) == 150
    # An undisturbed rerun finds all of them and asks nothing.
    assert len(list(Cached(Scripted([]), Store(tmp_path / "s")).generate(asking.requests(150)))) == 150


def test_replies_that_are_at_hand_together_are_stored_in_one_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits: list[int] = []
    put = Store.put
    monkeypatch.setattr(
        Store, "put", lambda store, model, paid: (commits.append(len(paid)), put(store, model, paid))[1]
    )
    with Server(model=Model(latency_s=0.02)) as server:
        client = openai.Config(base_url=server.url, structured="plain", concurrency=64)
        with closing(ask.connect(openai.open(client), store=tmp_path / "s")) as llm:
            assert len(list(llm.generate(asking.requests(300)))) == 300
    assert sum(commits) == 300
    assert len([n for n in commits if n]) < 150


def test_what_another_process_stored_first_is_what_everybody_sees(tmp_path: Path) -> None:
    (request,) = asking.requests(1)
    name = key("m", request)
    first, second = Store(tmp_path / "s"), Store(tmp_path / "s")
    early, late = replace(RICH, text="early", key="a"), replace(RICH, text="late", key="b")
    assert first.put("m", [CachedReply(name, request, early)]) == [early]
    assert second.put("m", [CachedReply(name, request, late)]) == [replace(early, key="b")]


@pytest.mark.parametrize("logprobs", [True, False])
def test_the_export_verb_writes_each_reply_as_strict_json(tmp_path: Path, logprobs: bool) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "manifest.json").write_text("{}")
    with pytest.raises(RunDirectoryError, match=r"no responses\.sqlite"):
        export(run, "responses", tmp_path / "out")
    list(Cached(Scripted(lambda _: RICH), Store(run / "responses.sqlite")).generate(asking.requests(3)))
    assert (
        main(["export", str(run), "--to", "responses", "--out", str(tmp_path / "out"), "--set", f"logprobs={logprobs}"])
        == 0
    )
    text = (tmp_path / "out" / "responses.jsonl").read_text(encoding="utf-8")

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    lines = [json.loads(line, parse_constant=refuse) for line in text.splitlines()]
    assert len(lines) == 3
    assert sorted(line["messages"][-1]["content"] for line in lines) == sorted(
        request.messages[-1].content for request in asking.requests(3)
    )
    told = [["1", -0.1, [["1", -0.1], ["0", None]]]] if logprobs else []
    assert all(line["reply"]["text"] == RICH.text and line["reply"]["logprobs"] == told for line in lines)
