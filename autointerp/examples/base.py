"""What collection hands to selection: the corpus cut into windows, and one latent's activations on it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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
