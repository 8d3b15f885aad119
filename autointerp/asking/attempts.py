"""Attempts: a stream of prompts is sent to an LLM, each until its reply is read or its attempts are spent."""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from autointerp.asking.budget import StageUsage
from autointerp.asking.useless import Useless
from autointerp.console import check_interrupt, deferred_interrupts
from autointerp.llm.base import LLM, Served
from autointerp.records import LatentId, Reply, Request
from autointerp.scorers import _answers
from autointerp.seeds import digest

T = TypeVar("T")
# Tokens a chat template may add per message; seen: 3 to 8.
TEMPLATE_TOKENS = 32


class AskConfig(BaseModel):
    """Retry policy for LLM requests."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    attempts: int = Field(default=4, ge=1, le=20, description="requests per question until its reply can be read")
    retry_temperature: float = Field(
        default=0.7,
        ge=0,
        le=2,
        description="least temperature of a retry: at 0 a seed changes nothing",
    )


@dataclass(frozen=True, slots=True)
class Read(Generic[T]):
    """A reply as read: `value` is always set, `failure` says why it holds no answer, or is empty."""

    value: T
    failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending(Generic[T]):
    """A prompt in progress, with all that is needed to send it again.

    `read` reads a reply that holds text; `shorter` takes how many examples are left out so far and returns the prompt
    with fewer whole examples and how many it leaves out, or None if no more can be left out.
    """

    latent: LatentId
    scorer: str
    control: str
    first: Request
    read: Callable[[Reply], Read[T]]
    shorter: Callable[[int], tuple[Request, int] | None]
    request: Request
    n_left_out: int = 0
    n_unread: int = 0
    retried_for: tuple[str, ...] = ()


def put(
    llm: LLM, source: Iterable[Pending[T]], config: AskConfig, usage: StageUsage
) -> Iterator[tuple[Pending[T], Reply, Read[T]]]:
    """Send every prompt in `source` until its reply is read, or `attempts` are spent.

    Raises:
        EngineError: reply after reply could not be used, for a reason that the message names.
        KeyboardInterrupt: Ctrl-C was pressed; replies that had arrived were yielded.
    """
    waiting = iter(source)
    again: deque[Pending[T]] = deque()
    in_flight: dict[str, Pending[T]] = {}
    useless = Useless()
    ended = False

    def requests() -> Iterator[Request]:
        # Ends when there is nothing to send now; replies still in flight may lead to more, so `put` comes back.
        nonlocal ended
        while True:
            check_interrupt()
            asked = again.popleft() if again else next(waiting, None)
            if asked is None:
                ended = True
                return
            asked = _fitting(asked, served)
            assert asked.request.key not in in_flight, f"two questions are named {asked.request.key}"
            in_flight[asked.request.key] = asked
            yield asked.request

    served = llm if isinstance(llm, Served) else None
    with deferred_interrupts():
        first = next(waiting, None)
        if first is not None:
            waiting = itertools.chain([first], waiting)
            _learn(served, first.request, usage)
        while again or not ended:
            for reply in llm.generate(requests()):
                asked = in_flight.pop(reply.key)
                visible = _answers.visible(reply)
                reply = _thinking_counted(reply, visible)
                usage.add(reply)
                read = asked.read(visible)
                retry = _again(asked, reply, read.failure, config) if read.failure else None
                if retry is None:
                    usage.end(asked.latent.dictionary, read.failure, shortened=asked.n_left_out > 0)
                    yield asked, reply, read
                else:
                    usage.retried[read.failure] += 1
                    again.append(retry)
                useless.add(read.failure, reply, shortens=retry is not None and read.failure == "too_long")


def _thinking_counted(reply: Reply, visible: Reply) -> Reply:
    """The reply with its thinking tokens estimated from the text's length, where the server does not count them."""
    used, text = reply.usage, reply.text
    if used.tokens_thinking or not text or visible is reply:
        return reply
    share = 1 - len(visible.text or "") / len(text)
    return replace(reply, usage=replace(used, tokens_thinking=round(used.tokens_out * share)))


def _again(asked: Pending[T], reply: Reply, failure: str, config: AskConfig) -> Pending[T] | None:
    """The prompt to send next after this failure, or None if the failure is final."""
    if failure == "too_long":
        return _shorter(asked)
    n_tried = sum(reason != "too_long" for reason in asked.retried_for) + 1
    if n_tried >= config.attempts:
        return None
    retried_for = (*asked.retried_for, failure)
    if reply.text is None:
        return replace(asked, retried_for=retried_for)
    # The seed counts unreadable replies only, so that lost calls do not change what is asked.
    n_unread = asked.n_unread + 1
    sampling = replace(
        asked.first.sampling,
        seed=digest(asked.first.sampling.seed, asked.first.key, n_unread) % 2**31,
        temperature=max(asked.first.sampling.temperature, config.retry_temperature),
    )
    request = replace(asked.request, sampling=sampling)
    return replace(asked, request=request, n_unread=n_unread, retried_for=retried_for)


def _shorter(asked: Pending[T]) -> Pending[T] | None:
    """The prompt with fewer whole examples, or None if no more can be left out."""
    shorter = asked.shorter(asked.n_left_out)
    if shorter is None:
        return None
    request = replace(shorter[0], sampling=asked.request.sampling)
    return replace(asked, request=request, n_left_out=shorter[1], retried_for=(*asked.retried_for, "too_long"))


def _fitting(asked: Pending[T], llm: Served | None) -> Pending[T]:
    """Shorten the prompt to fit the context window, if the window is known."""
    room = llm.context_length if llm is not None else None
    while llm is not None and room is not None:
        messages, most = asked.request.messages, room - asked.request.sampling.max_tokens
        # No tokenizer makes more tokens than bytes, and templates add a few per message: most prompts need no count.
        if sum(_n_bytes(message.content) + TEMPLATE_TOKENS for message in messages) <= most:
            break
        n_tokens = llm.count_tokens(asked.request)
        shorter = _shorter(asked) if n_tokens is not None and n_tokens > most else None
        if shorter is None:
            break
        asked = shorter
    return asked


def _n_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _learn(llm: Served | None, like: Request, usage: StageUsage) -> None:
    """Let a real model's back end detect its capabilities; its test prompts are stored and counted like any request."""
    if llm is None:
        return

    def put(request: Request) -> Reply:
        (reply,) = llm.generate([request])
        usage.add(reply)
        return reply

    llm.learn(put, like)
