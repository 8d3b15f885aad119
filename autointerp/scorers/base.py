"""The protocol every scorer keeps: held-out examples in, questions out, replies read into answers."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from autointerp.records import Control, Explanation, Judgement, LatentExamples, Question, Reply


class ControlsConfig(BaseModel):
    """Controls of every run: questions with known expected scores.

    Source: the counts give the equivalence test of the shuffled control (.5 +- .02) about 80 % power for three
    dictionaries, at the standard deviation .11 of a latent's score from 10 + 10 contexts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    n_shuffled: int = Field(
        default=100,
        ge=0,
        le=10**6,
        description="latents per dictionary judged by another latent's explanation; 0 for none",
    )
    n_empty: int = Field(
        default=30, ge=0, le=10**6, description="latents per dictionary judged by an explanation without words"
    )
    n_planted: int = Field(
        default=60,
        ge=0,
        le=10**5,
        description="planted latents, rules with known explanations; 0 for none, evenly over grades",
    )
    lexical: bool = Field(
        default=True, description="answer every question by the latent's most common peak token, without an LLM"
    )
    duplicate_share: float = Field(
        default=0.05, ge=0, le=1, description="share of prompts asked a second time with their contexts reshuffled"
    )


class Scorer(Protocol):
    """Asks a judge about held-out contexts and reads its replies. Pure: no I/O, no LLM, no randomness but `rng`.

    A member file `autointerp/scorers/<name>.py` defines a frozen pydantic `Config` and
    `build(config, prompts) -> Scorer`. `needs` names what answers its questions: `llm` is the study's judge, any other
    name the back end `autointerp/llm/<name>.py`, opened with the scorer's `back_end` settings (the embedding scorer
    names `embedding`; a scorer that needs the subject, or prompt log-probabilities, will name a back end for that).
    """

    name: str
    chance: float  # the score of a judge that knows nothing
    needs: str
    templates: Sequence[str]  # the templates it renders, for the manifest's hashes

    def questions(
        self, examples: LatentExamples, explanation: Explanation, control: Control, rng: np.random.Generator
    ) -> list[Question]:
        """Make all questions about one latent; the same for any order or subset of latents."""
        ...

    def reshuffled(self, question: Question, rng: np.random.Generator) -> Question | None:
        """Ask the same once more with its items in another order (control `duplicate`); None where there is none."""
        ...

    def judge(self, question: Question, reply: Reply) -> list[Judgement]:
        """Read one reply: one judgement per item, `unanswered` (never wrong, never dropped) where it is unreadable."""
        ...
