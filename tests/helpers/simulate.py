"""Synthetic runs with known truth: tables of the shapes in `autointerp.run.tables`, made in vectorised numpy."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from autointerp.run.reading import RunTables

DECILES = 10


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A dictionary to simulate: latents' true balanced accuracies are normal around `mean`, clipped."""

    name: str
    architecture: str = "sae"
    mean: float = 0.8
    sd: float = 0.1
    n_total: int = 200
    n_eligible: int = 120
    n_sampled: int = 60
    layer: int = 2
    k: int = 16
    seed: int = 0
    trivial_share: float = 0.2
    missing: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Run:
    """The tables of a simulated run."""

    judgements: pd.DataFrame
    latents: pd.DataFrame
    dictionaries: pd.DataFrame
    reconstruction: pd.DataFrame
    truth: dict[str, float] = field(default_factory=dict)

    @property
    def tables(self) -> RunTables:
        """The tables as the statistics take them."""
        measured = self.reconstruction if len(self.reconstruction) else None
        return RunTables(
            judgements=self.judgements,
            latents=self.latents,
            dictionaries=self.dictionaries,
            reconstruction=measured,
        )


def latents_table(arm: Arm, rng: np.random.Generator) -> pd.DataFrame:
    n = arm.n_total
    rate = np.exp(rng.normal(-6.5, 1.2, n)).clip(1e-6, 0.3)
    eligible = np.zeros(n, bool)
    eligible[np.argsort(-rate)[: arm.n_eligible]] = True
    mixture = 0.5 / max(arm.n_eligible, 1) + 0.5 * rate / max(rate[eligible].sum(), 1e-12)
    chance = np.where(eligible, np.minimum(1.0, arm.n_sampled * mixture), 0.0)
    sampled = np.zeros(n, bool)
    if eligible.any():
        # Systematic sampling with unequal probabilities.
        order = rng.permutation(np.flatnonzero(eligible))
        cumulative = np.cumsum(chance[order]) + rng.random()
        sampled[order[np.floor(cumulative) > np.floor(np.r_[cumulative[0] - chance[order[0]], cumulative[:-1]])]] = True
    look = np.full(n, -1)
    look[sampled] = rng.permutation(int(sampled.sum()))
    alive = eligible | (rng.random(n) < 0.8)
    trivial = rng.random(n) < arm.trivial_share
    return pd.DataFrame(
        {
            "dictionary": arm.name,
            "architecture": arm.architecture,
            "site": f"model.layers.{arm.layer}.mlp.output",
            "latent": np.arange(n),
            "firing_rate_token": rate,
            "firing_rate_window": 1 - (1 - rate) ** 32,
            "n_windows": (rate * 32 * 5000).astype(int),
            "alive": alive,
            "eligible": eligible,
            "inclusion_probability": chance,
            "sampled": sampled,
            "look_order": look,
            "token_share": np.where(sampled, np.where(trivial, 0.97, rng.uniform(0.1, 0.8, n)), np.nan),
            "peak_token": np.where(sampled, " the", ""),
            "status": np.select([sampled, eligible, alive], ["scored", "eligible", "rare"], "dead"),
        }
    )


def judged(
    arm: Arm,
    latents: pd.DataFrame,
    rng: np.random.Generator,
    *,
    scorer: str,
    control: str = "none",
    per_decile: int = 2,
    n_negative: int = 20,
    accuracy: np.ndarray | None = None,
    pool: int = 400,
) -> pd.DataFrame:
    """Judge every sampled latent; `accuracy` [sampled] is the chance of a right answer, of positives and negatives."""
    rows = latents[latents["sampled"]]
    n, m = len(rows), DECILES * per_decile + n_negative
    right = rng.normal(arm.mean, arm.sd, n).clip(0.02, 0.98) if accuracy is None else accuracy
    positive = np.arange(m) < DECILES * per_decile
    correct = rng.random((n, m)) < right[:, None]
    answer = np.where(correct == positive, "yes", "no")
    if arm.missing:
        answer = np.where(rng.random((n, m)) < arm.missing, "unanswered", answer)
    windows = np.where(
        positive,
        10_000 + rows["latent"].to_numpy()[:, None] * 1000 + np.arange(m),
        np.argsort(rng.random((n, pool)), axis=1)[:, np.arange(m) % pool],
    )
    yes = np.where(answer == "yes", rng.uniform(0.5, 1, (n, m)), rng.uniform(0, 0.5, (n, m)))
    return pd.DataFrame(
        {
            "dictionary": arm.name,
            "site": rows["site"].iloc[0],
            "latent": np.repeat(rows["latent"].to_numpy(), m),
            "scorer": scorer,
            "control": control,
            "question_id": [f"{arm.name}-{scorer}-{control}-{i}-{j // 5}" for i in rows["latent"] for j in range(m)],
            "position": np.tile(np.arange(m) % 5, n),
            "document_id": (windows // 4).ravel(),
            "window_id": windows.ravel(),
            "kind": np.tile(np.where(positive, "positive", "random"), n),
            "stratum": np.tile(np.where(positive, np.arange(m) // per_decile, 0), n),
            "stratum_share": np.tile(np.where(positive, 1 / DECILES, 1.0), n),
            "truth": np.tile(positive, n),
            "answer": answer.ravel(),
            "probability": np.where(answer == "unanswered", np.nan, yes).ravel(),
            "explanation_id": [f"{arm.name}-{i}" for i in rows["latent"] for _ in range(m)],
            "status": np.where(answer == "unanswered", "unparsed", "ok").ravel(),
            "n_retries": 0,
        }
    )


def planted(rng: np.random.Generator, n: int = 30, accuracy: float = 0.95) -> pd.DataFrame:
    arm = Arm(name="planted", architecture="planted", n_total=n, n_eligible=n, n_sampled=n)
    table = latents_table(arm, rng).assign(sampled=True)
    right = np.full(n, accuracy)
    return pd.concat(
        [judged(arm, table, rng, scorer=s, control="planted", accuracy=right) for s in ("detection", "fuzzing")]
    )


def dictionaries_table(arms: list[Arm]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "dictionary": arm.name,
                "architecture": arm.architecture,
                "site": f"model.layers.{arm.layer}.mlp.output",
                "site_out": f"model.layers.{arm.layer}.mlp.output",
                "layer": arm.layer,
                "k": arm.k,
                "n_latents": arm.n_total,
                "d_in": 64,
                "d_out": 64,
                "seed": arm.seed,
                "format": "simulated",
                "source": arm.name,
                "revision": "",
                "sha256": "",
            }
            for arm in arms
        ]
    )


def reconstruction_table(arms: list[Arm], rng: np.random.Generator) -> pd.DataFrame:
    values = {"fvu": 0.2, "ce_increase": 0.05, "dead_share": 0.02}
    return pd.DataFrame(
        [
            {
                "dictionary": arm.name,
                "metric": metric,
                "value": value + rng.normal(0, 0.001),
                "low": value - 0.002,
                "high": value + 0.002,
                "level": 0.95,
                "n_documents": 200,
                "n_tokens": 50_000,
            }
            for arm in arms
            for metric, value in values.items()
        ]
    )


DEFAULT_ARMS = (
    Arm(name="sae", mean=0.7),
    Arm(name="transcoder", architecture="transcoder", mean=0.8),
    Arm(name="skip", architecture="skip-transcoder", mean=0.8),
)


def simulate(
    arms: list[Arm] | None = None,
    *,
    seed: int = 0,
    shuffled: float = 0.5,
    scorers: tuple[str, ...] = ("detection", "fuzzing"),
    per_decile: int = 2,
    n_negative: int = 20,
) -> Run:
    """Make a run: judgements under control none, shuffled (at the given accuracy) and planted."""
    rng = np.random.default_rng(seed)
    arms = list(DEFAULT_ARMS) if arms is None else arms
    tables = [latents_table(arm, rng) for arm in arms]
    parts = []
    for arm, table in zip(arms, tables, strict=True):
        if not table["sampled"].any():
            continue
        n = int(table["sampled"].sum())
        right = rng.normal(arm.mean, arm.sd, n).clip(0.02, 0.98)
        for scorer in scorers:
            parts.append(
                judged(arm, table, rng, scorer=scorer, accuracy=right, per_decile=per_decile, n_negative=n_negative)
            )
            parts.append(judged(arm, table, rng, scorer=scorer, control="shuffled", accuracy=np.full(n, shuffled)))
    return Run(
        judgements=pd.concat([*parts, planted(rng)], ignore_index=True),
        latents=pd.concat(tables, ignore_index=True),
        dictionaries=dictionaries_table(arms),
        reconstruction=reconstruction_table(arms, rng),
        truth={arm.name: arm.mean for arm in arms},
    )


def write_run(run: Run, path: Path, **manifest: object) -> Path:
    """Write a run directory: its tables and a manifest."""
    path.mkdir(parents=True, exist_ok=True)
    for name in ("judgements", "latents", "dictionaries", "reconstruction"):
        getattr(run, name).to_parquet(path / f"{name}.parquet", index=False)
    entries = {"autointerp": "test", "name": path.name, "protocol_hash": "p", "context_pool_hash": "c", "protocol": {}}
    usage = {"explain": {"calls": 60}, "judge": {"calls": 960}}
    (path / "manifest.json").write_text(json.dumps({**entries, "usage": usage, **manifest}))
    return path
