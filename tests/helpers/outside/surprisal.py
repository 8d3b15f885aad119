"""A scorer that needs the subject again, in one file outside the package: how much less surprising is a context to the
subject behind the explanation?

Score: AUROC of the gain in mean log-probability (each judgement's `probability`, squashed into [0, 1]), chance .5;
balanced accuracy of "among the greater half of the gains" likewise. Degenerate: as the embedding scorer's.

`build` makes the scorer; `open` makes the back end that answers its questions, in the same file, which `needs` names.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
import transformers
from pydantic import BaseModel, ConfigDict, Field

from autointerp.prompts import Prompts
from autointerp.records import JudgeTask, Reply, Request
from autointerp.scorers import embedding


class Config(BaseModel):
    """Settings of the scorer, and of its back end."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(description="the subject: a folder or a hub name")


class Surprisal(embedding.Embedding):
    """Asks about all of a latent's contexts at once and reads a number in [-1, 1] for each, as the embedding scorer."""

    name = "surprisal"
    needs = __file__

    def __init__(self, config: Config) -> None:
        super().__init__(embedding.Config(model=config.model))


def build(config: Config, prompts: Prompts) -> Surprisal:
    """Make the scorer."""
    return Surprisal(config)


class Subject:
    """Answers with the gain in log-probability of each context behind the explanation, in one batch per question."""

    name = "surprisal"

    def __init__(self, config: Config) -> None:
        self.fingerprint = f"surprisal {config.model}"
        self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(config.model)
        self._model: Any = transformers.AutoModelForCausalLM.from_pretrained(config.model).eval()

    def generate(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Answer requests in their order."""
        for request in requests:
            assert isinstance(request.task, JudgeTask)
            texts = [item.text for item in request.task.items]
            gains = self._logprobs(request.task.explanation, texts) - self._logprobs("", texts)
            yield Reply(key=request.key, text=json.dumps(gains.tanh().tolist()), finish_reason="stop")

    def _logprobs(self, before: str, texts: Sequence[str]) -> torch.Tensor:
        """Mean log-probability of each text's tokens behind BOS and `before`, [n]."""
        told = [self._tokenizer.bos_token_id, *self._tokenizer(before, add_special_tokens=False)["input_ids"][:24]]
        ids = [self._tokenizer(text, add_special_tokens=False)["input_ids"][:32] for text in texts]
        batch = torch.zeros((len(ids), len(told) + max(map(len, ids))), dtype=torch.long)
        mask = torch.zeros_like(batch)
        for row, mine in enumerate(ids):
            batch[row, : len(told) + len(mine)] = torch.tensor([*told, *mine])
            mask[row, len(told) : len(told) + len(mine)] = 1
        with torch.inference_mode():
            predicted = self._model(batch).logits[:, :-1].log_softmax(-1)
        each = predicted.gather(-1, batch[:, 1:, None])[..., 0] * mask[:, 1:]
        return each.sum(1) / mask.sum(1).clamp(min=1)

    def count_tokens(self, request: Request) -> int | None:
        """An LLM is not asked."""
        return 0

    def close(self) -> None:
        """Free the model."""
        del self._model


def open(config: Config) -> Subject:
    """Load the subject."""
    return Subject(config)
