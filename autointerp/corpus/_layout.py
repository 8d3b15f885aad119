"""Layout of contexts, documents and windows in the corpus's tokens: arithmetic over positions, no text."""

from array import array
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Segments:
    """Runs of tokens that lie in one context and in one document, in order and without gaps.

    Attributes:
        starts: [n_segments + 1] position of each segment's first token; the last entry is the end of the last one.
        contexts: [n_segments] the context each lies in, ascending.
        documents: [n_segments] the document each lies in, ascending.
    """

    starts: NDArray[np.int64]
    contexts: NDArray[np.int64]
    documents: NDArray[np.int64]

    def window_starts(self, length: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Cut each segment from its start into whole windows: (start of each window, segment of each window)."""
        n_windows = np.diff(self.starts) // length
        segment = np.repeat(np.arange(len(n_windows)), n_windows)
        first = np.cumsum(n_windows) - n_windows
        return self.starts[segment] + (np.arange(len(segment)) - first[segment]) * length, segment


class Layout:
    """Grows document by document; the same documents give the same layout however they arrive."""

    def __init__(self, context_length: int, *, packed: bool, separated: bool) -> None:
        self._length, self._packed, self._separator = context_length, packed, int(separated)
        self._starts, self._contexts, self._documents = array("q"), array("q"), array("q")
        self._room = 0  # slots left in the open context
        self.n_tokens = self.n_contexts = 0

    def add(self, document: int, n_tokens: int) -> None:
        """Append a document's tokens."""
        if n_tokens == 0:
            return
        end = self.n_tokens + n_tokens
        # In a context that is already begun, a packed document takes one slot for the BOS before it.
        self._room = max(0, self._room - self._separator) if self._packed else 0
        while self.n_tokens < end:
            if self._room == 0:
                self._room, self.n_contexts = self._length, self.n_contexts + 1
            self._starts.append(self.n_tokens)
            self._contexts.append(self.n_contexts - 1)
            self._documents.append(document)
            taken = min(self._room, end - self.n_tokens)
            self.n_tokens += taken
            self._room -= taken

    def segments(self) -> Segments:
        """Return the segments so far, as arrays."""
        return Segments(
            starts=np.append(np.array(self._starts, dtype=np.int64), self.n_tokens),
            contexts=np.array(self._contexts, dtype=np.int64),
            documents=np.array(self._documents, dtype=np.int64),
        )
