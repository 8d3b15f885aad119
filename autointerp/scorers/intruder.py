"""Intruder: which of five contexts does not belong? Needs no explanation: it measures the latent, not its description.

Four contexts activate the latent (of neighbouring deciles), one does not. Score: the share of questions in which the
intruder is picked, in [0, 1]; chance 1 / n_contexts, .2 by default. Degenerate: a latent with fewer positives than a
question shows, or without negatives, has no questions. By default active tokens are marked: of five activating windows
of neighbouring deciles, any of them alike, one is taken away and the intruder marked as it was, so that neither the
number of marks nor their positions reveal the intruder. From two rounds on each window is shown at least once.

A judgement has one row per context: the intruder is the target (`truth`, kind `positive`), the others are
kind `random`. Explanations play no part, so controls on them (shuffled, empty) ask nothing.

Source: arXiv 2507.08473 (intruder detection for sparse coders, after the topic-model task of Chang et al. 2009).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from autointerp.prompts import Prompts, context
from autointerp.records import (
    Control,
    Example,
    Explanation,
    Judgement,
    JudgeTask,
    LatentExamples,
    Message,
    Question,
    Reply,
    Sampling,
    ShownItem,
)
from autointerp.scorers import _answers, _yes_no
from autointerp.scorers.fuzzing import active
from autointerp.seeds import digest

# Tokens of a reply: one number, with room for a word or two around it.
REPLY_TOKENS = 16


class Config(BaseModel):
    """Settings of the intruder scorer."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    n_contexts: int = Field(default=5, ge=3, le=20, description="contexts per question, one of them the intruder")
    n_rounds: int = Field(default=2, ge=1, le=20, description="how often all activating windows are dealt")
    marks: bool = Field(default=True, description="whether active tokens are marked")
    mark_share: float = Field(
        default=0.3, gt=0, le=1, description="tokens are marked from this share of the window's largest activation on"
    )
    temperature: float = Field(default=0.0, ge=0, le=2, description="sampling temperature of the judge")


class Intruder:
    """Shows activating contexts and one that is silent, and asks for that one."""

    name = "intruder"
    needs = "llm"
    templates: Sequence[str] = ("scorers/intruder",)

    def __init__(self, config: Config, prompts: Prompts) -> None:
        self.config, self.prompts = config, prompts
        self.chance = 1 / config.n_contexts

    def questions(
        self, examples: LatentExamples, explanation: Explanation, control: Control, rng: np.random.Generator
    ) -> list[Question]:
        """Deal positives of neighbouring strata into questions, each with one silent window among them."""
        silent = [example for example in examples.contrast if example.kind == "random"]
        if control not in ("none", "planted") or not silent:
            return []
        groups = [
            group for _ in range(self.config.n_rounds) for group in deal(examples.held_out, self.config.n_contexts, rng)
        ]
        # An intruder comes back in each round as its company does: a context seen again tells nothing.
        n_intruders = min(len(silent), len(groups) // self.config.n_rounds)
        order = rng.permutation(len(silent))[:n_intruders]
        lent: Counter[int] = Counter()
        made = []
        for number, group in enumerate(groups):
            intruder = silent[order[number % n_intruders]]
            rare = [example for example in group if lent[example.window] == min(lent[e.window] for e in group)]
            donor = rare[int(rng.integers(len(rare)))]
            lent[donor.window] += 1
            group.remove(donor)
            entries = [self._entry(example, example, found=False) for example in group]
            entries.append(self._entry(intruder, donor, found=True))
            shuffled = [entries[i] for i in rng.permutation(len(entries))]
            made.append(self._question(shuffled, examples, explanation, control, number))
        return made

    def _entry(self, example: Example, donor: Example, *, found: bool) -> _yes_no.Entry:
        marks = active(donor, self.config.mark_share) if self.config.marks else ()
        kind = "positive" if found else "random"
        return _yes_no.entry(example, truth=found, marks=marks, kind=kind, stratum=0, stratum_share=1.0)

    def _question(
        self,
        entries: Sequence[_yes_no.Entry],
        examples: LatentExamples,
        explanation: Explanation,
        control: Control,
        number: int,
    ) -> Question:
        shown = tuple(entry.shown for entry in entries)
        key = digest(self.name, control, examples.latent, number)
        return Question(
            question_id=f"{key:032x}"[:20],
            latent=examples.latent,
            scorer=self.name,
            control=control,
            explanation_id=explanation.explanation_id,
            items=tuple(entry.item for entry in entries),
            messages=self._render(shown),
            task=JudgeTask(explanation="", items=shown, form="choose_one"),
            sampling=Sampling(temperature=self.config.temperature, max_tokens=REPLY_TOKENS),
            schema=_answers.choice_schema(len(shown)),
        )

    def _render(self, shown: Sequence[ShownItem]) -> tuple[Message, ...]:
        lines = [context(item.text, item.marks) for item in shown]
        return self.prompts.render(self.templates[0], items=lines, n_items=len(lines), marks=self.config.marks)

    def reshuffled(self, question: Question, rng: np.random.Generator) -> Question | None:
        """Ask the same with the contexts in another order."""
        order = _yes_no.new_order(len(question.items), rng)
        shown = tuple(question.task.items[i] for i in order)
        return replace(
            question,
            question_id=f"{digest('duplicate', question.question_id):032x}"[:20],
            control="duplicate",
            items=tuple(question.items[i] for i in order),
            messages=self._render(shown),
            task=replace(question.task, items=shown),
        )

    def judge(self, question: Question, reply: Reply) -> list[Judgement]:
        """Read one number; the context it names is answered yes, all others no."""
        n = len(question.items)
        text = _answers.visible(reply).text
        chosen = _answers.choice(text, n) if text else None
        return [
            _yes_no.judgement(question, place, None if chosen is None else place + 1 == chosen, None, reply)
            for place in range(n)
        ]


def deal(positives: Sequence[Example], n: int, rng: np.random.Generator) -> list[list[Example]]:
    """Deal windows into groups of `n` of neighbouring strata; the last group takes some of the group before again."""
    if len(positives) < n:
        return []
    order = sorted(rng.permutation(len(positives)).tolist(), key=lambda i: positives[i].stratum)
    starts = [*range(0, len(order) - n + 1, n)]
    if starts[-1] + n < len(order):
        starts.append(len(order) - n)
    return [[positives[i] for i in order[start : start + n]] for start in starts]


def build(config: Config, prompts: Prompts) -> Intruder:
    """Make the scorer."""
    return Intruder(config, prompts)
