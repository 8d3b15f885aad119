"""The estimates table of a run: every dictionary and scorer over every population."""

from collections.abc import Mapping

import pandas as pd

from autointerp.errors import TableError
from autointerp.statistics.arms import groups
from autointerp.statistics.base import StatisticsConfig
from autointerp.statistics.clusters import Documents
from autointerp.statistics.estimate_rows import Estimates, Settings
from autointerp.statistics.populations import Bins, frequency_bins

# Controls whose scores estimates use: the latents' own explanations, and their modal tokens.
USED = ("none", "lexical")


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


def estimate_table(
    scores: pd.DataFrame,
    dictionaries: pd.DataFrame,
    bins: Mapping[str, Bins],
    documents: Documents,
    config: StatisticsConfig,
) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """Estimate every dictionary and scorer; what cannot be estimated is listed with its reason."""
    settings = Settings(
        level=config.level,
        trivial_share=config.trivial_share,
        threshold=config.yield_threshold,
    )
    rows: list[dict[str, object]] = []
    skipped: list[dict[str, str]] = []
    details = dictionaries.set_index("dictionary")[["layer", "k", "seed"]].rename(columns={"seed": "training_seed"})
    for name in dictionaries["dictionary"]:
        parts = {control: scores[(scores["dictionary"] == name) & (scores["control"] == control)] for control in USED}
        if name not in bins or parts["none"].empty:
            why = "no latent was scored" if name in bins else "no latent was eligible"
            skipped.append({"what": f"estimates of {name}", "reason": why})
            continue
        for scorer, arm in parts["none"].groupby("scorer", sort=False, observed=True):
            lexical = parts["lexical"][parts["lexical"]["scorer"] == scorer]
            try:
                known = Estimates(arm, bins[name], settings, documents, lexical if len(lexical) else None)
                rows += known.rows()
            except TableError as error:
                skipped.append({"what": f"estimates of {name} by {scorer}", "reason": str(error)})
    table = pd.DataFrame(rows)
    return (table.join(details, on="dictionary") if rows else table), skipped
