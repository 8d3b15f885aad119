"""A program that answers like an LLM: a function of the request, or a list of replies. For tests, yours too.

    llm = Scripted(lambda request: "[1, 0, 0, 1, 1]")
    llm = Scripted(["first reply", None, "third"])       # None: no reply came

`open` takes a dotted name of such a function from a study file: `{use: scripted, answer: my_tests.judge}`.
"""

import importlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from autointerp.errors import StudyError
from autointerp.records import Reply, Request

Answerer = Callable[[Request], str | Reply | None]


class Config(BaseModel):
    """A function of one's own as LLM."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    answer: str = Field(description="dotted name of a function: Request -> str, Reply or None")


class Scripted:
    """Answers each request by `answers`: a function, or replies in the order of the requests.

    `shuffled` answers in an order drawn from that seed, `window` requests at a time, as servers do.
    """

    def __init__(
        self,
        answers: Answerer | Sequence[str | None],
        *,
        name: str = "scripted",
        shuffled: int | None = None,
        window: int = 8,
    ) -> None:
        self.name, self.fingerprint = name, name
        self.asked: list[Request] = []
        self._answers, self._window = answers, window if shuffled is not None else 1
        self._rng = np.random.default_rng(shuffled)
        self._n = 0

    def generate(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Answer every request once."""
        waiting: list[Reply] = []
        for request in requests:
            self.asked.append(request)
            waiting.append(self._reply(request))
            if len(waiting) >= self._window:
                yield waiting.pop(int(self._rng.integers(len(waiting))))
        while waiting:
            yield waiting.pop(int(self._rng.integers(len(waiting))))

    def count_tokens(self, request: Request) -> int | None:
        """No tokenizer."""
        return None

    def close(self) -> None:
        """Nothing to free."""

    def _reply(self, request: Request) -> Reply:
        if callable(self._answers):
            answer = self._answers(request)
        else:
            answer, self._n = self._answers[self._n], self._n + 1
        if isinstance(answer, Reply):
            return replace(answer, key=request.key)
        return Reply(key=request.key, text=answer, failure="" if answer is not None else "no_reply")


def open(config: Config) -> Scripted:
    """Make the LLM of a study file.

    Raises:
        StudyError: the function cannot be imported.
    """
    module, _, function = config.answer.rpartition(".")
    try:
        answer = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise StudyError(f"scripted: {config.answer!r} cannot be imported ({error}); is it on PYTHONPATH?") from error
    return Scripted(answer, name=f"scripted:{config.answer}")
