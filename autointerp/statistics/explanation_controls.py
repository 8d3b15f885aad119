"""Does the explainer do its work? Shares of latents without a readable explanation, and of distinct ones."""

from collections.abc import Sequence

import pandas as pd
from scipy import stats

from autointerp.statistics.base import Limits
from autointerp.statistics.controls import COLUMNS, Status, control_row

# Level of exact tests of shares.
EXACT_LEVEL = 0.01
# Statuses of latents that an explanation was asked for.
EXPLAINED = ("explanation_failed", "explained", "scored")


def explanation_controls(
    latents: pd.DataFrame,
    explanations: pd.DataFrame | None,
    compared: Sequence[tuple[str, str]],
    *,
    limits: Limits | None = None,
) -> pd.DataFrame:
    """Judge the explainer: the share of latents without a readable explanation, and of distinct explanations.

    A share has failed when it is past its limit by more than chance (exact test at .01): an explainer that fails or
    repeats itself makes a dictionary's scores say nothing of its latents.

    Args:
        latents: `tables.LATENTS`.
        explanations: `tables.EXPLANATIONS`, if the run has them.
        compared: pairs of dictionaries that are compared.
        limits: bounds.

    Returns:
        Rows of `controls` under control `explanations` and scorer "all".
    """
    limits = Limits() if limits is None else limits
    counts = explained_counts(latents)
    rows = []
    for name, (failed, n) in counts.items():
        bad = failed / n > limits.failed_explanations
        bad = bad and float(stats.binom.sf(failed - 1, n, limits.failed_explanations)) < EXACT_LEVEL
        reason = (
            f"{name}: {failed} of {n} latents have no readable explanation, more than {limits.failed_explanations:.0%}"
        )
        rows.append(_share_row(name, "failed share", failed / n, n, reason if bad else ""))
    for a, b in compared:
        if a in counts and b in counts:
            rows.append(_gap_row((a, counts[a]), (b, counts[b]), limits.failed_explanations_gap))
    for name, (distinct, n) in _distinct(explanations).items():
        bad = distinct / n < limits.distinct_explanations
        bad = bad and float(stats.binom.cdf(distinct, n, limits.distinct_explanations)) < EXACT_LEVEL
        least = f"at least {limits.distinct_explanations:.0%} must differ"
        reason = f"{name}: {n} latents share {distinct} explanations; {least}"
        rows.append(_share_row(name, "distinct share", distinct / n, n, reason if bad else ""))
    return pd.DataFrame(rows, columns=COLUMNS)


def explained_counts(latents: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """Map each dictionary to its sampled latents without a readable explanation, and to all that were asked about."""
    asked = latents[latents["status"].isin(EXPLAINED)]
    grouped = asked.groupby("dictionary", sort=False, observed=True)["status"]
    return {str(name): (int((part == "explanation_failed").sum()), len(part)) for name, part in grouped}


def _distinct(explanations: pd.DataFrame | None) -> dict[str, tuple[int, int]]:
    """Map each dictionary to its number of distinct explanations, ignoring case and space, and to all it has."""
    if explanations is None or explanations.empty:
        return {}
    known = explanations[explanations["text"].notna()]
    texts = known["text"].astype(str).str.casefold().str.split().str.join(" ")
    grouped = texts.groupby(known["dictionary"].astype(str), sort=False)
    return {str(name): (int(part.nunique()), len(part)) for name, part in grouped}


def _share_row(name: str, measure: str, value: float, n: int, reason: str) -> dict[str, object]:
    status: Status = "failed" if reason else "passed"
    return control_row("explanations", "all", name, measure, value, value, value, float("nan"), n, status, reason)


def _gap_row(
    first: tuple[str, tuple[int, int]], second: tuple[str, tuple[int, int]], limit: float
) -> dict[str, object]:
    """Compare the shares of failed explanations of two dictionaries."""
    (a, (failed_a, n_a)), (b, (failed_b, n_b)) = first, second
    gap = failed_b / n_b - failed_a / n_a
    table = [[failed_a, n_a - failed_a], [failed_b, n_b - failed_b]]
    bad = abs(gap) > limit and float(stats.fisher_exact(table)[1]) < EXACT_LEVEL  # type: ignore[arg-type]
    reason = (
        f"{b} and {a}: the share of latents without a readable explanation differs by {abs(gap):.0%}, "
        f"more than {limit:.0%}"
    )
    return _share_row(f"{b} - {a}", "failed share, difference", gap, min(n_a, n_b), reason if bad else "")
