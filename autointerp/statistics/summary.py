"""From judgements to everything that is reported: estimates, comparisons, controls and the words that follow."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from autointerp.errors import TableError
from autointerp.run import secondary_tables, tables
from autointerp.run.reading import RunTables
from autointerp.statistics import validity
from autointerp.statistics._answers import read
from autointerp.statistics.arms import pairs
from autointerp.statistics.base import StatisticsConfig
from autointerp.statistics.clusters import Documents
from autointerp.statistics.comparison_table import compare_pairs, pool_and_adjust, with_controls
from autointerp.statistics.controls import controls, planted_moved
from autointerp.statistics.estimate_table import bins_of, estimate_table
from autointerp.statistics.explanation_controls import explanation_controls
from autointerp.statistics.headlines import headlines, records
from autointerp.statistics.judge import judge_correct
from autointerp.statistics.prevalence import compare_prevalence
from autointerp.statistics.prevalence import real_distribution_of as prevalence_of
from autointerp.statistics.random_arms import arm_rows, trained
from autointerp.statistics.reconstruction_comparison import compare_reconstruction, sentences
from autointerp.statistics.reliability import reliability
from autointerp.statistics.scores import scores_of

# What every interval leaves out, unless the study asks for replicates.
CONDITIONAL = (
    "over latents and documents; conditional on one explanation of each latent, one draw of its contexts and one judge"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """All that `score` and `compare` report; `summary` is JSON-able."""

    scores: pd.DataFrame
    estimates: pd.DataFrame
    comparisons: pd.DataFrame
    controls: pd.DataFrame
    reconstruction_comparisons: pd.DataFrame
    reliability: pd.DataFrame
    prevalence: pd.DataFrame
    prevalence_comparisons: pd.DataFrame
    summary: dict[str, object]


def summarise(run: RunTables, config: StatisticsConfig | None = None) -> Summary:
    """Compute every estimate, comparison and control of a run, or of several, from its tables.

    Args:
        run: the tables; judgements under control `planted` are no arm of a comparison.
        config: settings; the defaults if None.

    Raises:
        TableError: a table breaks a law that the statistics rely on.
    """
    config = StatisticsConfig() if config is None else config
    answers = read(run.judgements)
    scores = _with_skill(scores_of(answers, run.latents, failed=config.failed))
    own = scores[scores["control"] == "none"]
    checks, verdicts = _checks(scores, run, config)
    # Control arms have bins, for their own estimates, but no part in those that trained ones are standardised to.
    bins = bins_of(run.latents, run.dictionaries, config) | bins_of(run.latents, trained(run.dictionaries), config)
    documents = Documents(answers)
    estimates, skipped = estimate_table(scores, run.dictionaries, bins, documents, config)
    comparisons, refused = compare_pairs(own, run, bins, documents, config)
    comparisons, pooled = pool_and_adjust(comparisons, own, run, bins, config)
    comparisons = with_controls(comparisons, scores, run, checks)
    kept = _reconstruction(run, config)
    prevalence = prevalence_of(answers, run.latents, documents, level=config.level)
    broad = compare_prevalence(answers, run, comparisons, documents, config)
    repeated = reliability(own, run.judgements, level=config.level)
    summary: dict[str, object] = {
        "controls": verdicts,
        "settings": config.model_dump(mode="json"),
        "intervals": CONDITIONAL,
        "coverage": coverage(run.latents, own),
        "headlines": headlines(comparisons, run.calls_per_latent),
        "layers": records(pooled),
        "skipped": skipped + refused,
        "reconstruction": [] if run.reconstruction is None else records(run.reconstruction),
        "reconstruction_headlines": sentences(kept),
        "real_distribution": records(prevalence),
        "judge_corrected": corrected(scores, config.level),
        "shares_above_threshold": shares_above(estimates, own, config.yield_threshold),
        "reliability": records(repeated),
    }
    return Summary(
        scores=scores,
        estimates=_shaped(estimates, tables.ESTIMATES, "estimates"),
        comparisons=_shaped(comparisons, tables.COMPARISONS, "comparisons"),
        controls=checks,
        reconstruction_comparisons=kept,
        reliability=_shaped(repeated, secondary_tables.RELIABILITY, "reliability"),
        prevalence=_shaped(prevalence, secondary_tables.PREVALENCE, "prevalence"),
        prevalence_comparisons=_shaped(broad, secondary_tables.PREVALENCE_COMPARISONS, "prevalence_comparisons"),
        summary=summary,
    )


def _reconstruction(run: RunTables, config: StatisticsConfig) -> pd.DataFrame:
    if run.reconstruction is None or not len(run.reconstruction):
        return pd.DataFrame(columns=list(tables.RECONSTRUCTION_COMPARISONS))
    return compare_reconstruction(run.reconstruction, run.dictionaries, run.documents, config, run.origins)


def _checks(scores: pd.DataFrame, run: RunTables, config: StatisticsConfig) -> tuple[pd.DataFrame, dict[str, object]]:
    """Judge the controls: their table, and what follows for the run, each scorer and each dictionary."""
    listed, _ = pairs(run.dictionaries, config.by, reference=config.reference, origins=run.origins)
    compared = [(pair.a, pair.b) for pair in listed]
    beside = arm_rows(scores[scores["control"] == "none"], run.dictionaries, config.level)
    parts = [
        controls(scores, limits=config.limits, alpha=config.alpha, compared=compared, asked=run.asked),
        *_moved(scores, run.references, config),
        explanation_controls(*_explained(run), compared, limits=config.limits),
    ]
    table = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    status, reasons = validity.of_run(table)
    verdicts: dict[str, object] = {
        "verdict": status,
        "scorers": validity.by_scorer(table, scores["scorer"].astype(str).unique()),
        "arms": validity.failures(table),
        "reasons": reasons,
        "remarks": [row["reason"] for row in beside if row["reason"]],
    }
    if beside:
        table = pd.concat([table, pd.DataFrame(beside, columns=table.columns)], ignore_index=True)
    return table, verdicts


def _explained(run: RunTables) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Return latents and explanations of the dictionaries under study, without planted latents and control arms."""
    names = trained(run.dictionaries)["dictionary"]
    tables_of = (run.latents, run.explanations)
    latents, texts = (None if one is None else one[one["dictionary"].isin(names)] for one in tables_of)
    assert latents is not None
    return latents, texts


def _moved(scores: pd.DataFrame, references: Mapping[str, str], config: StatisticsConfig) -> list[pd.DataFrame]:
    """Compare planted latents of several runs by one judge, where any were asked."""
    planted = scores[scores["control"] == "planted"]
    parts = {str(name): part for name, part in planted.groupby("dictionary", sort=False, observed=True)}
    return [
        planted_moved(parts[name], parts[first], limits=config.limits, against=first.rpartition(":")[0] or first)
        for name, first in references.items()
        if name in parts and first in parts
    ]


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
        rows.append(
            {
                "dictionary": str(name),
                "scorer": str(scorer),
                "informedness": found.value,
                "low": found.low,
                "high": found.high,
                "level": level,
                "method": found.method,
            }
        )
    return rows


def shares_above(estimates: pd.DataFrame, own: pd.DataFrame, threshold: float) -> list[dict[str, object]]:
    """List the share of latents above a threshold: as observed, and with judging noise taken out, with its interval."""
    rows: list[dict[str, object]] = []
    if estimates.empty:
        return rows
    for row in estimates[estimates["statistic"] == "share_above_threshold"].to_dict("records"):
        part = own[(own["dictionary"] == row["dictionary"]) & (own["scorer"] == row["scorer"]) & own["score"].notna()]
        weight = 1 / part["inclusion_probability"].to_numpy(float)
        above = (part["score"] >= threshold).to_numpy(float)
        rows.append(
            {
                "dictionary": str(row["dictionary"]),
                "scorer": str(row["scorer"]),
                "threshold": threshold,
                "observed": float(weight @ above / weight.sum()),
                "without_noise": row["value"],
                "low": row["low"],
                "high": row["high"],
                "n_latents": len(part),
            }
        )
    return rows


def _shaped(table: pd.DataFrame, columns: dict[str, str], name: str) -> pd.DataFrame:
    """Put a table's columns in their order; one without rows gets them too."""
    return tables.check(table if len(table) else pd.DataFrame(columns=list(columns)), columns, name)


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


def coverage(latents: pd.DataFrame, own: pd.DataFrame) -> list[dict[str, object]]:
    """Count each dictionary's latents down the ladder: total, alive, eligible, sampled, explained, scored."""
    rows: list[dict[str, object]] = []
    for name, part in latents.groupby("dictionary", sort=False, observed=True):
        mine = own[own["dictionary"] == name]
        explained = mine[mine["explained"].to_numpy(bool)]
        rows.append(
            {
                "dictionary": str(name),
                "architecture": str(part["architecture"].iloc[0]),
                "total": len(part),
                "alive": int(part["alive"].sum()),
                "eligible": int(part["eligible"].sum()),
                "sampled": int(part["sampled"].sum()),
                "explained": int(explained["latent"].nunique()),
                "explanation_failed": int((part["status"] == "explanation_failed").sum()),
                "scored": int(explained.loc[explained["score"].notna(), "latent"].nunique()),
            }
        )
    return rows
