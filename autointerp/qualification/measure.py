"""From answers about planted rules to the quality of the judge, and to what is wrong with it. Pure."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from scipy import stats

from autointerp.qualification.base import Answered, QualityRow, Verdict

# Looks at the answers before all rules are asked about; the error of one wrong stop, over all looks, is 5 %.
LOOKS = (4, 8, 16, 32)
LEVEL = 0.95
# From these shares on, a behaviour is named as a cause.
MOSTLY_ONE_ANSWER, MANY_CONSTANT, MANY_COPIES, MANY_UNREADABLE = 0.9, 0.6, 0.5, 0.2
LARGE_POSITION_EFFECT = 0.4


def quality(answers: Sequence[Answered], scorer: str, words: str, grade: str = "all") -> QualityRow:
    """Summarise the answers of one scorer, source of explanations and grade."""
    some = [a for a in answers if (a.scorer, a.words) == (scorer, words) and grade in ("all", a.grade)]
    read = [a for a in some if a.yes is not None]
    value, low, high = informedness(read)
    return QualityRow(
        scorer=scorer,
        words=words,
        grade=grade,
        n_rules=len({a.rule for a in some}),
        n=len(some),
        sensitivity=_share([bool(a.yes) for a in read if a.truth]),
        specificity=_share([not a.yes for a in read if not a.truth]),
        informedness=value,
        low=low,
        high=high,
        auroc=auroc(read),
        calibration_error=calibration_error(read),
        yes_share=_share([bool(a.yes) for a in read]),
        constant_lists=constant_lists(read),
        position_effect=position_effect(read),
        unreadable=1 - len(read) / len(some) if some else 0.0,
    )


def table(answers: Sequence[Answered]) -> list[QualityRow]:
    """One row per scorer, source of explanations and grade, `all` first."""
    rows = []
    for scorer, words in sorted({(a.scorer, a.words) for a in answers}, key=lambda pair: (pair[1] == "own", pair[0])):
        grades = sorted({a.grade for a in answers}, key=("token", "phrase", "topic").index)
        rows += [quality(answers, scorer, words, grade) for grade in ("all", *grades)]
    return rows


def _share(values: Sequence[bool]) -> float | None:
    return sum(values) / len(values) if values else None


def informedness(answers: Sequence[Answered], level: float = LEVEL) -> tuple[float | None, float | None, float | None]:
    """Return sensitivity + specificity - 1 with an interval at `level`.

    The interval is the wider of two: of independent answers (Agresti-Coull counts of both classes), and of the rules'
    own values by Student's t. The first alone would overlook that a judge knows some rules and not others; the second
    alone has no width where the few rules seen agree.
    """
    yes = {truth: [bool(a.yes) for a in answers if a.truth == truth] for truth in (True, False)}
    if not yes[True] or not yes[False]:
        return None, None, None
    value = float(np.mean(yes[True]) - np.mean(yes[False]))
    z = float(stats.norm.ppf(0.5 + level / 2))
    centre, variance = 0.0, 0.0
    for truth, sign in ((True, 1), (False, -1)):
        n = len(yes[truth]) + z * z
        p = (sum(yes[truth]) + z * z / 2) / n
        centre, variance = centre + sign * p, variance + p * (1 - p) / n
    half = z * math.sqrt(variance)
    low, high = centre - half, centre + half
    by_rule = list(_by_rule(answers))
    if len(by_rule) > 1:
        t = float(stats.t.ppf(0.5 + level / 2, len(by_rule) - 1))
        half = t * float(np.std(by_rule, ddof=1)) / math.sqrt(len(by_rule))
        low, high = min(low, value - half), max(high, value + half)
    return value, max(min(low, value), -1.0), min(max(high, value), 1.0)


def _by_rule(answers: Sequence[Answered]) -> Iterator[float]:
    rules: dict[int, dict[bool, list[bool]]] = defaultdict(lambda: {True: [], False: []})
    for a in answers:
        rules[a.rule][a.truth].append(bool(a.yes))
    for classes in rules.values():
        if classes[True] and classes[False]:
            yield float(np.mean(classes[True]) - np.mean(classes[False]))


def auroc(answers: Sequence[Answered]) -> float | None:
    """Return the chance that a true context has a higher P(yes) than a false one; None without probabilities."""
    known = [(a.probability, a.truth) for a in answers if a.probability is not None]
    true = [p for p, truth in known if truth]
    false = [p for p, truth in known if not truth]
    if not true or not false:
        return None
    return float(stats.mannwhitneyu(true, false).statistic) / (len(true) * len(false))


def calibration_error(answers: Sequence[Answered]) -> float | None:
    """Return the expected calibration error of P(yes), ten equal bins."""
    known = [(a.probability, a.truth) for a in answers if a.probability is not None]
    if not known:
        return None
    p, truth = (np.array(column, dtype=float) for column in zip(*known, strict=True))
    bins = np.minimum((p * 10).astype(int), 9)
    gaps = [abs(float((p - truth)[bins == b].sum())) for b in range(10)]
    return sum(gaps) / len(p)


def constant_lists(answers: Sequence[Answered]) -> float | None:
    """Return the share of prompts that show contexts of both classes and got one answer for all of them."""
    prompts: dict[str, list[Answered]] = defaultdict(list)
    for a in answers:
        prompts[a.question].append(a)
    mixed = [group for group in prompts.values() if len({a.truth for a in group}) == 2]
    return _share([len({a.yes for a in group}) == 1 for group in mixed])


def position_effect(answers: Sequence[Answered]) -> float | None:
    """Return the largest difference between two positions in mean (answer - truth); None below 8 answers each."""
    by_position: dict[int, list[int]] = defaultdict(list)
    for a in answers:
        if a.n_shown > 1:
            by_position[a.position].append(int(bool(a.yes)) - int(a.truth))
    means = [float(np.mean(values)) for values in by_position.values() if len(values) >= 8]
    return max(means) - min(means) if len(means) > 1 else None


def depends_on_position(answers: Sequence[Answered]) -> bool:
    """Return whether the position effect is large, and larger than chance makes it."""
    effect = position_effect(answers)
    shown = [int(bool(a.yes)) - int(a.truth) for a in answers if a.n_shown > 1]
    if effect is None or effect < LARGE_POSITION_EFFECT:
        return False
    n_positions = max(a.n_shown for a in answers)
    # The largest of the ten differences between five means rarely exceeds 3.5 of its standard errors.
    return effect >= 3.5 * math.sqrt(2 * float(np.var(shown)) / (len(shown) / n_positions))


def decide(answers: Sequence[Answered], scorer: str, words: str, limit: float, *, last: bool) -> Verdict | None:
    """Decide whether informedness reaches `limit`; None to ask on. At the last look the estimate decides.

    Replies that cannot be read count as wrong.
    """
    some = [a for a in answers if (a.scorer, a.words) == (scorer, words)]
    counted = [a if a.yes is not None else _wrong(a) for a in some]
    value, low, high = informedness(counted, 1 - (1 - LEVEL) / len(LOOKS))
    if value is None or low is None or high is None:
        return "failed" if last else None
    if low >= limit:
        return "passed"
    if high < limit:
        return "failed"
    return ("passed" if value >= limit else "failed") if last else None


def rules_if_clear(limit: float, n_rules: int, n_contexts: int) -> int:
    """Return after how many rules all of whose contexts are answered rightly `decide` passes, at most `n_rules`."""
    looks = sorted({min(look, n_rules) for look in LOOKS} | {n_rules})
    for look in looks:
        right = [
            Answered(
                scorer="",
                words="true",
                rule=rule,
                grade="token",
                question="",
                position=0,
                n_shown=1,
                truth=truth,
                yes=truth,
                probability=None,
                reply="",
                few_shot=False,
            )
            for rule in range(look)
            for truth in (True, False)
            for _ in range(n_contexts)
        ]
        if decide(right, "", "true", limit, last=look == n_rules) == "passed":
            return look
    return n_rules


def _wrong(answer: Answered) -> Answered:
    return replace(answer, yes=not answer.truth)


def causes(answers: Sequence[Answered], scorer: str) -> list[str]:
    """List the defects of a judge that failed a scorer, the most telling first."""
    row = quality(answers, scorer, "true")
    said = []
    replies = Counter(a.reply.strip() for a in answers if a.scorer == scorer and a.position == 0)
    n_replies = sum(replies.values())
    copies = {a.question for a in answers if a.scorer == scorer and a.few_shot}
    n_questions = len({a.question for a in answers if a.scorer == scorer})
    if row.unreadable >= MANY_UNREADABLE:
        said.append(f"{row.unreadable:.0%} of its answers cannot be read")
    if n_questions and len(copies) / n_questions >= MANY_COPIES:
        said.append(f"{len(copies) / n_questions:.0%} of its replies repeat an answer of the prompt's examples")
    if row.yes_share is not None and row.yes_share >= MOSTLY_ONE_ANSWER:
        said.append(f"it answers yes to {row.yes_share:.0%} of the contexts")
    if row.yes_share is not None and row.yes_share <= 1 - MOSTLY_ONE_ANSWER:
        said.append(f"it answers no to {1 - row.yes_share:.0%} of the contexts")
    read = [a for a in answers if a.scorer == scorer and a.words == "true" and a.yes is not None]
    if depends_on_position(read):
        said.append(f"its answers depend on the position in the prompt (by {row.position_effect:.2f})")
    if row.constant_lists is not None and row.constant_lists >= MANY_CONSTANT:
        said.append(f"{row.constant_lists:.0%} of its lists give all contexts the same answer")
    if n_replies and len(replies) <= 2 and n_replies >= 8 and not said:
        said.append(f"it gave {len(replies)} different replies to {n_replies} prompts")
    if not said and row.auroc is not None and row.auroc >= 0.8:
        said.append(f"its P(yes) ranks contexts well (AUROC {row.auroc:.2f}) but its answers do not follow")
    grades = {g: quality(answers, scorer, "true", g).informedness for g in ("token", "phrase", "topic")}
    if not said and (grades["token"] or 0) >= 0.6:
        hard = ", ".join(f"{g} {v:.2f}" for g, v in grades.items() if v is not None)
        said.append(f"it knows the simple rules only ({hard})")
    return said or ["its answers do not follow the explanation"]
