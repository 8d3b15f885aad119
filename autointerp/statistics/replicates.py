"""Claims about architectures rather than dictionaries: training seeds are the replicates, their latents are not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from autointerp.errors import TableError
from autointerp.statistics._rows import flat
from autointerp.statistics.arms import CLAIMS, groups
from autointerp.statistics.base import POPULATIONS, Population, StatisticsConfig
from autointerp.statistics.composition import kitagawa
from autointerp.statistics.contrasts import bound
from autointerp.statistics.effects import cliff, hedges_g
from autointerp.statistics.intervals import Mean, mean, unpaired
from autointerp.statistics.outcomes import Contexts, Explained, Sizes, Spread, shares, sizes_of, tested
from autointerp.statistics.populations import Arm, Bins, arm_of, population_mean, population_weights, usable

# Fewer dictionaries per arm show no spread between seeds.
LEAST_SEEDS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Architectures:
    """Which architectures a row compares, with seeds as replicates."""

    contrast: str
    architectures: str
    site: str
    layer: int
    k: int
    scorer: str
    population: str
    training_seed: int = -1
    over: str = "dictionaries"
    a: str = ""
    b: str = ""
    scope: str = "architecture"
    design: str = "seeds"
    n_pairs: int = 0
    rho: float = 0.0


def over_seeds(arms: Sequence[Arm], population: Population, bins: Bins | None, level: float) -> Mean:
    """Average dictionaries' means; the standard error is that between seeds (n - 1 degrees of freedom)."""
    values = np.array([population_mean(arm, population, bins=bins, level=level).value for arm in arms])
    return mean(values, level=level)


def architecture_rows(
    own: pd.DataFrame, dictionaries: pd.DataFrame, bins: Mapping[str, Bins], config: StatisticsConfig
) -> pd.DataFrame:
    """Compare architectures that were trained with at least two seeds each, within every group of equal layer and k.

    Treating latents as replicates of an architecture rejects a true null far too often (16 % at a seed spread of .005
    and 500 latents, 64 % at .02), and more seeds only help if they are the unit.

    Returns:
        Rows as of `compare`, `scope = "architecture"`, `n_a` and `n_b` counting dictionaries; empty without replicates.
    """
    parts = {str(name): part for name, part in own.groupby("dictionary", sort=False, observed=True)}
    by = [name for name in config.by if name != "seed"]
    rows = []
    for group in groups(dictionaries, by).values():
        for first, second in CLAIMS:
            sides = [group[group["architecture"] == name] for name in (first, second)]
            if min(side["seed"].nunique() for side in sides) < LEAST_SEEDS:
                continue
            arms = [[parts[name] for name in side["dictionary"] if name in parts] for side in sides]
            if min(len(side) for side in arms) >= LEAST_SEEDS:
                rows += _contrast(arms[0], arms[1], f"{second} - {first}", sides[1].iloc[0], bins, config)
    return pd.DataFrame(rows)


def _contrast(
    first: Sequence[pd.DataFrame],
    second: Sequence[pd.DataFrame],
    contrast: str,
    details: pd.Series,
    bins: Mapping[str, Bins],
    config: StatisticsConfig,
) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for scorer in pd.unique(first[0]["scorer"]):
        tables = [[usable(arm[arm["scorer"] == scorer]) for arm in side] for side in (first, second)]
        if any(arm.empty for side in tables for arm in side):
            continue
        sides = [[arm_of(arm) for arm in side] for side in tables]
        for population in POPULATIONS:
            try:
                shared = bins.get(str(first[0]["dictionary"].iloc[0]))
                a, b = (over_seeds(side, population, shared, config.level) for side in sides)
            except TableError:
                continue
            architectures = Architectures(
                contrast=contrast,
                architectures=contrast,
                site=details["site_out"],
                layer=details["layer"],
                k=details["k"],
                scorer=str(scorer),
                population=population,
            )
            difference = unpaired(a, b)
            outcome = tested(difference, margin=config.margin, alpha=config.alpha, level=config.level)
            described = _described(sides, (a, b), difference.value, population, shared, config.level)
            rows.append(flat(architectures, outcome, *described, shares(tables[0], tables[1]), Contexts()))
    return rows


def _described(
    sides: Sequence[Sequence[Arm]],
    means: tuple[Mean, Mean],
    difference: float,
    population: Population,
    bins: Bins | None,
    level: float,
) -> tuple[Sizes, Spread, Explained]:
    """Describe the arms: means over dictionaries, spreads between seeds."""
    a, b = means
    values = [np.array([population_mean(arm, population, bins=bins).value for arm in side]) for side in sides]
    dominance = cliff(values[0], values[1], level)
    g = hedges_g(difference, a.sd, b.sd, a.n, b.n)
    crossed = list(product(*sides))
    parts = [
        kitagawa(x, y, population_weights(x, population, bins), population_weights(y, population, bins))
        for x, y in crossed
    ]
    low, high = ([bound(y, x, population, bins, side) for x, y in crossed] for side in ("low", "high"))
    spread = Spread(
        cliff_delta=dominance.delta,
        cliff_lo=dominance.low,
        cliff_hi=dominance.high,
        tau_a=a.sd,
        tau_b=b.sd,
    )
    explained = Explained(
        comp_part=float(np.mean([part.composition for part in parts])),
        within_part=float(np.mean([part.within for part in parts])),
        missing_diff_lo=float(np.mean(low)),
        missing_diff_hi=float(np.mean(high)),
    )
    return sizes_of(a, b, g, g), spread, explained
