"""The comparisons table of a run: every pair, pooled over layers and seeds, adjusted, with its verdict."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from autointerp.errors import TableError
from autointerp.statistics._rows import flat
from autointerp.statistics.arms import Pair, pairs
from autointerp.statistics.base import StatisticsConfig
from autointerp.statistics.contrasts import compare
from autointerp.statistics.controls import judge_accuracy, shuffled_scores
from autointerp.statistics.layers import layers
from autointerp.statistics.multiplicity import families
from autointerp.statistics.outcomes import verdict
from autointerp.statistics.populations import Bins
from autointerp.statistics.replicates import architecture_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which contrast a row is of, and where its dictionaries stand."""

    contrast: str
    site: str
    layer: int
    k: int
    training_seed: int
    over: str = "dictionaries"


def compare_pairs(
    own: pd.DataFrame, dictionaries: pd.DataFrame, bins: Mapping[str, Bins], config: StatisticsConfig
) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """Compare every pair; a pair that cannot be compared is listed with its reason."""
    parts = {str(name): part for name, part in own.groupby("dictionary", sort=False, observed=True)}
    details = dictionaries.set_index("dictionary")
    found, refused = [], []
    for pair in pairs(dictionaries, config.by):
        try:
            table = compare(
                parts.get(pair.a, own.iloc[:0]), parts.get(pair.b, own.iloc[:0]), margin=config.margin,
                alpha=config.alpha, level=config.level, bins=bins.get(pair.a),
            )  # fmt: skip
        except TableError as error:
            refused.append({"what": f"{pair.contrast} ({pair.a}, {pair.b})", "reason": str(error)})
            continue
        found.append(_placed(table, pair, details))
    return (pd.concat(found, ignore_index=True) if found else pd.DataFrame()), refused


def _placed(table: pd.DataFrame, pair: Pair, details: pd.DataFrame) -> pd.DataFrame:
    """Put what is compared in front of a comparison."""
    second = details.loc[[pair.b]].iloc[0]
    place = Place(
        contrast=pair.contrast,
        site=str(second["site_out"]),
        layer=int(second["layer"]),
        k=int(second["k"]),
        training_seed=int(second["seed"]),
    )
    return pd.concat([pd.DataFrame([flat(place)] * len(table)), table], axis=1)


def pool_and_adjust(
    comparisons: pd.DataFrame,
    own: pd.DataFrame,
    dictionaries: pd.DataFrame,
    bins: Mapping[str, Bins],
    config: StatisticsConfig,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Add rows over seeds and over layers, adjust by families, name the verdicts; also layers as a sample of layers."""
    if comparisons.empty:
        return comparisons, pd.DataFrame()
    both = pd.concat([comparisons, architecture_rows(own, dictionaries, bins, config)], ignore_index=True)
    fixed = layers(both, scope="fixed", alpha=config.alpha, level=config.level)
    random = layers(both, scope="population", alpha=config.alpha, level=config.level)
    every = families(pd.concat([both, fixed[fixed.columns.intersection(both.columns)]], ignore_index=True))
    every["verdict"] = [
        verdict(float(diff), float(p), float(tost), alpha=config.alpha)
        for diff, p, tost in zip(every["diff"], every["p_diff_adj"], every["p_tost_adj"], strict=True)
    ]
    return every, random


def with_controls(
    comparisons: pd.DataFrame, scores: pd.DataFrame, dictionaries: pd.DataFrame, table: pd.DataFrame,
    by_scorer: Mapping[str, str],
) -> pd.DataFrame:  # fmt: skip
    """Add the controls' columns; a scorer whose control failed has no verdict but INVALID."""
    if comparisons.empty:
        return comparisons
    out = comparisons.copy()
    shuffled = shuffled_scores(scores)
    for side, place in (("a", 1), ("b", 0)):
        values = []
        for row in out[["a", "b", "contrast", "layer", "over", "scorer"]].to_dict("records"):
            architecture = str(row["contrast"]).split(" - ")[place]
            found = [shuffled.get((name, str(row["scorer"]))) for name in _named(row, side, architecture, dictionaries)]
            known = [value for value in found if value is not None]
            values.append(float(np.mean(known)) if known else None)
        out[f"BA_shuffled_{side}"] = pd.array(values, dtype="Float64")
    accuracy = judge_accuracy(table)
    stars = [
        2 * diff / accuracy[scorer] if accuracy.get(scorer, 0) > 0 else None
        for diff, scorer in zip(out["diff"], out["scorer"], strict=True)
    ]
    out["J_star_diff"] = pd.array(stars, dtype="Float64")
    out.loc[[by_scorer[str(scorer)] == "INVALID" for scorer in out["scorer"]], "verdict"] = "invalid"
    return out


def _named(row: Mapping[Hashable, object], side: str, architecture: str, dictionaries: pd.DataFrame) -> list[str]:
    """List the dictionaries behind one side of a comparison: one, or all of an architecture for pooled rows."""
    if row[side]:
        return [str(row[side])]
    rows = dictionaries[dictionaries["architecture"] == architecture]
    if row["over"] != "layers":
        rows = rows[rows["layer"] == row["layer"]]
    return [str(name) for name in rows["dictionary"]]
