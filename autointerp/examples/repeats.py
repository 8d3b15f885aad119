"""Held-out windows with text that the explain split repeats: excluded, since an explainer may have seen it.

Documents of the two splits are disjoint, but a corpus may hold the same text in several documents: copies, quotations,
licences, page furniture. What counts is running text, not chance: half of a window's tokens in runs of `RUN` tokens
each of which occurs in an explain document verbatim, or up to case and white space (a text
re-wrapped, indented, in capitals, which a tokenizer cuts otherwise).

Source: shared n-grams as the sign of a leak, as in the decontamination of GPT-3's training text (arXiv 2005.14165,
appendix C: 13 words, normalised); a run is in tokens here, so that it is the same for every script.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autointerp.corpus.base import Windows

# Tokens in a row that two texts do not share by chance; and the share of a window in such runs that makes it a repeat.
RUN = 16
SHARE = 0.5
# Tokens hashed at once.
CHUNK = 1 << 20
# Codes from here on represent tokens that are not whole characters: each equals only itself.
FRAGMENT = 0x110000


@dataclass(frozen=True, slots=True)
class _Spelt:
    """Some tokens in a row as codes that are compared: token i is codes[starts[i]:starts[i + 1]]."""

    codes: NDArray[np.uint64]
    starts: NDArray[np.int64]


_Spell = Callable[[NDArray[np.integer]], _Spelt]


def fit_to_judge(windows: Windows) -> NDArray[np.bool_]:
    """Return which held-out windows are of text that the explain split does not have: [n_windows], False for explain.

    A window of fewer than `RUN` tokens is a run itself. Takes 8 bytes of memory per explain token, and time n log n.
    """
    run = min(RUN, windows.length)
    repeated = _repeated(windows, _as_ids, run)
    letters, mean = _letters(windows)
    if mean > 0:
        repeated |= _repeated(windows, letters, max(1, round(run * mean)))
    n_repeated = np.append(0, np.cumsum(repeated))
    share = (n_repeated[windows.starts + windows.length] - n_repeated[windows.starts]) / windows.length
    return windows.held_out & (share < SHARE)


def _as_ids(tokens: NDArray[np.integer]) -> _Spelt:
    return _Spelt(tokens.astype(np.uint64), np.arange(len(tokens) + 1))


def _letters(windows: Windows) -> tuple[_Spell, float]:
    """Return what spells tokens as characters without case and white space, and how many of these a token has."""
    ids, counts = np.unique(np.asarray(windows.tokens), return_counts=True)
    spelt = [_bare(int(token), windows.decode(ids[i : i + 1])[0]) for i, token in enumerate(ids)]
    lengths = np.array([len(one) for one in spelt], dtype=np.int64)
    begins = np.cumsum(lengths) - lengths
    codes = np.array([code for one in spelt for code in one], dtype=np.uint64)

    def spell(tokens: NDArray[np.integer]) -> _Spelt:
        which = np.searchsorted(ids, tokens)
        sizes = lengths[which]
        starts = np.append(0, np.cumsum(sizes))
        places = np.repeat(begins[which] - starts[:-1], sizes) + np.arange(starts[-1])
        return _Spelt(codes[places], starts)

    return spell, float(lengths @ counts / max(1, counts.sum()))


def _bare(token: int, text: str) -> list[int]:
    """Spell one token, a part of a character as itself.

    >>> _bare(7, " The"), _bare(7, "\\ufffd") == [FRAGMENT + 7]
    ([116, 104, 101], True)
    """
    if "\ufffd" in text:
        return [FRAGMENT + token]
    return [ord(character) for character in text.casefold() if not character.isspace()]


def _repeated(windows: Windows, spell: _Spell, n: int) -> NDArray[np.bool_]:
    """Return which tokens of held-out documents lie in a run of n codes that an explain document has: [n_tokens]."""
    parts = _document_parts(windows)
    seen = [np.unique(hashes) for held_out, _, hashes, _ in _runs(windows, parts, spell, n) if not held_out]
    known = np.unique(np.concatenate(seen)) if seen else np.empty(0, np.uint64)
    change = np.zeros(len(windows.tokens) + 1, dtype=np.int32)
    for held_out, begins, hashes, ends in _runs(windows, parts, spell, n):
        if held_out:
            found = _in_sorted(hashes, known)
            np.add.at(change, begins[found], 1)
            np.add.at(change, ends[found], -1)
    return np.cumsum(change[:-1]) > 0


def _document_parts(windows: Windows) -> list[tuple[int, int, bool]]:
    """Return (begin, end, held out) of each document, from its first window's start to its last window's end."""
    if not len(windows):
        return []
    first = np.flatnonzero(np.diff(windows.documents, prepend=-1))
    last = np.append(first[1:], len(windows)) - 1
    ends = windows.starts[last] + windows.length
    return list(zip(windows.starts[first].tolist(), ends.tolist(), windows.held_out[first].tolist(), strict=True))


def _runs(
    windows: Windows, parts: list[tuple[int, int, bool]], spell: _Spell, n: int
) -> Iterator[tuple[bool, NDArray[np.int64], NDArray[np.uint64], NDArray[np.int64]]]:
    """Yield (held out, first token of each run, its hash, the next token), runs within a document only.

    A run begins with a token and ends where it has n codes, perhaps inside a token.
    """
    for begin, end, held_out in parts:
        for start in range(begin, end, CHUNK):
            # What a run at the chunk's end reaches into: a token without letters would make it longer, and is let be.
            spelt = spell(np.asarray(windows.tokens[start : min(end, start + CHUNK + 4 * n)]))
            first = np.flatnonzero((spelt.starts[:-1] + n <= len(spelt.codes)) & (np.diff(spelt.starts) > 0))
            first = first[first < CHUNK]
            at = spelt.starts[first]
            yield held_out, start + first, _hashes(spelt.codes, at, n), start + np.searchsorted(spelt.starts, at + n)


def _hashes(codes: NDArray[np.uint64], at: NDArray[np.int64], n: int) -> NDArray[np.uint64]:
    """Hash the n codes from each position on: a polynomial over scrambled codes, modulo 2 ** 64."""
    scrambled = (codes + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    scrambled = (scrambled ^ (scrambled >> np.uint64(31))) * np.uint64(0xBF58476D1CE4E5B9)
    scrambled ^= scrambled >> np.uint64(29)
    found = np.zeros(len(at), dtype=np.uint64)
    for offset in range(n):
        found = found * np.uint64(6364136223846793005) + scrambled[at + offset]
    return found


def _in_sorted(hashes: NDArray[np.uint64], known: NDArray[np.uint64]) -> NDArray[np.bool_]:
    if not len(known):
        return np.zeros(len(hashes), dtype=bool)
    return known[np.searchsorted(known, hashes).clip(max=len(known) - 1)] == hashes
