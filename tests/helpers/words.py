"""How often each word is printed about dictionaries of known truth: scores as arrays, tests and words by the product.

`test_words` shows that tables of the same scores get the same numbers from `compare`.
"""

from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np
import pandas as pd

from autointerp.collection.sample import inclusion, joining, weights
from autointerp.statistics.intervals import unpaired
from autointerp.statistics.multiplicity import VERDICT_POPULATIONS, families
from autointerp.statistics.populations import Arm, population_mean

N_POPULATIONS = 4


@dataclass(frozen=True, kw_only=True)
class World:
    """Dictionaries of latents whose true scores are normal around `mean` plus a shift, and how they are judged.

    Scores of one latent by two scorers correlate as their true parts do (`scorer_correlation`); a dead latent of a
    dictionary cannot be judged and counts as chance among all latents.
    """

    n: int = 120
    n_latents: int = 4096
    rate_sd: float = 2.0
    mean: float = 0.75
    sd: float = 0.1
    items: int = 20
    shifts: tuple[float, ...] = (0.0, 0.0)
    dead: tuple[float, ...] = ()
    scorers: tuple[str, ...] = ("detection", "fuzzing")
    scorer_correlation: float = 0.0


@cache
def population(rate_sd: float, n_latents: int, n: int, which: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Firing rates, sampling weights and inclusion probabilities of a dictionary's latents."""
    rate = np.exp(np.random.default_rng(which).normal(0, rate_sd, n_latents))
    weight = weights(rate, 0.1)
    return rate, weight, inclusion(weight, n)


def draw(world: World, rng: np.random.Generator) -> list[dict[str, Arm]]:
    """Draw each dictionary's scores by each scorer."""
    arms = []
    for place, shift in enumerate(world.shifts):
        rate, weight, chance = population(world.rate_sd, world.n_latents, world.n, int(rng.integers(N_POPULATIONS)))
        kept = joining(weight, rng.random(world.n_latents))[: world.n]
        common = rng.normal(size=len(kept))
        share = 1 - (world.dead[place] if world.dead else 0.0)
        arms.append(
            {name: _judged(world, rate[kept], chance[kept], common, shift, share, rng) for name in world.scorers}
        )
    return arms


def _judged(
    world: World,
    rate: np.ndarray,
    chance: np.ndarray,
    common: np.ndarray,
    shift: float,
    share: float,
    rng: np.random.Generator,
) -> Arm:
    rho, n = world.scorer_correlation, len(rate)
    z = np.sqrt(rho) * common + np.sqrt(1 - rho) * rng.normal(size=n)
    true = (world.mean + world.sd * z).clip(0.51, 0.93) + shift
    recall, specificity = (rng.binomial(world.items, true) / world.items for _ in "rs")
    noise = (recall * (1 - recall) + specificity * (1 - specificity)) / (world.items - 1) / 4
    columns = {
        "score": (recall + specificity) / 2,
        "recall": recall,
        "specificity": specificity,
        "noise_variance": noise,
        "inclusion_probability": chance,
        "firing_rate_token": rate * 1e-4,
        "n_items": np.full(n, 2.0 * world.items),
    }
    return Arm(columns=columns, chance=0.5, share=share)


def moments(world: World) -> tuple[float, float]:
    """Mean and spread of latents' true scores."""
    true = (world.mean + world.sd * np.random.default_rng(0).normal(size=400_000)).clip(0.51, 0.93)
    return float(true.mean()), float(true.std())


def comparisons(arms: list[dict[str, Arm]], margin: float) -> pd.DataFrame:
    """All pairs by all scorers over both populations, adjusted, with their words."""
    rows = []
    for a, b in combinations(range(len(arms)), 2):
        for scorer in arms[a]:
            for over in VERDICT_POPULATIONS:
                means = [population_mean(arms[side][scorer], over) for side in (a, b)]
                found = unpaired(means[0], means[1])
                rows.append(
                    {
                        "contrast": f"d{b} - d{a}",
                        "scorer": scorer,
                        "population": over,
                        "diff": found.value,
                        "se": found.se,
                        "df": found.df,
                        "p_diff": found.p_two_sided(),
                        "margin": margin,
                        "p_tost": found.p_equivalent(margin),
                        "p_ni": found.p_not_inferior(margin),
                        "n_a": means[0].n,
                        "n_b": means[1].n,
                    }
                )
    return families(pd.DataFrame(rows))


def tables(arms: list[dict[str, Arm]]) -> list[pd.DataFrame]:
    """The same scores as `latent_scores` gives them."""
    found = []
    for place, arm in enumerate(arms):
        parts = [
            pd.DataFrame(
                {
                    "dictionary": f"d{place}",
                    "architecture": "sae",
                    "site": "s",
                    "scorer": name,
                    "control": "none",
                    "latent": np.arange(len(one)) + 10_000 * place,
                    "chance": 0.5,
                    "n_unanswered": 0,
                    "n_total": 1000,
                    "n_alive": 1000,
                    "n_eligible": round(1000 * one.share),
                    "judgeable": one.share,
                    "judgeable_variance": 0.0,
                    "score_low": one["score"],
                    "score_high": one["score"],
                    "token_share": 0.1,
                    **one.columns,
                }
            )
            for name, one in arm.items()
        ]
        found.append(pd.concat(parts, ignore_index=True))
    return found
