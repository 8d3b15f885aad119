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


def headlines(comparisons: pd.DataFrame) -> list[dict[str, object]]:
    """Put each eligible-population comparison into words; they come from the verdict alone."""
    if comparisons.empty:
        return []
    rows = comparisons[comparisons["population"] == "eligible"]
    kept = ["contrast", "a", "b", "scorer", "layer", "over", "scope", "diff", "ci95_lo", "ci95_hi", "margin", "verdict"]
    return [{**row, "words": sentence(row)} for row in records(rows[kept])]


def sentence(row: Mapping[str, object]) -> str:
    """Say a comparison in one line: what was seen, its interval, and the words its verdict allows."""
    second, first = str(row["contrast"]).split(" - ", 1)
    numbers = f"{float(str(row['diff'])):+.3f} [{float(str(row['ci95_lo'])):+.3f}, {float(str(row['ci95_hi'])):+.3f}]"
    where = "all layers" if row["over"] == "layers" else f"layer {row['layer']}"
    scope = "architectures" if row["scope"] == "architecture" else "these dictionaries"
    return f"{second} against {first}, {where}, {row['scorer']}, {scope}: {numbers}: {WORDS[str(row['verdict'])]}"
