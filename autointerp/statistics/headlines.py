"""Comparisons in words; the words come from the verdict alone."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from autointerp.statistics.outcomes import WORDS


def records(table: pd.DataFrame) -> list[dict[str, object]]:
    """Rows as JSON-able records; an absent number is null."""
    return [
        {
            str(name): None if isinstance(value, float) and not np.isfinite(value) else value
            for name, value in row.items()
        }
        for row in table.astype(object).to_dict("records")
    ]


# Columns of a comparison that a headline repeats.
KEPT = (
    "contrast architectures a b scorer layer over scope diff ci95_lo ci95_hi margin verdict n_a n_b n_needed reason"
).split()


def headlines(comparisons: pd.DataFrame, calls_per_latent: float = 0.0) -> list[dict[str, object]]:
    """List the comparisons of the primary family over eligible latents, each with what holds over all latents.

    The chance that any of them says `better` or `worse` where all dictionaries are equal is at most the error rate.

    Args:
        comparisons: `tables.COMPARISONS`.
        calls_per_latent: LLM calls that a latent costs, for the price of deciding what is undecided.

    Returns:
        One record each: columns `KEPT`, those over all latents under `all_latents`, `more` (what would decide it: `n`
        latents per dictionary, the option to add, about so many `calls`; None where it is decided), and `words`.
    """
    if comparisons.empty:
        return []
    primary = comparisons[comparisons["family"] == "primary"]
    rows = records(primary.loc[primary["population"] == "eligible", KEPT])
    key = ["contrast", "a", "b", "scorer", "layer", "over", "scope"]
    every = {
        tuple(row[name] for name in key): row for row in records(primary.loc[primary["population"] == "iti", KEPT])
    }
    listed = []
    for row in rows:
        over_all = every.get(tuple(row[name] for name in key))
        more = _more(row, calls_per_latent)
        listed.append({**row, "all_latents": over_all, "more": more, "words": sentence(row, over_all, more)})
    return listed


def _more(row: Mapping[str, object], calls_per_latent: float) -> dict[str, object] | None:
    """Return how many latents would decide a comparison, by which option, and at how many calls."""
    if row["verdict"] != "inconclusive" or not row["n_needed"] or row["scope"] == "architecture":
        return None
    n, have = int(float(str(row["n_needed"]))), [int(str(row[name])) for name in ("n_a", "n_b")]
    calls = round(calls_per_latent * sum(max(0, n - one) for one in have))
    return {"n": n, "option": f"--latents {n}", "calls": calls}


def sentence(
    row: Mapping[str, object],
    over_all: Mapping[str, object] | None = None,
    more: Mapping[str, object] | None = None,
) -> str:
    """Put a comparison into one line: names, interval, the words its verdict allows, and what would decide it.

    Args:
        row: the comparison over eligible latents.
        over_all: the same over all latents; its words are added where they differ.
        more: what would decide it.
    """
    second, first = (str(row["b"]), str(row["a"])) if row["a"] else str(row["contrast"]).split(" - ", 1)
    where = "all layers" if row["over"] == "layers" else f"layer {row['layer']}"
    scope = "architectures" if row["scope"] == "architecture" else "these dictionaries"
    text = f"{second} against {first}, {where}, {row['scorer']}, {scope}: {_numbers(row)}: {WORDS[str(row['verdict'])]}"
    if row["verdict"] == "invalid" and row["reason"]:
        return f"{text} ({row['reason']})"
    if over_all is not None and over_all["verdict"] != row["verdict"]:
        text += f" over eligible latents; over all latents {_numbers(over_all)}: {WORDS[str(over_all['verdict'])]}"
    if more is not None:
        cost = f", about {more['calls']:,} more LLM calls" if more["calls"] else ""
        text += f"; {more['n']:,} latents per dictionary would decide it ({more['option']}{cost})"
    return f"{text} ({row['reason']})" if row["reason"] else text


def _numbers(row: Mapping[str, object]) -> str:
    diff, low, high = (float(str(row[name])) for name in ("diff", "ci95_lo", "ci95_hi"))
    return f"{diff:+.3f} [{low:+.3f}, {high:+.3f}]"
