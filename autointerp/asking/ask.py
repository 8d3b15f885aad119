"""The one loop that puts explainers' and scorers' questions to an LLM: keyed, stored, retried, limited, counted.

    llm = ask.connect(back_end, store=run / "responses.sqlite", budget=budget, price=price)
    for reply in ask.explanations(explainer, llm, examples, config=config, seed=seed, usage=usage):
        reply.explanation, reply.row
    for reply in ask.judgements({"detection": detection}, llm, questions, config=config, usage=usage):
        reply.judgements, reply.row

Everything streams, in the order in which replies come: memory holds what is in flight. Sort tables by `question_id`.

A reply that cannot be read is asked for again with a fresh seed, `attempts` times in all, and then stands as
`unanswered` (a judge's) or failed (an explainer's), with its raw text and the reason. A call that brought no reply is
repeated with the same seed, so that a resumed run asks exactly what an undisturbed one asks. A prompt that exceeds the
model's context is shortened by whole examples, and counted.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from autointerp.asking.attempts import AskConfig as AskConfig
from autointerp.asking.attempts import Pending, Read, T, put
from autointerp.asking.budget import FREE, Budget, StageUsage
from autointerp.asking.cached import Cached
from autointerp.asking.limited import Limited
from autointerp.asking.responses import Store
from autointerp.explainers.base import Explainer, UnreadableError
from autointerp.llm.base import LLM, Batching, Price
from autointerp.records import (
    Explanation,
    Judgement,
    LatentExamples,
    LatentId,
    Message,
    PromptRecord,
    Question,
    Reply,
    Request,
)
from autointerp.scorers.base import Scorer
from autointerp.seeds import digest, generator
from autointerp.text import mend_surrogates

# An explanation's status by what went wrong; anything else (no reply, too long for the model) is "failed".
STATUS: dict[str, Literal["ok", "unparsed", "refused", "empty", "truncated"]] = {
    "": "ok",
    "unparsed": "unparsed",
    "refused": "refused",
    "empty": "empty",
    "truncated": "truncated",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """One latent's explanation and its prompt's record."""

    explanation: Explanation
    row: PromptRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One question's judgements, one per item, and its prompt's record."""

    question: Question
    judgements: tuple[Judgement, ...]
    row: PromptRecord


def connect(llm: LLM, *, store: Path | None, budget: Budget | None = None, price: Price = FREE) -> LLM:
    """Wrap an LLM with the run's limits and its response store (None: no store, every call is repeated)."""
    if store is not None and isinstance(llm, Batching):
        llm.keep(store.with_name("batches.jsonl"))
    limited = Limited(llm, budget or Budget(), price)
    return limited if store is None else Cached(limited, Store(store))


def explanation_id(latent: LatentId, explainer: str) -> str:
    """Name an explanation: the same on every resume, unique in a run of one explainer."""
    return f"{latent.dictionary}/{latent.site}/{latent.index}/{explainer}"


def explanations(
    explainer: Explainer,
    llm: LLM,
    examples: Iterable[LatentExamples],
    *,
    config: AskConfig,
    seed: int,
    usage: StageUsage | None = None,
    advance: Callable[[int, Callable[[], str]], None] | None = None,
) -> Iterator[Explained]:
    """Explain every latent once; failed explanations come too, with `text` None and a status.

    Args:
        explainer: writes the prompts and reads the replies.
        llm: answers; from `connect`.
        examples: one latent each, pulled as the LLM has room.
        config: how often to ask.
        seed: the study's.
        usage: filled with counts as replies come.
        advance: called after each latent with 1 and what says in a few words how it goes.

    Raises:
        StoppedError: the LLM is gone or a limit is reached.
    """
    pending = (_explaining(explainer, latent, seed) for latent in examples)
    usage = StageUsage() if usage is None else usage
    for asked, reply, read in put(llm, pending, config, usage):
        row = _row(asked, reply, read.failure)
        raw = reply.text or ""
        explanation = Explanation(
            explanation_id=explanation_id(asked.latent, explainer.name),
            latent=asked.latent,
            text=None if read.failure else read.value,
            explainer=explainer.name,
            prompt_hash=f"{digest(asked.request.messages):032x}"[:16],
            raw=raw,
            status=STATUS.get(read.failure, "failed"),
            n_retries=row.n_retries,
        )
        yield Explained(explanation=explanation, row=row)
        if advance:
            advance(1, usage.words)


def judgements(
    scorers: Mapping[str, Scorer],
    llm: LLM,
    questions: Iterable[Question],
    *,
    config: AskConfig,
    usage: StageUsage | None = None,
    advance: Callable[[int, Callable[[], str]], None] | None = None,
) -> Iterator[Judged]:
    """Put every question once; each yields one judgement per item, `unanswered` where no reply could be read.

    Args:
        scorers: by name; a question's `scorer` names the one that reads its replies.
        llm: answers; from `connect`.
        questions: of any scorers, mixed, pulled as the LLM has room.
        config: how often to ask.
        usage: filled with counts as replies come.
        advance: called after each question with 1 and what says in a few words how it goes.

    Raises:
        StoppedError: the LLM is gone or a limit is reached.
    """
    asked_of: dict[str, Question] = {}

    def pending() -> Iterator[Pending[tuple[Judgement, ...]]]:
        for question in questions:
            asked_of[question.question_id] = question
            yield _judging(scorers[question.scorer], question)

    usage = StageUsage() if usage is None else usage
    for asked, reply, read in put(llm, pending(), config, usage):
        row = _row(asked, reply, read.failure)
        question = asked_of.pop(asked.first.key)
        judgements_ = read.value
        if row.n_retries:
            judgements_ = tuple(replace(judgement, n_retries=row.n_retries) for judgement in judgements_)
        yield Judged(question=question, judgements=judgements_, row=row)
        if advance:
            advance(1, usage.words)


def _explaining(explainer: Explainer, examples: LatentExamples, seed: int) -> Pending[str]:
    def request(shown: LatentExamples) -> Request:
        rng = generator(seed, "explain", explainer.name, examples.latent)
        made = explainer.request(shown, rng)
        return replace(made, key=explanation_id(examples.latent, explainer.name))

    def read(reply: Reply) -> Read[str]:
        if failure := _unread(reply):
            return Read("", failure)
        try:
            return Read(explainer.read(reply))
        except UnreadableError as error:
            return Read("", error.status)

    def shorter(left_out: int) -> tuple[Request, int] | None:
        n = len(examples.explain)
        keep = (n - left_out) * 3 // 4
        if keep < 1:
            return None
        # Evenly spaced, so that every activation decile stays.
        kept = tuple(examples.explain[index * n // keep] for index in range(keep))
        return request(replace(examples, explain=kept)), n - keep

    first = request(examples)
    return Pending(
        latent=examples.latent, scorer="explain", control="none", first=first, request=first, read=read, shorter=shorter
    )


def _judging(scorer: Scorer, question: Question) -> Pending[tuple[Judgement, ...]]:
    first = question.request()

    def read(reply: Reply) -> Read[tuple[Judgement, ...]]:
        failure = _unread(reply)
        if failure and failure != "truncated":  # a list may be whole although more words were cut
            return Read(_unanswered(question, failure), failure)
        judged = tuple(scorer.judge(question, reply))
        assert len(judged) == len(question.items), f"{scorer.name} judged {len(judged)} of {len(question.items)} items"
        missing = [judgement.status for judgement in judged if judgement.answer == "unanswered"]
        if not missing:
            return Read(judged)
        failure = failure or (missing[0] if missing[0] != "ok" else "unparsed")
        return Read(_unanswered(question, failure) if len(missing) == len(judged) else judged, failure)

    def shorter(left_out: int) -> tuple[Request, int] | None:
        messages = _without_shots(question.messages, left_out + 1)
        return None if messages is None else (replace(first, messages=messages), left_out + 1)

    return Pending(
        latent=question.latent,
        scorer=question.scorer,
        control=question.control,
        first=first,
        request=first,
        read=read,
        shorter=shorter,
    )


def _unread(reply: Reply) -> str:
    """Why a reply cannot be an answer whatever its words, or ""."""
    if reply.text is None:
        return reply.failure or "no_reply"
    if reply.finish_reason == "content_filter":
        return "refused"
    if reply.finish_reason == "length":
        return "truncated"
    return "" if reply.text.strip() else "empty"


def _unanswered(question: Question, status: str) -> tuple[Judgement, ...]:
    return tuple(
        Judgement(
            latent=question.latent,
            scorer=question.scorer,
            control=question.control,
            question_id=question.question_id,
            position=position,
            item=item,
            answer="unanswered",
            probability=None,
            explanation_id=question.explanation_id,
            status=status,
        )
        for position, item in enumerate(question.items)
    )


def _without_shots(messages: tuple[Message, ...], n: int) -> tuple[Message, ...] | None:
    """Remove the first `n` few-shot turns (a user's and the assistant's message each); None if it has fewer."""
    start = 1 if messages[0].role == "system" else 0
    shots = (len(messages) - start - 1) // 2
    return messages[:start] + messages[start + 2 * n :] if n <= shots else None


def _row(asked: Pending[T], reply: Reply, failure: str) -> PromptRecord:
    usage = reply.usage
    prompt = [{"role": message.role, "content": message.content} for message in asked.request.messages]
    return PromptRecord(
        question_id=asked.first.key,
        dictionary=asked.latent.dictionary,
        site=asked.latent.site,
        latent=asked.latent.index,
        scorer=asked.scorer,
        control=asked.control,
        prompt=mend_surrogates(json.dumps(prompt, ensure_ascii=False)),
        reply=reply.text,
        failure=failure,
        retried_for=" ".join(asked.retried_for),
        n_left_out=asked.n_left_out,
        n_calls=usage.calls,
        from_cache=reply.from_cache,
        n_retries=len(asked.retried_for),
        **{name: getattr(usage, name) for name in ("tokens_in", "tokens_cached", "tokens_out", "latency_s")},
    )
