"""Types passed from collection to selection, and the settings of examples. Light: no torch."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """One latent's activations over the corpus: positions in `Windows.tokens` (ascending) and values (> 0)."""

    positions: NDArray[np.integer]
    values: NDArray[np.floating]


HardKind = Literal["words", "embedding", "cofiring", "decoder"]


class ExamplesConfig(BaseModel):
    """Settings of the number of example windows per latent."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    min_windows: int = Field(default=200, ge=1, le=10**9, description="activating windows that make a latent eligible")
    n_explain: int = Field(
        default=40, ge=1, le=10_000, description="activating windows shown to the explainer, over 10 deciles"
    )
    n_positives: int = Field(
        default=20, ge=1, le=10_000, description="activating held-out windows judged, over 10 deciles"
    )
    n_negatives: int = Field(default=20, ge=1, le=10_000, description="silent held-out windows judged")
    pool_windows: int = Field(
        default=10_000, ge=1, le=10**7, description="held-out windows from which all latents' negatives are drawn"
    )
    n_hard: int = Field(
        default=5, ge=0, le=10_000, description="hard negatives judged besides, of each kind in `hard`; 0 for none"
    )
    hard: tuple[HardKind, ...] = Field(
        default=("words", "cofiring"),
        description="near in words (tf-idf); near by `embedding_model`; where co-firing latents of the sample fire "
        "most; where latents of the sample with like decoder rows fire most",
    )
    embedding_model: str | None = Field(
        default=None,
        description="sentence-embedding model for hard negatives of kind embedding: a folder or a hub name",
    )
    n_explain_negatives: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="silent windows shown to a contrastive explainer, from the explain documents",
    )

    @model_validator(mode="after")
    def _embedding_has_a_model(self) -> "ExamplesConfig":
        if self.n_hard and "embedding" in self.hard and self.embedding_model is None:
            raise ValueError(
                "hard: embedding needs a model: set embedding_model to a folder or a hub name, or use `words`, which "
                "needs none"
            )
        return self
