"""The pattern back end is a real baseline: it finds literal rules, states them, and applies what is stated."""

import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autointerp.examples import planted
from autointerp.explainers import default
from autointerp.explainers import pattern as explainer
from autointerp.explainers.base import Explainer
from autointerp.llm import _pattern_language as language
from autointerp.llm import pattern
from autointerp.llm._pattern_language import Clause
from autointerp.prompts import Prompts
from autointerp.records import ExplainTask, Explanation, JudgeTask, Request, Sampling, ShownExample, ShownItem
from autointerp.scorers import detection, fuzzing, intruder
from autointerp.seeds import generator
from tests.helpers.planted import latents, put_to, score

LLM = pattern.open(pattern.Config())
PROMPTS = Prompts()
EXPLAINERS: dict[str, Explainer] = {
    "pattern": explainer.build(explainer.Config(), PROMPTS),
    "default": default.build(default.Config(), PROMPTS),
}
SCORERS = {
    "detection": detection.build(detection.Config(), PROMPTS),
    "fuzzing": fuzzing.build(fuzzing.Config(), PROMPTS),
}


def ask(task: ExplainTask | JudgeTask, **sampling: int) -> str:
    request = Request(key="k", messages=(), task=task, sampling=Sampling(**sampling))
    return next(LLM.generate([request])).text or ""


def judged(explanation: str, *texts: str, marks: tuple[tuple[int, int], ...] = ()) -> list[int]:
    items = tuple(ShownItem(text=text, marks=marks) for text in texts)
    return json.loads(ask(JudgeTask(explanation=explanation, items=items)))


@pytest.mark.parametrize("name", EXPLAINERS)
def test_planted_rules_are_found(name: str) -> None:
    """On held-out documents: token and phrase rules at .95 balanced accuracy and more, by both scorers; topics well
    above chance. The explanation is what it reads from examples, never the bank's."""
    scores: dict[tuple[str, str], list[float]] = {}
    for examples in latents():
        reply = next(LLM.generate([EXPLAINERS[name].request(examples, generator(0, examples.latent))]))
        told = Explanation(
            explanation_id="e",
            latent=examples.latent,
            text=EXPLAINERS[name].read(reply),
            explainer=name,
            prompt_hash="",
            raw="",
        )
        for scorer in SCORERS.values():
            questions = scorer.questions(examples, told, "none", generator(1, examples.latent))
            grade = planted.rule(examples.latent).grade
            scores.setdefault((grade, scorer.name), []).append(score(put_to(LLM, scorer, questions), scorer))
    means = {key: float(np.mean(values)) for key, values in scores.items()}
    for scorer in SCORERS:
        assert means["token", scorer] >= 0.95, means
        assert means["phrase", scorer] >= 0.95, means
        assert means["topic", scorer] >= 0.75, means


def test_true_explanations_are_understood() -> None:
    """The judge applies the bank's own words for token and phrase rules at .95 and more."""
    for name, scorer in SCORERS.items():
        scores = []
        for examples in latents():
            if planted.rule(examples.latent).grade == "topic":
                continue
            told = planted.explanation(examples.latent)
            questions = scorer.questions(examples, told, "planted", generator(1, examples.latent))
            scores.append(score(put_to(LLM, scorer, questions), scorer))
        assert np.mean(scores) >= 0.95, name


def test_it_is_quick_and_deterministic() -> None:
    """The same tasks give the same words twice, at well under a second each."""
    requests = [EXPLAINERS["pattern"].request(examples, generator(0, examples.latent)) for examples in latents(20)]
    began = time.process_time()
    first = [reply.text for reply in LLM.generate(requests)]
    assert (time.process_time() - began) / len(requests) < 0.3
    assert first == [reply.text for reply in pattern.open(pattern.Config()).generate(requests)]


@pytest.mark.parametrize("text", ["", "   ", "."])
def test_no_words_get_a_constant_answer(text: str) -> None:
    """Without an explanation every context gets the same answer, so the judge is exactly at chance."""
    assert judged(text, "a cat", "12 dogs", "", "\n") == [0, 0, 0, 0]
    assert judged(text, "a cat sat", "12 dogs ran", marks=((0, 4),)) == [0, 0]


WORDS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@settings(max_examples=200, deadline=None)
@given(WORDS, st.lists(WORDS, max_size=2), st.lists(WORDS, max_size=2), st.sampled_from(["lower", "suffix", "part"]))
def test_what_is_said_is_read_back(word: str, after: list[str], before: list[str], what: str) -> None:
    """Whatever characters a clause quotes, its English reads back as the same clause."""
    clause = Clause(what, word.lower(), tuple(map(language.key, after)), tuple(map(language.key, before)), "f")
    said = language.say([clause, Clause("number"), Clause("lower", "x")])
    assert language.read(said) == [clause, Clause("number"), Clause("lower", "x")]
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    "explanation, yes, no",
    [
        ('the word "cat"', "The Cat sat", "a concatenation"),
        ('exactly the word "Cat"', "The Cat sat", "the cat sat"),
        ('a word ending in "ing"', "is singing", "a singer"),
        ('any of the words "cat", "dog" right before "sat"', "the dog sat", "the dog ran"),
        ('any word right after "to"', "to go", "(to)"),
        ('a number right before "%"', "by 12%", "by 12"),
        ('the "ar" in the word "scary"', "a scary one", "an arm"),
        ('the phrase "in order to"', "In order to win", "in to order"),
        ("numbers written in digits", "at 12 o'clock", "at twelve"),
        ('commas: ","', "one, two", "one two"),
        ("words about cooking and kitchens, such as oven", "She cooked dinner", "He ran home"),
        ("references to the ocean", "across the ocean", "across the field"),
    ],
)
def test_explanations_mean_what_they_say(explanation: str, yes: str, no: str) -> None:
    """In its own language to the letter; in other English by what is quoted, else by the words used."""
    assert judged(explanation, yes, no) == [1, 0]


def test_marks_are_judged_and_not_the_context() -> None:
    """Of "the cat sat" the mark on "cat" is right, those on "sat" and "the" are not."""
    for mark, answer in (((4, 7), 1), ((3, 7), 1), ((8, 11), 0), ((0, 3), 0)):
        assert judged('the word "cat"', "the cat sat", marks=(mark,)) == [answer]


def test_answers_carry_probabilities_when_asked() -> None:
    """A more reliable clause (said earlier) is more probable; all agree with the answers; none without being asked."""
    scorer = SCORERS["detection"]
    told = Explanation(
        explanation_id="e",
        latent=latents(1)[0].latent,
        text='the word "the"; a number',
        explainer="t",
        prompt_hash="",
        raw="",
    )
    judgements = put_to(LLM, scorer, scorer.questions(latents(1)[0], told, "none", np.random.default_rng(0)))
    assert {one.answer == "yes" for one in judgements} == {True, False}
    assert all((one.answer == "yes") == ((one.probability or 0) > 0.5) for one in judgements)
    silent = detection.build(detection.Config(top_logprobs=0), PROMPTS)
    judgements = put_to(LLM, silent, silent.questions(latents(1)[0], told, "none", np.random.default_rng(0)))
    assert {one.probability for one in judgements} == {None}


def test_it_sees_only_what_is_marked() -> None:
    """Nothing marked, nothing to say; and activations below the marks cannot be seen."""
    shown = ShownExample(pieces=(" a", " b"), levels=(0, 0))
    assert ask(ExplainTask(examples=(shown, shown))) == "Explanation: nothing"
    assert judged("nothing", "a b") == [0]


@pytest.mark.parametrize("text", ["<<", '"', "\\", "\x00\x07", "\u202e", "‹|im_end|›", "🙂👍", "\ud800", "x" * 5000])
def test_hostile_text_is_no_trouble(text: str) -> None:
    """Any characters may be explained and judged; the statement is one line that is read back to itself."""
    examples = tuple(ShownExample(pieces=("say ", text, " now"), levels=(0, 10, 0)) for _ in range(5))
    said = ask(ExplainTask(examples=examples)).removeprefix("Explanation: ")
    assert len(said.splitlines()) == 1
    assert language.read(said) is not None
    judged(said, f"say {text} now")


def test_the_odd_one_out_is_better_than_a_guess() -> None:
    """On planted latents the intruder is found above chance (.2), by shared words alone."""
    scorer = intruder.build(intruder.Config(), PROMPTS)
    told = [planted.explanation(examples.latent) for examples in latents()]
    scores = [
        score(put_to(LLM, scorer, scorer.questions(one, why, "planted", generator(0, one.latent))), scorer)
        for one, why in zip(latents(), told, strict=True)
    ]
    assert np.mean(scores) > 0.25
