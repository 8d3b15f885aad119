"""The protocol every scorer keeps: held-out examples in, questions out, replies read into answers."""

from typing import Protocol

import numpy as np

from autointerp.records import Control, Explanation, Judgement, LatentExamples, Question, Reply


class Scorer(Protocol):
    """Asks a judge about held-out contexts and reads its replies. Pure: no I/O, no LLM, no randomness but `rng`.

    A member file `autointerp/scorers/<name>.py` defines a frozen pydantic `Config` and
    `build(config, prompts) -> Scorer`. `needs` names what answers its questions: `llm` (a judge), `embedder`
    (a sentence-embedding model); later `subject`.
    """

    name: str
    chance: float  # the score of a judge that knows nothing
    needs: str

    def questions(
        self, examples: LatentExamples, explanation: Explanation, control: Control, rng: np.random.Generator
    ) -> list[Question]:
        """Make all questions about one latent; the same for any order or subset of latents."""
        ...

    def judge(self, question: Question, reply: Reply) -> list[Judgement]:
        """Read one reply: one judgement per item, `unanswered` (never wrong, never dropped) where it is unreadable."""
        ...
