"""Settings of the collection and of the sample of latents."""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, field_validator


class CollectConfig(BaseModel):
    """Settings of collection. Only `values` changes the result."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    batch_tokens: int = Field(
        default=0, ge=0, le=2**24, description="tokens in one forward pass; 0: 4,096 on a CPU, 65,536 on a GPU"
    )
    shard_tokens: int = Field(default=2**18, ge=1, le=2**31, description="tokens of one shard, the unit of resumption")
    values: Literal["float16", "float32"] = Field(default="float32", description="how activations are stored")


class SamplingConfig(BaseModel):
    """Settings of the sample of latents to explain."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    n_latents: PositiveInt | Literal["all"] = Field(
        default=100, description="latents drawn per dictionary, or `all` of them"
    )
    latents: dict[str, tuple[NonNegativeInt, ...]] = Field(
        default_factory=dict,
        description="chosen latents by dictionary, such as {sae: [1, 5]}; estimates are then about these latents only",
    )
    same_as: str | None = Field(
        default=None,
        description="finished run to take the sample from, dictionary by name: compares checkpoints latent by latent",
    )
    proportional_share: float = Field(
        default=0.1, ge=0, le=1, description="share of draws made proportionally to firing rate; the rest is uniform"
    )
    survey_share: float = Field(
        default=0.1, gt=0, le=1, description="share of the corpus, from its start, that tells firing rates for the draw"
    )

    @field_validator("latents", mode="before")
    @classmethod
    def _latents_by_dictionary(cls, given: object) -> object:
        if not isinstance(given, Mapping):
            raise ValueError(f"give latents by dictionary, such as {{sae: [1, 5]}}, not {str(given)[:60]}")
        return given

    @field_validator("latents")
    @classmethod
    def _latents_differ(cls, given: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        for name, latents in given.items():
            if not latents or len(set(latents)) < len(latents):
                raise ValueError(f"latents of {name}: give at least one, none twice")
        return given
