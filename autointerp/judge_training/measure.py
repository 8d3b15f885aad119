"""Quality of a trained judge on unseen rules and text, after calibration on other rules."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

from autointerp.examples import bank
from autointerp.judge_training.lexicon import Rng, TrainingRule
from autointerp.judge_training.pairs import Pair, Source, choose, pair
from autointerp.judge_training.rules import KINDS
from autointerp.seeds import generator

# Contexts asked about per held-out rule.
N_CONTEXTS = 6
SCORERS = ("detection", "fuzzing")
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeQuality:
    """Quality on one kind of rule: `youden` is sensitivity + specificity - 1, with the number of judgements."""

    scorer: str
    kind: str
    n_rules: int
    n: int
    youden: float
    auroc: float
    calibration_error: float


def held_out_pairs(source: Source, n_rules: int, seed: int, *, part: str) -> list[list[Pair]]:
    """Draw pairs of held-out rules, a list per rule; each kind, and the bank's topics, has about as many."""
    found: list[list[Pair]] = []
    kinds = [kind for kind in KINDS if kind != "neighbours"]
    each = max(1, n_rules // (len(kinds) + 1))
    for kind in kinds:
        rng = generator(seed, "judge training", part, kind)
        drawn = source.rule_pairs(rng, N_CONTEXTS, kind)
        while drawn and len([group for group in found if group[0].kind == kind]) < each:
            found.append(drawn)
            drawn = source.rule_pairs(rng, N_CONTEXTS, kind)
    rng = generator(seed, "judge training", part, "bank")
    return found + list(_bank(source, rng, each))


def _bank(source: Source, rng: Rng, n: int) -> Iterator[list[Pair]]:
    """Yield pairs of topics of the planted bank without any word that was trained on."""
    topics = [rule for rule in bank.RULES if rule.grade == "topic"]
    for i in rng.permutation(len(topics))[:n]:
        rule = TrainingRule(kind="bank topic", explanation=topics[i].explanation, spans=topics[i].spans)
        cut = source.corpora[int(rng.integers(len(source.corpora)))]
        contexts = choose(rng, rule, cut, N_CONTEXTS)
        if contexts is not None:
            yield [pair(rng, rule, text) for text in contexts]


def calibration(logits: Floats, pairs: Sequence[Pair]) -> list[list[float]]:
    """Fit scale and bias of each scorer's logits by maximum likelihood (Platt): [[scale, bias], [scale, bias]]."""
    fitted = []
    for column, scorer in enumerate(SCORERS):
        asked, truth = _asked(pairs, scorer)
        x, y = logits[asked, column], truth[asked]
        targets = (y * y.sum() + 0.5) / (y.sum() + 1) if y.all() else y.astype(float)

        def loss(ab: Floats, x: Floats = x, y: Floats = targets) -> float:
            z = ab[0] * x + ab[1]
            return float(np.logaddexp(0, z).sum() - (y * z).sum() + 0.01 * ((ab[0] - 1) ** 2 + ab[1] ** 2))

        fitted.append(optimize.minimize(loss, np.array([1.0, 0.0]), method="Nelder-Mead").x.tolist())
    return fitted


def quality(probabilities: Floats, groups: Sequence[Sequence[Pair]]) -> list[JudgeQuality]:
    """Return the quality by scorer and kind, `all` first; probabilities [n, 2] of the groups' pairs, in order."""
    pairs = [one for group in groups for one in group]
    rule_of = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    kinds = ["all", *dict.fromkeys(one.kind for one in pairs)]
    rows = []
    for column, scorer in enumerate(SCORERS):
        asked, truth = _asked(pairs, scorer)
        for kind in kinds:
            some = asked & np.array([kind in ("all", one.kind) for one in pairs])
            if truth[some].any() and not truth[some].all():
                rows.append(_quality(scorer, kind, probabilities[some, column], truth[some], rule_of[some]))
    return rows


def _quality(scorer: str, kind: str, p: Floats, truth: NDArray[np.bool_], rules: NDArray[np.int64]) -> JudgeQuality:
    yes = p >= 0.5
    bins = np.minimum((p * 10).astype(int), 9)
    gaps = sum(abs(float((p - truth)[bins == b].sum())) for b in range(10))
    ranked = float(stats.mannwhitneyu(p[truth], p[~truth]).statistic) / (truth.sum() * (~truth).sum())
    return JudgeQuality(
        scorer=scorer,
        kind=kind,
        n_rules=len(set(rules.tolist())),
        n=len(p),
        youden=float(yes[truth].mean() - yes[~truth].mean()),
        auroc=ranked,
        calibration_error=gaps / len(p),
    )


def _asked(pairs: Sequence[Pair], scorer: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which pairs a scorer is asked about, and the truth."""
    if scorer == "detection":
        return np.ones(len(pairs), dtype=bool), np.array([bool(one.spans) for one in pairs])
    return np.array([bool(one.marks) for one in pairs]), np.array([one.marks_right for one in pairs])


def milliseconds(judge: Callable[[list[Pair]], object], pairs: Sequence[Pair]) -> float:
    """Return the CPU time of one judgement, in milliseconds: other processes of the machine do not count."""
    began = time.process_time()
    judge(list(pairs))
    return 1000 * (time.process_time() - began) / len(pairs)


def sigmoid(logits: Floats, fitted: Sequence[Sequence[float]]) -> Floats:
    """Return calibrated probabilities [n, 2] of raw logits."""
    scale, bias = np.array(fitted).T
    return special.expit(logits * scale + bias)


def table(rows: Sequence[JudgeQuality]) -> Iterator[str]:
    """Yield the quality as lines of a table."""
    yield f"{'scorer':<10} {'kind':<11} {'rules':>5} {'n':>5} {'youden':>7} {'AUROC':>6} {'calib.':>6}"
    for row in rows:
        yield (
            f"{row.scorer:<10} {row.kind:<11} {row.n_rules:>5} {row.n:>5} {row.youden:>7.2f} {row.auroc:>6.2f} "
            f"{row.calibration_error:>6.2f}"
        )
