"""Prompt forms of yes/no scorers: balanced examples, answers and probabilities read from the right token."""

import json
import math
from typing import Any

import numpy as np
import pytest

from autointerp.prompts import Prompts
from autointerp.records import Example, Explanation, LatentExamples, LatentId, Message, Question, Reply, TokenLogprob
from autointerp.scorers import _yes_no, detection, fuzzing

SCORERS = {"detection": detection, "fuzzing": fuzzing}


def answers(messages: tuple[Message, ...]) -> list[list[int]]:
    """The examples' answers of a prompt, as lists of 0 and 1."""
    found = []
    for message in messages:
        if message.role == "assistant":
            text = message.content
            found.append([int(text == "yes")] if text in ("yes", "no") else json.loads(text))
    return found


def example(number: int, *, active: bool) -> Example:
    return Example(
        window=number,
        document=number,
        pieces=("a", " big", " cat", " sat"),
        activations=(0.0, 0.0, float(active), 0.0),
        kind="positive" if active else "random",
        stratum=0,
        stratum_share=1.0,
    )


def asked(name: str, **settings: Any) -> tuple[_yes_no.YesNo, list[Question]]:
    module = SCORERS[name]
    scorer = module.build(module.Config(**settings), Prompts())
    latent = LatentId("d", "s", 0)
    examples = LatentExamples(
        latent=latent,
        explain=(),
        explain_contrast=(),
        held_out=tuple(example(i, active=True) for i in range(20)),
        contrast=tuple(example(20 + i, active=False) for i in range(20)),
    )
    explanation = Explanation(
        explanation_id="e", latent=latent, text='the word "cat"', explainer="x", prompt_hash="", raw=""
    )
    return scorer, scorer.questions(examples, explanation, "none", np.random.default_rng(0))


@pytest.mark.parametrize("name", SCORERS)
def test_examples_of_lists_are_balanced_and_the_last_answer_is_mixed(name: str) -> None:
    """Yes and no are equally frequent, in all and at each place; the last list, which weak judges repeat, has both."""
    lists = answers(asked(name)[1][0].messages)
    flat = [value for one in lists for value in one]
    assert sum(flat) * 2 == len(flat)
    for place in range(max(map(len, lists))):
        at = [one[place] for one in lists if len(one) > place]
        assert abs(sum(at) * 2 - len(at)) <= len(at) % 2
    assert set(lists[-1]) == {0, 1}
    assert lists[-1][-1] != lists[-1][-2]


@pytest.mark.parametrize("form", ["single", "token"])
@pytest.mark.parametrize("name", SCORERS)
def test_examples_of_single_contexts_end_in_yes_and_no_equally_often(name: str, form: str) -> None:
    """Each prompt's examples are balanced; over a latent's prompts the last answer is yes in about half."""
    _, questions = asked(name, form=form)
    assert {len(question.items) for question in questions} == {1}
    last = [answers(question.messages)[-1][0] for question in questions]
    assert all(sum(values[0] for values in answers(q.messages)) * 2 == len(answers(q.messages)) for q in questions)
    n = len(last)
    assert abs(sum(last) - n / 2) <= 4 * math.sqrt(n) / 2


def test_no_example_is_python() -> None:
    """The default corpus is docstrings: an example of its domain is copied by weak models as if it were an answer."""
    prompts = Prompts()
    shown = {
        "examples": [],
        "n_examples": 0,
        "counterexamples": [],
        "n_counterexamples": 0,
        "tokens": [],
        "n_tokens": 0,
        "items": [],
        "n_items": 0,
        "explanation": "",
        "marks": True,
        "form": "list",
        "flip": False,
    }
    for name in prompts.names():
        told = " ".join(message.content for message in prompts.render(name, **shown)[1:])
        assert not any(word in told for word in ("def ", "return", "Python", "import ", "class ")), name


def token(text: str, **top: float) -> TokenLogprob:
    return TokenLogprob(text, math.log(top[text]), tuple((name, math.log(p)) for name, p in top.items()))


@pytest.mark.parametrize(
    ("text", "tokens", "yes", "probability"),
    [
        ("Yes", (token("Yes", Yes=0.6, No=0.2, yes=0.1, maybe=0.1),), True, 0.7 / 0.9),
        ('"no"', (TokenLogprob('"', 0.0), token("no", no=0.75, yes=0.25), TokenLogprob('"', 0.0)), False, 0.25),
        ("no. It has no cat, yes.", (token("no", no=0.9, yes=0.1), token("yes", yes=1.0)), False, 0.1),
        ("perhaps", (TokenLogprob("perhaps", 0.0),), None, None),
    ],
)
def test_one_word_is_read_from_its_first_token(
    text: str, tokens: tuple[TokenLogprob, ...], yes: bool | None, probability: float | None
) -> None:
    """P(yes) is the mass of yes over yes and no at the token that answers; words after it do not count."""
    scorer, questions = asked("detection", form="token")
    (judgement,) = scorer.judge(questions[0], Reply(key="", text=text, finish_reason="stop", logprobs=tokens))
    assert judgement.answer == {True: "yes", False: "no", None: "unanswered"}[yes]
    assert judgement.probability == (None if probability is None else pytest.approx(probability))


def test_a_single_context_is_asked_again_with_its_examples_in_reverse() -> None:
    """Duplicates cancel the examples' order where there is no order of contexts; a list of one has no other order."""
    rng = np.random.default_rng(0)
    scorer, questions = asked("fuzzing", form="token")
    again = scorer.reshuffled(questions[0], rng)
    assert again is not None
    assert again.items == questions[0].items
    assert answers(again.messages) == answers(questions[0].messages)[::-1]
    scorer, questions = asked("fuzzing", n_per_question=1)
    assert scorer.reshuffled(questions[0], rng) is None
