"""Shared code of detection and fuzzing: contexts dealt into prompts, one yes or no parsed per context."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from autointerp.prompts import Prompts, context, one_line, plain
from autointerp.records import (
    Control,
    Example,
    Explanation,
    Item,
    Judgement,
    JudgeTask,
    LatentExamples,
    LatentId,
    Message,
    Question,
    Reply,
    Sampling,
    ShownItem,
)
from autointerp.scorers import _answers
from autointerp.scorers._dealing import Entry as Entry
from autointerp.scorers._dealing import balanced, deal
from autointerp.seeds import digest
from autointerp.text import joined, token_spans

# Tokens of a reply: a JSON list's brackets and, per entry, number, comma and white space, with room to spare.
FRAME_TOKENS, ANSWER_TOKENS = 16, 6


class YesNoConfig(BaseModel):
    """Settings of a scorer that asks yes or no about every context."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    form: Literal["list", "single", "token"] = Field(
        default="list",
        description="list: several contexts, answered by a list; single: one context; token: one context, answered by "
        "the word yes or no. single and token turn their examples round in half of the prompts",
    )
    n_per_question: int = Field(default=5, ge=1, le=50, description="contexts per prompt of form list")
    temperature: float = Field(default=0.0, ge=0, le=2, description="sampling temperature of the judge")
    top_logprobs: int = Field(default=10, ge=0, le=20, description="alternatives to read P(yes) from; 0 asks for none")


class YesNo:
    """A scorer that shows contexts, dealt at random into prompts, and asks yes or no about each.

    `entries` makes a latent's contexts, of both classes, with what is true of them; `balance` deals them so that marks
    resemble those of their prompt whether they are right or wrong.
    """

    chance = 0.5
    needs = "llm"

    def __init__(
        self,
        name: str,
        config: YesNoConfig,
        prompts: Prompts,
        entries: Callable[[LatentExamples, np.random.Generator], list[Entry]],
        *,
        balance: bool = False,
    ) -> None:
        self.name, self.config, self.prompts, self._entries = name, config, prompts, entries
        self.templates: Sequence[str] = (f"scorers/{name}",)
        self._balance = balance
        # What was dealt last, and for what: a latent's controls are asked about the same prompts.
        self._last: tuple[LatentExamples, object, list[list[Entry]]] | None = None

    def questions(
        self, examples: LatentExamples, explanation: Explanation, control: Control, rng: np.random.Generator
    ) -> list[Question]:
        """Ask about every context once."""
        state = rng.bit_generator.state
        if self._last is None or self._last[0] is not examples or self._last[1] != state:
            self._last = (examples, state, self._dealt(examples, rng))
        return questions(
            self._last[2],
            latent=examples.latent,
            scorer=self.name,
            control=control,
            explanation=explanation,
            prompts=self.prompts,
            config=self.config,
        )

    def _dealt(self, examples: LatentExamples, rng: np.random.Generator) -> list[list[Entry]]:
        n = self.config.n_per_question if self.config.form == "list" else 1
        dealt = deal(self._entries(examples, rng), n, rng)
        return balanced(dealt, rng) if self._balance else dealt

    def reshuffled(self, question: Question, rng: np.random.Generator) -> Question | None:
        """Ask the same with the contexts, or where there is one the prompt's examples, in another order."""
        return reshuffled(question, rng, self.prompts, self.config.form)

    def judge(self, question: Question, reply: Reply) -> list[Judgement]:
        """Read one yes or no per context."""
        return judge(question, reply)


def entry(example: Example, *, truth: bool, marks: Sequence[int] = (), **changes: object) -> Entry:
    """Make the entry of one example, the tokens at `marks` marked; `changes` replace fields of its item."""
    fields = {
        "window": example.window,
        "document": example.document,
        "kind": example.kind,
        "stratum": example.stratum,
        "stratum_share": example.stratum_share,
    }
    item = Item(**{**fields, **changes}, truth=truth)  # pyright: ignore[reportArgumentType]
    return Entry(item=item, shown=ShownItem(text=plain(example.text), marks=spans(example.pieces, marks)))


def spans(pieces: Sequence[str], tokens: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Return the character spans of some tokens of a text, whole characters, neighbours joined into one span.

    >>> spans(["a", " big", " cat", "."], [1, 2])
    ((1, 9),)
    """
    where = token_spans(pieces)
    return joined(where[token] for token in sorted(tokens))


def questions(
    dealt: Sequence[Sequence[Entry]],
    *,
    latent: LatentId,
    scorer: str,
    control: Control,
    explanation: Explanation,
    prompts: Prompts,
    config: YesNoConfig,
) -> list[Question]:
    """Write one prompt per dealt group of contexts, from the template named as the scorer."""
    text = one_line(plain(explanation.text or "")).strip()
    made = []
    for number, group in enumerate(dealt):
        shown = tuple(entry.shown for entry in group)
        question_id = f"{digest(scorer, control, latent, explanation.explanation_id, number):032x}"[:20]
        question = Question(
            question_id=question_id,
            latent=latent,
            scorer=scorer,
            control=control,
            explanation_id=explanation.explanation_id,
            items=tuple(entry.item for entry in group),
            messages=render(prompts, scorer, text, shown, form=config.form, flip=_flipped(question_id)),
            task=JudgeTask(explanation=text, items=shown),
            sampling=Sampling(
                temperature=config.temperature,
                max_tokens=FRAME_TOKENS + ANSWER_TOKENS * len(group),
                top_logprobs=config.top_logprobs,
            ),
            schema=_answers.WORD_SCHEMA if config.form == "token" else _answers.yes_no_schema(len(group)),
        )
        made.append(question)
    return made


def render(
    prompts: Prompts, scorer: str, explanation: str, shown: Sequence[ShownItem], *, form: str, flip: bool
) -> tuple[Message, ...]:
    """Render the template named as the scorer: the explanation and one line per context."""
    lines = [context(item.text, item.marks) for item in shown]
    return prompts.render(
        f"scorers/{scorer}", explanation=explanation, items=lines, n_items=len(lines), form=form, flip=flip
    )


def reshuffled(question: Question, rng: np.random.Generator, prompts: Prompts, form: str) -> Question | None:
    """Ask the same once more in another order: of the contexts, or of the examples of a prompt with one context.

    A list of one context has no other order: None.
    """
    n = len(question.items)
    if n < 2 and form == "list":
        return None
    order = new_order(n, rng) if n > 1 else [0]
    shown = tuple(question.task.items[i] for i in order)
    key = digest("duplicate", question.question_id)
    flip = not _flipped(question.question_id)
    return replace(
        question,
        question_id=f"{key:032x}"[:20],
        control="duplicate",
        items=tuple(question.items[i] for i in order),
        messages=render(prompts, question.scorer, question.task.explanation, shown, form=form, flip=flip),
        task=replace(question.task, items=shown),
    )


def _flipped(question_id: str) -> bool:
    """Return whether a prompt's examples are reversed: by its id, so for half of the prompts."""
    return bool(int(question_id[-1], 16) & 1)


def new_order(n: int, rng: np.random.Generator) -> list[int]:
    """Draw an order of n >= 2 items other than the one they have."""
    order = rng.permutation(n)
    return (np.roll(order, 1) if (order == np.arange(n)).all() else order).tolist()


def judge(question: Question, reply: Reply) -> list[Judgement]:
    """Read a reply with one yes or no per item; all items are `unanswered` where it has not exactly that."""
    n = len(question.items)
    seen = _answers.visible(reply)
    answers = _answers.yes_no(seen.text, n) if seen.text else None
    probabilities = _answers.probabilities(seen.logprobs, n) if answers else [None] * n
    return [
        judgement(question, position, None if answers is None else answers[position], probabilities[position], reply)
        for position in range(n)
    ]


def judgement(
    question: Question, position: int, answer: bool | None, probability: float | None, reply: Reply
) -> Judgement:
    """Record one answer, None being `unanswered`; the reply tells why."""
    return Judgement(
        latent=question.latent,
        scorer=question.scorer,
        control=question.control,
        question_id=question.question_id,
        position=position,
        item=question.items[position],
        answer="unanswered" if answer is None else "yes" if answer else "no",
        probability=probability,
        explanation_id=question.explanation_id,
        status="ok" if answer is not None else unanswered_because(reply),
    )


def unanswered_because(reply: Reply) -> str:
    """Return in one word why a reply was not parsed: its failure, or truncated, empty or unparsed."""
    if reply.failure:
        return reply.failure
    if reply.finish_reason == "length":
        return "truncated"
    return "unparsed" if (reply.text or "").strip() else "empty"
