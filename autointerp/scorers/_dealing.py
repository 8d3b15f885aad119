"""Which contexts are shown together in a prompt."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autointerp.records import Item, ShownItem
from autointerp.scorers._mismarks import kind, normal

# Exchanges tried to balance a latent's prompts.
N_EXCHANGES = 400
# What each likeness counts in the balance: see `_likeness`.
WEIGHTS = np.array([3.0, 2.0, 1.0, 1.0, 2.0, 2.0])

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One context to ask about: its data, and its form for the judge."""

    item: Item
    shown: ShownItem


def deal(entries: Sequence[Entry], n_per_prompt: int, rng: np.random.Generator) -> list[list[Entry]]:
    """Deal entries at random into prompts of `n_per_prompt`, the last one short; one window twice in none if possible.

    How many of a prompt's contexts are positives is left to chance, so that no answer tells about another.
    """
    shuffled = [entries[i] for i in rng.permutation(len(entries))]
    prompts = [shuffled[start : start + n_per_prompt] for start in range(0, len(shuffled), n_per_prompt)]
    for prompt in prompts:
        for place in range(len(prompt)):
            if _twice(prompt, place, prompt[place]):
                _swap_out(prompt, place, prompts, rng)
    return prompts


def _twice(prompt: Sequence[Entry], place: int, new: Entry) -> bool:
    """Return whether `new` at `place` would repeat a window of the prompt."""
    return any(old.item.window == new.item.window for i, old in enumerate(prompt) if i != place)


def _swap_out(prompt: list[Entry], place: int, prompts: list[list[Entry]], rng: np.random.Generator) -> None:
    """Exchange an entry with one of another prompt, at random among the exchanges after which neither repeats."""
    others = [(other, i) for other in prompts if other is not prompt for i in range(len(other))]
    for number in rng.permutation(len(others)):
        other, i = others[number]
        if not _twice(prompt, place, other[i]) and not _twice(other, i, prompt[place]):
            prompt[place], other[i] = other[i], prompt[place]
            return


def balanced(prompts: Sequence[Sequence[Entry]], rng: np.random.Generator) -> list[list[Entry]]:
    """Exchange entries of one truth between prompts until true and false ones resemble their company alike.

    So a judge that calls those marks right, or wrong, which other contexts of the prompt have too gains nothing.
    Numbers of true entries per prompt and their places stay as dealt.
    """
    entries = [entry for prompt in prompts for entry in prompt]
    if len(prompts) > 1 and len(entries) > len(prompts):
        dealt = _Dealt(entries, [len(prompt) for prompt in prompts])
        for _ in range(N_EXCHANGES):
            dealt.exchange(rng)
        return [[entries[i] for i in places] for places in dealt.prompts]
    return [list(prompt) for prompt in prompts]


class _Dealt:
    """Entries in prompts, and by how much true ones resemble their company more than false ones, by each likeness.

    Attributes:
        prompts: numbers of the entries of each prompt.
        excess: [n_prompts, 2 n_likenesses] sums over true entries minus sums over false ones, of an entry's mean and
            greatest likeness to the others of its prompt.
    """

    def __init__(self, entries: Sequence[Entry], sizes: Sequence[int]) -> None:
        self._truth = np.array([entry.item.truth for entry in entries])
        self._windows = [entry.item.window for entry in entries]
        self._likeness, self._sign = _likeness(entries), np.where(self._truth, 1.0, -1.0)
        self._weights = np.tile(WEIGHTS, 2)
        self.prompts = np.split(np.arange(len(entries)), np.cumsum(sizes)[:-1])
        self.excess = np.array([self._excess(places) for places in self.prompts])

    def _excess(self, places: NDArray[np.int64]) -> Floats:
        within = self._likeness[:, places][:, :, places]
        return np.concatenate([within.mean(2) @ self._sign[places], within.max(2) @ self._sign[places]])

    def _imbalance(self, excess: Floats) -> float:
        return float(self._weights @ np.abs(excess.sum(0)))

    def exchange(self, rng: np.random.Generator) -> None:
        """Exchange two entries of one truth, drawn at random, if that improves the balance and repeats no window."""
        pair = rng.permutation(len(self.prompts))[:2]
        old = [self.prompts[number] for number in pair]
        i = int(rng.integers(len(old[0])))
        same = np.flatnonzero(self._truth[old[1]] == self._truth[old[0][i]])
        if not len(same):
            return
        j = same[rng.integers(len(same))]
        new = [places.copy() for places in old]
        new[0][i], new[1][j] = old[1][j], old[0][i]
        if any(self._repeats(after) > self._repeats(before) for before, after in zip(old, new, strict=True)):
            return
        excess = self.excess.copy()
        excess[pair] = [self._excess(places) for places in new]
        if self._imbalance(excess) < self._imbalance(self.excess):
            self.excess = excess
            for number, places in zip(pair, new, strict=True):
                self.prompts[number] = places

    def _repeats(self, places: NDArray[np.int64]) -> int:
        return len(places) - len({self._windows[i] for i in places})


def _likeness(entries: Sequence[Entry]) -> Floats:
    """Return how each entry's marks resemble each other entry: [6, n, n], each in [0, 1], 0 with itself.

    The share of its marked words that the other marks too; whether both mark a word of one kind; whether the same word
    precedes a mark, or follows one; the share of its marked words that are anywhere in the other's text; whether marked
    words are about as long.
    """
    shown = [entry.shown for entry in entries]
    words = [[normal(one.text[begin:end]) for begin, end in one.marks] for one in shown]
    marked, numbers = _incidence(words)
    share = marked / np.maximum(1, marked.sum(1, keepdims=True))
    texts = [one.text.lower() for one in shown]
    inside = np.array([[word in text for text in texts] for word in numbers], dtype=float).reshape(-1, len(texts))
    sizes = np.array([sum(map(len, some)) / max(1, len(some)) for some in words])
    in_common = [
        _incidence([[kind(word) for word in some] for some in words])[0],
        _incidence([[" ".join(one.text[:begin].split()[-1:]).lower() for begin, _ in one.marks] for one in shown])[0],
        _incidence([[" ".join(one.text[end:].split()[:1]).lower() for _, end in one.marks] for one in shown])[0],
    ]
    same = [np.minimum(1, has @ has.T) for has in in_common]
    found = np.stack([share @ marked.T, *same, share @ inside, (np.abs(sizes[:, None] - sizes) <= 1).astype(float)])
    found[:, np.arange(len(entries)), np.arange(len(entries))] = 0
    return found


def _incidence(words: Sequence[Sequence[str]]) -> tuple[Floats, list[str]]:
    """Return which list holds which word, [n_lists, n_words], and the words."""
    numbers = {word: i for i, word in enumerate(dict.fromkeys(word for some in words for word in some))}
    found = np.zeros((len(words), len(numbers)))
    for row, some in enumerate(words):
        found[row, [numbers[word] for word in some]] = 1
    return found, list(numbers)
