"""Protocol of a corpus (documents), and settings of the contexts a model reads and the windows that are judged.

A member file `autointerp/corpus/<name>.py` defines a frozen pydantic `Config` and
`documents(config) -> Iterator[Document]`, lazily and always in the same order; a member may yield `TokenDocument`
instead, all of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from autointerp.errors import CorpusError


@dataclass(frozen=True, slots=True)
class Document:
    """One text of the corpus. `id` counts from 0 in the corpus's own order."""

    id: int
    text: str


@dataclass(frozen=True, slots=True)
class TokenDocument:
    """One row of a pre-tokenised corpus: ids of the subject's tokenizer. It may hold several documents, or a part."""

    id: int
    ids: tuple[int, ...]

    @property
    def text(self) -> str:
        """Raise an error: what needs text cannot use token ids.

        Raises:
            CorpusError: always.
        """
        raise CorpusError("corpus: it holds token ids, and this step needs text: give a corpus of text")


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
        """Return the contexts that begin in tokens [number, number + 1) * shard_tokens; None after the last one."""
        ...

    def close(self) -> None:
        """Discard unfinished work."""
        ...

    def windows(self) -> Windows:
        """Return all windows, once everything is tokenised."""
        ...

    def counts(self) -> dict[str, int]:
        """Count documents, tokens, contexts, windows, and tokens outside every window."""
        ...


def token_ids(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    """Tokenise texts without special tokens; text that looks like one stays text."""
    return tokenizer(
        texts, add_special_tokens=False, split_special_tokens=True, return_attention_mask=False, verbose=False
    )["input_ids"]


class WindowsConfig(BaseModel):
    """Settings of contexts (for the model) and windows (for the judge)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    n_tokens: int = Field(
        default=10_000_000,
        ge=1,
        le=2**40,
        description="read documents until they have this many tokens; the last one whole",
    )
    context_length: int = Field(
        default=256, ge=2, le=2**20, description="tokens of text the model sees at once; the BOS token comes on top"
    )
    window_length: int = Field(default=32, ge=1, le=2**20, description="tokens of a judged window")
    packing: Literal["documents", "packed"] = Field(
        default="documents",
        description="documents: a context holds one document's text; packed: contexts are filled up, BOS in between",
    )
    bos: str = Field(
        default="auto",
        description="auto: the tokenizer's BOS starts each context; none: no BOS; or another token's text",
    )
    held_out_share: float = Field(
        default=0.5, gt=0, lt=1, description="share of documents held out from the explainer, for judging"
    )

    @property
    def most_tokens(self) -> int:
        """Tokens read of one document: a tenth of `n_tokens`, at least 4,096, so that no document is the corpus."""
        return max(4096, self.n_tokens // 10)

    @model_validator(mode="after")
    def _window_fits(self) -> "WindowsConfig":
        if self.window_length > self.context_length:
            raise ValueError(
                f"window_length {self.window_length} is longer than context_length {self.context_length}; "
                "a window lies within a context"
            )
        return self
