"""Shared code of explainers: formatting of examples, and parsing of replies."""

import json
import math
import re
from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from autointerp.explainers.base import UnreadableError
from autointerp.prompts import Prompts, context, one_line, plain
from autointerp.records import Example, ExplainTask, LatentId, Reply, Request, Sampling, ShownExample
from autointerp.text import joined, token_spans

# Levels of a shown activation: 10 is the largest among all the latent's shown examples (as in arXiv 2410.13928).
LEVELS = 10
# Longest accepted explanation, in characters: longer replies are transcripts, not explanations.
LONGEST = 1200
# "Explanation:", "**Explanation**:", "[EXPLANATION]:", with a colon of any width.
_FIELD = re.compile(r"^[\s*#>_`\[]*explanation[\s*_`\]]*[:\uff1a]", re.IGNORECASE | re.MULTILINE)
# Marks of a channel, as gpt-oss writes them.
_MARKS = re.compile(r"<\|\w+\|>(?:final|assistant)?")
_FENCE = re.compile(r"^\s*```\w*\s*$", re.MULTILINE)
_THOUGHT = re.compile(r"<think>.*?(</think>|\Z)", re.DOTALL)
_REFUSAL = re.compile(
    r"^\W*(i\W?m sorry|i am sorry|i can(no|\W)t|i am unable|i\W?m unable|i won\W?t|as an ai\b)", re.IGNORECASE
)


class ExplainerConfig(BaseModel):
    """Settings of an explainer."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    n_examples: int = Field(
        default=40, ge=1, le=10_000, description="activating examples shown, evenly over the deciles"
    )
    mark_share: float = Field(
        default=0.3, gt=0, le=1, description="tokens are marked from this share of the example's largest activation on"
    )
    temperature: float = Field(default=0.0, ge=0, le=2, description="sampling temperature of the explainer")
    max_tokens: int = Field(default=256, ge=16, le=10**6, description="longest reply")

    def sampling(self) -> Sampling:
        """Return how the reply is sampled."""
        return Sampling(temperature=self.temperature, max_tokens=self.max_tokens)


def pick(examples: Sequence[Example], n: int, rng: np.random.Generator) -> list[Example]:
    """Return at most `n` examples in random order, as evenly over the strata as they allow."""
    shuffled = [examples[i] for i in rng.permutation(len(examples))]
    taken: dict[int, int] = {}
    rank = []
    for example in shuffled:
        taken[example.stratum] = taken.get(example.stratum, 0) + 1
        rank.append(taken[example.stratum])
    chosen = sorted(range(len(shuffled)), key=lambda i: rank[i])[:n]
    return [shuffled[i] for i in sorted(chosen)]


def levels(examples: Sequence[Example], mark_share: float) -> list[tuple[int, ...]]:
    """Quantise activations to 0..10: 10 is the largest among these examples, 0 below `mark_share` of the window's own.

    Structured and rendered examples show the same tokens: those that get a mark.
    """
    top = max((max(example.activations, default=0.0) for example in examples), default=0.0)
    return [tuple(_level(value, top, mark_share * max(e.activations)) for value in e.activations) for e in examples]


def _level(value: float, top: float, least: float) -> int:
    return math.ceil(LEVELS * value / top) if value > 0 and value >= least else 0


def shown(examples: Sequence[Example], mark_share: float) -> tuple[ShownExample, ...]:
    """Return examples in structured form, with escaped texts."""
    pairs = zip(examples, levels(examples, mark_share), strict=True)
    return tuple(ShownExample(pieces=tuple(map(plain, e.pieces)), levels=level) for e, level in pairs)


def lines(example: ShownExample) -> dict[str, str]:
    """Return an example as the template's lines: `text` with marks, and `activations` of the marked tokens."""
    marked = [i for i, level in enumerate(example.levels) if level > 0]
    text, where = "".join(example.pieces), token_spans(example.pieces)
    marks = " ".join(f"({one_line(text[slice(*where[i])])}, {example.levels[i]})" for i in marked)
    return {"text": context(text, joined(where[i] for i in marked)), "activations": marks}


def key(latent: LatentId) -> str:
    """Return the key of a latent's explanation request."""
    return f"explain/{latent.dictionary}/{latent.site}/{latent.index}"


def request(latent: LatentId, template: str, task: ExplainTask, *, prompts: Prompts, sampling: Sampling) -> Request:
    """Render a task's examples and counterexamples, one entry of `lines` each."""
    shown = [lines(example) for example in task.examples]
    silent = [lines(example)["text"] for example in task.counterexamples]
    messages = prompts.render(
        template, examples=shown, n_examples=len(shown), counterexamples=silent, n_counterexamples=len(silent)
    )
    return Request(key=key(latent), messages=messages, task=task, sampling=sampling)


def read(reply: Reply) -> str:
    """Return the explanation: the text after the last `Explanation:` up to an empty line, or a JSON object's field.

    Raises:
        UnreadableError: nothing there (empty), cut off (truncated), a refusal (refused), no such line (unparsed).
    """
    text = _MARKS.sub("", _THOUGHT.sub("", reply.text or "")).strip()
    if not text:
        raise UnreadableError("truncated" if reply.finish_reason == "length" else "empty")
    if reply.finish_reason == "length":
        raise UnreadableError("truncated")
    explanation = _json_field(text)
    if explanation is None:
        starts = [match.end() for match in _FIELD.finditer(text)]
        if not starts:
            raise UnreadableError("refused" if _REFUSAL.match(text) else "unparsed")
        explanation = text[starts[-1] :].strip().split("\n\n")[0]
    explanation = " ".join(explanation.split()).strip("*_` ")
    if not explanation or explanation == "<your sentence>":
        raise UnreadableError("empty")
    if _REFUSAL.match(explanation):
        raise UnreadableError("refused")
    return explanation[:LONGEST]


def _json_field(text: str) -> str | None:
    """Return the text under `explanation` in a reply that is one JSON object, or None."""
    try:
        value = json.loads(_FENCE.sub("", text))
    except (ValueError, RecursionError):
        return None
    fields = {str(name).lower(): field for name, field in value.items()} if isinstance(value, dict) else {}
    return fields["explanation"] if isinstance(fields.get("explanation"), str) else None
