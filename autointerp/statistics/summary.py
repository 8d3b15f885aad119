"""From judgements to everything that is reported: estimates, comparisons, controls and the words that follow."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from autointerp.errors import TableError
from autointerp.run import tables
from autointerp.statistics import validity
from autointerp.statistics._answers import UNIT, Answers, read
from autointerp.statistics.arms import Pair, groups, pairs
from autointerp.statistics.base import POPULATIONS, Population, StatisticsConfig
from autointerp.statistics.clusters import added_variance, arm_codes, influence
from autointerp.statistics.contrasts import WORDS, compare, verdict
from autointerp.statistics.controls import controls, judge_accuracy, planted_moved, shuffled_scores
from autointerp.statistics.estimates import estimate_rows
from autointerp.statistics.judge import judge_correct
from autointerp.statistics.layers import layers
from autointerp.statistics.multiplicity import families
from autointerp.statistics.populations import Bins, arm_of, frequency_bins, population_weights, usable
from autointerp.statistics.prevalence import real_distribution_of
from autointerp.statistics.random_arms import arm_rows, trained
from autointerp.statistics.reconstruction_comparison import compare_reconstruction, sentences
from autointerp.statistics.replicates import architecture_rows
from autointerp.statistics.scores import scores_of
from autointerp.statistics.variance import shrink


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """All that `score` and `compare` report; `summary` is JSON-able."""

    scores: pd.DataFrame
    estimates: pd.DataFrame
    comparisons: pd.DataFrame
    controls: pd.DataFrame
    reconstruction_comparisons: pd.DataFrame
    summary: dict[str, object]


def summarise(
    judgements: pd.DataFrame,
    latents: pd.DataFrame,
    dictionaries: pd.DataFrame,
    reconstruction: pd.DataFrame | None = None,
    config: StatisticsConfig | None = None,
    documents: pd.DataFrame | None = None,
    references: Mapping[str, str] | None = None,
) -> Summary:
    """Compute every estimate, comparison and control of a run from its tables.

    Args:
        judgements: `tables.JUDGEMENTS`; rows under control `planted` are no arm of a comparison.
        latents: `tables.LATENTS`, every latent of every dictionary.
        dictionaries: `tables.DICTIONARIES`.
        reconstruction: `tables.RECONSTRUCTION`, if it was measured.
        config: settings; the defaults if None.
        documents: `tables.RECONSTRUCTION_DOCUMENTS`, if it was kept: pairs dictionaries document by document.
        references: planted dictionary of a run -> that of a run by the same judge, with which it must agree.

    Raises:
        TableError: a table breaks a law that the statistics rely on.
    """
    config = StatisticsConfig() if config is None else config
    answers = read(judgements)
    scores = _with_skill(scores_of(answers, latents, failed=config.failed))
    table = controls(scores, limits=config.limits, alpha=config.alpha)
    table = pd.concat([table, *_moved(scores, references or {}, config)], ignore_index=True)
    status, reasons = validity.of_run(table)
    by_scorer = validity.by_scorer(table, scores["scorer"].astype(str).unique())
    own = scores[scores["control"] == "none"]
    beside = arm_rows(own, dictionaries, config.level)
    table = pd.concat([table, pd.DataFrame(beside, columns=table.columns)], ignore_index=True) if beside else table
    # Control arms have bins, for their own estimates, but no part in those that trained ones are standardised to.
    bins = _bins(latents, dictionaries, config) | _bins(latents, trained(dictionaries), config)
    estimates, skipped = _estimates(own, dictionaries, bins, _extras(answers, own, bins), config)
    comparisons, refused = _comparisons(own, dictionaries, bins, config)
    comparisons, pooled = _pooled(comparisons, own, dictionaries, bins, config)
    comparisons = _with_controls(comparisons, scores, dictionaries, table, by_scorer)
    kept = pd.DataFrame(columns=list(tables.RECONSTRUCTION_COMPARISONS))
    if reconstruction is not None and len(reconstruction):
        kept = compare_reconstruction(reconstruction, dictionaries, documents, config)
    summary = {
        "controls": {
            "verdict": status,
            "scorers": by_scorer,
            "reasons": reasons,
            "remarks": [row["reason"] for row in beside if row["reason"]],
        },
        "settings": config.model_dump(mode="json"),
        "coverage": coverage(latents, own),
        "headlines": headlines(comparisons),
        "layers": _records(pooled),
        "skipped": skipped + refused,
        "reconstruction": [] if reconstruction is None else _records(reconstruction),
        "reconstruction_headlines": sentences(kept),
        "real_distribution": _records(real_distribution_of(answers, latents, level=config.level, seed=config.seed)),
        "judge_corrected": corrected(scores, config.level),
        "shares_above_threshold": shares_above(own, config.yield_threshold),
    }
    estimates = _shaped(estimates, tables.ESTIMATES, "estimates")
    comparisons = _shaped(comparisons, tables.COMPARISONS, "comparisons")
    return Summary(
        scores=scores, estimates=estimates, comparisons=comparisons, controls=table, reconstruction_comparisons=kept,
        summary=summary,
    )  # fmt: skip


def _moved(scores: pd.DataFrame, references: Mapping[str, str], config: StatisticsConfig) -> list[pd.DataFrame]:
    """Compare planted latents of several runs by one judge, where any were asked."""
    planted = scores[scores["control"] == "planted"]
    parts = {str(name): part for name, part in planted.groupby("dictionary", sort=False, observed=True)}
    return [
        planted_moved(parts[name], parts[first], limits=config.limits, against=first.rpartition(":")[0] or first)
        for name, first in references.items() if name in parts and first in parts
    ]  # fmt: skip


def corrected(scores: pd.DataFrame, level: float) -> list[dict[str, object]]:
    """List each dictionary's informedness as a faultless judge would have given it, by scorers with planted latents."""
    rows: list[dict[str, object]] = []
    planted = scores[scores["control"] == "planted"]
    own = scores[scores["control"] == "none"]
    for (name, scorer), part in own.groupby(["dictionary", "scorer"], sort=False, observed=True):
        try:
            found = judge_correct(part, planted[planted["scorer"] == scorer], level=level)
        except TableError:  # none planted, none scored, or a judge that knows nothing: there is nothing to correct by
            continue
        rows.append({
            "dictionary": str(name), "scorer": str(scorer), "informedness": found.value, "low": found.low,
            "high": found.high, "level": level, "method": found.method,
        })  # fmt: skip
    return rows


def shares_above(own: pd.DataFrame, threshold: float) -> list[dict[str, object]]:
    """List the share of scored latents above a threshold, as observed and with judging noise taken out."""
    rows: list[dict[str, object]] = []
    for (name, scorer), part in shrink(own, threshold=threshold).groupby(["dictionary", "scorer"], observed=True):
        weight = 1 / part["inclusion_probability"].to_numpy(float)
        above = (part["score"] >= threshold).to_numpy(float)
        rows.append({
            "dictionary": str(name), "scorer": str(scorer), "threshold": threshold,
            "observed": float(weight @ above / weight.sum()),
            "without_noise": float(weight @ part["p_above"].to_numpy(float) / weight.sum()), "n_latents": len(part),
        })  # fmt: skip
    return rows


def _shaped(table: pd.DataFrame, columns: dict[str, str], name: str) -> pd.DataFrame:
    """Put a table's columns in their order; one without rows gets them too."""
    return tables.check(table if len(table) else pd.DataFrame(columns=list(columns)), columns, name)


def _records(table: pd.DataFrame) -> list[dict[str, object]]:
    """Rows as JSON-able records; an absent number is null."""
    return [
        {
            str(name): None if isinstance(value, float) and not np.isfinite(value) else value
            for name, value in row.items()
        }
        for row in table.astype(object).to_dict("records")
    ]


def _with_skill(scores: pd.DataFrame) -> pd.DataFrame:
    """Add what each latent scores above its own modal tokens (control lexical), where that was asked."""
    lexical = scores.loc[scores["control"] == "lexical", ["dictionary", "site", "latent", "scorer", "score"]]
    if lexical.empty:
        return scores
    joined = scores.merge(
        lexical.rename(columns={"score": "lexical"}), on=["dictionary", "site", "latent", "scorer"], how="left"
    )
    joined["skill"] = (joined["score"] - joined["lexical"]).where(joined["control"] == "none")
    return joined


def _bins(latents: pd.DataFrame, dictionaries: pd.DataFrame, config: StatisticsConfig) -> dict[str, Bins]:
    """Make firing-rate bins for each group of compared dictionaries; keyed by dictionary."""
    made: dict[str, Bins] = {}
    parts = {str(name): part for name, part in latents.groupby("dictionary", sort=False, observed=True)}
    for group in groups(dictionaries, config.by).values():
        names = [name for name in group["dictionary"] if name in parts]
        eligible = [parts[name] for name in names if parts[name]["eligible"].any()]
        if eligible:
            bins = frequency_bins(eligible, config.n_frequency_bins)
            made.update(dict.fromkeys(names, bins))
    return made


def _extras(answers: Answers, own: pd.DataFrame, bins: Mapping[str, Bins]) -> dict[tuple[str, str, Population], float]:
    """Find what shared documents add to the variance of each (dictionary, scorer, population)."""
    arm, found = arm_codes(answers.units), influence(answers)
    weights = {population: np.zeros(len(answers.units)) for population in POPULATIONS}
    arms: dict[tuple[str, str], int] = {}
    scored: pd.DataFrame = usable(own).reset_index(drop=True)
    # A latent whose explanation failed is scored, but was asked nothing.
    place = pd.MultiIndex.from_frame(answers.units[UNIT]).get_indexer(pd.MultiIndex.from_frame(scored[UNIT]))
    explained = scored["explained"].to_numpy(bool)
    for (dictionary, scorer), rows in scored.groupby(["dictionary", "scorer"], sort=False, observed=True):
        kept = explained[rows.index]
        if str(dictionary) not in bins or not kept.any():
            continue
        at, part = place[rows.index][kept], arm_of(rows)
        arms[str(dictionary), str(scorer)] = int(arm[at[0]])
        for population in POPULATIONS:
            weights[population][at] = population_weights(part, population, bins[str(dictionary)])[kept]
    added = {population: added_variance(found, weights[population], arm) for population in POPULATIONS}
    return {
        (*names, population): float(added[population][code])
        for names, code in arms.items()
        for population in POPULATIONS
    }


def _estimates(
    own: pd.DataFrame, dictionaries: pd.DataFrame, bins: Mapping[str, Bins],
    extras: Mapping[tuple[str, str, Population], float], config: StatisticsConfig,
) -> tuple[pd.DataFrame, list[dict[str, str]]]:  # fmt: skip
    """Estimate every dictionary and scorer; what cannot be estimated is listed with its reason."""
    rows: list[dict[str, object]] = []
    skipped: list[dict[str, str]] = []
    details = dictionaries.set_index("dictionary")[["layer", "k", "seed"]].rename(columns={"seed": "training_seed"})
    for name in dictionaries["dictionary"]:
        mine = own[own["dictionary"] == name]
        if name not in bins or (mine.empty and name != "planted"):
            why = "no latent was scored" if name in bins else "no latent was eligible"
            skipped.append({"what": f"estimates of {name}", "reason": why})
            continue
        for scorer, arm in mine.groupby("scorer", sort=False, observed=True):
            wanted: dict[Population, float] = {
                population: extras.get((name, str(scorer), population), 0.0) for population in POPULATIONS
            }
            try:
                rows += estimate_rows(
                    arm, bins=bins[name], extras=wanted, level=config.level, n_resamples=config.n_resamples,
                    seed=config.seed, trivial_share=config.trivial_share, threshold=config.yield_threshold,
                )  # fmt: skip
            except TableError as error:
                skipped.append({"what": f"estimates of {name} by {scorer}", "reason": str(error)})
    table = pd.DataFrame(rows)
    return (table.join(details, on="dictionary") if rows else table), skipped


def _comparisons(
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
    first = details.loc[[pair.b]].iloc[0].to_dict()
    front = {
        "contrast": pair.contrast, "site": first["site_out"], "layer": first["layer"], "k": first["k"],
        "training_seed": first["seed"], "over": "dictionaries",
    }  # fmt: skip
    return pd.concat([pd.DataFrame([front] * len(table)), table], axis=1)


def _pooled(
    comparisons: pd.DataFrame,
    own: pd.DataFrame,
    dictionaries: pd.DataFrame,
    bins: Mapping[str, Bins],
    config: StatisticsConfig,
) -> tuple[pd.DataFrame, pd.DataFrame]:  # fmt: skip
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


def _with_controls(
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


def coverage(latents: pd.DataFrame, own: pd.DataFrame) -> list[dict[str, object]]:
    """Count each dictionary's latents down the ladder: total, alive, eligible, sampled, explained, scored."""
    rows: list[dict[str, object]] = []
    for name, part in latents.groupby("dictionary", sort=False, observed=True):
        mine = own[own["dictionary"] == name]
        explained = mine[mine["explained"].to_numpy(bool)]
        rows.append({
            "dictionary": str(name), "architecture": str(part["architecture"].iloc[0]), "total": len(part),
            "alive": int(part["alive"].sum()), "eligible": int(part["eligible"].sum()),
            "sampled": int(part["sampled"].sum()), "explained": int(explained["latent"].nunique()),
            "explanation_failed": int((part["status"] == "explanation_failed").sum()),
            "scored": int(explained.loc[explained["score"].notna(), "latent"].nunique()),
        })  # fmt: skip
    return rows


def headlines(comparisons: pd.DataFrame) -> list[dict[str, object]]:
    """Put each eligible-population comparison into words; they come from the verdict alone."""
    if comparisons.empty:
        return []
    rows = comparisons[comparisons["population"] == "eligible"]
    kept = ["contrast", "a", "b", "scorer", "layer", "over", "scope", "diff", "ci95_lo", "ci95_hi", "margin", "verdict"]
    return [{**row, "words": sentence(row)} for row in _records(rows[kept])]


def sentence(row: Mapping[str, object]) -> str:
    """Say a comparison in one line: what was seen, its interval, and the words its verdict allows."""
    second, first = str(row["contrast"]).split(" - ", 1)
    numbers = f"{float(str(row['diff'])):+.3f} [{float(str(row['ci95_lo'])):+.3f}, {float(str(row['ci95_hi'])):+.3f}]"
    where = "all layers" if row["over"] == "layers" else f"layer {row['layer']}"
    scope = "architectures" if row["scope"] == "architecture" else "these dictionaries"
    return f"{second} against {first}, {where}, {row['scorer']}, {scope}: {numbers}: {WORDS[str(row['verdict'])]}"
