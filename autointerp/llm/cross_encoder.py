"""`cross_encoder`: a small judge of your own (`autointerp train-judge`), on a CPU at no cost; it explains nothing.

    judge_llm: {use: cross_encoder, model: judges/minilm}

It answers each context by itself: neither the number of contexts in a prompt nor their order changes an answer.
"""

import hashlib
import math
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from autointerp.records import JudgeTask, Reply, Request, TokenLogprob, Usage


class Config(BaseModel):
    """Settings of the trained judge."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model: str = Field(description="folder that `autointerp train-judge` wrote")
    device: str = Field(default="", description="torch device; empty: a GPU if available")
    batch: int = Field(default=64, ge=1, description="contexts per forward pass")


class CrossEncoder:
    """Answers yes/no tasks with probabilities."""

    def __init__(self, config: Config) -> None:
        import torch

        from autointerp.llm import _judge_features, _judge_network

        self._torch, self._features, self._networks, self._config = torch, _judge_features, _judge_network, config
        folder = Path(config.model)
        network, self._tokenizer, self._facts = _judge_network.load(folder)
        self._device = config.device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._network = network.to(self._device)
        digest = hashlib.sha256((folder / _judge_network.WEIGHTS).read_bytes()).hexdigest()
        self.name = "cross_encoder"
        self.fingerprint = f"cross_encoder {digest[:32]}"

    def generate(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Answer requests in their order, as many together as fill a batch; an unsuitable task fails."""
        waiting: list[Request] = []
        for request in requests:
            if not isinstance(request.task, JudgeTask) or request.task.form != "yes_no":
                yield Reply(key=request.key, text=None, failure="no_judge_task")
                continue
            waiting.append(request)
            if sum(len(one.task.items) for one in waiting if isinstance(one.task, JudgeTask)) >= self._config.batch:
                yield from self._answers(waiting)
                waiting = []
        yield from self._answers(waiting)

    def _answers(self, requests: list[Request]) -> list[Reply]:
        began = time.perf_counter()
        tasks = [request.task for request in requests if isinstance(request.task, JudgeTask)]
        values = iter(self.probabilities([(t.explanation, item.text, item.marks) for t in tasks for item in t.items]))
        replies = []
        seconds = (time.perf_counter() - began) / max(len(requests), 1)
        for request, task in zip(requests, tasks, strict=True):
            tokens = [TokenLogprob("[", 0.0)]
            for number in range(len(task.items)):
                tokens += [TokenLogprob(", ", 0.0)] if number else []
                tokens.append(_token(next(values)))
            tokens.append(TokenLogprob("]", 0.0))
            text = "".join(token.token for token in tokens)
            logprobs = tuple(tokens) if request.sampling.top_logprobs else ()
            usage = Usage(latency_s=seconds)
            replies.append(Reply(key=request.key, text=text, finish_reason="stop", logprobs=logprobs, usage=usage))
        return replies

    def probabilities(self, pairs: list[tuple[str, str, tuple[tuple[int, int], ...]]]) -> list[float]:
        """Return P(yes) of (explanation, context, marks) triples; without marks the question is detection's."""
        found: list[float] = [0.5] * len(pairs)
        encoded = [self._features.encode(self._tokenizer, *pair) for pair in pairs]
        # Of like length together, so that little is padded; an explanation without words gets .5 for every context.
        order = sorted((i for i, pair in enumerate(pairs) if pair[0].strip()), key=lambda i: len(encoded[i].ids))
        for start in range(0, len(order), self._config.batch):
            some = order[start : start + self._config.batch]
            batch = {k: v.to(self._device) for k, v in self._networks.collate([encoded[i] for i in some]).items()}
            with self._torch.inference_mode():
                pieces = self._network(batch)
                detected = self._network.detection(pieces, batch["context"]).sigmoid().tolist()
                fuzzed = self._network.fuzzing(pieces, batch["marked"]).sigmoid().tolist()
            for row, i in enumerate(some):
                found[i] = fuzzed[row] if pairs[i][2] else detected[row]
        return found

    def count_tokens(self, request: Request) -> int | None:
        """Tokens of a program of your own cost nothing."""
        return 0

    def close(self) -> None:
        """Free the network."""
        self._network.to("cpu")


def _token(p: float) -> TokenLogprob:
    p = min(max(p, 1e-6), 1 - 1e-6)
    yes, no = ("1", math.log(p)), ("0", math.log1p(-p))
    return TokenLogprob(*(yes if p >= 0.5 else no), top=(yes, no))


def open(config: Config) -> CrossEncoder:
    """Load the judge.

    Raises:
        StudyError: the folder holds none.
    """
    return CrossEncoder(config)
