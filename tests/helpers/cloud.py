"""A provider of language models with a batch API, in memory, and a stand-in for the any-llm library that talks to it.

`Cloud` answers and counts; `install` puts the stand-in in the library's place. `cloud_http` serves the same state over
the HTTP APIs of Anthropic, Gemini and OpenAI, for the library itself.
"""

import json
import sys
import types
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.server.faults import Body
from tests.helpers.server.words import even, logprob, obey

# The interface of any-llm's errors that the product reads: class, status and parameter.
ERRORS = (
    "RateLimitError AuthenticationError InvalidRequestError ProviderError ContentFilterError ModelNotFoundError "
    "ContextLengthExceededError InsufficientFundsError"
).split()


@dataclass
class Job:
    """One batch as the provider keeps it; it ends after `n_polls` looks."""

    entries: list[dict[str, Any]]
    metadata: dict[str, str] | None
    created: int
    n_polls: int
    state: str = "in_progress"


@dataclass
class Cloud:
    """What the provider knows. `paid` counts how often each prompt was answered, live or in a batch."""

    answer: Callable[[Body], str] = even
    key: str = "sk-cloud-0123456789"
    refused: tuple[str, ...] = ()  # parameters that it does not take
    obeys: bool = True
    keeps_metadata: bool = True
    n_polls: int = 2
    spoil: Callable[[str, int], str] = lambda name, number: ""  # (custom id, batch number) -> an error's code
    jobs: dict[str, Job] = field(default_factory=dict)
    live: list[Body] = field(default_factory=list)
    paid: Counter[str] = field(default_factory=Counter)
    clock: Callable[[], float] = lambda: 1e9

    def text(self, body: Body) -> str:
        """Answer one prompt, and count it."""
        self.paid[json.dumps([body["messages"], body.get("seed")])] += 1
        return obey(self.answer, body) if self.obeys else self.answer(body)

    def submit(self, entries: list[dict[str, Any]], metadata: dict[str, str] | None) -> str:
        name = f"batch_{len(self.jobs) + 1}"
        kept = metadata if self.keeps_metadata else None
        self.jobs[name] = Job(entries, kept, int(self.clock()), self.n_polls)
        return name

    def look(self, name: str) -> Job:
        job = self.jobs[name]
        job.n_polls -= 1
        if job.n_polls <= 0 and job.state == "in_progress":
            job.state = "completed"
        return job

    def results(self, name: str) -> list[tuple[str, str | None, str]]:
        """Give (custom id, text, code of an error) for each request of a batch; each is paid once, however often read.

        They come in another order than they were sent.
        """
        job, found = self.jobs[name], []
        number = list(self.jobs).index(name) + 1
        for entry in reversed(job.entries):
            code = self.spoil(entry["custom_id"], number)
            found.append((entry["custom_id"], None if code else self._once(name, entry), code))
        return found

    def _once(self, name: str, entry: dict[str, Any]) -> str:
        if "answered" not in entry:
            entry["answered"] = self.text(entry["body"])
        return entry["answered"]


def completion(body: Body, text: str) -> dict[str, Any]:
    """A reply in OpenAI's form."""
    choice: dict[str, Any] = {
        "index": 0,
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": text},
        "logprobs": None,
    }
    if body.get("logprobs"):
        choice["logprobs"] = {"content": [logprob(part, nan=False) for part in text]}
    n = len(json.dumps(body["messages"])) // 4
    usage = {"prompt_tokens": n, "completion_tokens": len(text), "total_tokens": n + len(text)}
    named = {"id": "c", "object": "chat.completion", "created": 1, "model": body["model"]}
    return {**named, "choices": [choice], "usage": usage}


class _Dumped:
    """A library's object: what pydantic would write."""

    def __init__(self, value: dict[str, Any]) -> None:
        self.value = value

    def model_dump_json(self, **settings: object) -> str:
        return json.dumps(self.value)


def install(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Put a stand-in for any-llm into its place; return the list to which each opened provider is added."""
    errors = types.ModuleType("any_llm.exceptions")
    base = type("AnyLLMError", (Exception,), {"__init__": _error_init})
    errors.AnyLLMError = base  # pyright: ignore[reportAttributeAccessIssue]
    for name in (*ERRORS, "UnsupportedParameterError", "MissingApiKeyError"):
        setattr(errors, name, type(name, (base,), {}))
    opened: list[Any] = []

    class AnyLLM:
        ENV_API_KEY_NAME = "CLOUD_API_KEY"

        @classmethod
        def create(cls, provider: str, **settings: Any) -> "_Provider":
            if settings["api_key"] is None:
                error = errors.MissingApiKeyError("no key")
                error.env_var_name = cls.ENV_API_KEY_NAME
                raise error
            opened.append(_Provider(cloud, provider, errors, settings))
            return opened[-1]

    module = types.ModuleType("any_llm")
    module.__spec__ = ModuleSpec("any_llm", None)
    module.AnyLLM = AnyLLM  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "any_llm", module)
    monkeypatch.setitem(sys.modules, "any_llm.exceptions", errors)
    return opened


def _error_init(self: Any, message: str, **fields: Any) -> None:
    Exception.__init__(self, message)
    self.message = message
    for name in ("status_code", "code", "param", "error_type", "retry_after", "parameter_name"):
        setattr(self, name, fields.get(name))


class _Provider:
    """any-llm's object for one provider. `faults` are raised, in turn, by the next calls of the method they name."""

    ENV_API_KEY_NAME = "CLOUD_API_KEY"

    def __init__(self, cloud: Cloud, provider: str, errors: Any, settings: dict[str, Any]) -> None:
        self.cloud, self.provider, self.errors, self.settings = cloud, provider, errors, settings
        self.faults: dict[str, list[Exception]] = {}

    def _fail(self, method: str) -> None:
        if self.faults.get(method):
            raise self.faults[method].pop(0)

    async def acompletion(self, **body: Any) -> _Dumped:
        self._fail("acompletion")
        for name in self.cloud.refused:
            if name in body:
                raise self.errors.UnsupportedParameterError(
                    f"'{name}' is not supported for {self.provider}", parameter_name=name
                )
        self.cloud.live.append(body)
        return _Dumped(completion(body, self.cloud.text(body)))

    async def acreate_batch(self, path: str, endpoint: str, metadata: dict[str, str]) -> Any:
        self._fail("acreate_batch")
        entries = [json.loads(line) for line in Path(path).read_text().splitlines()]
        assert len({entry["custom_id"] for entry in entries}) == len(entries), "the provider rejects equal names"
        name = self.cloud.submit(entries, metadata)
        self._fail("after acreate_batch")
        return self._batch(name)

    async def aretrieve_batch(self, name: str) -> Any:
        self._fail("aretrieve_batch")
        self.cloud.look(name)
        return self._batch(name)

    async def alist_batches(self, limit: int) -> Sequence[Any]:
        return [self._batch(name) for name in list(self.cloud.jobs)[-limit:][::-1]]

    async def aretrieve_batch_results(self, name: str) -> Any:
        assert self.cloud.jobs[name].state == "completed", "any-llm raises BatchNotCompleteError"
        bodies = {entry["custom_id"]: entry["body"] for entry in self.cloud.jobs[name].entries}
        items = []
        for custom_id, text, code in self.cloud.results(name):
            result = None if text is None else _Dumped(completion(bodies[custom_id], text))
            error = types.SimpleNamespace(code=code, message=f"the provider says {code}") if code else None
            items.append(types.SimpleNamespace(custom_id=custom_id, result=result, error=error))
        return types.SimpleNamespace(results=items)

    def _batch(self, name: str) -> Any:
        job = self.cloud.jobs[name]
        counts = types.SimpleNamespace(total=len(job.entries), completed=0)
        rejected = [types.SimpleNamespace(message="line 1 is too long")] if job.state == "failed" else []
        return types.SimpleNamespace(
            id=name,
            status=job.state,
            metadata=job.metadata,
            created_at=job.created,
            request_counts=counts,
            errors=types.SimpleNamespace(data=rejected),
        )


def each_paid_once(cloud: Cloud) -> bool:
    """Whether no prompt was answered twice."""
    return set(cloud.paid.values()) == {1}
