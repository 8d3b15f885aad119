"""What providers do differently: each quirk is adapted to, waited out or explained, as their users reported it.

Replies are written by hand after providers' documentation and users' reports; none was recorded from a model.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from autointerp.asking import ask
from autointerp.asking.budget import Budget, LimitsConfig, Price, StageUsage
from autointerp.errors import EngineError, LimitError, StudyError
from autointerp.llm import _client, _failures, openai
from autointerp.llm._client import Client
from tests.helpers import asking
from tests.helpers.server import Answer, Model, Server

Quirk = Callable[[dict[str, Any], Answer], Answer | None]


class Quirky(Server):
    """A server with a quirk: it sees each chat request and the answer to it, and may answer otherwise."""

    def __init__(self, quirk: Quirk | None = None, *, model: Model | None = None, **paths: Answer) -> None:
        super().__init__(model=model or Model(name="m", context_length=None))
        self.quirk, self.paths = quirk, paths
        self.targets: list[str] = []
        self.seen: list[dict[str, str]] = []

    def __enter__(self) -> "Quirky":
        super().__enter__()
        return self

    def respond(self, path: str, headers: dict[str, str], raw: bytes) -> Answer:
        self.targets.append(path)
        self.seen.append(headers)
        if path.partition("?")[0].endswith("/models") and "models" in self.paths:
            return self.paths["models"]
        answer = super().respond(path.partition("?")[0], headers, raw)
        if "completions" not in path or self.quirk is None:
            return answer
        return self.quirk(json.loads(raw), answer) or answer


@contextmanager
def client(server: Server, **settings: object) -> Iterator[Client]:
    llm = openai.open(openai.Config(**{"base_url": server.url, "model": "m", "patience_s": 5, **settings}))  # pyright: ignore[reportArgumentType]
    try:
        yield llm
    finally:
        llm.close()


def judged(llm: ask.LLM, n: int, *, top: int = 10, n_shots: int = 2) -> tuple[list[ask.Judged], StageUsage]:
    usage = StageUsage()
    questions = (asking.question(number, top=top, n_shots=n_shots) for number in range(n))
    told = ask.judgements({"yes_no": asking.YesNo()}, llm, questions, config=ask.AskConfig(), usage=usage)
    return list(told), usage


def all_right(told: list[ask.Judged]) -> bool:
    return all([one.answer for one in each.judgements] == asking.truths(each.question) for each in told)


def error(status: int, message: object, code: object = None, **fields: object) -> Answer:
    return Answer(status, {"error": {"message": message, "code": code, **fields}})


def message_of(answer: Answer) -> dict[str, Any]:
    return answer.value["choices"][0]["message"]


def is_probe(body: dict[str, Any]) -> bool:
    return body["messages"][0]["content"].startswith("You are a friendly")


def test_a_reasoning_model_that_takes_few_parameters() -> None:
    """o-series: no max_tokens, the default temperature only, HTTP 403 for log-probabilities."""

    def quirk(body: dict[str, Any], answer: Answer) -> Answer | None:
        if "max_tokens" in body:
            return error(
                400,
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
                "'max_completion_tokens' instead.",
                "unsupported_parameter",
                param="max_tokens",
            )
        if body.get("temperature", 1) != 1:
            return error(
                400, "Unsupported value: 'temperature' does not support 0.", "unsupported_value", param="temperature"
            )
        return error(403, "You are not allowed to request logprobs from this model") if body.get("logprobs") else None

    with Quirky(quirk) as server, client(server) as llm:
        told, usage = judged(llm, 10)
        assert all_right(told)
        assert llm.facts()["left_out"] == "logprobs temperature top_logprobs"
        assert server.n_calls == usage.calls == 10 + 1 + 3


@pytest.mark.parametrize(
    ("message", "limit"),
    [
        ("Requested sample logprobs of 10, which is greater than max allowed: 5", 5),
        ("Input should be less than or equal to 5: top_logprobs", 5),
        ("top_logprobs must be between 0 and 5", 5),
        ("Requested sample logprobs of 10, greater than max allowed: 0", 0),
    ],
)
def test_a_lower_limit_of_log_probabilities_is_kept_to(
    message: str, limit: int, capfd: pytest.CaptureFixture[str]
) -> None:
    def quirk(body: dict[str, Any], answer: Answer) -> Answer | None:
        return error(400, message) if body.get("top_logprobs", 0) > limit else None

    with Quirky(quirk) as server, client(server) as llm:
        told, _ = judged(llm, 10)
        assert all_right(told)
        assert (told[0].judgements[0].probability is None) == (limit == 0)
        assert server.log[-1].body.get("top_logprobs", 0) == limit
        assert str(llm.facts()["given_up"]).count("logprobs") >= 1
    said = capfd.readouterr().err
    assert len([line for line in said.splitlines() if "does not accept" in line]) == 1


@pytest.mark.parametrize(
    "answer",
    [
        error(403, "Missing scopes: api.model.read"),
        error(401, "Missing scopes"),
        Answer(404, {}),
        Answer(200, [{"id": "m", "object": "model"}]),  # pyright: ignore[reportArgumentType]
        Answer(200, {"data": [{"id": "openai/*"}]}),
        Answer(200, {"data": [{"id": "m:latest"}, {"id": "other"}]}),
        Answer(200, {"data": "none"}),
    ],
)
def test_a_list_of_models_is_a_courtesy(answer: Answer) -> None:
    with Quirky(models=answer) as server, client(server) as llm:
        assert all_right(judged(llm, 3)[0])


def test_names_with_a_prefix_or_a_tag_are_found_in_the_list() -> None:
    entry = {"id": "models/m", "max_model_len": 99_999}
    with Quirky(models=Answer(200, {"data": [entry, {"id": "x"}]})) as server, client(server) as llm:
        assert llm.context_length == 99_999


def test_azure_takes_its_key_in_a_header_and_its_version_in_the_query(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_KEY", "azure-0123456789")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789")
    settings = {"extra_headers": {"api-key": "${AZURE_KEY}"}, "extra_query": {"api-version": "2024-10-21"}}
    with Quirky() as server, client(server, **settings) as llm:
        assert all_right(judged(llm, 2)[0])
        assert {path.partition("?")[2] for path in server.targets} == {"api-version=2024-10-21"}
        assert {(one.get("api-key"), one.get("authorization")) for one in server.seen} == {("azure-0123456789", None)}
        assert "0123456789" not in repr((llm.config, llm.facts(), llm.fingerprint))
        monkeypatch.delenv("AZURE_KEY")
        with (
            pytest.raises(StudyError, match="the environment variable AZURE_KEY is not set"),
            client(server, **settings),
        ):
            pass
    with pytest.raises(ValueError, match="put the secret of 'api-key' into an environment variable"):
        openai.Config(base_url=server.url, extra_headers={"api-key": "azure-0123456789"})


def test_a_prompt_that_a_content_filter_refuses_costs_only_itself() -> None:
    message = "The response was filtered due to the prompt triggering Azure OpenAI's content management policy."

    def quirk(body: dict[str, Any], answer: Answer) -> Answer | None:
        last = body["messages"][-1]["content"]
        return error(400, message) if not is_probe(body) and "context 7." in last else None

    with Quirky(quirk) as server, client(server) as llm:
        told, _ = judged(llm, 10)
    assert {each.question.question_id: each.row.failure for each in told if each.row.failure} == {"sae-q7": "refused"}


def test_too_long_in_the_code_alone_and_too_long_without_a_word() -> None:
    """Groq names the reason in the code only; some proxies say nothing."""
    for refusal in (error(400, "Please reduce the length.", "context_length_exceeded"), Answer(422, {"detail": "bad"})):

        def quirk(body: dict[str, Any], answer: Answer, refusal: Answer = refusal) -> Answer | None:
            return refusal if sum(len(one["content"]) for one in body["messages"]) > 700 else None

        with Quirky(quirk) as server, client(server, structured="plain") as llm:
            judged(llm, 1, n_shots=1)  # a short one that passes
            told, usage = judged(llm, 3, n_shots=40)
        assert all_right(told)
        assert usage.shortened == 3


def test_a_providers_trouble_inside_a_200_is_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_client, "FIRST_WAIT_S", 0.01)
    n = 0

    def quirk(body: dict[str, Any], answer: Answer) -> Answer | None:
        nonlocal n
        n += 1
        choice = answer.value["choices"][0]
        if n % 3 == 0:
            choice |= {"finish_reason": "error", "error": {"code": 502, "message": "Provider returned error"}}
            message_of(answer)["content"] = ""
        return None

    with Quirky(quirk) as server, client(server) as llm:
        told, usage = judged(llm, 20)
        assert all_right(told)
        assert usage.retried == {}
        assert usage.calls == server.n_calls > 25


@pytest.mark.parametrize("usage", [None, {"prompt_tokens": 1e30, "completion_tokens": 1}, {"prompt_tokens": -4}, "no"])
def test_limits_hold_whatever_a_server_says_of_tokens(usage: object, capfd: pytest.CaptureFixture[str]) -> None:
    def quirk(body: dict[str, Any], answer: Answer) -> Answer | None:
        answer.value["usage"] = usage
        return None

    with Quirky(quirk) as server, client(server, concurrency=4) as llm:
        budget = Budget(LimitsConfig(tokens=2000))
        limited = ask.connect(llm, store=None, budget=budget, price=Price())
        with pytest.raises(LimitError, match=r"limits\.tokens"):
            judged(limited, 500)
        # A prompt of about 150 bytes and a reply of 15 are some 50 tokens.
        assert 10 < server.n_calls < 80
        assert 1500 < budget.tokens < 2400
    assert capfd.readouterr().err.count("no usable token counts") == 1


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"content": None, "reasoning_content": "[1, 0, 1, 0, 1]"}, "all text arrived as reasoning"),
        ({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "[1]"}]}]}, "arrived as reasoning"),
        ({"content": ""}, "replies are empty"),
        ({"content": "I think 1"}, "not in the requested form"),
    ],
)
def test_total_failure_is_explained_before_the_money_is_spent(change: dict[str, Any], cause: str) -> None:
    def quirk(body: dict[str, Any], answer: Answer) -> Answer | None:
        message_of(answer).update(change)
        return None

    with Quirky(quirk) as server, client(server, concurrency=8) as llm:
        with pytest.raises(EngineError, match=rf"the first 20 replies could not be used.*{cause}"):
            judged(llm, 500)
        assert server.n_calls < 20 + 8 * 1.25 + 5


def test_a_model_that_thinks_its_budget_away_is_explained_and_cured() -> None:
    def quirk(body: dict[str, Any], answer: Answer) -> Answer | None:
        if body["max_tokens"] < 300:
            message_of(answer)["content"] = ""
            answer.value["choices"][0]["finish_reason"] = "length"
            details = {"reasoning_tokens": body["max_tokens"]}
            answer.value["usage"] |= {"completion_tokens": body["max_tokens"], "completion_tokens_details": details}
        else:
            answer.value["usage"] |= {"completion_tokens": 211, "completion_tokens_details": {"reasoning_tokens": 200}}
        return None

    with Quirky(quirk) as server:
        with client(server) as llm, pytest.raises(EngineError, match=r"set `thinking_tokens`.*reasoning_effort: low"):
            judged(llm, 100)
        with client(server, thinking_tokens=2000, reasoning_effort="low") as llm:
            told, usage = judged(llm, 5)
        assert all_right(told)
        assert server.log[-1].body["reasoning_effort"] == "low"
        assert server.log[-1].body["max_tokens"] == 2032
        assert usage.manifest()["tokens_thinking"] == 200 * 6


def test_a_server_that_cuts_prompts_is_refused() -> None:
    """Ollama says so only in the usage."""

    def cuts(body: dict[str, Any], answer: Answer) -> Answer | None:
        answer.value["usage"]["prompt_tokens"] = min(sum(len(one["content"]) for one in body["messages"]) // 4, 300)
        return None

    def counts(body: dict[str, Any], answer: Answer) -> Answer | None:
        answer.value["usage"]["prompt_tokens"] = sum(len(one["content"]) for one in body["messages"]) // 8
        return None

    with Quirky(cuts) as server, client(server) as llm:
        with pytest.raises(EngineError, match=r"cuts prompts: it reports 300 prompt tokens.*OLLAMA_CONTEXT_LENGTH"):
            judged(llm, 10, n_shots=150)
        assert server.n_calls == 2
    # A tokenizer of eight characters a token is unusual, and honest.
    with Quirky(counts) as server, client(server) as llm:
        assert all_right(judged(llm, 10, n_shots=150)[0])


@pytest.mark.parametrize(
    "refusal",
    [
        Answer(400, [{"error": {"code": 400, "message": 'Unknown name "seed": Cannot find field.'}}]),  # pyright: ignore[reportArgumentType]
        Answer(422, {"object": "error", "message": {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"]}]}}),
    ],
    ids=["gemini", "mistral"],
)
def test_a_refused_seed_is_left_out_whatever_form_the_refusal_has(refusal: Answer) -> None:
    with Quirky(lambda body, _: refusal if "seed" in body else None) as server, client(server) as llm:
        assert all_right(judged(llm, 3)[0])
        assert llm.facts()["left_out"] == "seed"


@pytest.mark.parametrize(
    ("status", "fields", "kind"),
    [
        (400, {"code": "content_filter"}, "refused"),
        (400, {"innererror": {"code": "ResponsibleAIPolicyViolation"}}, "refused"),
        (429, {"code": "insufficient_quota"}, "refused_key"),
        (429, {"code": "rate_limit_exceeded"}, "rate_limited"),
        (429, {"status": "RESOURCE_EXHAUSTED", "message": "You exceeded your current quota"}, "rate_limited"),
        (400, {"type": "invalid_request_error", "code": "string_above_max_length"}, "too_long"),
        (529, {"type": "overloaded_error"}, "server_error"),
        (404, {"code": "DeploymentNotFound"}, "unknown_path"),
        (403, {"type": "authentication_error", "message": "content policy"}, "refused_key"),
        (413, {"code": "rate_limit_exceeded"}, "too_long"),
        (400, {"type": "exceed_context_size_error"}, "too_long"),
    ],
)
def test_codes_count_before_words(status: int, fields: dict[str, object], kind: str) -> None:
    outcome = _failures.from_error(status, {"error": {"message": "odd", **fields}})
    assert (outcome.kind, outcome.certain) == (kind, True)


def test_replies_belong_to_the_model_not_to_its_address() -> None:
    with Quirky() as server:
        other = re.sub(r"127\.0\.0\.1", "localhost", server.url)
        with client(server) as one, client(server, base_url=other) as two, client(server, identity="mine") as three:
            assert one.fingerprint == two.fingerprint != three.fingerprint
        with client(server, identity="mine", revision="x") as four:
            assert four.fingerprint == three.fingerprint
