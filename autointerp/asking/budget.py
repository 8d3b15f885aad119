"""What the LLMs of a run cost: counted, limited, planned. Pure but for the clock."""

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, Field

from autointerp.errors import LimitError
from autointerp.llm.base import LLM, Price
from autointerp.records import Reply, Request

FREE = Price()


class LimitsConfig(BaseModel):
    """Where a run stops by itself; what is finished is kept and the same command goes on from there.

    Limits count what one invocation sends; replies from the run's own store cost nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    calls: int | None = Field(default=None, gt=0, description="most LLM calls of one invocation")
    tokens: int | None = Field(default=None, gt=0, description="most tokens, in and out together")
    usd: float | None = Field(default=None, gt=0, description="most US dollars, by the `price` of each LLM")
    seconds: float | None = Field(default=None, gt=0, description="longest time since the first LLM call")


@dataclass(slots=True)
class Budget:
    """What one invocation has spent, over all its LLMs, against its limits."""

    limits: LimitsConfig = field(default_factory=LimitsConfig)
    calls: int = 0
    tokens: int = 0
    usd: float = 0.0
    in_flight: int = 0
    began: float | None = None
    answered: int = 0

    def sent(self) -> None:
        """One request goes out."""
        self.began = time.monotonic() if self.began is None else self.began
        self.in_flight += 1

    def back(self, reply: Reply, price: Price) -> None:
        """Its reply is here."""
        usage = reply.usage
        self.in_flight -= 1
        self.answered += 1
        self.calls += usage.calls
        self.tokens += usage.tokens_in + usage.tokens_out
        self.usd += price.of(usage.tokens_in, usage.tokens_cached, usage.tokens_out)

    def reached(self) -> str:
        """Name the limit that one more request would pass, or "".

        Requests in flight are reckoned at the mean of those that are back, so a limit is passed by little.
        """
        limits = self.limits
        share = self.in_flight / self.answered if self.answered else 0.0
        if limits.calls is not None and self.calls + self.in_flight >= limits.calls:
            return f"limits.calls = {limits.calls:,}"
        if limits.tokens is not None and self.tokens * (1 + share) >= limits.tokens:
            return f"limits.tokens = {limits.tokens:,}"
        if limits.usd is not None and self.usd * (1 + share) >= limits.usd:
            return f"limits.usd = {limits.usd:g}"
        if limits.seconds is not None and self.began and time.monotonic() - self.began >= limits.seconds:
            return f"limits.seconds = {limits.seconds:g}"
        return ""

    def error(self, limit: str) -> LimitError:
        """The error that ends the run at this limit."""
        spent = f"{self.calls:,} calls, {self.tokens:,} tokens, ${self.usd:.2f}"
        return LimitError(
            f"stopped at {limit} ({spent}); all replies are kept: raise the limit or run the same command again "
            "to go on (limits count each invocation anew)"
        )


@dataclass(slots=True)
class StageUsage:
    """How the questions of one stage ended: what the manifest's `usage` and the progress bar say.

    Calls, tokens and money are those of this invocation. `cached_calls` replies came from the response store, and had
    cost `stored_tokens_in` and `stored_tokens_out` when they were made.
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
        self.usd += self.price.of(usage.tokens_in, usage.tokens_cached, usage.tokens_out)

    def end(self, dictionary: str, failure: str, *, shortened: bool) -> None:
        """Count how one question ended."""
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
            "usd": round(self.usd, 6),
            "shortened": self.shortened,
            "retried": dict(sorted(self.retried.items())),
            "failures": dict(sorted(reasons.items())),
            "failures_by_dictionary": by_dictionary,
        }

    def words(self) -> str:
        """Say in a few words how it goes, what matters most first: failures, money, calls/s, tokens/s."""
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
    """What a stage will ask for: calls, tokens (prompt, and most that can be generated) and money at most."""

    stage: str
    calls: int
    tokens_in: int
    tokens_out: int
    usd: float
    exact: bool  # tokens counted by the model's own tokenizer; else UTF-8 bytes / 3.5

    def words(self) -> str:
        """Say it in one line."""
        about = "" if self.exact else "about "
        money = f", at most ${self.usd:,.2f}" if self.usd else ""
        tokens = f"{about}{self.tokens_in:,} tokens in, at most {self.tokens_out:,} out"
        return f"{self.stage}: {self.calls:,} calls, {tokens}{money}"


# Bytes of English prompt text per token where no tokenizer is at hand; 4 is the usual rule of thumb, marks and short
# pieces cost more.
BYTES_PER_TOKEN = 3.5


def estimate_cost(
    stage: str, requests: Iterable[Request], llm: LLM, price: Price = FREE, *, calls: int | None = None
) -> CostEstimate:
    """Reckon what putting `requests` to `llm` would take, without asking it anything.

    Args:
        stage: its name in the line printed.
        requests: all of them, or a sample of them.
        llm: counts tokens where it can.
        price: of that LLM.
        calls: how many there will be where `requests` is a sample; tokens are scaled to it.
    """
    n, tokens_in, tokens_out, exact = 0, 0, 0, True
    for request in requests:
        counted = llm.count_tokens(request)
        exact = exact and counted is not None
        size = sum(len(message.content.encode()) for message in request.messages)
        tokens_in += round(size / BYTES_PER_TOKEN) if counted is None else counted
        tokens_out += request.sampling.max_tokens
        n += 1
    calls = n if calls is None else calls
    scale = calls / n if n else 0.0
    tokens_in, tokens_out = round(tokens_in * scale), round(tokens_out * scale)
    usd = price.of(tokens_in, 0, tokens_out)
    return CostEstimate(
        stage=stage, calls=calls, tokens_in=tokens_in, tokens_out=tokens_out, usd=usd, exact=exact and calls == n
    )
