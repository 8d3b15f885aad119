"""The client of OpenAI-compatible servers, against a server that behaves, misbehaves, and can little."""

import asyncio
import math
import re
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest
from pydantic import ValidationError

from autointerp.asking import ask
from autointerp.asking.budget import StageUsage
from autointerp.errors import EngineError, StudyError
from autointerp.llm import _client, _failures, openai
from autointerp.llm._client import Client
from autointerp.records import Message, Reply, Sampling
from tests.helpers import asking
from tests.helpers.server import FORMS, Answer, Faults, Model, Server


@contextmanager
def client(server: Server, **settings: object) -> Iterator[Client]:
    config = openai.Config(base_url=server.url, **settings)  # pyright: ignore[reportArgumentType]
    with closing(openai.open(config)) as llm:
        yield llm


def judged(llm: ask.LLM, n: int, *, n_shots: int = 2, top: int = 0) -> tuple[dict[str, ask.Judged], StageUsage]:
    usage = StageUsage()
    questions = (asking.question(number, n_shots=n_shots, top=top) for number in range(n))
    told = ask.judgements({"yes_no": asking.YesNo()}, llm, questions, config=ask.AskConfig(), usage=usage)
    return {one.question.question_id: one for one in told}, usage


def all_right(found: dict[str, ask.Judged]) -> bool:
    return all([one.answer for one in told.judgements] == asking.truths(told.question) for told in found.values())


def test_every_question_is_answered_with_probabilities_and_counted_as_the_server_counts() -> None:
    with Server() as server, client(server, concurrency=32) as llm:
        found, usage = judged(llm, 200, top=5)
        assert len(found) == 200
        assert all_right(found)
        # exp(-.25) / (exp(-.25) + exp(-1.5087)) = .7788 / 1.0000
        chances = [one.probability for one in found["sae-q0"].judgements]
        assert chances == pytest.approx([0.7788, 0.2212, 0.7788, 0.2212, 0.7788], abs=1e-3)
        assert usage.tokens_in == sum(call.tokens_in for call in server.log)
        assert usage.tokens_out == sum(call.tokens_out for call in server.log)
        assert usage.calls == len(server.log)
        assert server.most_in_flight <= 32
        assert llm.facts()["structured"] == "json_schema"


@pytest.mark.parametrize(
    ("ability", "structured", "obeyed"),
    [
        ("any", "json_schema", True),
        ("object", "wrapped", True),
        ("ignored", "json_schema", False),
        ("refused", "plain", False),
    ],
)
def test_the_form_of_structured_output_is_found_out(ability: str, structured: str, obeyed: bool) -> None:
    with Server(model=Model(json_schema=ability)) as server, client(server) as llm:
        found, _ = judged(llm, 10)
        assert all_right(found)
        assert llm.facts()["structured"] == structured
        assert llm.facts()["structured_obeyed"] is obeyed
        assert len(server.log) <= 10 + 4


def test_a_template_without_system_role_and_a_model_without_logprobs_are_handled() -> None:
    with Server(model=Model(system_role=False, logprobs=False)) as server, client(server) as llm:
        found, _ = judged(llm, 10, top=5)
        assert all_right(found)
        assert server.log[-1].body["messages"][0]["content"].startswith("Answer with a JSON list.\n\nshot 0")
        assert llm.facts()["left_out"] == "logprobs top_logprobs"
        assert found["sae-q0"].judgements[0].probability is None


def test_prompts_too_long_for_the_server_lose_few_shot_turns() -> None:
    with Server(model=Model(context_length=110)) as server, client(server) as llm:
        found, usage = judged(llm, 4, n_shots=12)
        assert all_right(found)
        assert all(told.row.n_left_out > 0 for told in found.values())
        assert usage.shortened == 4


@pytest.mark.parametrize(
    "kind", ["429", "429-after", "500", "503", "503-after", "drop", "cut-body", "cut-json", "not-json"]
)
def test_passing_trouble_is_waited_out(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_client, "FIRST_WAIT_S", 0.01)
    faults = Faults(rate=1.0, kinds=(kind,), worst=2)
    with Server(faults=faults) as server, client(server, structured="json_schema") as llm:
        found, usage = judged(llm, 5)
        assert all_right(found)
        assert usage.retried == {}
        assert {told.row.n_calls for told in found.values()} == {3}


def test_a_response_sent_twice_is_never_read_as_the_next_answer() -> None:
    def echo(body: dict[str, list[dict[str, str]]]) -> str:
        return body["messages"][-1]["content"]

    with (
        Server(echo, model=Model(json_schema="refused")) as server,
        client(server, concurrency=4, structured="plain") as llm,
    ):
        requests = [replace(one, messages=(Message("user", one.key),), schema=None) for one in asking.requests(600)]
        server.faults = Faults(rate=0.3, kinds=("twice",))
        replies = list(llm.generate(requests))
    wrong = [reply.key for reply in replies if reply.text != reply.key]
    assert len(replies) == 600
    assert len(wrong) == 0


@pytest.mark.parametrize("form", FORMS)
def test_whole_replies_are_read_in_every_form(form: str) -> None:
    with Server(faults=Faults(rate=1.0, kinds=(form,))) as server, client(server, structured="json_schema") as llm:
        found, usage = judged(llm, 4, top=5)
    assert all_right(found)
    assert usage.retried == {}
    chances = [one.probability for told in found.values() for one in told.judgements]
    if form == "inf-logprobs":
        assert set(chances) == {0.0, 1.0}
    elif form in {"odd-logprobs", "no-logprobs", "null-logprobs"}:
        assert set(chances) == {None}
    else:
        assert all(chance is not None and 0.2 < chance < 0.8 for chance in chances)
    if form == "thoughts":
        assert found["sae-q0"].row.reply == "<think>is it [1, 1, 1, 1, 1]?</think>[1, 0, 1, 0, 1]"
    # 4 prompts of 39 words and marks, 148 bytes each; 15 bytes of reply: estimated at 3.5 bytes a token.
    assert usage.estimated == (5 if form in {"odd-usage", "no-usage"} else 0)


def test_a_reply_of_thoughts_alone_is_empty_and_kept() -> None:
    faults = Faults(rate=1.0, kinds=("thoughts-only",))
    with Server(faults=faults) as server, client(server, structured="json_schema") as llm:
        found, usage = judged(llm, 1)
    assert usage.manifest()["failures"] == {"empty": 1}
    assert found["sae-q0"].row.reply == "<think>is it [1, 1, 1, 1, 1]?</think>"


@pytest.mark.parametrize(
    ("faults", "field", "said"),
    [
        (None, "odd", r"test prompt \(bad_request, HTTP 422: Unexpected fields in the request: {'odd'}\)"),
        (Faults(rate=1.0, kinds=("stream",)), "", r"test prompt \(bad_response, HTTP 200: data: {"),
        (Faults(rate=1.0, kinds=("no-choices",)), "", r"test prompt \(bad_response: no choices"),
        (Faults(rate=1.0, kinds=("error-200",)), "", r"test prompt \(server_error, HTTP 503: upstream is busy"),
    ],
)
def test_a_server_that_answers_no_test_prompt_says_why(
    faults: Faults | None, field: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line after a few calls, not a table of failures."""
    monkeypatch.setattr(_client, "FIRST_WAIT_S", 0.001)
    extra = {"odd": 1} if field else {}
    with (
        Server(model=Model(refused_field=field), faults=faults) as server,
        client(server, extra_body=extra, retries=2) as llm,
    ):
        with pytest.raises(EngineError, match=said):
            judged(llm, 50)
        assert server.n_calls <= 9


def test_a_field_that_can_be_done_without_is_left_out() -> None:
    with Server(model=Model(refused_field="seed")) as server, client(server) as llm:
        found, _ = judged(llm, 3)
        assert all_right(found)
        assert llm.facts()["left_out"] == "seed"


def test_a_server_that_lists_no_models_is_taken_at_the_users_word() -> None:
    with Server(model=Model(name="mine", lists_models=False)) as server:
        with pytest.raises(StudyError, match="name the `model`; the server lists: none"):
            openai.open(openai.Config(base_url=server.url))
        with client(server, model="mine") as llm:
            assert all_right(judged(llm, 3)[0])
            assert server.log[-1].body["model"] == "mine"


def test_a_redirect_is_not_followed_and_says_where_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Server, "respond", lambda *_: Answer(301, {}, headers={"Location": "https://a.b/v1/models"}))
    with Server() as server, pytest.raises(StudyError, match=r"redirects to https://a.b/v1/models.*set base_url"):
        openai.open(openai.Config(base_url=server.url))


@pytest.mark.parametrize(
    ("asked_for", "seconds"),
    [("2", 2.0), ("-5", 0.0), ("", math.nan), ("soon", math.nan), ("nan", math.nan), ("inf", math.nan), ("1e9", 1e9),
     ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0), ("Fri, 31 Dec 9999 23:59:59 GMT", 253402300799.0), ("0x10", math.nan),
     ("Thu, 99 Jan 1970", math.nan)],
)  # fmt: skip
def test_retry_after_is_read_or_ignored(asked_for: str, seconds: float) -> None:
    assert _failures.retry_after(None, asked_for, now=0.0) == pytest.approx(seconds, nan_ok=True)


def test_a_wait_beyond_patience_stops_at_once_with_what_was_asked() -> None:
    faults = Faults(rate=1.0, kinds=("429-after",))
    with Server(faults=faults) as server, client(server, structured="json_schema") as llm:
        server.retry_after = "86400"
        began = time.monotonic()
        with pytest.raises(EngineError, match=r"next try in [89]\d{4} s"):
            judged(llm, 3)
        assert time.monotonic() - began < 5


def test_a_server_that_says_come_back_at_once_is_not_hammered() -> None:
    faults = Faults(rate=1.0, kinds=("429-after",), worst=4)
    with Server(faults=faults) as server, client(server, structured="json_schema") as llm:
        server.retry_after = "0"
        began = time.monotonic()
        judged(llm, 1)
        # At least a sixteenth of .5, 1, 2 and 4 seconds.
        assert time.monotonic() - began > 7.5 / 16


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (400, "This model's maximum context length is 8192 tokens", "too_long"),
        (400, "the request exceeds the available context size, try increasing it", "too_long"),
        (400, "Requested tokens (3000) exceed context window of 2048", "too_long"),
        (500, "prompt is too long", "too_long"),
        (413, "Payload Too Large", "too_long"),
        (404, "The model `x` does not exist.", "unknown_path"),
        (400, "model 'x' not found", "unknown_path"),
        (401, "Incorrect API key", "refused_key"),
        (403, "Forbidden", "refused_key"),
        (402, "pay", "refused_key"),
        (429, "You exceeded your current quota", "refused_key"),
        (429, "too many tokens per minute", "rate_limited"),
        (400, "violates our content policy", "refused"),
        (403, "flagged by moderation", "refused"),
        (400, "temperature is odd", "bad_request"),
        (503, "overloaded", "server_error"),
        (418, "tea", "bad_request"),
    ],
)
def test_what_an_error_means(status: int, message: str, kind: str) -> None:
    assert _failures.by_words(status, message) == kind


def test_a_key_that_no_header_can_carry_is_refused_unsaid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-12345678\r\nX-Evil: 1")
    with Server() as server, pytest.raises(StudyError, match=r"\$OPENAI_API_KEY holds characters") as caught:
        openai.open(openai.Config(base_url=server.url))
    assert "12345678" not in str(caught.value)


def test_retry_after_is_honoured() -> None:
    faults = Faults(rate=1.0, kinds=("429-after",), worst=1)
    with Server(faults=faults) as server, client(server, structured="json_schema") as llm:
        server.retry_after = "1"
        began = time.monotonic()
        judged(llm, 1)
        assert 1.0 <= time.monotonic() - began < 2.5


def test_a_dead_server_stops_the_run_with_what_came_before() -> None:
    with (
        Server() as server,
        client(server, timeout_s=10, patience_s=0.5, structured="json_schema", concurrency=2) as llm,
    ):
        questions = (asking.question(number) for number in range(100))
        told = ask.judgements({"yes_no": asking.YesNo()}, llm, questions, config=ask.AskConfig())
        assert next(told).judgements
        server.stop()
        with pytest.raises(EngineError, match="run the same command again"):
            list(told)


def test_a_server_that_fails_everything_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_client, "FIRST_WAIT_S", 0.001)
    with Server() as server, client(server, retries=1, structured="json_schema") as llm:
        server.down = True
        with pytest.raises(EngineError, match="failed a test prompt"):
            judged(llm, 200)


def test_no_server_is_one_line_before_anything_else() -> None:
    with Server() as server:
        url = server.url
    with pytest.raises(StudyError, match="no server answers at"):
        openai.open(openai.Config(base_url=url))


def test_an_unknown_model_names_those_served() -> None:
    """A listing is a courtesy, and only a chat call decides: gateways serve names that they do not list."""
    with Server() as server, client(server, model="other") as llm:
        with pytest.raises(EngineError, match=r"model 'other': HTTP 404.*the server lists: scripted\."):
            judged(llm, 3)
        assert server.n_calls == 1


def test_a_key_comes_from_the_environment_and_goes_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-very-secret-1234")

    def leak(_: object) -> str:
        return "your key is sk-very-secret-1234"

    with Server(leak, model=Model(key="sk-very-secret-1234", json_schema="ignored")) as server:
        with client(server, api_key_env="MY_KEY", structured="plain") as llm:
            (reply,) = llm.generate(asking.requests(1))
            assert reply.text == "your key is [key]"
            assert "secret" not in repr((llm.config, llm.facts(), llm.fingerprint, reply))
        monkeypatch.setenv("MY_KEY", "sk-wrong-secret-9999")
        with pytest.raises(EngineError, match="refuses the key") as caught, client(server, api_key_env="MY_KEY"):
            pass
        assert "wrong-secret" not in str(caught.value)


@pytest.mark.parametrize("form", ["401", "redirect", "garbled"])
def test_a_key_that_an_answer_to_the_first_look_echoes_is_not_told(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "sk-0123+4567/89=secret"
    monkeypatch.setenv("OPENAI_API_KEY", key)
    answer = {
        "401": Answer(401, {"error": {"message": f"no such key: {key}"}}, escape=True),
        "redirect": Answer(302, {}, headers={"Location": f"https://a.b/login?key={key}"}),
        "garbled": Answer(403, {"detail": [{"msg": f"Bearer {key} is not known"}]}, escape=True),
    }[form]
    monkeypatch.setattr(Server, "respond", lambda *_: answer)
    with Server() as server, pytest.raises((EngineError, StudyError), match=r"\[key\]") as caught:
        openai.open(openai.Config(base_url=server.url))
    assert not re.search("0123|4567|secret", str(caught.value))


@pytest.mark.parametrize("url", ["http://user:pw@host/v1", "http://host/v1?key=1", "host:8000", "file:///etc/passwd"])
def test_addresses_that_hold_secrets_or_are_none_are_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="base_url must"):
        openai.Config(base_url=url)


def test_thinking_gets_its_own_tokens_and_parameters_are_sent_as_asked() -> None:
    with Server() as server, client(server, thinking_tokens=100, extra_body={"top_k": 1}, structured="plain") as llm:
        (request,) = asking.requests(1)
        list(llm.generate([replace(request, sampling=Sampling(temperature=0.5, max_tokens=7, seed=3, top_logprobs=2))]))
        body = server.log[-1].body
        sent = {name: body[name] for name in ("max_tokens", "temperature", "seed", "top_logprobs", "top_k")}
        assert sent == {"max_tokens": 107, "temperature": 0.5, "seed": 3, "top_logprobs": 2, "top_k": 1}


def test_abandoning_the_replies_leaves_the_client_usable() -> None:
    with Server(model=Model(latency_s=0.05)) as server, client(server, structured="plain") as llm:
        first: Iterator[Reply] = llm.generate(asking.requests(50))
        next(first)
        first.close()  # pyright: ignore[reportAttributeAccessIssue]
        assert len(list(llm.generate(asking.requests(5)))) == 5


def test_replies_wait_while_the_caller_is_busy() -> None:
    """A busy caller is no silence of the server, and no request in flight runs out of time."""
    with (
        Server(model=Model(latency_s=0.05)) as server,
        client(server, structured="plain", timeout_s=4, patience_s=1) as llm,
    ):
        replies = llm.generate(asking.requests(100))
        received = [next(replies)]
        time.sleep(4.5)
        received += replies
        assert {reply.failure for reply in received} == {""}
        assert {reply.usage.calls for reply in received} == {1}
        assert len(server.log) == 100


def test_two_streams_of_one_client_keep_their_own_replies() -> None:
    with Server(model=Model(latency_s=0.01)) as server, client(server, structured="plain", concurrency=4) as llm:
        one, two = llm.generate(asking.requests(20)), llm.generate(asking.requests(30)[20:])
        pairs = [(next(one), next(two)) for _ in range(10)]
        first = {pair[0].key for pair in pairs} | {reply.key for reply in one}
        assert first == {str(number) for number in range(20)}
        assert {pair[1].key for pair in pairs} == {str(number) for number in range(20, 30)}
        assert list(two) == []


def test_it_works_where_an_event_loop_runs_already() -> None:
    """As in a notebook."""

    async def cell() -> int:
        with Server() as server, client(server) as llm:
            return len(judged(llm, 20)[0])

    assert asyncio.run(cell()) == 20
