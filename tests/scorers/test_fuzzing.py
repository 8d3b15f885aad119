"""Fuzzing measures whether marks are right: contexts, lengths, numbers and places of marks tell nothing."""

import json
from collections import Counter
from dataclasses import replace
from functools import cache

import numpy as np

from autointerp.prompts import Prompts
from autointerp.records import Example, Explanation, LatentExamples, Question, ShownItem
from autointerp.scorers import fuzzing
from autointerp.scorers.base import Scorer
from autointerp.seeds import generator
from tests.helpers.planted import latents, put, score

SCORER = fuzzing.build(fuzzing.Config(), Prompts())


@cache
def asked() -> tuple[tuple[LatentExamples, list[Question]], ...]:
    return tuple((examples, ask(examples)) for examples in latents())


def ask(examples: LatentExamples, scorer: Scorer = SCORER) -> list[Question]:
    told = Explanation(
        explanation_id="e", latent=examples.latent, text="anything", explainer="test", prompt_hash="", raw=""
    )
    return scorer.questions(examples, told, "none", generator(0, "fuzzing", examples.latent))


def outside(shown: ShownItem) -> str:
    """The context with its marked words taken out."""
    kept, end = [], 0
    for begin, stop in shown.marks:
        kept.append(shown.text[end:begin])
        end = stop
    return "".join([*kept, shown.text[end:]])


def test_contexts_and_lengths_are_exactly_balanced() -> None:
    """Each context is shown once rightly and once wrongly marked, so no function of it can tell them apart."""
    for examples in latents(20):
        seen: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
        for question in ask(examples):
            for item, shown in zip(question.items, question.task.items, strict=True):
                seen[item.truth][shown.text] += 1
        assert seen[True] == seen[False]


def test_wrong_marks_are_as_many_and_lie_where_right_ones_do() -> None:
    """No set differs in number; over all latents, mean and spread of positions differ by less than half a token."""
    positions: dict[bool, list[int]] = {True: [], False: []}
    for examples in latents():
        marked = [fuzzing.active(example, 0.3) for example in examples.held_out]
        wrong = fuzzing.mismarks(examples.held_out, marked, np.random.default_rng(0))
        shown = [(right, tokens) for right, tokens in zip(marked, wrong, strict=True) if tokens is not None]
        assert sorted(len(right) for right, _ in shown) == sorted(len(tokens) for _, tokens in shown)
        for right, tokens in shown:
            positions[True] += right
            positions[False] += tokens
    for moment in (np.mean, np.std):
        assert abs(moment(positions[True]) - moment(positions[False])) < 0.5


def test_wrong_marks_repeat_words_as_right_ones_do() -> None:
    """A latent of one word: nine in ten wrong marks are on a word that other wrong marks are on too. (By where right
    ones stand alone, one in five are.)"""
    examples = next(one for one in latents() if len({e.pieces[fuzzing.active(e, 1)[0]] for e in one.held_out}) <= 2)
    marked = [fuzzing.active(example, 0.3) for example in examples.held_out]
    wrong = fuzzing.mismarks(examples.held_out, marked, np.random.default_rng(0), examples.contrast)
    shown = zip(examples.held_out, wrong, strict=True)
    words = [{example.pieces[token].strip().lower() for token in tokens or ()} for example, tokens in shown]
    repeated = [any(not some.isdisjoint(other) for other in words if other is not some) for some in words]
    assert np.mean(repeated) > 0.9


def test_wrong_marks_never_touch_an_active_token() -> None:
    """By a plain loop over tokens."""
    for examples in latents(20):
        marked = [fuzzing.active(example, 0.3) for example in examples.held_out]
        wrong = fuzzing.mismarks(examples.held_out, marked, np.random.default_rng(0))
        for example, tokens in zip(examples.held_out, wrong, strict=True):
            assert all(example.activations[token] == 0 for token in tokens or ())


def test_no_prompt_shows_a_context_twice() -> None:
    """Beside its rightly marked twin a wrong mark would show itself."""
    for examples in latents(20):
        for question in ask(examples):
            texts = [item.window for item in question.items]
            assert len(set(texts)) == len(texts)


def window(activations: list[float], number: int) -> Example:
    pieces = tuple(f" w{number}{i}" for i in range(len(activations)))
    return Example(
        window=number,
        document=number,
        pieces=pieces,
        activations=tuple(activations),
        kind="positive",
        stratum=0,
        stratum_share=0.1,
    )


def test_a_dense_window_is_asked_about_in_neither_role() -> None:
    """Two windows with all tokens active cannot be mismarked, the third one can, by its own mark shifted. By hand."""
    windows = [window([1, 1, 1], 0), window([1, 1, 1], 1), window([0, 1, 0], 2)]
    marked = [fuzzing.active(example, 0.3) for example in windows]
    wrong = fuzzing.mismarks(windows, marked, np.random.default_rng(0))
    assert wrong[:2] == [None, None]
    assert wrong[2] in [(0,), (2,)]
    half = replace(latents(1)[0], held_out=tuple(windows), contrast=())
    items = [item for question in ask(half) for item in question.items]
    assert sorted((item.window, item.kind) for item in items) == [(2, "mismarked"), (2, "positive")]
    assert ask(replace(half, held_out=tuple(windows[:2]))) == []


def test_busy_windows_leave_numbers_of_marks_balanced() -> None:
    """Windows with one to all of eight tokens active: whatever is left out, the sets of marks shown rightly and wrongly
    are as many and as large, and each window left is shown in both roles."""
    rng = np.random.default_rng(1)
    for trial in range(30):
        rates = rng.uniform(0.05, 1, size=12)
        windows = [window((rng.random(8) < rate).astype(float).tolist(), i) for i, rate in enumerate(rates)]
        windows = [one for one in windows if max(one.activations) > 0]
        busy = replace(latents(1)[0], held_out=tuple(windows), contrast=())
        pairs = [pair for q in ask(busy) for pair in zip(q.items, q.task.items, strict=True)]
        seen = {truth: [(item, shown) for item, shown in pairs if item.truth == truth] for truth in (True, False)}
        tokens = [
            Counter(sum(shown.text[slice(*mark)].count("w") for mark in shown.marks) for _, shown in seen[truth])
            for truth in (True, False)
        ]
        assert tokens[0] == tokens[1], trial
        assert Counter(i.window for i, _ in seen[True]) == Counter(i.window for i, _ in seen[False])


def test_silent_contexts_bear_each_set_of_marks_as_often() -> None:
    """Five silent contexts and two positives: one set of marks is on three, the other on two, of either kind."""
    windows = [window([0, 1, 0, 0], 0), window([0, 1, 1, 0], 1)]
    silent = [replace(window([0, 0, 0, 0], i), kind="random") for i in range(2, 7)]
    both = fuzzing.build(fuzzing.Config(negatives=("mismarked", "random")), Prompts())
    few = replace(latents(1)[0], held_out=tuple(windows), contrast=tuple(silent))
    pairs = [pair for q in ask(few, both) for pair in zip(q.items, q.task.items, strict=True)]
    counts = Counter(len(shown.text[slice(*shown.marks[0])]) for item, shown in pairs if item.kind == "random")
    assert sorted(counts.values()) == [2, 3]


def test_a_set_that_meets_active_tokens_is_shifted_as_little_as_possible() -> None:
    """Worked by hand: both windows are active at tokens 1 and 2; the nearest free pair is 3 and 4."""
    windows = [window([0, 1, 1, 0, 0, 0], 0), window([0, 1, 1, 0, 0, 0], 1)]
    marked = [(1, 2), (1, 2)]
    assert fuzzing.mismarks(windows, marked, np.random.default_rng(0)) == [(3, 4), (3, 4)]


def test_silent_contexts_join_by_setting_and_have_a_kind_of_their_own() -> None:
    """`random` negatives carry marks of the positives' numbers and places."""
    both = fuzzing.build(fuzzing.Config(negatives=("mismarked", "random")), Prompts())
    for examples in latents(5):
        items = [pair for q in ask(examples, both) for pair in zip(q.items, q.task.items, strict=True)]
        kinds = Counter(item.kind for item, _ in items)
        assert kinds["random"] == len(examples.contrast)
        assert all(shown.marks for _, shown in items)


def test_marked_words_differ_only_in_where_they_are() -> None:
    """A judge that reads the marked words scores the ceiling on a planted word: what fuzzing is there to measure."""
    examples = next(one for one in latents() if len({e.pieces[fuzzing.active(e, 1)[0]] for e in one.held_out}) <= 2)
    words = {e.pieces[i].strip().lower() for e in examples.held_out for i in fuzzing.active(e, 0.3)}

    def judge(question: Question) -> str:
        told = []
        for shown in question.task.items:
            said = {shown.text[begin:end].strip().lower() for begin, end in shown.marks}
            told.append(int(said <= words))
        return json.dumps(told)

    assert score(put(SCORER, ask(examples), judge), SCORER) > 0.95
    assert outside(ask(examples)[0].task.items[0]) != ask(examples)[0].task.items[0].text
