"""The settings of the statistics, and the numbers they hand on. Imports nothing heavy."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    import pandas as pd

Population = Literal["eligible", "standardised", "iti", "freq"]
POPULATIONS: tuple[Population, ...] = ("eligible", "standardised", "iti", "freq")
Verdict = Literal[
    "better",
    "worse",
    "equivalent",
    "better_but_negligible",
    "worse_but_negligible",
    "inconclusive",
    "invalid",
    "exploratory",
]
# What a judge that knows nothing scores in balanced accuracy, and what a latent that cannot be judged counts as; a
# scorer that picks one of n contexts has 1 / n (the `chance` column of the scores).
CHANCE = 0.5


def chance_of(scores: "pd.DataFrame") -> float:
    """Return what a judge that knows nothing would score by the scorer of these scores."""
    return float(scores["chance"].iloc[0]) if "chance" in scores and len(scores) else CHANCE


class Limits(BaseModel):
    """Bounds past which a run's scores are INVALID rather than low, and a candidate's dictionary is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    missing: float = Field(default=0.02, ge=0, le=1, description="largest share of unanswered judgements")
    missing_gap: float = Field(
        default=0.01, ge=0, le=1, description="largest difference of that share between two arms"
    )
    shuffled: float = Field(
        default=0.02, gt=0, lt=0.5, description="a shuffled or empty explanation must score .5 plus or minus this"
    )
    planted: float = Field(
        default=0.6, ge=0, le=1, description="least sensitivity + specificity - 1 on planted latents"
    )
    planted_moved: float = Field(
        default=0.05, ge=0, le=1, description="largest change of that from a reference run of the same judge"
    )
    failed_explanations: float = Field(
        default=0.1, ge=0, le=1, description="largest share of a dictionary's latents without a readable explanation"
    )
    failed_explanations_gap: float = Field(
        default=0.05, ge=0, le=1, description="largest difference of that share between two compared dictionaries"
    )
    distinct_explanations: float = Field(
        default=0.5, ge=0, le=1, description="least share of a dictionary's explanations that differ from each other"
    )
    dead_share: float = Field(default=0.02, ge=0, le=1, description="gate: largest rise of the share of dead latents")
    ce_increase: float = Field(
        default=0.005, ge=0, description="gate: largest rise of the cross-entropy increase, in nats"
    )


class ReconstructionMargins(BaseModel):
    """Differences of reconstruction that are too small to matter, by metric; fix them before looking at results."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    fvu: float = Field(default=0.01, gt=0, description="of the fraction of variance unexplained")
    ce_increase: float = Field(default=0.005, gt=0, description="of the cross-entropy increase, in nats")
    kl: float = Field(default=0.005, gt=0, description="of the KL divergence, in nats")


class StatisticsConfig(BaseModel):
    """How scores become estimates and comparisons."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    margin: float = Field(
        default=0.02,
        gt=0,
        lt=0.5,
        description="equivalence margin in balanced accuracy; fix it before looking at results",
    )
    alpha: float = Field(
        default=0.05, gt=0, lt=0.5, description="error rate of each test; equivalence uses the 1 - 2 alpha interval"
    )
    level: float = Field(default=0.95, gt=0.5, lt=1, description="confidence level of intervals")
    reconstruction_margins: ReconstructionMargins = Field(
        default=ReconstructionMargins(), description="equivalence margins of what dictionaries preserve"
    )
    by: tuple[Literal["layer", "k", "seed"], ...] = Field(
        default=("layer", "k"), description="what two dictionaries must have in common to be compared"
    )
    reference: str | None = Field(
        default=None, description="compare every dictionary with this one only; all pairs if not set"
    )
    seed: int = Field(default=0, ge=0, lt=2**63, description="seed of the random draws of frontier curves")
    trivial_share: float = Field(
        default=0.9, gt=0, le=1, description="a latent is trivial when this share of its peaks is one token"
    )
    yield_threshold: float = Field(
        default=0.75, gt=0.5, lt=1, description="score from which a latent counts in the yield"
    )
    n_frequency_bins: int = Field(
        default=8, ge=1, le=1_000, description="firing-rate bins of the frequency-standardised mean"
    )
    failed: Literal["chance", "drop", "worst"] = Field(
        default="chance", description="what a latent without a readable explanation counts as: .5, nothing, or 0"
    )
    limits: Limits = Field(default=Limits(), description="bounds past which a run is INVALID")


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """One number with its interval. `n_eff` is the number of equally weighted latents that would know as much."""

    value: float
    low: float
    high: float
    level: float
    se: float
    df: float
    n_latents: int
    n_eff: float
    n_unanswered: int
    method: str
