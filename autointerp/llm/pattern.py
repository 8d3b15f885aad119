"""`pattern`: explains and judges without a language model, by literal patterns. A baseline, never more.

The explainer states the words, neighbours, prefixes and suffixes that best separate marked from unmarked text, in plain
English; the judge reads such a statement back and applies exactly that. It sees what a language model's prompt shows
and nothing more, and is deterministic. Explanations in other words are read for what they quote, else for the words
they use. An explanation without words gets the same answer for every context.

Source: the method family of Neuron to Graph (Foote et al. 2023, arXiv 2305.19911), which states a neuron's behaviour as
token patterns and judges by matching them; the clauses and their search are this project's own.
"""

import math
import time
from collections.abc import Iterable, Iterator

from pydantic import BaseModel, ConfigDict

from autointerp.llm import _pattern_english, _pattern_language, _pattern_learn
from autointerp.records import ExplainTask, JudgeTask, Reply, Request, ShownItem, TokenLogprob, Usage

# Bump when a pattern or a judgement of the same prompt could change: cached replies of older versions are not used.
VERSION = 1
# P(yes) where nothing matches, where the least and where the most reliable clause does.
NO_MATCH, LAST_MATCH, FIRST_MATCH = 0.1, 0.7, 0.9
# The share of marks that a match must touch before the marks are called right.
MARKS_SHARE = 0.5


class Config(BaseModel):
    """The pattern back end has no settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Pattern:
    """Answers the structured task of each request at once."""

    name = "pattern"
    fingerprint = f"pattern-{VERSION}"

    def generate(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Answer requests in their order."""
        for request in requests:
            began = time.perf_counter()
            reply = answer(request)
            usage = Usage(latency_s=time.perf_counter() - began)
            yield Reply(key=reply.key, text=reply.text, finish_reason="stop", logprobs=reply.logprobs, usage=usage)

    def count_tokens(self, request: Request) -> int | None:
        """There are no tokens: patterns cost nothing."""
        return 0

    def close(self) -> None:
        """There is nothing to free."""


def open(config: Config) -> Pattern:
    """Make the back end."""
    return Pattern()


def answer(request: Request) -> Reply:
    """Answer one request from its structured task."""
    task = request.task
    if isinstance(task, ExplainTask):
        said = _pattern_language.say(_pattern_learn.learn(task)) or "nothing"
        return Reply(key=request.key, text=f"Explanation: {said}")
    if task.form == "choose_one":
        return Reply(key=request.key, text=str(1 + _pattern_english.odd_one_out([i.text for i in task.items])))
    probabilities = judge(task)
    tokens = [TokenLogprob("[", 0.0)]
    for number, p in enumerate(probabilities):
        tokens += [_token(p)] if number == 0 else [TokenLogprob(", ", 0.0), _token(p)]
    tokens.append(TokenLogprob("]", 0.0))
    logprobs = tuple(tokens) if request.sampling.top_logprobs else ()
    return Reply(key=request.key, text="".join(token.token for token in tokens), logprobs=logprobs)


def judge(task: JudgeTask) -> list[float]:
    """Return P(yes) for each item: does the pattern match it, or, with marks, at the marks?"""
    clauses = _pattern_language.read(task.explanation) or _pattern_english.read(task.explanation)
    return [_probability(clauses, item) for item in task.items]


def _probability(clauses: list[_pattern_language.Clause], item: ShownItem) -> float:
    cut = _pattern_language.units(item.text)
    found = [_pattern_language.matches(clause, cut) for clause in clauses]
    if not item.marks:
        first = next((number for number, spans in enumerate(found) if spans), None)
        return NO_MATCH if first is None else _strength(first, len(clauses))
    spans = [span for one in found for span in one]
    share = sum(any(_touch(mark, span) for span in spans) for mark in item.marks) / len(item.marks)
    return 0.05 + 0.9 * (share / 2 if share < MARKS_SHARE else 0.5 + share / 2)


def _strength(number: int, n_clauses: int) -> float:
    return FIRST_MATCH - (FIRST_MATCH - LAST_MATCH) * number / n_clauses


def _touch(a: tuple[int, int], b: tuple[int, int]) -> bool:
    return a[0] < b[1] and b[0] < a[1]


def _token(p: float) -> TokenLogprob:
    yes, no = ("1", math.log(p)), ("0", math.log1p(-p))
    said = yes if p >= 0.5 else no
    return TokenLogprob(*said, top=(yes, no))
