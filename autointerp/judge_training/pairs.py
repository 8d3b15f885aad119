"""Training pairs: windows of a corpus, and for a rule the windows on which it holds, nearly holds, and does not."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autointerp.judge_training import rules
from autointerp.judge_training.base import JudgeTrainingConfig
from autointerp.judge_training.lexicon import Lexicon, Rng, TrainingRule
from autointerp.seeds import generator

# Windows searched for those on which a rule holds.
BLOCK = 400
# The same for rules in the language of `pattern`, which are twenty times as slow.
SHORT_BLOCK = 60
# Attempts to draw a rule that holds on some of the text, before its kind counts as absent from it.
MOST_DRAWS = 60
# Words of the vocabulary with neighbours in meaning, which make rules.
N_NEIGHBOURED = 1500
Embed = Callable[[Sequence[str]], NDArray[np.floating]]  # texts -> unit vectors [n, d]
_TOKEN = re.compile(r"\S+\s*")
_WORD = re.compile(r"[^\W\d_]{2,}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A rule's explanation with one context: whether it holds there, where, and marks to ask about.

    `spans` are where the rule holds; `marks` are right (some of `spans`) or, with `marks_right` False, elsewhere; empty
    where neither can be had.
    """

    kind: str
    explanation: str
    text: str
    spans: tuple[tuple[int, int], ...]
    marks: tuple[tuple[int, int], ...]
    marks_right: bool


def windows(texts: Iterable[str], config: JudgeTrainingConfig) -> list[str]:
    """Cut texts into `n_windows` windows of random length, with their line breaks."""
    rng = generator(config.seed, "judge training", "windows")
    found: list[str] = []
    for text in texts:
        tokens = _TOKEN.findall(text)
        start = 0
        while start < len(tokens):
            n = int(rng.integers(config.min_words, config.max_words + 1))
            if len(tokens[start : start + n]) >= config.min_words:
                found.append("".join(tokens[start : start + n])[:400])
            start += n
        if len(found) >= config.n_windows * 10:
            break
    order = rng.permutation(len(found))[: config.n_windows]
    return [found[i] for i in order]


def lexicon(cut: Sequence[str], *, held_out: bool, embed: Embed | None = None) -> Lexicon:
    """Make the lexicon of some windows; `embed` finds words of like meaning."""
    words = [match.group().lower() for window in cut for match in _WORD.finditer(window)]
    counts = Counter(words)
    vocabulary = sorted(word for word, n in counts.items() if n >= 5)
    neighbours: dict[str, list[str]] = {}
    if embed is not None:
        apart = rules.held_out_words()
        content = [word for word, _ in counts.most_common(4 * N_NEIGHBOURED) if len(word) > 3 and word not in apart]
        content = content[:N_NEIGHBOURED]
        vectors = embed(content)
        near = np.argsort(-(vectors @ vectors.T), axis=1)[:, 1:8]
        neighbours = {content[i]: [content[j] for j in row] for i, row in enumerate(near)}
    return Lexicon(words=words, vocabulary=vocabulary, neighbours=neighbours, held_out=held_out)


class Source:
    """Draws pairs from the windows of one or several corpora."""

    def __init__(self, corpora: Sequence[Sequence[str]], lexicons: Sequence[Lexicon]) -> None:
        self.corpora, self.lexicons = corpora, lexicons

    def rule_pairs(self, rng: Rng, n: int, kind: str = "") -> list[Pair]:
        """Draw a rule and `n` contexts of it, about half of them activating, a quarter near misses.

        Returns:
            The pairs; none if the text offers no rule of the kind in 60 attempts.
        """
        for _ in range(MOST_DRAWS):
            which = int(rng.integers(len(self.corpora)))
            cut, lexicon = self.corpora[which], self.lexicons[which]
            window = cut[int(rng.integers(len(cut)))]
            rule = rules.draw(rng, lexicon, window, kind)
            if rule is None:
                continue
            start = int(rng.integers(max(1, len(cut) - BLOCK)))
            block = SHORT_BLOCK if rule.kind == "pattern" else BLOCK
            contexts = choose(rng, rule, [window, *cut[start : start + block]], n)
            if contexts is not None:
                return [pair(rng, rule, text) for text in contexts]
        return []

    def batch(self, rng: Rng, n_rules: int, n_contexts: int) -> Iterator[Pair]:
        """Draw several rules' pairs."""
        for _ in range(n_rules):
            yield from self.rule_pairs(rng, n_contexts)


def choose(rng: Rng, rule: TrainingRule, cut: Sequence[str], n: int) -> list[str] | None:
    """Choose `n` contexts for a rule; None where it holds on none or on nearly all."""
    joined = "\0".join(cut)
    ends = np.cumsum([len(text) + 1 for text in cut])
    places = np.array([start for start, _ in rule.spans(joined)], dtype=np.int64)
    holds = np.zeros(len(cut), dtype=bool)
    holds[np.searchsorted(ends, places, side="right")] = True
    silent = ~holds
    near = np.zeros(len(cut), dtype=bool)
    if rule.near is not None:
        found = np.array([match.start() for match in rule.near.finditer(joined)], dtype=np.int64)
        near[np.searchsorted(ends, found, side="right")] = True
        near &= silent
    if not holds.any() or silent.sum() < n:
        return None
    half = n - n // 2
    chosen = _some(rng, np.flatnonzero(holds), half)
    chosen += _some(rng, np.flatnonzero(near), (n - half) // 2)
    chosen += _some(rng, np.flatnonzero(silent), n - len(chosen))
    return [cut[i] for i in chosen]


def _some(rng: Rng, among: np.ndarray, n: int) -> list[int]:
    return rng.permutation(among)[:n].tolist()


def pair(rng: Rng, rule: TrainingRule, text: str) -> Pair:
    """Pair a rule with a context; half of the contexts on which it holds get right marks, all others wrong ones."""
    spans = tuple(rule.spans(text))
    right = bool(spans) and rng.random() < 0.5
    marks = _right(rng, spans) if right else _wrong(rng, text, spans)
    return Pair(kind=rule.kind, explanation=rule.explanation, text=text, spans=spans, marks=marks, marks_right=right)


def _right(rng: Rng, spans: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    n = len(spans) if rng.random() < 0.7 else int(rng.integers(1, len(spans) + 1))
    return tuple(sorted(spans[i] for i in rng.permutation(len(spans))[:n]))


def _wrong(rng: Rng, text: str, spans: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Mark as many words as the rule has spans (one or two where it has none), none of which touches them."""
    words = [match.span() for match in re.finditer(r"\w+|[^\w\s]|\n", text)]
    free = [word for word in words if not any(word[0] < stop and start < word[1] for start, stop in spans)]
    n = len(spans) or int(rng.integers(1, 3))
    return tuple(sorted(free[i] for i in rng.permutation(len(free))[:n]))
