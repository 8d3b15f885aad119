"""Runs with a known truth, made fast: populations of latents, mixture sampling, contexts of documents, a noisy judge.

Every quantity that a run estimates is known for the population it is drawn from, so that coverage, error rates and
power of what `summarise` publishes can be counted.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from autointerp.collection.sample import weights
from autointerp.run.reading import RunTables
from tests.helpers.simulate import Arm, dictionaries_table

N_POSITIVE = N_NEGATIVE = 20
SCORERS = ("detection", "fuzzing")


@dataclass(frozen=True, kw_only=True)
class World:
    """What is true of every dictionary, and how a run samples and judges it.

    True scores are logistic-normal in the latent, moved by `slope` per unit of log firing rate and by the difficulty of
    documents (`document_sd`, on the logit scale); `zipf` makes some documents longer than others.
    """

    n: int = 120
    n_latents: int = 1500
    rate_sd: float = 1.0
    score_sd: float = 0.7
    slope: float = 0.0
    n_documents: int = 400
    zipf: float = 0.0
    document_sd: float = 0.0
    shifts: tuple[float, ...] = (0.0, 0.0)
    dead: tuple[float, ...] = ()
    scorers: tuple[str, ...] = SCORERS
    shuffled: tuple[float, ...] = ()
    n_shuffled: int = 0
    proportional_share: float = 0.1


ARCHITECTURES = ("sae", "transcoder", "skip-transcoder")


def logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def document_shares(world: World) -> np.ndarray:
    share = np.arange(1, world.n_documents + 1, dtype=float) ** -world.zipf
    return share / share.sum()


def draw(world: World, seed: int) -> RunTables:
    """Draw one run: one dictionary per shift, all judged on one pool of documents."""
    rng = np.random.default_rng(seed)
    difficulty = rng.normal(0, world.document_sd, world.n_documents)
    arms, latents, judgements = [], [], []
    for place, shift in enumerate(world.shifts):
        arm = Arm(name=f"arm{place}", architecture=ARCHITECTURES[place % 3], n_total=world.n_latents)
        table, own = _latents(world, arm, rng, world.dead[place] if world.dead else 0.0)
        kept = np.flatnonzero(table["sampled"].to_numpy(bool))
        for scorer in world.scorers:
            logit = own[kept] + (rng.normal(0, 0.2, len(kept)) if len(world.scorers) > 1 else 0.0)
            judgements.append(_judged(world, arm, table, kept, logit, shift, difficulty, scorer, rng))
            if world.n_shuffled:
                some = rng.choice(kept, min(len(kept), world.n_shuffled), replace=False)
                rate = world.shuffled[place] if world.shuffled else 0.5
                judgements.append(_shuffled(world, arm, table, np.sort(some), rate, scorer, rng))
        arms.append(arm)
        latents.append(table)
    return RunTables(
        judgements=pd.concat(judgements, ignore_index=True),
        latents=pd.concat(latents, ignore_index=True),
        dictionaries=dictionaries_table(arms),
    )


def _latents(world: World, arm: Arm, rng: np.random.Generator, dead: float) -> tuple[pd.DataFrame, np.ndarray]:
    """Draw the latents of a dictionary: firing rates, who is sampled (Poisson sampling), true logits."""
    n = world.n_latents
    log_rate = rng.normal(0, world.rate_sd, n)
    eligible = np.arange(n) >= round(dead * n)
    rate = np.exp(log_rate - 7)
    chance = np.zeros(n)
    chance[eligible] = np.minimum(1, world.n * weights(rate[eligible], world.proportional_share))
    sampled = rng.random(n) < chance
    table = pd.DataFrame(
        {
            "dictionary": arm.name,
            "architecture": arm.architecture,
            "site": "model.layers.2.mlp.output",
            "latent": np.arange(n),
            "firing_rate_token": rate,
            "firing_rate_window": 1 - (1 - rate.clip(max=0.5)) ** 32,
            "n_windows": 100,
            "alive": eligible,
            "eligible": eligible,
            "inclusion_probability": chance,
            "sampled": sampled,
            "look_order": np.where(sampled, np.arange(n), -1),
            "token_share": 0.3,
            "peak_token": "",
            "status": np.where(sampled, "scored", np.where(eligible, "eligible", "dead")),
        }
    )
    return table, rng.normal(1.4, world.score_sd, n) + world.slope * log_rate


def _judged(
    world: World,
    arm: Arm,
    table: pd.DataFrame,
    kept: np.ndarray,
    logit: np.ndarray,
    shift: float,
    difficulty: np.ndarray,
    scorer: str,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Judge each latent on items of documents drawn by their length; a shift adds to every chance to be right."""
    n, m = len(kept), N_POSITIVE + N_NEGATIVE
    document = rng.choice(world.n_documents, (n, m), p=document_shares(world))
    right = rng.random((n, m)) < (logistic(logit[:, None] + difficulty[document]) + shift).clip(0, 1)
    return _rows(arm, table, kept, right, document, scorer, "none")


def _shuffled(
    world: World, arm: Arm, table: pd.DataFrame, kept: np.ndarray, rate: float, scorer: str, rng: np.random.Generator
) -> pd.DataFrame:
    n, m = len(kept), N_POSITIVE + N_NEGATIVE
    document = rng.choice(world.n_documents, (n, m), p=document_shares(world))
    return _rows(arm, table, kept, rng.random((n, m)) < rate, document, scorer, "shuffled")


def _rows(
    arm: Arm, table: pd.DataFrame, kept: np.ndarray, right: np.ndarray, document: np.ndarray, scorer: str, control: str
) -> pd.DataFrame:
    n, m = right.shape
    positive = np.tile(np.arange(m) < N_POSITIVE, n)
    stratum = np.tile(np.where(np.arange(m) < N_POSITIVE, np.arange(m) % 10, 0), n)
    yes = right.ravel() == positive
    rows = pd.DataFrame(
        {
            "latent": np.repeat(table["latent"].to_numpy()[kept], m),
            "document_id": document.ravel(),
            "window_id": np.arange(n * m),
            "kind": pd.Categorical.from_codes((~positive).astype(int), pd.Index(["positive", "random"])),
            "stratum": stratum,
            "stratum_share": np.where(positive, 0.1, 1.0),
            "truth": positive,
            "answer": pd.Categorical.from_codes(yes.astype(int), pd.Index(["no", "yes"])),
            "probability": np.nan,
        }
    )
    fixed = {"dictionary": arm.name, "site": "model.layers.2.mlp.output", "scorer": scorer, "control": control}
    return rows.assign(**fixed)
