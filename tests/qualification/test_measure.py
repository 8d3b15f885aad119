"""Quality of a judge from answers, against closed forms and simulation with known truth."""

from itertools import product

import numpy as np

from autointerp.qualification import measure
from autointerp.qualification.base import Answered


def answers(rng: np.random.Generator, n_rules: int, sensitivity: float, specificity: float) -> list[Answered]:
    """Answers of a judge of known quality: five true and five false contexts per rule, in prompts of five."""
    found = []
    for rule in range(n_rules):
        truths = rng.permutation([True] * 5 + [False] * 5)
        for i, truth in enumerate(truths.tolist()):
            yes = bool(rng.random() < (sensitivity if truth else 1 - specificity))
            grade = ("token", "phrase", "topic")[rule % 3]
            found.append(
                Answered(
                    scorer="detection",
                    words="true",
                    rule=rule,
                    grade=grade,
                    question=f"{rule}/{i // 5}",
                    position=i % 5,
                    n_shown=5,
                    truth=truth,
                    yes=yes,
                    probability=float(yes),
                    reply="",
                    few_shot=False,
                )
            )
    return found


def test_sequential_decisions_are_rarely_wrong() -> None:
    """At quality .2 below or above the limit, at most 5 % of 400 judges are decided wrongly before the last look."""
    rng = np.random.default_rng(0)
    for quality, wrong in ((0.4, "passed"), (0.8, "failed")):
        side = (1 + quality) / 2
        n_wrong = 0
        for _ in range(400):
            some = answers(rng, 32, side, side)
            for look in measure.LOOKS[:-1]:
                seen = [a for a in some if a.rule < look]
                verdict = measure.decide(seen, "detection", "true", 0.6, last=False)
                if verdict is not None:
                    n_wrong += verdict == wrong
                    break
        assert n_wrong <= 20 + 3 * (400 * 0.05 * 0.95) ** 0.5


def test_a_clear_judge_and_a_chance_judge_are_known_early() -> None:
    """Quality .98 passes and quality 0 fails within 8 of 32 rules, for nine judges in ten."""
    rng = np.random.default_rng(1)
    for side, verdict in ((0.99, "passed"), (0.5, "failed")):
        early = [
            any(
                measure.decide([a for a in some if a.rule < look], "detection", "true", 0.6, last=False) == verdict
                for look in (4, 8)
            )
            for some in (answers(rng, 8, side, side) for _ in range(200))
        ]
        assert np.mean(early) >= 0.9


def test_informedness_is_sensitivity_plus_specificity_minus_one() -> None:
    """The value is the closed form, and the interval holds it."""
    some = answers(np.random.default_rng(2), 12, 0.8, 0.9)
    row = measure.quality(some, "detection", "true")
    assert row.sensitivity is not None
    assert row.specificity is not None
    assert row.informedness is not None
    assert abs(row.informedness - (row.sensitivity + row.specificity - 1)) < 1e-12
    assert row.low is not None
    assert row.high is not None
    assert row.low <= row.informedness <= row.high
    perfect = measure.quality(answers(np.random.default_rng(2), 4, 1, 1), "detection", "true")
    assert perfect.low is not None
    assert perfect.low < 0.75, "twenty right answers of each class prove no more"


def test_auroc_counts_pairs() -> None:
    """By all pairs, ties counted half."""
    rng = np.random.default_rng(3)
    some = answers(rng, 6, 0.7, 0.7)
    true = [a.probability for a in some if a.truth and a.probability is not None]
    false = [a.probability for a in some if not a.truth and a.probability is not None]
    pairs = [(a > b) + (a == b) / 2 for a, b in product(true, false)]
    found = measure.auroc(some)
    assert found is not None
    assert abs(found - float(np.mean(pairs))) < 1e-12


def test_position_effect_is_small_for_a_fair_judge_and_one_for_a_judge_of_positions() -> None:
    """Truth is taken off, so that an uneven deal shows nothing."""
    some = answers(np.random.default_rng(4), 32, 0.95, 0.95)
    fair = measure.position_effect(some)
    assert fair is not None
    assert fair < 0.15
    from dataclasses import replace

    even = measure.position_effect([replace(a, yes=a.position % 2 == 0) for a in some])
    assert even is not None
    assert even > 0.8
