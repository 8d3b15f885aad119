"""Baselines and candidates with known truth, for a gate: arrays that drive its looks fast, and the same as tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

from autointerp.collection import sample
from autointerp.collection.base import SamplingConfig
from autointerp.gate import decide
from autointerp.gate.base import Cell, GateConfig, GateResult
from autointerp.statistics.intervals import Difference, mean
from autointerp.statistics.pairing import Contrast

ENDPOINTS = ("detection", "fuzzing")
POPULATION = 8192
# Populations of latents are few, since their inclusion probabilities take long; samples of them are drawn anew.
N_POPULATIONS = 20


@dataclass(frozen=True, kw_only=True)
class World:
    """What is simulated: true balanced accuracies of latents at two checkpoints, judged on a few items each.

    `correlation` is that of the TRUE scores of one latent at both checkpoints; what is observed is lower. Latents are
    drawn half uniformly, half by firing rate (log sd `rate_sd`), as the default sampling does.
    """

    n_dictionaries: int = 1
    n_baseline: int = 1400
    correlation: float = 0.56
    endpoint_correlation: float = 0.3
    rate_sd: float = 2.0
    slope: float = 0.02  # true score per standard deviation of the log rate
    mean: float = 0.75
    sd: float = 0.11
    items: int = 20  # of each class
    loss: float = 0.0  # true loss of the candidate in the first endpoint of the first dictionary
    gain: float = 0.0  # true gain of all other endpoints


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Scores [dictionaries, endpoints, latents] of a baseline and its candidate, with sampling weights and rates."""

    base: np.ndarray
    candidate: np.ndarray
    noise: np.ndarray
    weight: np.ndarray
    rate: np.ndarray

    def scored(self, wanted: Mapping[str, int]) -> decide.Scored:
        """Answer a look from the arrays."""
        contrasts, correlations = {}, []
        for name, n in wanted.items():
            k = int(name[1:])
            moved = self.candidate[k, :, :n] - self.base[k, :, :n]
            for e, endpoint in enumerate(ENDPOINTS):
                inner = mean(moved[e], self.weight[k, :n])
                contrasts[Cell(name, endpoint)] = Contrast(
                    difference=Difference(value=inner.value, se=inner.se, df=inner.df),
                    n=n,
                    design="paired",
                    rho=correlate(self.base[k, e, :n], self.candidate[k, e, :n]),
                )
            correlations.append(correlate(moved[0], moved[1]))
        return decide.Scored(contrasts=contrasts, correlation=min(correlations))

    def first_look(self, config: GateConfig) -> dict[str, int]:
        """Latents of the first look, as `offline.first_look` counts them."""
        found = {}
        for k in range(len(self.base)):
            parts = zip(self.base[k], self.noise[k], strict=True)
            sizes = [decide.needed(score, self.weight[k], noise, config, len(self.base)) for score, noise in parts]
            found[f"d{k}"] = decide.first_look((max(a for a, _ in sizes), max(b for _, b in sizes)), config)
        return found

    def table(self, side: str) -> pd.DataFrame:
        """The same scores as `latent_scores` gives them."""
        values = {"base": self.base, "candidate": self.candidate}[side]
        d, e, n = values.shape
        return pd.DataFrame({
            "dictionary": np.repeat([f"d{k}" for k in range(d)], e * n), "site": "s", "architecture": "sae",
            "scorer": np.tile(np.repeat(ENDPOINTS, n), d), "control": "none", "latent": np.tile(np.arange(n), d * e),
            "score": values.ravel(), "recall": values.ravel(), "specificity": values.ravel(),
            "noise_variance": self.noise.ravel(), "look_order": np.tile(np.arange(n), d * e),
            "inclusion_probability": np.repeat(1 / self.weight[:, None], e, 1).ravel(),
            "firing_rate_token": np.repeat(self.rate[:, None], e, 1).ravel() * (1.01 if side == "candidate" else 1.0),
        })  # fmt: skip


def correlate(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation; 0 where one does not vary."""
    return float(np.corrcoef(a, b)[0, 1]) if len(a) > 1 and np.ptp(a) > 0 and np.ptp(b) > 0 else 0.0


@cache
def population(rate_sd: float, n: int, which: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log firing rates of a dictionary, their weights in the sampling, and the chances to be among n drawn."""
    rates = np.random.default_rng(which).normal(0, rate_sd, POPULATION)
    weight = sample.weights(np.exp(rates), SamplingConfig().proportional_share)
    return rates, weight, sample.inclusion(weight, n)


def draw(world: World, rng: np.random.Generator) -> Pair:
    """Draw a baseline sample and its candidate."""
    d, n, e = world.n_dictionaries, world.n_baseline, len(ENDPOINTS)
    log_rate, inclusion = np.empty((d, n)), np.empty((d, n))
    for k in range(d):
        rates, weight, chances = population(world.rate_sd, n, int(rng.integers(N_POPULATIONS)))
        chosen = sample.joining(weight, rng.random(POPULATION))[:n]
        log_rate[k], inclusion[k] = rates[chosen], chances[chosen]

    def mixed(share: float, shape: tuple[int, ...], common: np.ndarray) -> np.ndarray:
        """Normal values of which each shares a part with `common`."""
        return np.sqrt(share) * common + np.sqrt(1 - share) * rng.normal(size=shape)

    both = mixed(world.endpoint_correlation, (d, e, n), rng.normal(size=(d, 1, n)))
    change = np.zeros((2, d, e, 1))
    change[1], change[1, 0, 0] = world.gain, -world.loss
    scores, noise = [], []
    for side in range(2):
        own = mixed(world.endpoint_correlation, (d, e, n), rng.normal(size=(d, 1, n)))
        z = np.sqrt(world.correlation) * both + np.sqrt(1 - world.correlation) * own
        truth = world.mean + world.slope * (log_rate / world.rate_sd)[:, None] + world.sd * z
        truth = np.clip(np.clip(truth, 0.52, 0.97) + change[side], 0, 1)
        scores.append(rng.binomial(2 * world.items, truth) / (2 * world.items))
        noise.append(scores[-1] * (1 - scores[-1]) / (2 * world.items - 1))
    return Pair(base=scores[0], candidate=scores[1], noise=noise[0], weight=1 / inclusion, rate=np.exp(log_rate) * 1e-4)


def gated(world: World, rng: np.random.Generator, config: GateConfig) -> GateResult:
    """Gate one simulated candidate; with one look as finished runs, with more as a live experiment asks."""
    pair = draw(world, rng)
    held = {f"d{k}": world.n_baseline for k in range(world.n_dictionaries)}
    first = None if config.looks == 1 else pair.first_look(config)
    return decide.run(decide.looks(held, config, first), pair.scored)
