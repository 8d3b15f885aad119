"""The protocol every LLM back end keeps: keyed requests in, keyed replies out as they finish."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field

from autointerp.records import Reply, Request

# Settings of back ends that change how fast, how safely or at what price a run goes, never its results. A server's
# address is one of them: replies belong to the model.
OPERATIONAL = frozenset(
    {
        "price",
        "concurrency",
        "timeout_s",
        "retries",
        "patience_s",
        "api_key_env",
        "base_url",
        "extra_headers",
        "extra_query",
        "api_base",
        "batch",
        "batch_size",
        "batch_from",
        "poll_s",
    }
)


class Price(BaseModel):
    """Price of a million tokens in US dollars; zero for a self-hosted model."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    input: float = Field(default=0.0, ge=0, description="US dollars per million prompt tokens")
    cached: float | None = Field(default=None, ge=0, description="the same for tokens that the server had cached")
    output: float = Field(default=0.0, ge=0, description="US dollars per million generated tokens")

    def of(self, tokens_in: int, tokens_cached: int, tokens_out: int) -> float:
        """US dollars for this many tokens; `tokens_cached` is part of `tokens_in`."""
        cached = self.input if self.cached is None else self.cached
        fresh = tokens_in - tokens_cached
        return (fresh * self.input + tokens_cached * cached + tokens_out * self.output) / 1e6


class LLM(Protocol):
    """A source of replies: a language model, a server, or a program that answers like one.

    A member file `autointerp/llm/<name>.py` defines a frozen pydantic `Config` and `open(config) -> LLM`. A `Config`
    of a model that costs money has `price: Price`.
    A member whose engine fills a GPU says `FILLS_GPU = True`, so that the subject leaves it before the engine opens,
    and defines `free_idle()`, which is called before a subject is loaded.
    """

    name: str
    fingerprint: str  # what a cached reply depends on besides the request: model, revision or server

    def generate(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Answer every request exactly once, in any order, lazily pulling requests as capacity frees.

        Requests are pulled in the caller's thread, between two replies, so that nothing piles up when the caller is
        slow. A prompt that fails yields a `Reply` with `text=None` and a one-word `failure` (`too_long` where it
        exceeds the model's context); it never costs its neighbours theirs.

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


@runtime_checkable
class Served(LLM, Protocol):
    """Protocol of real models' back ends: a context length, capabilities to detect, entries of the manifest."""

    context_length: int | None  # tokens, prompt and reply together; None where unknown

    def learn(self, put: Callable[[Request], Reply], like: Request) -> None:
        """Find out what the model can do by test prompts of the shape of `like`, sent by `put` so that they count."""
        ...

    def at_hand(self) -> int:
        """Count the replies that `generate` can yield without waiting: so many are stored in one commit."""
        ...

    def facts(self) -> dict[str, str | int | float | bool]:
        """Entries of the manifest: model, results of `learn`, form of structured output."""
        ...


@runtime_checkable
class Batching(LLM, Protocol):
    """What back ends that submit batches add: a file in which open batches survive the process."""

    def keep(self, ledger: Path) -> None:
        """Read the open batches of earlier processes from a file, and write new ones there."""
        ...
