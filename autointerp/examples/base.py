"""What passes between corpus, collection and selection, and the settings of all three. Light: no torch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """A corpus as disjoint judged windows of equal length, none of them crossing a document's end.

    Attributes:
        tokens: [n_tokens] ids of the corpus's content tokens, document after document, without special tokens.
        starts: [n_windows] position of each window's first token, ascending.
        length: tokens per window.
        documents: [n_windows] the document each window lies in.
        held_out: [n_windows] whether that document belongs to the held-out split (else to the explain split).
        decode: token ids of one window -> the texts of its tokens, which joined are the window's text.
        fingerprint: hash of everything the windows depend on.
    """

    tokens: NDArray[np.integer]
    starts: NDArray[np.int64]
    length: int
    documents: NDArray[np.int64]
    held_out: NDArray[np.bool_]
    decode: Callable[[NDArray[np.integer]], tuple[str, ...]]
    fingerprint: str

    def __len__(self) -> int:
        """The number of windows."""
        return len(self.starts)

    def of(self, positions: NDArray[np.integer]) -> NDArray[np.int64]:
        """Return the window of each token position, -1 for tokens outside every window (a document's tail)."""
        window = np.searchsorted(self.starts, positions, side="right") - 1
        inside = (window >= 0) & (positions < self.starts[np.maximum(window, 0)] + self.length)
        return np.where(inside, window, -1)

    def pieces(self, window: int) -> tuple[str, ...]:
        """Return the texts of a window's tokens."""
        start = int(self.starts[window])
        return self.decode(np.asarray(self.tokens[start : start + self.length]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """One latent's activations over the corpus: positions in `Windows.tokens` (ascending) and values (> 0)."""

    positions: NDArray[np.integer]
    values: NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardTokens:
    """The contexts of one shard: what the subject reads in one unit of work.

    Attributes:
        tokens: [n] ids of the shard's content tokens.
        offset: position of the first of them in the corpus; all positions below count from the corpus's start.
        segment_starts: [n_segments + 1] positions at which a run of tokens of one context and one document begins.
        segment_contexts: [n_segments] the context of each run, counted from 0 in the shard.
        window_starts: [n_windows] position of each window's first token, ascending; a window lies in one segment.
        window_held_out: [n_windows] whether the window is of the held-out split.
        window_length: tokens per window.
        bos: id put before every segment in the model's input, or None.
    """

    tokens: NDArray[np.integer]
    offset: int
    segment_starts: NDArray[np.int64]
    segment_contexts: NDArray[np.int64]
    window_starts: NDArray[np.int64]
    window_held_out: NDArray[np.bool_]
    window_length: int
    bos: int | None


class Tokens(Protocol):
    """A tokenised corpus, perhaps still growing: `autointerp.corpus.read` makes one."""

    @property
    def n_wanted(self) -> int:
        """The number of tokens asked for; a small corpus has fewer."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hash of tokens, documents and settings; "" until everything is tokenised."""
        ...

    def shard(self, number: int, shard_tokens: int) -> ShardTokens | None:
        """Return the contexts that begin in tokens [number, number + 1) * shard_tokens; None behind the last one."""
        ...

    def windows(self) -> Windows:
        """Return all windows, once everything is tokenised."""
        ...

    def counts(self) -> dict[str, int]:
        """Count documents, tokens, contexts, windows, and tokens outside every window."""
        ...


HardKind = Literal["words", "embedding", "cofiring", "decoder"]


class CollectConfig(BaseModel):
    """How activations are collected. None of it but `values` changes what is collected."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    batch_tokens: int = Field(
        default=0, ge=0, description="tokens in one forward pass; 0: 4,096 on a CPU, 65,536 on a GPU"
    )
    shard_tokens: int = Field(default=2**18, ge=1, description="tokens of one unit of work that is kept whole")
    values: Literal["float16", "float32"] = Field(default="float32", description="how activations are stored")


class SamplingConfig(BaseModel):
    """Which latents of each dictionary are explained."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    n_latents: PositiveInt | Literal["all"] = Field(
        default=100, description="latents drawn per dictionary, or `all` of them"
    )
    same_as: str | None = Field(
        default=None,
        description="a finished run whose sample is taken, dictionary by name: to compare checkpoints latent by latent",
    )
    proportional_share: float = Field(
        default=0.5, ge=0, le=1, description="share of draws made proportionally to firing rate; the rest is uniform"
    )
    survey_share: float = Field(
        default=0.1, gt=0, le=1, description="share of the corpus, from its start, that tells firing rates for the draw"
    )


class ExamplesConfig(BaseModel):
    """How many example windows a latent needs and gets."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    min_windows: int = Field(default=200, ge=1, description="activating windows that make a latent eligible")
    n_explain: int = Field(default=40, ge=1, description="activating windows shown to the explainer, over 10 deciles")
    n_positives: int = Field(default=20, ge=1, description="activating held-out windows judged, over 10 deciles")
    n_negatives: int = Field(default=20, ge=1, description="silent held-out windows judged")
    pool_windows: int = Field(
        default=10_000, ge=1, description="held-out windows from which all latents' negatives are drawn"
    )
    n_hard: int = Field(
        default=5, ge=0, description="hard negatives judged besides, of each kind in `hard`; 0 for none"
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
        default=0, ge=0, description="silent windows shown to a contrastive explainer, from the explain documents"
    )

    @model_validator(mode="after")
    def _embedding_has_a_model(self) -> "ExamplesConfig":
        if self.n_hard and "embedding" in self.hard and self.embedding_model is None:
            raise ValueError(
                "hard: embedding needs a model: set embedding_model to a folder or a hub name, or use `words`, which "
                "needs none"
            )
        return self
