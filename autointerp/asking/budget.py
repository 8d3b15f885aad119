"""Cost of a run's LLM calls: counted, limited, estimated. Pure except for the clock."""

import math
import time
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, Field

from autointerp.errors import LimitError
from autointerp.llm.base import LLM, Price
from autointerp.records import Reply, Request

FREE = Price()


class LimitsConfig(BaseModel):
    """Limits at which a run stops; finished work is kept and the same command continues from there.

    Limits count what one invocation sends; replies from the run's own store cost nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    calls: int | None = Field(default=None, gt=0, description="most LLM calls of one invocation")
    tokens: int | None = Field(default=None, gt=0, description="most tokens, in and out together")
    usd: float | None = Field(default=None, gt=0, description="most US dollars, by the `price` of each LLM")
    seconds: float | None = Field(default=None, gt=0, description="longest time since the first LLM call")


# Bytes of English prompt text per token where no tokenizer is at hand; 4 is the usual rule of thumb, marks and short
# pieces cost more.
BYTES_PER_TOKEN = 3.5
# Most prompts of one kind that a tokenizer counts for an estimate, which a server may do one by one.
MOST_COUNTED = 64


def prompt_tokens(request: Request) -> int:
    """Estimate a prompt's tokens from its length."""
    return round(sum(len(message.content.encode("utf-8", "replace")) for message in request.messages) / BYTES_PER_TOKEN)


@dataclass(slots=True)
class Budget:
    """One invocation's spending, over all its LLMs, against its limits.

    Requests in flight count as expected: by their length and the most that can be generated, corrected by how the
    expectations of earlier requests compare with their costs.
    """

    limits: LimitsConfig = field(default_factory=LimitsConfig)
    calls: int = 0
    tokens: int = 0
    usd: float = 0.0
    in_flight: int = 0
    began: float | None = None
    _expected_in_flight: int = 0
    _expected_done: int = 0

    def sent(self, request: Request) -> int:
        """Count a request that is being sent; return its expected tokens."""
        self.began = time.monotonic() if self.began is None else self.began
        expected = prompt_tokens(request) + request.sampling.max_tokens
        self.in_flight += 1
        self._expected_in_flight += expected
        return expected

    def received(self, reply: Reply, price: Price, expected: int) -> None:
        """Count a reply; `expected` is what `sent` returned for its request."""
        usage = reply.usage
        self.withdraw([expected])
        self._expected_done += expected
        self.calls += usage.calls
        self.tokens += usage.tokens_in + usage.tokens_out
        self.usd += price.of(usage.tokens_in, usage.tokens_cached, usage.tokens_out)

    def withdraw(self, expected: Collection[int]) -> None:
        """Forget requests in flight that will not be answered, by their expected tokens."""
        self.in_flight -= len(expected)
        self._expected_in_flight -= sum(expected)

    def reached(self, price: Price) -> str:
        """Name the limit that the next request, at this price, would pass, or ""."""
        limits, done, flying = self.limits, self._expected_done, self._expected_in_flight
        tokens = self.tokens + flying * (self.tokens / done if done else 1.0)
        usd = self.usd + flying * (self.usd / done if self.usd else max(price.input, price.output) / 1e6)
        if limits.calls is not None and self.calls + self.in_flight >= limits.calls:
            return f"limits.calls = {limits.calls:,}"
        if limits.tokens is not None and tokens >= limits.tokens:
            return f"limits.tokens = {limits.tokens:,}"
        if limits.usd is not None and usd >= limits.usd:
            return f"limits.usd = {limits.usd:g}"
        if limits.seconds is not None and self.began and time.monotonic() - self.began >= limits.seconds:
            return f"limits.seconds = {limits.seconds:g}"
        return ""

    def error(self, limit: str) -> LimitError:
        """The error that ends the run at this limit."""
        spent = f"{self.calls:,} calls, {self.tokens:,} tokens, ${self.usd:.2f}"
        return LimitError(
            f"stopped at {limit} ({spent}); all replies are kept: raise the limit or run the same command again to "
            "continue (limits apply to each invocation)"
        )


@dataclass(slots=True)
class StageUsage:
    """Usage of one stage: shown by the progress bar, stored as the manifest's `usage`.

    Calls, tokens and money are those of this invocation. `cached_calls` replies came from the response store, and had
    cost `stored_tokens_in` and `stored_tokens_out` when they were requested.
    """

    price: Price = FREE
    questions: int = 0
    calls: int = 0
    cached_calls: int = 0
    stored_tokens_in: int = 0
    stored_tokens_out: int = 0
    tokens_in: int = 0
    tokens_cached: int = 0
    tokens_out: int = 0
    tokens_thinking: int = 0  # part of tokens_out
    estimated: int = 0  # replies without token counts from the server
    usd: float = 0.0
    shortened: int = 0
    retried: Counter[str] = field(default_factory=Counter)
    failures: Counter[tuple[str, str]] = field(default_factory=Counter)  # (dictionary, reason)
    began: float = field(default_factory=time.monotonic)

    def add(self, reply: Reply) -> None:
        """Count one reply."""
        usage = reply.usage
        if reply.from_cache:
            self.cached_calls += 1
            self.stored_tokens_in += usage.tokens_in
            self.stored_tokens_out += usage.tokens_out
            return
        self.calls += usage.calls
        self.tokens_in += usage.tokens_in
        self.tokens_cached += usage.tokens_cached
        self.tokens_out += usage.tokens_out
        self.tokens_thinking += usage.tokens_thinking
        self.estimated += usage.estimated
        self.usd += self.price.of(usage.tokens_in, usage.tokens_cached, usage.tokens_out)

    def end(self, dictionary: str, failure: str, *, shortened: bool) -> None:
        """Count a finished question."""
        self.questions += 1
        self.shortened += shortened
        if failure:
            self.failures[dictionary, failure] += 1

    def manifest(self) -> dict[str, object]:
        """Return the counts as the manifest stores them; `failures` by reason and by dictionary."""
        by_dictionary: dict[str, dict[str, int]] = {}
        reasons: Counter[str] = Counter()
        for (dictionary, reason), n in sorted(self.failures.items()):
            by_dictionary.setdefault(dictionary, {})[reason] = n
            reasons[reason] += n
        return {
            "questions": self.questions,
            "calls": self.calls,
            "cached_calls": self.cached_calls,
            "stored_tokens_in": self.stored_tokens_in,
            "stored_tokens_out": self.stored_tokens_out,
            "tokens_in": self.tokens_in,
            "tokens_cached": self.tokens_cached,
            "tokens_out": self.tokens_out,
            "tokens_thinking": self.tokens_thinking,
            "tokens_estimated_for": self.estimated,
            "usd": round(self.usd, 6),
            "shortened": self.shortened,
            "retried": dict(sorted(self.retried.items())),
            "failures": dict(sorted(reasons.items())),
            "failures_by_dictionary": by_dictionary,
        }

    def words(self) -> str:
        """Summarise progress, what matters most first: failures, money, calls/s, tokens/s."""
        seconds = max(time.monotonic() - self.began, 1e-3)
        failed, tokens = sum(self.failures.values()), self.tokens_in + self.tokens_out
        parts = [f"{failed:,} failed"] if failed else []
        parts += [f"${self.usd:,.2f}"] if self.usd else []
        parts += [f"{self.calls / seconds:,.1f} calls/s"] if self.calls else []
        parts += [f"{tokens / seconds:,.0f} tokens/s"] if tokens else []
        parts += [f"{self.cached_calls:,} from the store"] if self.cached_calls else []
        return ", ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class CostEstimate:
    """Upper bound on a stage's cost: calls, tokens (prompt, and most that can be generated) and money."""

    stage: str
    calls: int
    tokens_in: int
    tokens_out: int
    usd: float
    exact: bool  # tokens counted by the model's own tokenizer; else UTF-8 bytes / 3.5

    def words(self) -> str:
        """Return the estimate as one line."""
        about = "" if self.exact else "about "
        money = f", at most ${self.usd:,.2f}" if self.usd else ""
        tokens = f"{about}{self.tokens_in:,} tokens in, at most {self.tokens_out:,} out"
        return f"{self.stage}: {self.calls:,} calls, {tokens}{money}"


def _prompt_tokens(requests: Sequence[Request], llm: LLM) -> tuple[float, bool]:
    """Return the tokens of all prompts, from those of some by length, and whether each was counted by its tokenizer."""
    step = max(1, math.ceil(len(requests) / MOST_COUNTED))
    counts = [(request, llm.count_tokens(request)) for request in requests[::step]]
    if any(count is None for _, count in counts):
        return float(sum(map(prompt_tokens, requests))), False
    of_some = sum(prompt_tokens(request) for request, _ in counts)
    scale = sum(map(prompt_tokens, requests)) / of_some if of_some else 0.0
    return scale * sum(count or 0 for _, count in counts), step == 1


def estimate_cost(
    stage: str, requests: Iterable[Request], llm: LLM, price: Price = FREE, *, calls: int | None = None
) -> CostEstimate:
    """Estimate what sending `requests` to `llm` would cost, without sending any.

    Args:
        stage: its name in the line printed.
        requests: all of them, or a sample of them.
        llm: counts tokens where it can, of at most `MOST_COUNTED` prompts; the others' follow from their lengths.
        price: of that LLM.
        calls: how many there will be where `requests` is a sample; tokens are scaled to it.
    """
    asked = list(requests)
    n, tokens_out = len(asked), sum(request.sampling.max_tokens for request in asked)
    counted_in, exact = _prompt_tokens(asked, llm)
    calls = n if calls is None else calls
    scale = calls / n if n else 0.0
    tokens_in, tokens_out = round(counted_in * scale), round(tokens_out * scale)
    usd = price.of(tokens_in, 0, tokens_out)
    return CostEstimate(
        stage=stage, calls=calls, tokens_in=tokens_in, tokens_out=tokens_out, usd=usd, exact=exact and calls == n
    )
