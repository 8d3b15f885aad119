"""Base class for LLM wrappers; delegates what it does not override."""

from collections.abc import Callable

from autointerp.llm.base import LLM, Served
from autointerp.records import Reply, Request


class Wrapped:
    """A wrapped LLM: name, fingerprint, context length, tokens and facts are those of `inner`."""

    def __init__(self, inner: LLM) -> None:
        self.inner = inner
        self.name, self.fingerprint = inner.name, inner.fingerprint
        self._served = inner if isinstance(inner, Served) else None  # isinstance of a protocol is slow

    @property
    def context_length(self) -> int | None:
        """Tokens the model takes, prompt and reply together."""
        return self._served.context_length if self._served else None

    def at_hand(self) -> int:
        """Count the replies that come without waiting."""
        return self._served.at_hand() if self._served else 0

    def count_tokens(self, request: Request) -> int | None:
        """Count the prompt's tokens."""
        return self.inner.count_tokens(request)

    def learn(self, put: Callable[[Request], Reply], like: Request) -> None:
        """Find out what the model can do."""
        if self._served:
            self._served.learn(put, like)

    def facts(self) -> dict[str, str | int | float | bool]:
        """What the manifest records."""
        return self._served.facts() if self._served else {}

    def close(self) -> None:
        """Free the engine or connections."""
        self.inner.close()
