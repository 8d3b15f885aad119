"""Several servers of one model: the load is shared, a dead one leaves, nothing is lost and nothing asked twice."""

from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from autointerp.asking import ask
from autointerp.asking.budget import StageUsage
from autointerp.errors import EngineError, StudyError
from autointerp.llm import _client, _servers, openai
from autointerp.llm._failures import Outcome
from autointerp.llm._servers import Servers
from tests.helpers import asking
from tests.helpers.server import Model, Server


def key_of(body: dict[str, list[dict[str, str]]]) -> str:
    return body["messages"][-1]["content"]


def test_of_three_servers_one_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_client, "FIRST_WAIT_S", 0.01)
    n, in_flight, usage = 600, 0, StageUsage()
    with ExitStack() as stack:
        servers = [stack.enter_context(Server(model=Model(latency_s=0.02))) for _ in range(3)]
        config = openai.Config(base_url=tuple(server.url for server in servers), concurrency=24)
        with closing(ask.connect(openai.open(config), store=tmp_path / "responses.sqlite")) as llm:
            questions = (asking.question(number) for number in range(n))
            told = []
            for one in ask.judgements({"yes_no": asking.YesNo()}, llm, questions, config=ask.AskConfig(), usage=usage):
                told.append(one)
                if len(told) == 200:
                    servers[1].stop()
                    in_flight = servers[1].in_flight
    assert sorted(one.question.question_id for one in told) == sorted(f"sae-q{number}" for number in range(n))
    assert all([j.answer for j in one.judgements] == asking.truths(one.question) for one in told)
    assert usage.retried == {}
    # What two servers were sent is asked once; the killed one answered the rest, but what was in flight at its end.
    asked = [key_of(call.body) for server in servers for call in server.log]
    again = len(asked) - len(set(asked))
    assert again <= in_flight <= 24
    live = [len(servers[0].log), len(servers[2].log)]
    assert sum(live) > 300
    assert max(live) < 2 * min(live)
    said = [line for line in capfd.readouterr().err.splitlines() if "does not answer" in line]
    assert len(said) == 1
    assert servers[1].url in said[0]
    assert "2 of 3 servers go on" in said[0]


def test_all_servers_dead_ends_the_run_and_one_alive_is_enough_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_client, "FIRST_WAIT_S", 0.01)
    with Server() as dead:
        pass
    with Server() as alive:
        config = openai.Config(base_url=(dead.url, alive.url), patience_s=0.5, timeout_s=1, structured="plain")
        with closing(openai.open(config)) as llm:
            assert len(list(llm.generate(asking.requests(20)))) == 20
            alive.stop()
            with pytest.raises(EngineError, match="no reply for"):
                list(llm.generate(asking.requests(20)))
    with pytest.raises(StudyError, match="no server answers at"):
        openai.open(config)


def test_servers_of_different_models_are_refused() -> None:
    with (
        Server(model=Model(name="a")) as one,
        Server(model=Model(name="b")) as two,
        pytest.raises(StudyError, match="do not serve the same model: a, b"),
    ):
        openai.open(openai.Config(base_url=(one.url, two.url)))


def test_the_least_busy_server_is_next_and_a_dead_one_is_tried_again_once(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    servers = Servers(("a", "b"), said.append)
    with servers.next() as first, servers.next() as second, servers.next() as third:
        assert [first.url, second.url] == ["a", "b"]
        assert third.in_flight == 2
    dead = servers.all[0]
    for _ in range(3):
        assert servers.failed(dead, Outcome("unreachable", {}, "refused"), 1)
    with servers.next() as one, servers.next() as two:
        assert (one.url, two.url) == ("b", "b")
    monkeypatch.setattr(_servers.time, "monotonic", lambda: dead.rests_until + 1)
    with servers.next() as one, servers.next() as two, servers.next() as three:
        assert sorted([one.url, two.url, three.url]) == ["a", "b", "b"]
    servers.answered(dead)
    assert said == ["a does not answer (refused); 1 of 2 servers go on", "a is back"]
