"""How often published intervals cover: many dictionaries of known truth judged in one run, each on its own layer.

Each dictionary is a replicate: latents, their sample, documents and answers are drawn again. Rates over the run's
tables are those of `summarise`: the same three functions make the tables.
"""

from collections import defaultdict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

from autointerp.collection.sample import inclusion, joining, weights
from autointerp.statistics._answers import read
from autointerp.statistics.base import StatisticsConfig
from autointerp.statistics.clusters import Documents
from autointerp.statistics.estimate_table import bins_of, estimate_table
from autointerp.statistics.prevalence import real_distribution_of
from autointerp.statistics.scores import scores_of
from autointerp.statistics.summary import _with_skill
from tests.helpers.simulate import Arm, dictionaries_table

SITE = "model.layers.2.mlp.output"
# Items of each kind, and how much easier their contexts are than activating ones, in logits.
ITEMS = {"positive": 20, "random": 20, "hard": 10}
EASIER = {"positive": 0.0, "random": 0.8, "hard": -0.8}
HARD_SHARE = 0.02  # of silent contexts
LEXICAL = -1.0
FIRES = -7.0  # mean log firing rate per token
N_POPULATIONS = 4
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(15)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What is true of a dictionary, and how it is sampled and judged.

    True logits are normal (`sd`), with `modes` of two equal groups apart by so much, moved by `slope` per unit of log
    firing rate; documents' difficulty is normal (`document_sd`).
    """

    n: int = 120
    n_latents: int = 4000
    rate_sd: float = 1.0
    sd: float = 0.7
    modes: float = 0.0
    slope: float = 0.0
    n_documents: int = 400
    document_sd: float = 0.0


def logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


@cache
def population(rate_sd: float, n_latents: int, n: int, which: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log firing rates of a dictionary, sampling weights, and the chances to be among n drawn."""
    log_rate = np.random.default_rng(which).normal(0, rate_sd, n_latents)
    weight = weights(np.exp(log_rate), 0.1)
    return log_rate, weight, inclusion(weight, n)


def own_logits(world: Judged, log_rate: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    centre = 1.4 + world.modes * (rng.random(len(log_rate)) - 0.5 > 0) - world.modes / 2
    return centre + rng.normal(0, world.sd, len(log_rate)) + world.slope * log_rate


def right(world: Judged, logit: np.ndarray) -> np.ndarray:
    """Chance to be right about a context of a random document."""
    return sum(w * logistic(logit + world.document_sd * x) for x, w in zip(NODES, WEIGHTS / WEIGHTS.sum(), strict=True))  # type: ignore[return-value]


@cache
def ranking_noise(document_sd: float) -> np.ndarray:
    rng = np.random.default_rng(3)
    return np.sort(rng.logistic(size=(2, 400_000)).sum(0) + rng.normal(0, document_sd * 2**0.5, 400_000))


def truth_of(world: Judged, logit: np.ndarray) -> dict[str, np.ndarray]:
    """True columns of latents' scores."""
    rate = {kind: right(world, logit + extra) for kind, extra in EASIER.items()}
    lexical = (right(world, logit + LEXICAL) + right(world, logit + LEXICAL + EASIER["random"])) / 2
    score = (rate["positive"] + rate["random"]) / 2
    noise = ranking_noise(world.document_sd)
    above = 1 - np.searchsorted(noise, -(2 * logit + EASIER["random"])) / len(noise)
    return {
        "score": score,
        "recall": rate["positive"],
        "specificity": rate["random"],
        "score_hard": (rate["positive"] + rate["hard"]) / 2,
        "auroc": above,
        "skill": score - lexical,
        "reaches": (score >= 0.75).astype(float),
    }


@cache
def expected(world: Judged) -> dict[str, float]:
    """Means over all latents there could be: a dictionary's own differ from them by its finite number of latents."""
    rng = np.random.default_rng(99)
    found = truth_of(world, own_logits(world, rng.normal(0, world.rate_sd, 200_000), rng))
    return {name: float(values.mean()) for name, values in found.items()}


def by_rate(world: Judged, log_rate: np.ndarray, logit: np.ndarray) -> dict[str, float]:
    """Truth of this very dictionary where latents count by how often they fire."""
    rate = np.exp(log_rate + FIRES)
    pi, found = window_rate(rate), truth_of(world, logit)
    hard = 2 * found["score_hard"] - found["recall"]
    false = 1 - (1 - HARD_SHARE) * found["specificity"] - HARD_SHARE * hard
    hit, alarm = (pi * found["recall"]).sum(), ((1 - pi) * false).sum()
    return {
        "freq": float(rate @ found["score"] / rate.sum()),
        "precision": float(hit / (hit + alarm)),
        "f1": float(2 * hit / (hit + alarm + pi.sum())),
        "lr_plus": float(found["recall"].sum() / false.sum()),
        "false_per_true": float(alarm / hit),
    }


def window_rate(rate: np.ndarray) -> np.ndarray:
    return 1 - (1 - rate.clip(max=0.5)) ** 32


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Dictionaries judged in one run, with what is true of each."""

    judgements: pd.DataFrame
    latents: pd.DataFrame
    dictionaries: pd.DataFrame
    truths: Mapping[str, Mapping[str, float]]


def draw(world: Judged, n_arms: int, rng: np.random.Generator) -> Drawn:
    """Draw dictionaries, their samples, and their judgements under controls none and lexical."""
    arms, latents, rows, truths = [], [], [], {}
    for place in range(n_arms):
        arm = Arm(name=f"d{place}", layer=place, n_total=world.n_latents)
        log_rate, weight, chance = population(world.rate_sd, world.n_latents, world.n, int(rng.integers(N_POPULATIONS)))
        logit = own_logits(world, log_rate, rng)
        kept = np.sort(joining(weight, rng.random(world.n_latents))[: world.n])
        rate = np.exp(log_rate + FIRES)
        latents.append(_latents(arm, rate, chance, kept))
        difficulty = rng.normal(0, world.document_sd, world.n_documents)
        rows += [
            _judged(arm, world, kept, logit[kept] + extra, difficulty, control, place, rng)
            for control, extra in (("none", 0.0), ("lexical", LEXICAL))
        ]
        arms.append(arm)
        truths[arm.name] = by_rate(world, log_rate, logit)
    judgements = pd.concat(rows, ignore_index=True)
    return Drawn(
        judgements=judgements,
        latents=pd.concat(latents, ignore_index=True),
        dictionaries=dictionaries_table(arms),
        truths=truths,
    )


def _latents(arm: Arm, rate: np.ndarray, chance: np.ndarray, kept: np.ndarray) -> pd.DataFrame:
    """All latents can be judged; only those drawn are listed besides the count, to keep the table small."""
    n = len(rate)
    sampled = np.zeros(n, bool)
    sampled[kept] = True
    return pd.DataFrame(
        {
            "dictionary": arm.name,
            "architecture": "sae",
            "site": SITE,
            "latent": np.arange(n),
            "firing_rate_token": rate,
            "firing_rate_window": window_rate(rate),
            "n_windows": 100,
            "alive": True,
            "eligible": True,
            "inclusion_probability": chance,
            "sampled": sampled,
            "look_order": np.where(sampled, np.arange(n), -1),
            "token_share": 0.3,
            "peak_token": "",
            "status": np.where(sampled, "scored", "eligible"),
        }
    )


def _judged(
    arm: Arm,
    world: Judged,
    kept: np.ndarray,
    logit: np.ndarray,
    difficulty: np.ndarray,
    control: str,
    place: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    kinds = ITEMS if control == "none" else {kind: ITEMS[kind] for kind in ("positive", "random")}
    kind = np.repeat(np.arange(len(kinds)), list(kinds.values()))
    m, n = len(kind), len(kept)
    # The same documents under both controls, as the same contexts are shown.
    drawn = np.random.default_rng([place, *kept[:4]])
    document = drawn.integers(world.n_documents, size=(n, sum(ITEMS.values())))[:, :m]
    easier = np.array([EASIER[name] for name in kinds])[kind]
    margin = logit[:, None] + easier + difficulty[document] + rng.logistic(size=(n, m))
    positive = kind == 0
    within = np.concatenate([np.arange(size) for size in kinds.values()])
    return pd.DataFrame(
        {
            "dictionary": pd.Categorical.from_codes(np.zeros(n * m, int), pd.Index([arm.name])),
            "site": SITE,
            "latent": np.repeat(kept, m),
            "scorer": "detection",
            "control": control,
            "document_id": document.ravel() + place * world.n_documents,
            "window_id": np.arange(n * m),
            "kind": pd.Categorical.from_codes(np.tile(kind, n), pd.Index(list(ITEMS))),
            "stratum": np.tile(np.select([kind == 0, kind == 2], [within % 10, 1], 0), n),
            "stratum_share": np.tile(np.select([kind == 0, kind == 2], [0.1, HARD_SHARE], 1.0), n),
            "truth": np.tile(positive, n),
            "answer": pd.Categorical.from_codes(
                ((margin > 0) == positive).ravel().astype(int), pd.Index(["no", "yes"])
            ),
            "probability": logistic(np.where(positive, margin, -margin)).ravel(),
        }
    )


POPULATION_OF = {"eligible": "score", "iti": "score", "standardised": "score"}


def covered(world: Judged, r: int, seed: int = 0, at_once: int = 10) -> dict[tuple[str, str], np.ndarray]:
    """Map (statistic, population) -> of each replicate: 0 its interval covers, -1 it lies below the truth, 1 above."""
    rng, found = np.random.default_rng(seed), defaultdict(list)
    mean_of = expected(world)
    config = StatisticsConfig()
    for _ in range(-(-r // at_once)):
        drawn = draw(world, at_once, rng)
        answers = read(drawn.judgements)
        scores = _with_skill(scores_of(answers, drawn.latents))
        documents = Documents(answers)
        bins = bins_of(drawn.latents, drawn.dictionaries, config)
        table, _ = estimate_table(scores, drawn.dictionaries, bins, documents, config)
        for row in table.to_dict("records"):
            name, population_ = str(row["statistic"]), str(row["population"])
            if name in ("share_above_threshold", "yield"):
                truth = mean_of["reaches"]
            elif population_ == "freq":
                truth = drawn.truths[str(row["dictionary"])]["freq"]
            elif name in mean_of:
                truth = mean_of[name]
            else:
                continue
            found[name, population_].append(side(row, truth))
        for row in real_distribution_of(answers, drawn.latents, documents).to_dict("records"):
            found[str(row["measure"]), "real"].append(side(row, drawn.truths[str(row["dictionary"])][row["measure"]]))
    return {key: np.array(values) for key, values in found.items()}


def side(row: Mapping[Hashable, object], truth: float) -> int:
    low, high = float(str(row["low"])), float(str(row["high"]))
    return int(low > truth) - int(high < truth)
