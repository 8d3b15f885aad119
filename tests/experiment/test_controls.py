"""Controls: who is judged by whose explanation, on which items."""

from collections import Counter
from dataclasses import replace

import pytest

from autointerp.examples import planted
from autointerp.examples.triviality import peak_token
from autointerp.experiment import controls
from autointerp.prompts import Prompts
from autointerp.records import Explanation, LatentExamples, LatentId
from autointerp.scorers import detection, fuzzing
from autointerp.scorers.base import ControlsConfig, Scorer
from tests.helpers.planted import latents

CONFIG = ControlsConfig(n_shuffled=8, n_empty=4, duplicate_share=0.3)


def told(dictionary: str, index: int, text: str | None = "") -> Explanation:
    return Explanation(
        explanation_id=f"{dictionary}-{index}",
        latent=LatentId(dictionary, "site", index),
        text=f"rule {index}" if text == "" else text,
        explainer="test",
        prompt_hash="",
        raw="",
    )


def scorers() -> dict[str, Scorer]:
    prompts = Prompts()
    return {
        "detection": detection.build(detection.Config(), prompts),
        "fuzzing": fuzzing.build(fuzzing.Config(), prompts),
    }


def test_shuffling_is_a_derangement_within_the_dictionary() -> None:
    """Nobody gets its own explanation, none is used twice, none crosses over to another dictionary."""
    everyone = [told(name, i) for name in ("a", "b") for i in range(20)]
    plan = controls.plan(everyone, ControlsConfig(n_shuffled=100), seed=0)
    assert len(plan.shuffled) == 40
    for latent, other in plan.shuffled.items():
        assert other.latent != latent
        assert other.latent.dictionary == latent.dictionary
    assert max(Counter(other.latent for other in plan.shuffled.values()).values()) == 1


def test_shuffling_skips_equal_words_and_failures() -> None:
    """An explanation in the same words is no control, and a failed one is nobody's."""
    same = [told("a", i, "always the same") for i in range(5)]
    assert not controls.plan(same, CONFIG, seed=0).shuffled
    failed = controls.plan([told("a", 0), told("a", 1, None), told("a", 2)], CONFIG, seed=0)
    assert {latent.index for latent in failed.own} == {0, 2}
    assert {other.latent.index for other in failed.shuffled.values()} == {0, 2}


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_latents_have_no_shuffled_control(n: int) -> None:
    """One latent cannot be deranged."""
    assert not controls.plan([told("a", i) for i in range(n)], CONFIG, seed=0).shuffled


def test_the_draw_is_by_seed_and_not_by_order() -> None:
    """The same seed draws the same controls from any order of explanations; another seed others."""
    everyone = [told("a", i) for i in range(30)]
    plan = controls.plan(everyone, CONFIG, seed=0)
    assert plan == controls.plan(everyone[::-1], CONFIG, seed=0)
    assert plan != controls.plan(everyone, CONFIG, seed=1)
    assert (len(plan.shuffled), len(plan.empty)) == (8, 4)


def own(examples: LatentExamples, control_of: str = "sae") -> LatentExamples:
    return replace(examples, latent=replace(examples.latent, dictionary=control_of, planted=False))


def test_controls_ask_about_the_very_same_items() -> None:
    """Own, shuffled and empty questions have equal items in equal order; only the explanation differs."""
    some = [own(one) for one in latents(12)]
    plan = controls.plan([told("sae", one.latent.index) for one in some], ControlsConfig(), seed=0)
    plan = replace(
        plan,
        **{
            field: {LatentId("sae", "text", k.index): v for k, v in getattr(plan, field).items()}
            for field in ("own", "shuffled", "empty")
        },
    )
    for one in some:
        made = list(controls.questions(one, plan, scorers(), seed=0))
        asked = {
            (q.scorer, q.control): [r for r in made if (r.scorer, r.control) == (q.scorer, q.control)] for q in made
        }
        for name in ("detection", "fuzzing"):
            items = [
                [(q.items, q.task.items) for q in asked[name, control]] for control in ("none", "shuffled", "empty")
            ]
            assert items[0] == items[1] == items[2]
        assert len({question.question_id for question in made}) == len(made)
        assert {question.control for question in made} <= {"none", "shuffled", "empty", "duplicate"}


def test_planted_latents_are_asked_with_their_true_explanation_only() -> None:
    """A planted latent's questions are of control `planted`, and no control is drawn for it."""
    some = latents(5)
    plan = controls.plan([planted.explanation(one.latent) for one in some], CONFIG, seed=0)
    made = [question for one in some for question in controls.questions(one, plan, scorers(), seed=0)]
    assert {question.control for question in made} == {"planted"}
    for question in made:
        assert question.task.explanation == planted.rule(question.latent).explanation


def test_duplicates_come_at_their_share() -> None:
    """About 30 % of prompts are asked again (within four standard errors of a binomial)."""
    some = [own(one) for one in latents()]
    plan = controls.plan([replace(told("sae", one.latent.index), latent=one.latent) for one in some], CONFIG, seed=0)
    counts = Counter(q.control for one in some for q in controls.questions(one, plan, scorers(), seed=0))
    share = counts["duplicate"] / counts["none"]
    assert abs(share - 0.3) < 4 * (0.3 * 0.7 / counts["none"]) ** 0.5


def test_the_lexical_baseline_says_whether_the_token_is_there() -> None:
    """On the same items, by hand: yes where a window (detection) or its marks (fuzzing) hold the modal peak token."""
    for one in (own(examples) for examples in latents(10)):
        plan = controls.plan([replace(told("sae", one.latent.index), latent=one.latent)], CONFIG, seed=0)
        questions = [q for q in controls.questions(one, plan, scorers(), seed=0) if q.control in ("none", "empty")]
        answers = list(controls.lexical(one, questions))
        token = peak_token(one.explain).text
        asked = {q.question_id: q for q in questions if q.control == "none"}
        assert len(answers) == sum(len(q.items) for q in asked.values())
        windows = {e.window: e for e in (*one.held_out, *one.contrast)}
        for answer in answers:
            question = asked[answer.question_id.removesuffix("-lexical")]
            assert answer.item == question.items[answer.position]
            if answer.scorer == "detection":
                assert (answer.answer == "yes") == (token in windows[answer.item.window].pieces)
            elif answer.item.truth:
                active = [
                    p
                    for p, a in zip(
                        windows[answer.item.window].pieces, windows[answer.item.window].activations, strict=True
                    )
                    if a
                ]
                assert (answer.answer == "yes") == (token in active)


def test_windows_that_nobody_is_asked_about_are_counted() -> None:
    """Of twenty activating windows one is active on every token: only fuzzing cannot ask about it."""
    one = own(latents(1)[0])
    busy = replace(one.held_out[0], activations=(1.0,) * len(one.held_out[0].pieces))
    one = replace(one, held_out=(busy, *one.held_out[1:]))
    plan = controls.plan([replace(told("sae", one.latent.index), latent=one.latent)], CONFIG, seed=0)
    made = list(controls.questions(one, plan, scorers(), seed=0))
    assert controls.not_asked(one, made) == {"fuzzing": 1}


def test_a_single_token_latent_is_known_by_its_token() -> None:
    """For a planted word the baseline is nearly perfect; that is what makes such a latent trivial."""
    word = next(own(one) for one in latents() if planted.rule(one.latent).name == "word: with")
    assert peak_token(word.explain).share >= 0.8


def test_latents_that_join_later_change_no_control_of_earlier_ones() -> None:
    """Forty latents, then twenty more behind them in the order: the first forty keep their partners."""
    everyone = [told("a", i) for i in range(60)]
    order = {one.latent: (7 * i) % 60 for i, one in enumerate(everyone)}
    first = [one for one in everyone if order[one.latent] < 40]
    config = ControlsConfig(n_shuffled=60, n_empty=10)
    few, many = (controls.plan(some, config, seed=0, order=order) for some in (first, everyone))
    assert len(few.shuffled) == 40
    assert {latent: many.shuffled[latent] for latent in few.shuffled} == dict(few.shuffled)
    assert many.empty == few.empty
