"""Judges that have not understood the question: each must score chance, in every scorer that is to be safe from it.

Detection and the intruder show different contexts by design, so that what a context says may tell them apart; where it
stands, and how prompts are dealt, may not. Fuzzing shows the same contexts twice: there nothing but the marks may tell.
With silent contexts as fuzzing's negatives the context may tell, but not the number and place of its marks.

Shown, not only not refuted: each judge's 90 % interval over sixty latents, each asked about many times, lies within
the margin of chance (two one-sided tests at level .05), and a test of this size would show so of a judge at chance with
a probability of at least `POWER`. Judges that compare what is marked are in `test_company`.
"""

import zlib
from bisect import bisect_right
from collections import Counter
from functools import cache

import pytest

from autointerp.prompts import Prompts
from autointerp.records import Explanation, Question, ShownItem
from autointerp.scorers import intruder
from autointerp.seeds import generator
from tests.helpers.planted import latents
from tests.helpers.shared import needs_shared
from tests.helpers.shortcuts import Shortcut, asked, cases, equivalence, learnt, token_ends

MARGIN, MARGIN_REAL, POWER = 0.02, 0.03, 0.8
OWN, REAL = ["manual", "manual in tokens"], ["tinystories", "wikitext-2.valid"]
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
}
# Of a context, whatever it says: nothing in fuzzing, where each context is shown rightly and wrongly marked.
CONTEXT: dict[str, Shortcut] = {
    "characters of the window": lambda q, place, shown: len(shown.text),
    "words of the window": lambda q, place, shown: len(shown.text.split()),
    "compressed length": lambda q, place, shown: len(zlib.compress(shown.text.encode())),
    "blank at the beginning": lambda q, place, shown: shown.text[:1].isspace(),
    "blank or stop at the end": lambda q, place, shown: not shown.text[-1:].isalnum(),
    "capital at the beginning": lambda q, place, shown: shown.text.strip()[:1].isupper(),
    "capitals": lambda q, place, shown: sum(map(str.isupper, shown.text)),
    "digits and punctuation": lambda q, place, shown: sum(not c.isalpha() and not c.isspace() for c in shown.text),
    "share of blanks": lambda q, place, shown: sum(map(str.isspace, shown.text)) / max(1, len(shown.text)),
    "line breaks": lambda q, place, shown: shown.text.count("\n"),
    "words said twice": lambda q, place, shown: len(shown.text.split()) - len(set(shown.text.split())),
    "what the text is": lambda q, place, shown: zlib.crc32(shown.text.encode()),
    "sorted order of texts": lambda q, place, shown: sorted(i.text for i in q.task.items).index(shown.text),
    "length of the context before": lambda q, place, shown: len(q.task.items[place - 1].text),
    "longest of the prompt": lambda q, place, shown: len(shown.text) == max(len(i.text) for i in q.task.items),
    "words shared with the prompt": lambda q, place, shown: len(
        set(shown.text.lower().split()) & {w for i in q.task.items if i is not shown for w in i.text.lower().split()}
    ),
}


def marks(corpus: str) -> dict[str, Shortcut]:
    """Of the marks, whatever stands in them."""
    ends = token_ends(corpus)

    @cache
    def middles(shown: ShownItem) -> list[float]:
        return [float(bisect_right(ends[shown.text], (begin + end) // 2)) for begin, end in shown.marks] or [0.0]

    def edge(q: Question, place: int, shown: ShownItem) -> float:
        return min(middles(shown)[0], len(ends[shown.text]) - middles(shown)[-1])

    def alike(q: Question, place: int, shown: ShownItem) -> float:
        return sum(middles(shown) == middles(other) for other in q.task.items)

    return {
        "number of marks": lambda q, place, shown: len(shown.marks),
        "tokens before the first mark": lambda q, place, shown: middles(shown)[0],
        "tokens before the last mark": lambda q, place, shown: middles(shown)[-1],
        "the middle of the marks": lambda q, place, shown: sum(middles(shown)) / len(middles(shown)),
        "distance to the nearer edge": edge,
        "mark in the very middle": lambda q, place, shown: abs(middles(shown)[0] - 16),
        "spread of marks": lambda q, place, shown: middles(shown)[-1] - middles(shown)[0],
        "marked as another context is": alike,
        "most marks of the prompt": lambda q, place, shown: len(shown.marks) == max(len(i.marks) for i in q.task.items),
    }


def safe_from(scorer: str, kind: str, corpus: str) -> dict[str, Shortcut]:
    """What a scorer, with negatives of a kind, gives nothing away to."""
    if scorer == "detection":
        return DEALT
    return {**DEALT, **marks(corpus), **(CONTEXT if kind == "mismarked" else {})}


def check(scorer: str, kind: str, corpus: str, margin: float) -> None:
    found, off = asked(scorer, corpus, kind), {}
    views = safe_from(scorer, kind, corpus)
    judges = {name: found.values(view) for name, view in views.items()}
    judges["all of these, learnt from other latents"] = learnt(found, views)
    for name, values in judges.items():
        for sign in (1, -1):  # either direction of the rule
            told = equivalence(found.scores(sign * values), found.chance, margin)
            assert told.power >= POWER, f"{name}: {told.error:.4f} is too wide an error to show anything"
            if not told.shown:
                off[name, sign] = (round(told.off, 4), round(told.error, 4))
    assert not off


QUICK = [("detection", "", "manual"), ("fuzzing", "mismarked", "manual")]
SLOW = [pytest.param(*case, marks=pytest.mark.slow) for case in cases(OWN) if case not in QUICK]


@pytest.mark.parametrize("scorer, kind, corpus", [*QUICK, *SLOW])
def test_shortcut_judges_score_chance(scorer: str, kind: str, corpus: str) -> None:
    """Every judge by itself, in either direction, and one that learns from all of them together on other latents.
    Wrong marks of rules move to words that recur, so that their positions are those of right ones within noise only."""
    check(scorer, kind, corpus, MARGIN_REAL if kind == "mismarked" else MARGIN)


@pytest.mark.slow
@needs_shared
@pytest.mark.parametrize("scorer, kind, corpus", cases(REAL))
def test_shortcut_judges_score_chance_on_real_texts(scorer: str, kind: str, corpus: str) -> None:
    """The same on two texts in the tokens of a real model, of which most are parts of words: sets of marks
    meet active tokens, and are shifted, more often, which makes single latents' scores spread and the margin wider."""
    check(scorer, kind, corpus, MARGIN_REAL)


def test_the_test_can_tell() -> None:
    """A judge that is off by as much as the margin is not shown to be at chance."""
    found = asked("fuzzing", "manual", "mismarked")
    scores = found.scores(found.values(DEALT["the question's id and place"]))
    assert equivalence(scores, 0.5, MARGIN).shown
    assert not equivalence(scores + MARGIN, 0.5, MARGIN).shown


def test_a_judge_that_remembers_contexts_gains_nothing_in_fuzzing() -> None:
    """Each context is shown once in either role, so that seeing one again tells nothing."""
    found = asked("fuzzing", "manual", "mismarked")
    counts: dict[tuple[int, str, bool, int], int] = {}
    for (question, place, _), latent in zip(found.shown, found.latent.tolist(), strict=True):
        item = question.items[place]
        key = (latent, question.explanation_id, item.truth, item.window)
        counts[key] = counts.get(key, 0) + 1
    assert set(counts.values()) == {1}


def test_each_intruder_comes_as_often_as_its_company_may() -> None:
    """In two rounds of twenty windows, five at a time, one of five lending its marks: an intruder is shown twice, any
    other context once or twice, and the windows that lend are eight different ones."""
    scorer = intruder.build(intruder.Config(), Prompts())
    for one in latents(10):
        told = Explanation(explanation_id="e", latent=one.latent, text="", explainer="t", prompt_hash="", raw="")
        asked_of = scorer.questions(one, told, "none", generator(0, one.latent))
        for truth, times in ((True, [2] * 4), (False, [1] * 8 + [2] * 12)):
            counts = Counter(item.window for question in asked_of for item in question.items if item.truth == truth)
            assert sorted(counts.values()) == times
