"""`embedding`: a sentence-embedding model that answers a judge's task with similarities; for the embedding scorer.

Each context is compared with the explanation: the cosine of mean-pooled, normalised last hidden states, as models of
the sentence-transformers family are used. Besides `llm/vllm.py` the one back end that runs a model itself; torch and
transformers are imported when it is opened.

Source: Reimers and Gurevych 2019 (arXiv 1908.10084) for mean pooling.
"""

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from autointerp.errors import StudyError
from autointerp.records import JudgeTask, Reply, Request, Usage


class Config(BaseModel):
    """Settings of the sentence-embedding model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(description="sentence-embedding model: a folder or a hub name")
    device: str = Field(default="", description="torch device; empty: a GPU if available")
    batch: int = Field(default=64, ge=1, le=10**6, description="texts per forward pass")


class Embedder:
    """Answers with the similarities of a task's contexts to its explanation."""

    def __init__(self, config: Config) -> None:
        import torch
        import transformers

        self.name = "embedding"
        self.fingerprint = f"embedding {config.model}"
        self._config, self._torch = config, torch
        self._device = config.device or ("cuda" if torch.cuda.is_available() else "cpu")
        try:
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(config.model)
            self._model = transformers.AutoModel.from_pretrained(config.model).to(self._device).eval()
        except OSError as error:
            first = str(error).splitlines()[0]
            raise StudyError(f"embedding model {config.model!r}: {first}; give a folder or a hub name") from error
        self._known = lru_cache(maxsize=2**14)(self._one)

    def generate(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Answer requests in their order; a request that is not a judge's fails."""
        for request in requests:
            began = time.perf_counter()
            if not isinstance(request.task, JudgeTask):
                yield Reply(key=request.key, text=None, failure="no_judge_task")
                continue
            texts = [request.task.explanation, *(item.text for item in request.task.items)]
            vectors = self.embed(texts)
            cosines = np.clip(vectors[1:] @ vectors[0], -1.0, 1.0)
            usage = Usage(latency_s=time.perf_counter() - began)
            text = json.dumps([round(float(value), 6) for value in cosines])
            yield Reply(key=request.key, text=text, finish_reason="stop", usage=usage)

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Return unit vectors, [n_texts, d]; texts seen before are not embedded again."""
        return np.stack([self._known(text) for text in texts])

    def _one(self, text: str) -> np.ndarray:
        torch = self._torch
        batch = self._tokenizer([text], truncation=True, return_tensors="pt").to(self._device)
        with torch.inference_mode():
            hidden = self._model(**batch).last_hidden_state.float()
        mask = batch["attention_mask"][..., None].float()
        pooled = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
        return torch.nn.functional.normalize(pooled, dim=-1)[0].cpu().numpy()

    def count_tokens(self, request: Request) -> int | None:
        """An embedding costs no tokens of an LLM."""
        return 0

    def close(self) -> None:
        """Free the model."""
        del self._model


def open(config: Config) -> Embedder:
    """Load the model."""
    return Embedder(config)
