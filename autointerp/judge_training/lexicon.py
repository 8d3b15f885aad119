"""Building blocks of training rules: the rule itself, its words, and helpers to phrase it."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from autointerp.seeds import digest

Rng = np.random.Generator
Spans = Callable[[str], list[tuple[int, int]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRule:
    """One rule.

    Attributes:
        kind: of `KINDS`.
        explanation: its wording.
        spans: character spans of a text on which it holds, ascending.
        near: matches text similar to what the rule holds on, for hard negatives.
    """

    kind: str
    explanation: str
    spans: Spans
    near: re.Pattern[str] | None = None


@dataclass(slots=True)
class Lexicon:
    """Words for rules, drawn from a corpus: `words` as often as they occur, `vocabulary` each once.

    `neighbours` are words of like meaning. Texts are split by their hash: training rules (`held_out` False) are built
    of four fifths of them, rules that measure of the rest.
    """

    words: list[str]
    vocabulary: list[str]
    neighbours: dict[str, list[str]] = field(default_factory=dict)
    held_out: bool = False

    def fits(self, text: str) -> bool:
        """Return whether rules of this side may be about a text."""
        return (digest("judge training", text) % 5 == 0) == self.held_out

    def word(self, rng: Rng, least: int = 2) -> str:
        """Draw a word: half the time by frequency, else any of the vocabulary."""
        while True:
            source = self.words if rng.random() < 0.5 else self.vocabulary
            word = source[int(rng.integers(len(source)))]
            if len(word) >= least and self.fits(word):
                return word


def regex(pattern: str) -> Spans:
    """Return a function from a text to the spans that a pattern finds, in any case."""
    compiled = re.compile(pattern, re.IGNORECASE)
    return lambda text: [match.span() for match in compiled.finditer(text) if match.end() > match.start()]


def pick(rng: Rng, options: Sequence[str]) -> str:
    """Draw one of some texts."""
    return options[int(rng.integers(len(options)))]


def quoted(word: str) -> str:
    """Put a word in quotation marks."""
    return f'"{word}"'


def any_of(words: Sequence[str]) -> str:
    """Return a pattern that finds any of some words."""
    return "|".join(map(re.escape, words))


def listed(rng: Rng, words: Sequence[str]) -> str:
    """List words as people do, mostly quoted."""
    names = [quoted(word) if rng.random() < 0.9 else word for word in words]
    if len(names) == 1:
        return names[0]
    return ", ".join(names[:-1]) + pick(rng, [" or ", " and ", ", "]) + names[-1]
