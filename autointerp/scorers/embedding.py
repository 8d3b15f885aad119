"""Embedding: is the explanation nearer to activating contexts than to silent ones, for a sentence-embedding model?

Score: AUROC of the similarity of a latent's held-out activating contexts against its RANDOM silent ones, in [0, 1];
chance .5: how likely a random activating context is nearer to the explanation than a random silent one. Hard negatives
have an AUROC of their own (`score_hard`) and do not move the score. A context is answered yes if it is more similar
than the n + 1st of n activating and the random ones; recall and specificity are of these answers.
Degenerate: a latent without positives or without negatives has no score. The cheapest scorer, and the bluntest: it
knows subjects, not words or positions.

Source: arXiv 2410.13928, section 3.2 ("embedding").
"""

import json
import math
from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from autointerp.prompts import Prompts, one_line, plain
from autointerp.records import (
    Control,
    Explanation,
    Judgement,
    JudgeTask,
    Kind,
    LatentExamples,
    Message,
    Question,
    Reply,
    Sampling,
)
from autointerp.scorers import _yes_no
from autointerp.seeds import digest


class Config(BaseModel):
    """Settings of the embedding scorer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(
        default="sentence-transformers/all-MiniLM-L6-v2", description="sentence-embedding model: a folder or a hub name"
    )
    instruction: str = Field(default="", description="put before the explanation, for models that want it")


class Embedding:
    """Asks for the similarity of an explanation to all of a latent's contexts at once."""

    name = "embedding"
    chance = 0.5
    needs = "embedding"
    templates: Sequence[str] = ()

    def __init__(self, config: Config) -> None:
        self.config = config
        self.back_end = {"model": config.model}

    def questions(
        self, examples: LatentExamples, explanation: Explanation, control: Control, rng: np.random.Generator
    ) -> list[Question]:
        """Ask about every held-out positive and every contrast window, all in one."""
        entries = [_yes_no.entry(example, truth=True) for example in examples.held_out]
        entries += [_yes_no.entry(example, truth=False) for example in examples.contrast]
        if not entries:
            return []
        entries = [entries[i] for i in rng.permutation(len(entries))]
        shown = tuple(entry.shown for entry in entries)
        text = one_line(plain(explanation.text or "")).strip()
        key = digest(self.name, control, examples.latent, explanation.explanation_id)
        question = Question(
            question_id=f"{key:032x}"[:20],
            latent=examples.latent,
            scorer=self.name,
            control=control,
            explanation_id=explanation.explanation_id,
            items=tuple(entry.item for entry in entries),
            messages=self._messages(text, [item.text for item in shown]),
            task=JudgeTask(explanation=self.config.instruction + text, items=shown),
            sampling=Sampling(),
        )
        return [question]

    def _messages(self, explanation: str, texts: Sequence[str]) -> tuple[Message, ...]:
        """The embedded texts, for the record: the explanation, then each context."""
        return (Message("user", "\n".join([self.config.instruction + explanation, *map(one_line, texts)])),)

    def reshuffled(self, question: Question, rng: np.random.Generator) -> Question | None:
        """Similarities do not depend on order: there is nothing to ask again."""
        return None

    def judge(self, question: Question, reply: Reply) -> list[Judgement]:
        """Read a JSON list of similarities in [-1, 1], one per context."""
        values = similarities(reply.text, len(question.items))
        if values is None:
            return [_yes_no.judgement(question, place, None, None, reply) for place in range(len(question.items))]
        least = threshold(values, [item.kind for item in question.items])
        return [
            _yes_no.judgement(question, place, value > least, (1 + value) / 2, reply)
            for place, value in enumerate(values)
        ]


def threshold(values: Sequence[float], kinds: Sequence[Kind]) -> float:
    """Return the similarity above which a context is answered yes: that of the first one after n of n positives.

    >>> threshold([0.9, 0.8, 0.3, 0.1, 0.95], ["positive", "positive", "random", "random", "hard"])
    0.3
    """
    ranked = sorted((v for v, kind in zip(values, kinds, strict=True) if kind != "hard"), reverse=True)
    n = sum(kind == "positive" for kind in kinds)
    return ranked[n] if n < len(ranked) else -math.inf


def similarities(text: str | None, n: int) -> list[float] | None:
    """Read exactly `n` numbers in [-1, 1] from JSON, or None.

    >>> similarities("[0.5, -1]", 2), similarities("[0.5]", 2), similarities("[NaN]", 1)
    ([0.5, -1.0], None, None)
    """
    try:
        parsed = json.loads(text or "")
    except json.JSONDecodeError:
        return None
    if not isinstance(parsed, list) or len(parsed) != n or not all(isinstance(value, int | float) for value in parsed):
        return None
    values = [float(value) for value in parsed]
    return values if all(math.isfinite(value) and abs(value) <= 1 + 1e-6 for value in values) else None


def build(config: Config, prompts: Prompts) -> Embedding:
    """Make the scorer."""
    return Embedding(config)
