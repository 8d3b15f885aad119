"""Do a run's controls come out as they must? If not, scores are INVALID, not merely low (`validity` says whose)."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd

from autointerp.statistics.base import CHANCE, Limits, chance_of
from autointerp.statistics.intervals import mean, unpaired

# A control has failed, rather than being undecided, when chance lies outside its interval at this level.
FAILURE_LEVEL = 0.99
# Controls under which a judge must be at chance.
CHANCE_CONTROLS = ("shuffled", "empty")
Status = Literal["passed", "failed", "undecided", "informative"]
COLUMNS = [
    "control",
    "scorer",
    "dictionary",
    "measure",
    "value",
    "low",
    "high",
    "expected",
    "n_latents",
    "status",
    "reason",
]


def controls(
    scores: pd.DataFrame,
    *,
    limits: Limits | None = None,
    alpha: float = 0.05,
    compared: Sequence[tuple[str, str]] | None = None,
    asked: Mapping[str, int] | None = None,
) -> pd.DataFrame:
    """Judge every control of a run.

    * `shuffled`, `empty`: balanced accuracy must be equivalent to .5 within `limits.shuffled` (90 % interval inside),
      in each dictionary and over all that have not failed alone. It has failed when the 99 % interval excludes .5 as
      well (Bonferroni over the dictionaries); in between it is undecided: too few latents to tell.
    * `shuffled`, measure `score_hard`: the same for the score against hard negatives, where they were asked.
    * `shuffled`, measure `difference`: the shuffled scores of two compared dictionaries must not differ, since a leak
      that differs between two biases their comparison. It has failed when the 99 % interval excludes 0 (Bonferroni over
      the pairs) and the 90 % interval is not within `limits.shuffled`.
    * `planted`: the judge's sensitivity + specificity - 1 on latents whose true explanation is known must reach
      `limits.planted`.
    * `planted`, moved (`planted_moved`): the same, by how much it differs from a reference run of the same judge.
    * `missing`: the share of unanswered judgements, and its largest difference between dictionaries.
    * `lexical`: what the latent's modal tokens alone score; informative, never failing.

    Args:
        scores: `latent_scores(..., control=None)`: all controls, all dictionaries.
        limits: bounds.
        alpha: error rate of the equivalence test.
        compared: pairs of dictionaries that are compared, second minus first; all pairs if None.
        asked: control -> latents that the study asks for; one that has no rows at all is undecided.

    Returns:
        One row per control, scorer and dictionary ("all" for all together), columns `COLUMNS`.
    """
    limits = Limits() if limits is None else limits
    rows: list[dict[str, object]] = []
    for (control, scorer), part in scores.groupby(["control", "scorer"], sort=False, observed=True):
        if control in CHANCE_CONTROLS:
            rows += _chance_rows(str(control), str(scorer), _arms(part), limits.shuffled, alpha)
        if control == "shuffled":
            hard = part.assign(score=part["score_hard"])
            rows += _chance_rows(str(control), str(scorer), _arms(hard), limits.shuffled, alpha, "score_hard")
            rows += _difference_rows(str(scorer), dict(_arms(part)[1:]), compared, limits.shuffled, alpha)
        elif control == "planted":
            rows.append(_planted_row(str(scorer), part, limits.planted))
        elif control == "lexical":
            rows += [_mean_row(str(control), str(scorer), name, arm) for name, arm in _arms(part)]
        elif control == "none":
            rows += _missing_rows(str(scorer), part, limits)
    there = set(scores["control"].astype(str))
    rows += [_absent_row(name, n) for name, n in (asked or {}).items() if n > 0 and name not in there]
    return pd.DataFrame(rows, columns=COLUMNS)


def _absent_row(control: str, n: int) -> dict[str, object]:
    reason = f"the study asks for {n} {control} latents, and none was judged"
    return control_row(control, "all", "all", "asked", 0.0, 0.0, 0.0, float(n), 0, "undecided", reason)


def _arms(part: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Split rows with a score by dictionary, all of them first."""
    kept = part[part["score"].notna()]
    if kept.empty:
        return []
    split = [(str(name), arm) for name, arm in kept.groupby("dictionary", sort=False, observed=True)]
    return [("all", kept), *split]


def _chance_rows(
    control: str,
    scorer: str,
    arms: Sequence[tuple[str, pd.DataFrame]],
    margin: float,
    alpha: float,
    measure: str = "score",
) -> list[dict[str, object]]:
    """Judge each dictionary, then all that have not failed alone: one that leaks says nothing of the others."""
    if not arms:
        return []
    (_, whole), *single = arms
    level = 1 - (1 - FAILURE_LEVEL) / len(single)
    rows = [_chance_row(control, scorer, name, arm, margin, alpha, level, measure) for name, arm in single]
    failed = [row["dictionary"] for row in rows if row["status"] == "failed"]
    rest = whole[~whole["dictionary"].isin(failed)] if len(failed) < len(single) else whole
    return [_chance_row(control, scorer, "all", rest, margin, alpha, FAILURE_LEVEL, measure), *rows]


def _chance_row(
    control: str, scorer: str, name: str, arm: pd.DataFrame, margin: float, alpha: float, level: float, measure: str
) -> dict[str, object]:
    inner = mean(arm["score"].to_numpy(float))
    # All latents at exactly chance (a judge that answers all alike) is what the control asks for.
    exact = bool((arm["score"] - CHANCE).abs().max() < 1e-12)
    low, high = (CHANCE, CHANCE) if exact and inner.n > 1 else inner.interval(1 - 2 * alpha)
    status = _status((low - CHANCE, high - CHANCE), inner.interval(level), CHANCE, margin)
    where = (" against hard negatives" if measure == "score_hard" else "") + ("" if name == "all" else f" in {name}")
    article = "an" if control == "empty" else "a"
    reason = {
        "passed": "",
        "failed": f"{scorer} with {article} {control} explanation scores {inner.value:.3f}{where}, not .5: "
        "something else gives the truth away",
        "undecided": f"{scorer} with {article} {control} explanation scores {inner.value:.3f} [{low:.3f}, {high:.3f}]"
        f"{where}: too few latents ({inner.n}) to show that it is within {margin:g} of .5",
    }[status]
    return control_row(control, scorer, name, measure, inner.value, low, high, CHANCE, inner.n, status, reason)


def _status(inside: tuple[float, float], wide: tuple[float, float], expected: float, margin: float) -> Status:
    """Decide from the narrow interval's distance to what is expected, and from the wide interval."""
    if -margin < inside[0] and inside[1] < margin:
        return "passed"
    return "undecided" if wide[0] <= expected <= wide[1] else "failed"


def _difference_rows(
    scorer: str,
    arms: Mapping[str, pd.DataFrame],
    compared: Sequence[tuple[str, str]] | None,
    margin: float,
    alpha: float,
) -> list[dict[str, object]]:
    """Compare the shuffled scores of compared dictionaries."""
    chosen = list(combinations(arms, 2)) if compared is None else compared
    chosen = [(a, b) for a, b in chosen if min(len(arms.get(a, ())), len(arms.get(b, ()))) >= 2]
    rows = []
    for a, b in chosen:
        means = [mean(arms[name]["score"].to_numpy(float), bounded=False) for name in (a, b)]
        if max(one.se for one in means) == 0:
            continue
        apart = unpaired(means[0], means[1])
        narrow = apart.interval(1 - 2 * alpha)
        status = _status(narrow, apart.interval(1 - (1 - FAILURE_LEVEL) / len(chosen)), 0.0, margin)
        n = min(one.n for one in means)
        reason = (
            f"{scorer} with a shuffled explanation scores {means[1].value:.3f} in {b} and {means[0].value:.3f} in {a}: "
            "something else gives the truth away, more in one than in the other"
        )
        text = reason if status == "failed" else ""
        rows.append(
            control_row("shuffled", scorer, f"{b} - {a}", "difference", apart.value, *narrow, 0.0, n, status, text)
        )
    return rows


def _planted_row(scorer: str, part: pd.DataFrame, least: float) -> dict[str, object]:
    kept = part[part["score"].notna()]
    if kept.empty:
        return control_row(
            "planted",
            scorer,
            "all",
            "sensitivity + specificity - 1",
            0.0,
            -1.0,
            1.0,
            1.0,
            0,
            "failed",
            f"{scorer}: no judgement of a planted latent was answered",
        )
    inner = mean(informedness(kept), bounded=False)
    low, high = inner.interval(0.9, -1.0, 1.0)
    status: Status = "passed" if inner.value >= least else "failed"
    reason = (
        ""
        if status == "passed"
        else (
            f"{scorer}: the judge knows planted latents by their true explanation only at {inner.value:.2f} "
            f"(sensitivity + specificity - 1); at least {least:g} is needed: take a stronger judge"
        )
    )
    return control_row(
        "planted", scorer, "all", "sensitivity + specificity - 1", inner.value, low, high, 1.0, inner.n, status, reason
    )


def planted_moved(
    scores: pd.DataFrame, reference: pd.DataFrame, *, limits: Limits | None = None, against: str = "the reference"
) -> pd.DataFrame:
    """Compare the judge's accuracy on planted latents with a reference run: an LLM may change under one name.

    Args:
        scores: `latent_scores(..., control=None)` of a run; only control `planted` is read.
        reference: of another run, by the same judge with the same prompts.
        limits: `planted_moved` is the largest change of sensitivity + specificity - 1, up or down, that is let pass.
        against: what the reason calls the reference.

    Returns:
        One row per scorer that both runs asked about planted latents, of `controls`' columns; value: the change.
    """
    limits = Limits() if limits is None else limits
    now, before = (_planted_means(table) for table in (scores, reference))
    rows: list[dict[str, object]] = []
    for scorer in now.keys() & before.keys():
        (value, n), (old, _) = now[scorer], before[scorer]
        moved = value - old
        bad = abs(moved) > limits.planted_moved
        reason = (
            f"{scorer}: the judge's sensitivity + specificity - 1 on planted latents moved by {moved:+.3f} from "
            f"{against} ({old:.3f} -> {value:.3f}), more than {limits.planted_moved:g}: "
            "it is not the same judge any more"
        )
        status: Status = "failed" if bad else "passed"
        rows.append(control_row("planted", scorer, "all", "moved", moved, moved, moved, 0.0, n, status, reason * bad))
    return pd.DataFrame(sorted(rows, key=lambda row: str(row["scorer"])), columns=COLUMNS)


def _planted_means(scores: pd.DataFrame) -> dict[str, tuple[float, int]]:
    """Map scorer -> mean informedness on planted latents, and of how many, where any was answered."""
    kept = scores[(scores["control"] == "planted") & scores["score"].notna()]
    return {
        str(scorer): (float(informedness(part).mean()), len(part))
        for scorer, part in kept.groupby("scorer", sort=False, observed=True)
    }


def informedness(scores: pd.DataFrame) -> np.ndarray:
    """Put scores on the scale where guessing is 0 and perfection 1: 2 score - 1 for balanced accuracy."""
    chance = chance_of(scores)
    return (scores["score"].to_numpy(float) - chance) / (1 - chance)


def _mean_row(control: str, scorer: str, name: str, arm: pd.DataFrame) -> dict[str, object]:
    inner = mean(arm["score"].to_numpy(float))
    low, high = inner.interval(0.9)
    return control_row(control, scorer, name, "score", inner.value, low, high, CHANCE, inner.n, "informative", "")


def _missing_rows(scorer: str, part: pd.DataFrame, limits: Limits) -> list[dict[str, object]]:
    """Share of unanswered judgements over all, and the largest gap between two dictionaries."""
    counts = part.groupby("dictionary", sort=False, observed=True)[["n_unanswered", "n_items"]].sum()
    counts = counts[counts["n_items"] > 0]
    if counts.empty:
        return []
    total = counts.sum()
    share = float(total["n_unanswered"] / total["n_items"])
    shares = (counts["n_unanswered"] / counts["n_items"]).to_numpy(float)
    gap = float(np.ptp(shares))
    n = int((part["n_items"] > 0).sum())
    reason = f"{scorer}: {share:.2%} of judgements are unanswered, more than {limits.missing:.2%}"
    gap_reason = (
        f"{scorer}: the share of unanswered judgements differs by {gap:.2%} between dictionaries, "
        f"more than {limits.missing_gap:.2%}"
    )
    bad, apart = share > limits.missing, gap > limits.missing_gap
    return [
        control_row(
            "missing", scorer, "all", "share", share, share, share, 0.0, n, "failed" if bad else "passed", reason * bad
        ),
        control_row(
            "missing", scorer, "all", "gap", gap, gap, gap, 0.0, n, "failed" if apart else "passed", gap_reason * apart
        ),
    ]


def control_row(
    control: str,
    scorer: str,
    dictionary: str,
    measure: str,
    value: float,
    low: float,
    high: float,
    expected: float,
    n: int,
    status: Status,
    reason: str,
) -> dict[str, object]:
    """Return one row of the controls' table."""
    values = (control, scorer, dictionary, measure, value, low, high, expected, n, status, reason)
    return dict(zip(COLUMNS, values, strict=True))


def shuffled_scores(scores: pd.DataFrame) -> Mapping[tuple[str, str], float]:
    """Map (dictionary, scorer) -> mean score under shuffled explanations, where that control was run."""
    kept = scores[(scores["control"] == "shuffled") & scores["score"].notna()]
    means = kept.groupby(["dictionary", "scorer"], observed=True)["score"].mean()
    return {(str(name), str(scorer)): float(value) for (name, scorer), value in means.items()}  # type: ignore[misc]
