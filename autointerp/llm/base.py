"""The protocol every LLM back end keeps: keyed requests in, keyed replies out as they finish."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from autointerp.records import Reply, Request


class LLM(Protocol):
    """A source of replies: a language model, a server, or a program that answers like one.

    A member file `autointerp/llm/<name>.py` defines a frozen pydantic `Config` and `open(config) -> LLM`.
    """

    name: str
    fingerprint: str  # what a cached reply depends on besides the request: model, revision or server

    def generate(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Answer every request exactly once, in any order, lazily pulling requests as capacity frees.

        A prompt that fails yields a `Reply` with `text=None` and a one-word `failure`; it never costs its neighbours
        theirs.

        Raises:
            EngineError: the engine or server as a whole is gone; replies already yielded stay valid.
        """
        ...

    def count_tokens(self, request: Request) -> int | None:
        """Count the prompt's tokens by the model's own tokenizer, or None where it is not at hand."""
        ...

    def close(self) -> None:
        """Free the engine or connections."""
        ...
