"""The comparisons table of a run: every pair, pooled over layers and seeds, adjusted, with its verdict."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from autointerp.errors import TableError
from autointerp.run.reading import RunTables
from autointerp.statistics import validity
from autointerp.statistics._rows import flat
from autointerp.statistics.arms import Pair, pairs
from autointerp.statistics.base import StatisticsConfig
from autointerp.statistics.clusters import FEW_DOCUMENTS, Documents
from autointerp.statistics.contrasts import compare_rows
from autointerp.statistics.controls import shuffled_scores
from autointerp.statistics.judge import accuracies, correct
from autointerp.statistics.layers import layers
from autointerp.statistics.multiplicity import families
from autointerp.statistics.populations import Bins
from autointerp.statistics.replicates import architecture_rows

NAMING = ["a", "b", "architectures", "layer", "over"]
FEW = f"fewer than {FEW_DOCUMENTS} effective documents: the interval may be too short"
ONE_DOCUMENT = "all judged contexts are of one document: nothing is known about other text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which contrast a row is of, and where its dictionaries stand."""

    contrast: str
    architectures: str
    site: str
    layer: int
    k: int
    training_seed: int
    over: str = "dictionaries"


def compare_pairs(
    own: pd.DataFrame, run: RunTables, bins: Mapping[str, Bins], documents: Documents, config: StatisticsConfig
) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """Compare every pair; what cannot be compared, or is in no pair, is listed with its reason."""
    parts = {str(name): part for name, part in own.groupby("dictionary", sort=False, observed=True)}
    details = run.dictionaries.set_index("dictionary")
    listed, alone = pairs(run.dictionaries, config.by, reference=config.reference, origins=run.origins)
    refused = [{"what": f"comparison of {one.dictionary}", "reason": one.reason} for one in alone]
    found = []
    for pair in listed:
        try:
            table = compare_rows(
                parts.get(pair.a, own.iloc[:0]),
                parts.get(pair.b, own.iloc[:0]),
                margin=config.margin,
                alpha=config.alpha,
                level=config.level,
                bins=bins.get(pair.a),
                documents=documents,
            )
        except TableError as error:
            refused.append({"what": pair.contrast, "reason": str(error)})
            continue
        found.append(_placed(table, pair, details))
    return (pd.concat(found, ignore_index=True) if found else pd.DataFrame()), refused


def _placed(table: pd.DataFrame, pair: Pair, details: pd.DataFrame) -> pd.DataFrame:
    """Put what is compared in front of a comparison."""
    second = details.loc[[pair.b]].iloc[0]
    place = Place(
        contrast=pair.contrast,
        architectures=pair.architectures,
        site=str(second["site_out"]),
        layer=int(second["layer"]),
        k=int(second["k"]),
        training_seed=int(second["seed"]),
    )
    return pd.concat([pd.DataFrame([flat(place)] * len(table)), table], axis=1)


def pool_and_adjust(
    comparisons: pd.DataFrame, own: pd.DataFrame, run: RunTables, bins: Mapping[str, Bins], config: StatisticsConfig
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Add rows over seeds and over layers, adjust by families, name the verdicts; also layers as a sample of layers."""
    if comparisons.empty:
        return comparisons, pd.DataFrame()
    both = pd.concat([comparisons, architecture_rows(own, run.dictionaries, bins, config)], ignore_index=True)
    fixed = layers(both, scope="fixed", alpha=config.alpha, level=config.level)
    random = layers(both, scope="population", alpha=config.alpha, level=config.level)
    every = pd.concat([both, fixed[fixed.columns.intersection(both.columns)]], ignore_index=True)
    return families(every, alpha=config.alpha), random


def with_controls(comparisons: pd.DataFrame, scores: pd.DataFrame, run: RunTables, table: pd.DataFrame) -> pd.DataFrame:
    """Add the controls' columns; a comparison of which a control failed has no verdict but `invalid`."""
    if comparisons.empty:
        return comparisons
    out = comparisons.copy()
    shuffled = shuffled_scores(scores)
    sides = {
        side: [_named(row, side, run.dictionaries) for row in out[NAMING].to_dict("records")] for side in ("a", "b")
    }
    scorers = out["scorer"].astype(str).tolist()
    for side, listed in sides.items():
        known = [
            [shuffled[name, scorer] for name in names if (name, scorer) in shuffled]
            for names, scorer in zip(listed, scorers, strict=True)
        ]
        out[f"BA_shuffled_{side}"] = pd.array([float(np.mean(x)) if x else None for x in known], dtype="Float64")
    known = accuracies(scores)
    stars = [
        None if scorer not in known else correct(2 * diff, 2 * se, df, known[scorer])
        for diff, se, df, scorer in zip(out["diff"], out["se"], out["df"], scorers, strict=True)
    ]
    for name, field in (("J_star_diff", "value"), ("J_star_lo", "low"), ("J_star_hi", "high")):
        out[name] = pd.array([None if star is None else getattr(star, field) for star in stars], dtype="Float64")
    return _invalidated(out, sides, table)


def _invalidated(out: pd.DataFrame, sides: Mapping[str, list[list[str]]], table: pd.DataFrame) -> pd.DataFrame:
    """Replace verdicts of comparisons of which a control failed, with the reason; name other causes for caution."""
    statuses = validity.by_scorer(table, out["scorer"].astype(str).unique())
    failed = bool(validity.failures(table)) or "INVALID" in statuses.values()
    reasons = []
    for row, a, b in zip(out.to_dict("records"), sides["a"], sides["b"], strict=True):
        why = validity.why_invalid(table, a, b, str(row["scorer"]), statuses) if failed else ""
        reasons.append(why)
    invalid = np.array([bool(reason) for reason in reasons])
    documents = out["n_documents"].to_numpy(float)
    lone = (documents == 1) & ~invalid
    few = (documents > 1) & (out["n_eff_documents"].to_numpy(float) < FEW_DOCUMENTS)
    out["reason"] = np.select([invalid, lone, few], [np.array(reasons, object), ONE_DOCUMENT, FEW], "")
    out["verdict"] = np.select(
        [invalid, lone & (out["verdict"] != "exploratory").to_numpy(bool)], ["invalid", "inconclusive"], out["verdict"]
    )
    return out


def _named(row: Mapping[Hashable, object], side: str, dictionaries: pd.DataFrame) -> list[str]:
    """List the dictionaries on one side of a comparison: one, or all of an architecture for pooled rows."""
    if row[side]:
        return [str(row[side])]
    architecture = str(row["architectures"]).split(" - ")[side == "a"].rpartition(":")[2]
    rows = dictionaries[dictionaries["architecture"] == architecture]
    if row["over"] != "layers":
        rows = rows[rows["layer"] == row["layer"]]
    return [str(name) for name in rows["dictionary"]]
