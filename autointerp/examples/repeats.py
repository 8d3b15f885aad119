"""Held-out windows whose text the explain split has as well: not judged on, since an explainer may have seen it.

Documents of the two splits are disjoint, but a corpus may hold the same text in several documents: copies, quotations,
licences, page furniture. What counts is running text, not chance: half of a window's tokens in runs of `RUN` tokens
each of which stands in an explain document word for word.

Source: shared n-grams as the sign of a leak, as in the decontamination of GPT-3's training text (arXiv 2005.14165,
appendix C: 13 words); a run is in tokens here, so that it is the same for every script.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from autointerp.examples.base import Windows

# Tokens in a row that two texts do not share by chance; and the share of a window in such runs that makes it a repeat.
RUN = 16
SHARE = 0.5
# Tokens hashed at once.
CHUNK = 1 << 20


def fit_to_judge(windows: Windows) -> NDArray[np.bool_]:
    """Return which held-out windows are of text that the explain split does not have: [n_windows], False for explain.

    Takes 8 bytes of memory per explain token, and time n log n.
    """
    inside = _document_parts(windows)
    seen = [np.unique(hashes) for held_out, _, hashes in _runs(windows, inside) if not held_out]
    known = np.unique(np.concatenate(seen)) if seen else np.empty(0, np.uint64)
    repeated = np.zeros(len(windows.tokens) + 1, dtype=np.int32)
    for held_out, start, hashes in _runs(windows, inside):
        if held_out:
            found = start + np.flatnonzero(_in_sorted(hashes, known))
            np.add.at(repeated, found, 1)
            np.add.at(repeated, found + RUN, -1)
    n_repeated = np.append(0, np.cumsum(np.cumsum(repeated[:-1]) > 0))
    share = (n_repeated[windows.starts + windows.length] - n_repeated[windows.starts]) / windows.length
    return windows.held_out & (share < SHARE)


def _document_parts(windows: Windows) -> list[tuple[int, int, bool]]:
    """Return (begin, end, held out) of each document's stretch from its first window's start to its last one's end."""
    if not len(windows):
        return []
    first = np.flatnonzero(np.diff(windows.documents, prepend=-1))
    last = np.append(first[1:], len(windows)) - 1
    ends = windows.starts[last] + windows.length
    return list(zip(windows.starts[first].tolist(), ends.tolist(), windows.held_out[first].tolist(), strict=True))


def _runs(windows: Windows, parts: list[tuple[int, int, bool]]) -> Iterator[tuple[bool, int, NDArray[np.uint64]]]:
    """Yield (held out, position of the first run, hash of the run at each position), runs within a document only."""
    for begin, end, held_out in parts:
        for start in range(begin, end - RUN + 1, CHUNK):
            stop = min(end, start + CHUNK + RUN - 1)
            yield held_out, start, _hashes(np.asarray(windows.tokens[start:stop]))


def _hashes(tokens: NDArray[np.integer]) -> NDArray[np.uint64]:
    """Hash every run of `RUN` tokens: a polynomial over scrambled ids, modulo 2 ** 64."""
    scrambled = (tokens.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    scrambled = (scrambled ^ (scrambled >> np.uint64(31))) * np.uint64(0xBF58476D1CE4E5B9)
    scrambled ^= scrambled >> np.uint64(29)
    n = len(tokens) - RUN + 1
    found = np.zeros(n, dtype=np.uint64)
    for offset in range(RUN):
        found = found * np.uint64(6364136223846793005) + scrambled[offset : offset + n]
    return found


def _in_sorted(hashes: NDArray[np.uint64], known: NDArray[np.uint64]) -> NDArray[np.bool_]:
    if not len(known):
        return np.zeros(len(hashes), dtype=bool)
    return known[np.searchsorted(known, hashes).clip(max=len(known) - 1)] == hashes
