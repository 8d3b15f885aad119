"""Answers of other judges, read from response stores with prompts of the shipped form."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from autointerp.judge_training.train import Recorded

_EXPLANATION = re.compile(r"\AExplanation: (?P<said>[^\n]+)\n\n(?P<rest>.+)\Z", re.DOTALL)
_ITEM = re.compile(r"^\[\d+\] (.*)$", re.MULTILINE)
_MARK = re.compile(r"<<(.*?)>>")
_ESCAPES = {"\\n": "\n", "\\t": "\t", "\\r": "\r"}
YES, NO = {"1", "yes", "true"}, {"0", "no", "false"}


def recorded(rows: Sequence[Mapping[str, Any]]) -> tuple[list[Recorded], int]:
    """Return the answers in exported responses, and how many responses hold none that can be read.

    Args:
        rows: as `autointerp export RUN --to responses` writes them: `messages` and `reply` with `text` and `logprobs`.
    """
    found: list[Recorded] = []
    n_left_out = 0
    for row in rows:
        some = list(_answers(row))
        n_left_out += not some
        found += some
    return found, n_left_out


def _answers(row: Mapping[str, Any]) -> Iterator[Recorded]:
    prompt = _EXPLANATION.match(str(row["messages"][-1]["content"]))
    if prompt is None:
        return
    items = _ITEM.findall(prompt["rest"]) or [prompt["rest"]]
    values = _probabilities(row["reply"], len(items))
    if values is None:
        return
    for item, yes in zip(items, values, strict=True):
        text, marks = _unmarked(item)
        yield Recorded(explanation=prompt["said"], text=text, marks=marks, yes=yes)


def _unmarked(item: str) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Return a shown context's text and the spans that were marked.

    >>> _unmarked("the<< cat>> sat")
    ('the cat sat', ((3, 7),))
    """
    for escape, character in _ESCAPES.items():
        item = item.replace(escape, character)
    text, marks, end = "", [], 0
    for match in _MARK.finditer(item):
        text += item[end : match.start()]
        marks.append((len(text), len(text) + len(match[1])))
        text += match[1]
        end = match.end()
    return text + item[end:], tuple(marks)


def _probabilities(reply: Mapping[str, Any], n: int) -> list[float] | None:
    """Return P(yes) of each of `n` answers, from log-probabilities, else 0 or 1; None unless it has `n` answers."""
    places = [token for token in reply.get("logprobs") or () if _bare(token[0]) in YES | NO]
    if len(places) == n:
        return [_yes(token) for token in places]
    words = [word for word in re.findall(r"[a-z0-9]+", str(reply.get("text") or "").lower()) if word in YES | NO]
    return [float(word in YES) for word in words] if len(words) == n else None


def _yes(token: Sequence[Any]) -> float:
    mass = {True: 1e-9, False: 1e-9}
    for text, logprob in [*token[2], (token[0], token[1])][: len(token[2]) or 1]:
        if _bare(text) in YES | NO:
            mass[_bare(text) in YES] += math.exp(min(float(logprob), 0.0))
    return mass[True] / (mass[True] + mass[False])


def _bare(token: str) -> str:
    return token.strip(" \t\r\n\"'`[](){},:;.").lower()
