"""Wrong marks for fuzzing: where right marks are, on words that recur as the rightly marked ones do.

A latent's right marks resemble each other: often one word, in many windows. If the wrong ones were on arbitrary words,
a judge could call those marks right which other passages of the prompt have too, without any explanation. So each
rightly marked word that recurs gets a counterpart: another word, on which the latent is silent, of the same kind and
about as common, which recurs in as many of the windows, if there is such a word.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from autointerp.records import Example

# Tokens that a mark may move to reach its counterpart; what a word of another kind costs, one e times as common, and
# one that its window has more or less often.
REACH, KIND, COMMON, OFTEN = 8.0, 2.0, 1.0, 2.0
# Loss of a counterpart's fitness, out of 1 for one that recurs often enough: the same three, and per letter of length.
UNLIKE = {"kind": 0.3, "common": 0.05, "length": 0.01}
IMPOSSIBLE = 1e6

Floats = NDArray[np.float64]
Stretch = tuple[int, int]  # first token, number of tokens


def normal(text: str) -> str:
    """Return a marked text as a reader compares it: without case and outer blanks."""
    return text.strip().lower()


def kind(word: str) -> str:
    """Classify a text by its first character.

    >>> [kind(word) for word in ("the", "3rd", ",", "")]
    ['letter', 'digit', 'other', 'other']
    """
    return "letter" if word[:1].isalpha() else "digit" if word[:1].isdigit() else "other"


def mismarks(
    windows: Sequence[Example],
    marked: Sequence[tuple[int, ...]],
    rng: np.random.Generator,
    silent: Iterable[Example] = (),
) -> list[tuple[int, ...] | None]:
    """Mark each window like another one, at tokens on which the latent is silent.

    Each window's marks are copied once: as many, as long, at the nearest tokens that fit. Where there is no room, the
    busier of the two windows is left out, with its own marks, until those left can exchange theirs: so these show as
    many marks rightly as wrongly.

    Args:
        windows: activating windows.
        marked: tokens that are rightly marked in each, ascending.
        rng: breaks ties.
        silent: other windows of the corpus, to tell how common a word is.

    Returns:
        For each window the tokens to mark, ascending; None for those left out.
    """
    common = Counter(word for one in silent for word in {normal(piece) for piece in one.pieces})
    found: list[tuple[int, ...] | None] = [None] * len(windows)
    left = list(range(len(windows)))
    while left:
        donors, sets = _exchanged([windows[i] for i in left], [marked[i] for i in left], common, rng)
        stuck = [place for place, tokens in enumerate(sets) if tokens is None]
        if not stuck:
            for i, tokens in zip(left, sets, strict=True):
                found[i] = tokens
            break
        pair = (left[stuck[0]], left[donors[stuck[0]]])
        left.remove(max(pair, key=lambda i: sum(value > 0 for value in windows[i].activations)))
    return found


def _exchanged(
    windows: Sequence[Example], marked: Sequence[tuple[int, ...]], common: Counter[str], rng: np.random.Generator
) -> tuple[list[int], list[tuple[int, ...] | None]]:
    """Return for each window whose marks it copies, and where; None where there is no room for them."""
    runs = [_stretches(tokens) for tokens in marked]
    grids = {n: _Grid(windows, n, common) for n in sorted({n for run in runs for _, n in run})}
    counterparts = {n: grid.counterparts(runs) for n, grid in grids.items()}
    costs = [[grids[n].costs((row, start), counterparts[n]) for start, n in run] for row, run in enumerate(runs)]
    total = np.array([np.sum([cost.min(1) for cost in one], axis=0) for one in costs]).T
    # Ties are broken at random: less than half a token in all.
    donors = linear_sum_assignment(total + rng.random(total.shape) / (2 * len(windows)))[1].tolist()
    return donors, [
        _put([cost[row] for cost in costs[donor]], [n for _, n in runs[donor]], rng) for row, donor in enumerate(donors)
    ]


def _put(costs: Sequence[Floats], lengths: Sequence[int], rng: np.random.Generator) -> tuple[int, ...] | None:
    """Mark stretches of these lengths at the tokens of least cost, none next to another."""
    chosen: list[int] = []
    taken = np.zeros(len(costs[0]) + 1, dtype=bool)
    for cost, n in zip(costs, lengths, strict=True):
        blocked = np.convolve(taken, np.ones(n))[n - 1 : n - 1 + len(cost)] > 0
        here = np.where(blocked, IMPOSSIBLE, cost)
        best = np.flatnonzero(here == here.min())
        if here.min() >= IMPOSSIBLE / 2:
            return None
        # Always the same side of equals would tell rightly from wrongly marked.
        start = int(best[0] if rng.random() < 0.5 else best[-1])
        chosen += range(start, start + n)
        taken[max(0, start - 1) : start + n + 1] = True
    return tuple(sorted(chosen))


def _stretches(tokens: Sequence[int]) -> list[Stretch]:
    """Join neighbouring tokens.

    >>> _stretches([1, 2, 5])
    [(1, 2), (5, 1)]
    """
    found: list[Stretch] = []
    for token in tokens:
        if found and sum(found[-1]) == token:
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((token, 1))
    return found


@dataclass(init=False)
class _Grid:
    """All stretches of `n` tokens of some windows, by the token they begin with.

    Attributes:
        words: [n_windows, n_tokens] number of the stretch's text, 0 for none.
        often: [n_windows, n_tokens] how often its window has the text.
        free: [n_windows, n_tokens] whether the latent is silent on all of it.
        kinds: [n_words] number of each text's kind.
        log_counts: [n_words] log of the number of silent windows with the text, plus a half.
        sizes: [n_words] characters.
    """

    def __init__(self, windows: Sequence[Example], n: int, common: Counter[str]) -> None:
        width = max(len(window.pieces) for window in windows)
        self.words = np.zeros((len(windows), width), dtype=np.int64)
        self.free = np.zeros((len(windows), width), dtype=bool)
        numbers = {"": 0}
        for row, window in enumerate(windows):
            for start in range(len(window.pieces) - n + 1):
                text = normal("".join(window.pieces[start : start + n]))
                self.words[row, start] = numbers.setdefault(text, len(numbers))
                self.free[row, start] = not any(window.activations[start : start + n])
        self.often = np.array([np.bincount(row, minlength=1)[row] for row in self.words])
        self.n = n
        self.kinds = np.array([("letter", "digit", "other").index(kind(word)) for word in numbers])
        self.log_counts = np.log([0.5 + common[word] for word in numbers])
        self.sizes = np.array([len(word) for word in numbers])

    def counterparts(self, runs: Sequence[Sequence[Stretch]]) -> dict[int, NDArray[np.bool_]]:
        """Map each text marked in several windows to those that wrong marks repeat instead: [n_words], none twice.

        One, or as many as together occur in as many windows.
        """
        marked = [{int(self.words[row, start]) for start, n in run if n == self.n} for row, run in enumerate(runs)]
        counts = Counter(word for words in marked for word in words)
        occurs = np.zeros((len(self.words), len(self.kinds)), dtype=bool)
        occurs[np.nonzero(self.free)[0], self.words[self.free]] = True
        occurs[:, [0, *counts]] = False
        found: dict[int, NDArray[np.bool_]] = {}
        for word, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
            unlike = (
                UNLIKE["kind"] * (self.kinds != self.kinds[word])
                + UNLIKE["length"] * np.abs(self.sizes - self.sizes[word])
                + UNLIKE["common"] * np.abs(self.log_counts - self.log_counts[word])
            )
            chosen, left = np.zeros(len(self.kinds), dtype=bool), np.ones(len(self.words), dtype=bool)
            while (~left).sum() < count > 1:
                n_windows = occurs[left].sum(0)
                best = int(np.where(n_windows > 1, np.minimum(n_windows / count, 1) - unlike, -np.inf).argmax())
                if n_windows[best] < 2:
                    break
                chosen[best] = True
                left &= ~occurs[:, best]
                occurs[:, best] = False
            if chosen.any():
                found[word] = chosen
        return found

    def costs(self, mark: tuple[int, int], counterparts: dict[int, NDArray[np.bool_]]) -> Floats:
        """Return what it costs to copy a mark of (window, token) to each stretch: [n_windows, n_tokens]."""
        word = int(self.words[mark])
        unlike = KIND * (self.kinds != self.kinds[word]) + COMMON * np.abs(self.log_counts - self.log_counts[word])
        away = np.abs(np.arange(self.words.shape[1]) - mark[1])
        # Around the window's ends: the nearest tokens within would draw marks away from its edges.
        cost = np.minimum(away, self.words.shape[1] - away) + unlike[self.words]
        cost = cost + OFTEN * (self.often != self.often[mark])
        if word in counterparts:
            cost = cost + REACH * ~counterparts[word][self.words]
        return np.where(self.free, cost, IMPOSSIBLE)
