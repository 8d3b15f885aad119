"""A corpus of plain text as windows, with a tokenizer of words: for tests that need text and no model."""

import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from autointerp.corpus.base import Windows

# A word with the space before it, a number, a mark, other white space: joined they are the text.
PIECE = re.compile(r" ?[^\W\d_]+| ?\d+| ?[^\w\s]|_|\s")


def pieces(text: str) -> list[str]:
    return PIECE.findall(text)


def windows(documents: Iterable[Sequence[str]], length: int = 32) -> Windows:
    """Cut tokenised documents into full windows; every second document is held out."""
    vocabulary: dict[str, int] = {}
    tokens: list[int] = []
    starts, owners = [], []
    for number, document in enumerate(documents):
        begin = len(tokens)
        tokens += [vocabulary.setdefault(piece, len(vocabulary)) for piece in document]
        full = range(begin, len(tokens) - length + 1, length)
        starts += full
        owners += [number] * len(full)
    texts = list(vocabulary)

    def decode(ids: NDArray[np.integer]) -> tuple[str, ...]:
        return tuple(texts[i] for i in ids.tolist())

    return Windows(
        tokens=np.array(tokens),
        starts=np.array(starts, dtype=np.int64),
        length=length,
        documents=np.array(owners, dtype=np.int64),
        held_out=np.array(owners, dtype=np.int64) % 2 == 1,
        decode=decode,
        fingerprint="text",
    )


def manual() -> list[list[str]]:
    """Return the Python manual's topics, which every installation has: 80 documents of English about code."""
    from pydoc_data.topics import topics

    return [pieces(text) for text in topics.values()]
