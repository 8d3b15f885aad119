"""The estimates table of a run: every dictionary and scorer over every population."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from autointerp.errors import TableError
from autointerp.statistics._answers import UNIT, Answers
from autointerp.statistics.arms import groups
from autointerp.statistics.base import POPULATIONS, Population, StatisticsConfig
from autointerp.statistics.clusters import added_variance, arm_codes, influence
from autointerp.statistics.estimates import estimate_rows
from autointerp.statistics.populations import Bins, arm_of, frequency_bins, population_weights, usable


def bins_of(latents: pd.DataFrame, dictionaries: pd.DataFrame, config: StatisticsConfig) -> dict[str, Bins]:
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


def document_variances(
    answers: Answers, own: pd.DataFrame, bins: Mapping[str, Bins]
) -> dict[tuple[str, str, Population], float]:
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


def estimate_table(
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
