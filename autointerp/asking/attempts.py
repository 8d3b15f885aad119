"""A prompt's attempts: a stream of prompts is put to an LLM, each until it is read or its attempts are spent."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from autointerp.asking.budget import StageUsage
from autointerp.llm.base import LLM, Served
from autointerp.records import LatentId, Reply, Request
from autointerp.scorers import _answers
from autointerp.seeds import digest

T = TypeVar("T")
# Tokens a chat template may add per message; seen: 3 to 8.
TEMPLATE_TOKENS = 32


class AskConfig(BaseModel):
    """How stubbornly an LLM is asked."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    attempts: int = Field(default=4, ge=1, le=20, description="times a question is asked until its reply can be read")
    retry_temperature: float = Field(
        default=0.7,
        ge=0,
        le=2,
        description="least temperature of a repeat: at 0 a seed changes nothing",
    )


@dataclass(frozen=True, slots=True)
class Read(Generic[T]):
    """What a reader makes of a reply: `value` is always there, `failure` says why it holds no answer."""

    value: T
    failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending(Generic[T]):
    """A prompt that is being asked, and all that is needed to ask it again.

    `read` reads a reply that holds text; `shorter` makes the prompt with fewer whole examples (None when none is left
    to leave out) and says how many are left out then.
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
    """Ask everything in `source` until it is read, or `attempts` are spent."""
    waiting = iter(source)
    again: deque[Pending[T]] = deque()
    flying: dict[str, Pending[T]] = {}
    ended = False

    def requests() -> Iterator[Request]:
        # Ends when nothing is left to ask now; replies still in flight may bring more, so `_put` comes back.
        nonlocal ended
        while True:
            asked = again.popleft() if again else next(waiting, None)
            if asked is None:
                ended = True
                return
            asked = _fitting(asked, served)
            assert asked.request.key not in flying, f"two questions are called {asked.request.key}"
            flying[asked.request.key] = asked
            yield asked.request

    served = llm if isinstance(llm, Served) else None
    _learn(served, usage)
    while again or not ended:
        for reply in llm.generate(requests()):
            asked = flying.pop(reply.key)
            usage.add(reply)
            read = asked.read(_answers.visible(reply))
            retry = _again(asked, reply, read.failure, config) if read.failure else None
            if retry is None:
                usage.end(asked.latent.dictionary, read.failure, shortened=asked.n_left_out > 0)
                yield asked, reply, read
            else:
                usage.retried[read.failure] += 1
                again.append(retry)


def _again(asked: Pending[T], reply: Reply, failure: str, config: AskConfig) -> Pending[T] | None:
    """The prompt to put next after this failure, or None when the failure stands."""
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
    """The prompt with fewer whole examples, or None where none is left to leave out."""
    shorter = asked.shorter(asked.n_left_out)
    if shorter is None:
        return None
    request = replace(shorter[0], sampling=asked.request.sampling)
    return replace(asked, request=request, n_left_out=shorter[1], retried_for=(*asked.retried_for, "too_long"))


def _fitting(asked: Pending[T], llm: Served | None) -> Pending[T]:
    """The prompt, shortened as far as is known beforehand to be needed."""
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


def _learn(llm: Served | None, usage: StageUsage) -> None:
    """Let a back end of a real model find out what it can do; its test prompts are stored and counted as any."""
    if llm is None:
        return

    def put(request: Request) -> Reply:
        (reply,) = llm.generate([request])
        usage.add(reply)
        return reply

    llm.learn(put)
