"""Readers of judges' replies: exact length or nothing; probabilities sum over the variants of a word."""

import doctest
import math

import pytest

from autointerp.records import Reply, TokenLogprob
from autointerp.scorers import _answers


def test_the_docstrings_examples_hold() -> None:
    result = doctest.testmod(_answers)
    assert result.attempted >= 6
    assert result.failed == 0


@pytest.mark.parametrize(
    "text",
    [
        "[1, 0, 1]",
        "[1,0,1]\n",
        "```json\n[1, 0, 1]\n```",
        '{"answers": [1, 0, 1]}',
        "[true, false, true]",
        '["yes", "no", "Yes"]',
        "Yes\nNo\nYes",
        "101",
        "The answers are [1, 0, 1].",
        "[1, 0, 1] as said: [1, 0, 1]",
        "Sure! Here are my answers:\n\n[1, 0, 1]\n\nLet me know if you need more.",
        "1. yes\n2. no\n3. yes",
        "[1]: 1\n[2]: 0\n[3]: 1",
        "Item 1: Yes\nItem 2: No\nItem 3: Yes",
        "**Answers:** yes, no, yes",
        "1 0 1",
        '{"1": 1, "2": 0, "3": 1}',
        "Final answer: [1, 0, 1]",
        "Only 1 and 3 match, so [1, 0, 1]",
        "```\n[1,0,1]\n```\nDone.",
    ],
)
def test_lists_are_read_however_they_are_written(text: str) -> None:
    assert _answers.yes_no(text, 3) == [True, False, True]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1, 0]",
        "[1, 0, 1, 1]",
        "[1, 0, 1",
        "[1, 0, 2]",
        "[1, 0, 1] no, [0, 1, 0]",
        "10",
        "maybe",
        "[1.0, 0, 1]",
        "I cannot say whether it is [1, 0, 1].",
        "An answer would look like [1, 0, 1]",
        "[1, 0, 1] would be wrong here",
        "The first is a yes, the second a no, the third, yes, I think",
        "2. yes\n1. no\n3. yes",
        "There is 1 match in text 1, and 0 elsewhere",
        "1. yes\n2. no",
        "I need more context: 1, 0, 1? No.",
        "Items 1 and 0 and 1 are unclear",
        "0. yes\n1. no\n2. yes",
        '{"1": 1, "3": 0, "2": 1}',
    ],
)
def test_anything_else_is_no_answer(text: str) -> None:
    assert _answers.yes_no(text, 3) is None


def token(text: str, **top: float) -> TokenLogprob:
    return TokenLogprob(text, -1.0, tuple((name.replace("_", " "), math.log(p)) for name, p in top.items()))


def test_the_probability_sums_over_variants_and_ignores_other_words() -> None:
    # Yes: .3 + .2; no: .1 + .1 + .05; the rest is other words: .5 / .75.
    tokens = (token("Yes", Yes=0.3, _yes=0.2, No=0.1, _no=0.1, NO=0.05, maybe=0.2),)
    assert _answers.probabilities(tokens, 1) == [pytest.approx(0.5 / 0.75)]


def test_a_list_is_read_token_by_token_with_brackets_glued_on() -> None:
    listed = (
        token("[", **{"[": 1.0}),
        token("1", **{"1": 0.9, "0": 0.1}),
        token(", "),
        token(" 0]", **{" 0]": 0.8, " 1]": 0.2}),
    )
    assert _answers.probabilities(listed, 2) == [pytest.approx(0.9), pytest.approx(0.2)]


def test_broken_logprobs_give_none_not_numbers() -> None:
    nan = TokenLogprob("1", float("nan"), (("1", float("nan")), ("0", -1.0)))
    good = token("0", **{"0": 1.0})
    assert _answers.probabilities((nan, good), 2) == [None, 0.0]
    assert _answers.probabilities((good,), 2) == [None, None]
    assert _answers.probabilities((TokenLogprob("1", 3.0),), 1) == [None]


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("<think>a <think>b [1]</think> c [1]</think>[0]", "[0]"),
        ("[0]<think>no: [1", "[0]"),
        ("<THINK>\n[1]\n</THINK>\n[0]", "[0]"),
        ("[THINK][1][/THINK][0]", "[0]"),
        ("[THINK][1]", ""),
        ("<thought>[1]</thought>[0]", "[0]"),
        ("<think></think>", ""),
        ("<think>[1]</think>", ""),
        ("[1]</think>[0]", "[0]"),
        ("<|channel|>analysis<|message|>so [1]", ""),
        ("analysisSo [1].assistantfinal[0]", "[0]"),
        (
            "<|channel|>analysis<|message|>[1]<|end|><|start|>assistant<|channel|>final<|constrain|>json<|message|>[0]<|return|>",
            "[0]",
        ),
        ("<|channel|>commentary<|message|>[1]<|end|>", ""),
        ("<seed:think>[1]</seed:think>[0]", "[0]"),
        ("◁think▷[1]◁/think▷[0]", "[0]"),
        ("<|START_THINKING|>[1]<|END_THINKING|><|START_RESPONSE|>[0]<|END_RESPONSE|>", "[0]"),
        ("<|begin_of_thought|>[1]<|end_of_thought|><|begin_of_solution|>[0]<|end_of_solution|>", "[0]"),
        ("analysis of words", "analysis of words"),
        ("he says [thinking] and [think]", "he says [thinking] and [think]"),
        ("<think>[1]</think><think>[1]</think>[0]", "[0]"),
        ("a < b > c [0]", "a < b > c [0]"),
    ],
)
def test_thoughts_are_cut_however_they_are_marked(said: str, left: str) -> None:
    assert _answers.without_thoughts(said) == left


@pytest.mark.parametrize(
    "word", ["1", " 1", "\n1", "Ġ1", "▁1", "1,", "[1", " [1", "1]", '"1"', "Yes", " yes", "TRUE", "Ċ1"]
)
def test_every_way_a_token_holds_an_answer_is_summed(word: str) -> None:
    # .5 on this way, .1 on another yes, .2 on no: .6 / .8.
    other = "true" if word != "true" else "1"
    top = ((word, math.log(0.5)), (other, math.log(0.1)), ("0", math.log(0.2)), ("maybe", math.log(0.2)))
    assert _answers.probabilities((TokenLogprob(word, math.log(0.5), top),), 1) == [pytest.approx(0.75)]


def test_an_answer_split_over_tokens_has_no_probability_rather_than_a_wrong_one() -> None:
    assert _answers.probabilities((TokenLogprob("Y", -0.1), TokenLogprob("es", -0.1)), 1) == [None]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Yes", True),
        ("**No.**", False),
        ("Yes, because it names a fruit.", True),
        ("Answer: no", False),
        ("The answer is yes.", True),
        ("Yes, there is no fruit", True),
        ("I think 1", None),
        ("Not yes", None),
        ("Yes, I cannot tell", None),
        ("1", True),
        ("yes-man", None),
    ],
)
def test_a_single_answer_may_be_explained_and_must_be_clear(text: str, answer: bool | None) -> None:
    assert _answers.yes_no(text, 1) == (None if answer is None else [answer])


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("Passage 2", 2),
        ("The odd one out is number 3.", 3),
        ("**4**", 4),
        ("[2]", 2),
        ("Thinking of fruit.\nAnswer: 2", 2),
        ("I cannot tell the 3 apart", None),
        ("There are 3", None),
        ("", None),
        ("2 or 3", None),
    ],
)
def test_a_choice_is_a_number_and_nothing_else(text: str, number: int | None) -> None:
    assert _answers.choice(text, 5) == number


def test_what_is_thought_is_neither_read_nor_counted() -> None:
    said = "<think>1, 1, 1</think>[0]"
    tokens = tuple(
        TokenLogprob(part, -0.1) for part in ("<th", "ink>", "1", ", ", "1", ", 1", "</thi", "nk>", "[", "0", "]")
    )
    seen = _answers.visible(Reply(key="", text=said, logprobs=tokens))
    assert seen.text == "[0]"
    assert [one.token for one in seen.logprobs] == ["[", "0", "]"]
