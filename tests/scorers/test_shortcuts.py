"""Judges that have not understood the question: each must score chance, in every scorer that is to be safe from it.

Detection and the intruder show different contexts by design, so that what a context says may tell them apart; where it
stands, and how prompts are dealt, may not. Fuzzing shows the same contexts twice: there nothing but the marks may tell.
"""

import json
import zlib
from bisect import bisect_right
from collections.abc import Callable
from functools import cache
from itertools import accumulate

import numpy as np
import pytest

from autointerp import plugins
from autointerp.prompts import Prompts, plain
from autointerp.records import Explanation, Question, ShownItem
from autointerp.scorers.base import Scorer
from autointerp.seeds import generator
from tests.helpers.planted import latents, put, score

Shortcut = Callable[[Question, int, ShownItem], float]
MARGIN = 0.02


def build(name: str) -> Scorer:
    module = plugins.load("scorers", name)
    return module.build(module.Config(), Prompts())


@cache
def asked(name: str) -> tuple[tuple[Question, ...], ...]:
    found = []
    for examples in latents():
        told = Explanation(
            explanation_id="e", latent=examples.latent, text="anything", explainer="t", prompt_hash="", raw=""
        )
        rng = generator(0, "shortcuts", name, examples.latent)
        found.append(tuple(build(name).questions(examples, told, "none", rng)))
    return tuple(found)


@cache
def ends() -> dict[str, list[int]]:
    """Where each token of each window's text ends: marks are counted in tokens, as the model under study has them."""
    windows = [example for one in latents() for example in (*one.held_out, *one.contrast)]
    return {plain(example.text): list(accumulate(map(len, example.pieces))) for example in windows}


def middles(shown: ShownItem) -> list[float]:
    """The token in the middle of each mark."""
    return [float(bisect_right(ends()[shown.text], (begin + end) // 2)) for begin, end in shown.marks] or [0.0]


# Of how a prompt is dealt: no scorer may give anything away here.
DEALT: dict[str, Shortcut] = {
    "place in the prompt": lambda q, place, shown: place,
    "first place": lambda q, place, shown: place == 0,
    "last place": lambda q, place, shown: place == len(q.items) - 1,
    "even places": lambda q, place, shown: place % 2,
    "the first half yes": lambda q, place, shown: place < len(q.items) / 2,
    "length of the prompt": lambda q, place, shown: len(q.items),
    "the question's id and place": lambda q, place, shown: zlib.crc32(f"{q.question_id} {place}".encode()),
    "explanation's length and place": lambda q, place, shown: (len(q.task.explanation) * (place + 1)) % 7,
    "sorted order of texts": lambda q, place, shown: sorted(i.text for i in q.task.items).index(shown.text),
}
# Of a context, whatever it says: nothing in fuzzing, where each context is shown rightly and wrongly marked.
CONTEXT: dict[str, Shortcut] = {
    "characters of the window": lambda q, place, shown: len(shown.text),
    "words of the window": lambda q, place, shown: len(shown.text.split()),
    "blank at the beginning": lambda q, place, shown: shown.text[:1].isspace(),
    "blank or stop at the end": lambda q, place, shown: not shown.text[-1:].isalnum(),
    "capital at the beginning": lambda q, place, shown: shown.text.strip()[:1].isupper(),
    "share of blanks": lambda q, place, shown: sum(map(str.isspace, shown.text)) / max(1, len(shown.text)),
    "line breaks": lambda q, place, shown: shown.text.count("\n"),
    "what the text is": lambda q, place, shown: zlib.crc32(shown.text.encode()),
    "length of the context before": lambda q, place, shown: len(q.task.items[place - 1].text),
    "longest of the prompt": lambda q, place, shown: len(shown.text) == max(len(i.text) for i in q.task.items),
}
# Of the marks, whatever stands in them.
MARKS: dict[str, Shortcut] = {
    "number of marks": lambda q, place, shown: len(shown.marks),
    "tokens before the first mark": lambda q, place, shown: middles(shown)[0],
    "tokens before the last mark": lambda q, place, shown: middles(shown)[-1],
    "distance to the nearer edge": lambda q, place, shown: min(
        middles(shown)[0], len(ends()[shown.text]) - middles(shown)[-1]
    ),
    "mark in the very middle": lambda q, place, shown: abs(middles(shown)[0] - 16),
    "spread of marks": lambda q, place, shown: middles(shown)[-1] - middles(shown)[0],
    "marked as another context is": lambda q, place, shown: sum(
        middles(shown) == middles(other) for other in q.task.items
    ),
    "most marks of the prompt": lambda q, place, shown: len(shown.marks) == max(len(i.marks) for i in q.task.items),
}


def scored(name: str, view: Shortcut, sign: int) -> np.ndarray:
    """Each latent's score by a judge that says yes above its median over the latent's items, or picks the largest."""
    scorer, found = build(name), []
    for questions in asked(name):
        values = {
            q.question_id: [sign * float(view(q, i, shown)) for i, shown in enumerate(q.task.items)] for q in questions
        }
        middle = np.median([value for one in values.values() for value in one])

        def judge(question: Question, values: dict[str, list[float]] = values, middle: float = float(middle)) -> str:
            mine = values[question.question_id]
            if question.task.form == "choose_one":
                best = [i for i, value in enumerate(mine) if value == max(mine)]
                return str(1 + best[zlib.crc32(question.question_id.encode()) % len(best)])
            return json.dumps([int(value > middle) for value in mine])

        found.append(score(put(scorer, questions, judge), scorer))
    return np.array(found)


CASES = [
    *((name, shortcut, view) for name in ("detection", "fuzzing", "intruder") for shortcut, view in DEALT.items()),
    *(("fuzzing", shortcut, view) for shortcut, view in {**CONTEXT, **MARKS}.items()),
    *(("intruder", shortcut, view) for shortcut, view in MARKS.items()),
]


@pytest.mark.parametrize("name, shortcut, view", CASES, ids=[f"{name}: {shortcut}" for name, shortcut, _ in CASES])
def test_a_shortcut_judge_scores_chance(name: str, shortcut: str, view: Shortcut) -> None:
    """Over sixty latents, in either direction of its rule: within the margin, or within what sixty latents can tell."""
    for sign in (1, -1):
        scores = scored(name, view, sign)
        error = scores.std(ddof=1) / np.sqrt(len(scores))
        off = abs(scores.mean() - build(name).chance)
        assert off < max(MARGIN, 3 * error), f"{name}, {shortcut}: {scores.mean():.3f} +- {error:.3f}"


def test_a_judge_that_remembers_contexts_gains_nothing() -> None:
    """Each context is shown as often in either role, so that seeing one again tells nothing: fuzzing once each,
    and an intruder as often as the contexts around it."""
    for questions in asked("intruder"):
        times: dict[bool, dict[int, int]] = {True: {}, False: {}}
        for question in questions:
            for item in question.items:
                times[item.truth][item.window] = times[item.truth].get(item.window, 0) + 1
        assert set(times[True].values()) == set(times[False].values()) == {2}
