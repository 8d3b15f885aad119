"""What every scorer keeps, whatever it asks: a new file in `autointerp/scorers/` is tested the day it appears."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from autointerp import plugins
from autointerp.prompts import Prompts
from autointerp.records import Example, Explanation, LatentExamples, Question
from autointerp.scorers.base import Scorer
from autointerp.seeds import generator
from tests.helpers.planted import latents, put, score, truths

SCORERS = plugins.names("scorers")
GARBAGE = [
    "",
    "yes and no",
    "[1, 0",
    "[]",
    "[7, 7, 7, 7, 7]",
    "[1, 0, 1, 0, 1, 0, 1, 0]",
    "I cannot help with that.",
    "99",
]


def build(name: str) -> Scorer:
    module = plugins.load("scorers", name)
    return module.build(module.Config(), Prompts())


def told(examples: LatentExamples, text: str = 'the word "and"') -> Explanation:
    return Explanation(
        explanation_id=f"e{examples.latent.index}",
        latent=examples.latent,
        text=text,
        explainer="test",
        prompt_hash="",
        raw="",
    )


def ask(scorer: Scorer, examples: LatentExamples, seed: int = 0) -> list[Question]:
    rng = generator(seed, scorer.name, examples.latent)
    return scorer.questions(examples, told(examples), "none", rng)


def renumbered(example: Example) -> Example:
    changes = {"stratum": 10 * example.stratum + 3, "stratum_share": 0.01, "window": 7 * example.window + 10**6}
    return replace(example, document=example.document + 10**6, **changes)


@pytest.mark.parametrize("name", SCORERS)
def test_an_oracle_scores_one(name: str) -> None:
    """A judge that knows the truth reaches the ceiling on every latent."""
    scorer = build(name)
    for examples in latents(10):
        assert score(put(scorer, ask(scorer, examples), truths), scorer) == 1


@pytest.mark.parametrize("name", SCORERS)
def test_a_coin_scores_chance(name: str) -> None:
    """A judge that flips coins is within four standard errors of chance over sixty latents."""
    scorer = build(name)
    rng = np.random.default_rng(0)

    def coin(question: Question) -> str:
        if question.task.form == "choose_one":
            return str(1 + rng.integers(len(question.items)))
        return json.dumps(rng.integers(2, size=len(question.items)).tolist())

    scores = [score(put(scorer, ask(scorer, examples), coin), scorer) for examples in latents()]
    error = np.std(scores, ddof=1) / np.sqrt(len(scores))
    assert abs(np.mean(scores) - scorer.chance) < 4 * error


@pytest.mark.parametrize("name", SCORERS)
@pytest.mark.parametrize("always", [0, 1])
def test_a_constant_judge_scores_exactly_chance(name: str, always: int) -> None:
    """Always-yes and always-no are worth nothing, on every single latent (a choice always has its first place)."""
    scorer = build(name)
    for examples in latents(20):
        questions = ask(scorer, examples)
        if questions[0].task.form == "choose_one":
            continue
        constant = score(put(scorer, questions, lambda question: json.dumps([always] * len(question.items))), scorer)
        assert constant == 0.5


@pytest.mark.parametrize("name", SCORERS)
@pytest.mark.parametrize("reply", [*GARBAGE, None])
def test_garbage_is_unanswered(name: str, reply: str | None) -> None:
    """What cannot be read, or never came, is one `unanswered` per item with its reason: never wrong, never lost."""
    scorer = build(name)
    question = ask(scorer, latents(1)[0])[0]
    judgements = put(scorer, [question], lambda _: reply)
    assert [one.item for one in judgements] == list(question.items)
    assert [one.position for one in judgements] == list(range(len(question.items)))
    assert {one.answer for one in judgements} == {"unanswered"}
    assert {one.probability for one in judgements} == {None}
    assert all(one.status not in ("", "ok") for one in judgements)


@pytest.mark.parametrize("name", SCORERS)
def test_questions_do_not_depend_on_other_latents(name: str) -> None:
    """Asked alone, in another order or again, a latent gets the same questions, with ids of their own."""
    scorer = build(name)
    some = latents(6)
    forth = {one.latent: ask(scorer, one) for one in some}
    back = {one.latent: ask(build(name), one) for one in reversed(some)}
    assert forth == back
    ids = [question.question_id for questions in forth.values() for question in questions]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("name", SCORERS)
def test_no_truth_in_what_the_judge_sees(name: str) -> None:
    """Prompts are made of the template, the explanation and the contexts: with every item's stratum, share, window and
    document number changed, in an order-keeping way, the prompts stay the same texts."""
    scorer = build(name)
    for examples in latents(5):
        other = replace(
            examples,
            held_out=tuple(map(renumbered, examples.held_out)),
            contrast=tuple(map(renumbered, examples.contrast)),
        )
        seen = [(question.messages, question.task, question.schema) for question in ask(scorer, examples)]
        assert seen == [(question.messages, question.task, question.schema) for question in ask(scorer, other)]
        for question in ask(scorer, examples):
            assert len(question.task.items) == len(question.items)


@pytest.mark.parametrize("name", SCORERS)
def test_places_tell_nothing(name: str) -> None:
    """Over sixty latents each place of a prompt holds as many true items as chance has it (chi-square, 1 in 10,000)."""
    scorer = build(name)
    trues, alls = Counter[int](), Counter[int]()
    for examples in latents():
        for question in ask(scorer, examples):
            for place, item in enumerate(question.items):
                alls[place] += 1
                trues[place] += item.truth
    share = sum(trues.values()) / sum(alls.values())
    statistic = sum((trues[i] - alls[i] * share) ** 2 / (alls[i] * share * (1 - share)) for i in alls)
    assert statistic < stats.chi2.isf(1e-4, df=len(alls) - 1)


@pytest.mark.parametrize("name", SCORERS)
def test_every_held_out_window_is_judged_and_no_other(name: str) -> None:
    """Nothing is dropped in silence: each positive is asked about, and nothing from the explain documents is."""
    scorer = build(name)
    for examples in latents(10):
        items = [item for question in ask(scorer, examples) for item in question.items]
        asked = {item.window for item in items}
        assert {e.window for e in examples.held_out} <= asked
        assert not asked & {e.window for e in (*examples.explain, *examples.explain_contrast)}


@pytest.mark.parametrize("name", SCORERS)
def test_a_short_last_prompt_is_asked_for_its_own_length(name: str) -> None:
    """With 7 positives and 4 negatives no item is lost, and each prompt asks for as many answers as it shows."""
    scorer = build(name)
    examples = latents(1)[0]
    few = replace(examples, held_out=examples.held_out[:7], contrast=examples.contrast[:4])
    questions = ask(scorer, few)
    for question in questions:
        assert len(put(scorer, [question], truths)) == len(question.items) == len(question.task.items)
    assert {e.window for e in few.held_out} <= {item.window for q in questions for item in q.items}


@pytest.mark.parametrize("name", SCORERS)
def test_a_latent_without_negatives_is_no_crash(name: str) -> None:
    """A dense latent, with nothing silent to ask about, gets questions that an oracle can answer, or none."""
    scorer = build(name)
    examples = latents(1)[0]
    dense = tuple(replace(e, activations=tuple(1.0 for _ in e.pieces)) for e in examples.held_out)
    for one in (replace(examples, contrast=(), held_out=dense), replace(examples, contrast=(), held_out=())):
        put(scorer, ask(scorer, one), truths)


@pytest.mark.parametrize("name", SCORERS)
def test_reshuffled_asks_the_same_in_another_order(name: str) -> None:
    """The duplicate has its own id and control, the same items with the same contexts, and another order."""
    scorer = build(name)
    for question in ask(scorer, latents(1)[0]):
        again = scorer.reshuffled(question, np.random.default_rng(0))
        if again is None:
            assert scorer.needs != "llm", "only what does not depend on order needs no second asking"
            continue
        assert again.control == "duplicate"
        assert again.question_id != question.question_id
        pairs = list(zip(question.items, question.task.items, strict=True))
        pairs_again = list(zip(again.items, again.task.items, strict=True))
        assert pairs != pairs_again
        assert sorted(map(repr, pairs)) == sorted(map(repr, pairs_again))
        assert again.messages[:-1] == question.messages[:-1]
        assert sorted(again.messages[-1].content) == sorted(question.messages[-1].content)


@pytest.mark.parametrize("name", SCORERS)
def test_prefix_of_prompts_is_constant(name: str) -> None:
    """All messages but the last are the same for every latent, and the last begins with the explanation."""
    scorer = build(name)
    first, second = (ask(scorer, examples)[0] for examples in latents(2))
    assert first.messages[:-1] == second.messages[:-1]
    assert [message.role for message in first.messages][:2] == ["system", "user"] or len(first.messages) < 3


@pytest.mark.parametrize("name", SCORERS)
def test_its_templates_are_named(name: str) -> None:
    """The templates it says it renders exist, so that the manifest can hash them."""
    assert all(len(Prompts().hash(template)) == 64 for template in build(name).templates)
