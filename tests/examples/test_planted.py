"""Planted latents are rules with known explanations, run over a corpus as if they were latents."""

from collections import Counter

import numpy as np
import pytest

from autointerp.examples import contrast, planted
from autointerp.examples.bank import RULES, Rule
from tests.helpers.planted import N, corpus, latents


def test_the_bank_is_large_and_graded() -> None:
    """At least 60 rules of three grades, each with a name and an explanation of its own."""
    assert len(RULES) >= 60
    assert min(Counter(rule.grade for rule in RULES).values()) >= 20
    assert len({rule.name for rule in RULES}) == len({rule.explanation for rule in RULES}) == len(RULES)


def test_examples_are_what_the_rule_says() -> None:
    """By an independent search with the rule's expression, positives hold and negatives do not, in every window."""
    for examples in latents():
        rule = planted.rule(examples.latent)
        for example in (*examples.explain, *examples.held_out):
            assert rule.spans(example.text), rule.name
            assert max(example.activations) == 1
        for example in (*examples.explain_contrast, *examples.contrast):
            assert not rule.spans(example.text), rule.name
            assert not any(example.activations)


def test_all_grades_are_run_where_the_corpus_holds_them() -> None:
    """Thirty of a bank of ninety are about ten of each grade."""
    pool = contrast.pool(corpus(), held_out=True, size=1500, seed=0)
    chosen = list(planted.examples(corpus(), pool, n_rules=30, n_positives=5, n_negatives=5, seed=0))
    grades = Counter(planted.rule(one.latent).grade for one in chosen)
    assert sum(grades.values()) == 30
    assert max(grades.values()) - min(grades.values()) <= 1


def test_marks_lie_on_the_words_found() -> None:
    """Worked by hand: of "A cat's tail", the rule for "cat" activates the token " cat" alone."""
    rule = Rule("word: cat", "token", "", r"\bcat\b")
    assert planted.activations(rule, ["A", " cat", "'", "s", " concat"]) == (0, 1, 0, 0, 0)


def test_firing_agrees_with_examples() -> None:
    """A rule run as a dictionary fires in exactly the windows that it finds anything in."""
    pool = contrast.pool(corpus(), held_out=True, size=200, seed=1)
    rule = RULES[0]
    firing = planted.firing(rule, corpus(), pool)
    found = {int(window) for window in pool if rule.spans("".join(corpus().pieces(int(window))))}
    assert set(corpus().of(firing.positions).tolist()) == found
    assert (np.diff(firing.positions) > 0).all()


@pytest.mark.parametrize("size", [0, 5])
def test_a_corpus_that_is_too_small_plants_fewer(size: int) -> None:
    """Rules without enough windows are left out: the number that comes tells how many."""
    pool = contrast.pool(corpus(), held_out=True, size=size, seed=0)
    assert list(planted.examples(corpus(), pool, n_rules=60, n_positives=N, n_negatives=N, seed=0)) == []
