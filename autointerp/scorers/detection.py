"""Detection: does this context activate the latent, by its explanation?

Score: balanced accuracy over held-out activating and silent contexts, in [0, 1]; chance .5, exactly .5 for a judge that
always says the same. Degenerate: a latent without positives or without negatives has no score. Random
negatives cannot punish an explanation that is too broad (arXiv 2506.05774): see the `hard` ones, reported apart.

Which measure notices which wrong explanation, by a perfect judge on four planted words of the Python manual, means
(`AUTOINTERP_TABLES=print pytest -s tests/scorers/test_wrong_explanations.py`; windows of 32 words):

    explanation    random negatives    hard negatives    F1 at real prevalence
    true                 1.00               1.00                1.00
    near miss             .52                .32                 .07
    too broad             .95                .50                 .60
    too narrow            .73                .73                 .60

Source: arXiv 2410.13928, section 3.2 ("detection").
"""

from collections.abc import Sequence

import numpy as np

from autointerp.prompts import Prompts
from autointerp.records import Control, Explanation, Judgement, LatentExamples, Question, Reply
from autointerp.scorers import _yes_no


class Config(_yes_no.YesNoConfig):
    """Settings of detection."""


class Detection:
    """Shows plain held-out contexts, activating and silent ones mixed at random."""

    name = "detection"
    chance = 0.5
    needs = "llm"
    templates: Sequence[str] = ("scorers/detection",)

    def __init__(self, config: Config, prompts: Prompts) -> None:
        self.config, self.prompts = config, prompts

    def questions(
        self, examples: LatentExamples, explanation: Explanation, control: Control, rng: np.random.Generator
    ) -> list[Question]:
        """Ask about every held-out positive and every contrast window once."""
        entries = [_yes_no.entry(example, truth=True) for example in examples.held_out]
        entries += [_yes_no.entry(example, truth=False) for example in examples.contrast]
        return _yes_no.questions(
            _yes_no.deal(entries, self.config.n_per_question, rng),
            latent=examples.latent,
            scorer=self.name,
            control=control,
            explanation=explanation,
            prompts=self.prompts,
            config=self.config,
        )

    def reshuffled(self, question: Question, rng: np.random.Generator) -> Question | None:
        """Ask the same with the contexts in another order."""
        return _yes_no.reshuffled(question, rng, self.prompts)

    def judge(self, question: Question, reply: Reply) -> list[Judgement]:
        """Read one yes or no per context."""
        return _yes_no.judge(question, reply)


def build(config: Config, prompts: Prompts) -> Detection:
    """Make the scorer."""
    return Detection(config, prompts)
