"""Inputs of the cross-encoder judge: word pieces of an explanation and a context, plus literal-match features.

A word-piece encoder does not see letters, so that "a word ending in ing" is beyond it. Each piece therefore carries
features computed from the characters: which quoted string of the explanation its word equals, begins with, ends with
or contains, whether the word before or after equals one, and the word's shape. The encoder learns what the words
around a quote make of such a match.

Source: exact-match features next to embeddings as in DrQA (Chen et al. 2017, arXiv 1704.00051, section 3.2).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

# Quoted strings of an explanation that are distinguished; further ones share the last number.
SLOTS = 8
# How a quoted string matches a word: all of it, its beginning, its end, inside; or the word before, or after, is it.
EQUAL, PREFIX, SUFFIX, INSIDE, BEFORE, AFTER = range(6)
N_MATCHES = 6
SHAPES = ("lower", "capitalised", "upper", "digits", "break", "other")
N_FEATURES = SLOTS * N_MATCHES + SLOTS + len(SHAPES) + 1
# Longest explanation and context, in word pieces.
MOST_EXPLANATION, MOST_CONTEXT = 64, 128
BREAK = "¶"  # a line break, in a character that the encoder's vocabulary has

_QUOTED = re.compile(r'"((?:[^"\\\n]|\\.){1,60})"|[“‘]([^”’\n]{1,60})[”’]|`([^`\n]{1,60})`')
_AFFIX = re.compile(r"(?<![\w-])-([^\W\d_]{1,12})\b|\b([^\W\d_]{1,12})-(?![\w-])")
_WORD = re.compile(r"[^\W_]+(?:['’][^\W\d_]+)*|\n[^\S\n]*|[^\w\s]|_+")


class Tokenizer(Protocol):
    """A Hugging Face fast tokenizer, as far as it is used."""

    cls_token_id: int
    sep_token_id: int

    def __call__(self, text: str, **options: object) -> dict[str, list]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """One explanation with one context.

    Attributes:
        ids: [n] word pieces: CLS, explanation, SEP, context, SEP.
        context: [n] whether a piece belongs to the context.
        features: [n, N_FEATURES] 0 or 1.
        marked: [n] whether a piece touches a marked span.
        spans: [n, 2] character span of each context piece in the text; 0, 0 elsewhere.
    """

    ids: NDArray[np.int64]
    context: NDArray[np.bool_]
    features: NDArray[np.float32]
    marked: NDArray[np.bool_]
    spans: NDArray[np.int64]


def quotes(explanation: str) -> list[tuple[str, int, int]]:
    """Return the strings that an explanation quotes, in lower case, with their positions.

    >>> [text for text, _, _ in quotes('words ending in -ing, or "The end"')]
    ['the end', 'ing']
    """
    found = []
    for pattern in (_QUOTED, _AFFIX):
        for match in pattern.finditer(explanation):
            text = next(group for group in match.groups() if group is not None)
            found.append((_unescaped(text).strip(" ").lower() or text, match.start(), match.end()))
    return found


def _unescaped(text: str) -> str:
    return text.replace("\\n", "\n").replace("\\t", "\t").replace('\\"', '"').replace("\\\\", "\\")


def encode(tokenizer: Tokenizer, explanation: str, text: str, marks: Sequence[tuple[int, int]] = ()) -> Encoded:
    """Encode a pair.

    Args:
        tokenizer: the encoder's.
        explanation: one line.
        text: the context, its line breaks as they are.
        marks: character spans of the marked tokens.
    """
    explanation_ids, explanation_spans = _pieces(tokenizer, explanation, MOST_EXPLANATION)
    context_ids, context_spans = _pieces(tokenizer, text, MOST_CONTEXT)
    ids = [tokenizer.cls_token_id, *explanation_ids, tokenizer.sep_token_id, *context_ids, tokenizer.sep_token_id]
    begin = len(explanation_ids) + 2
    end = begin + len(context_ids)
    context = np.zeros(len(ids), dtype=bool)
    context[begin:end] = True
    spans = np.zeros((len(ids), 2), dtype=np.int64)
    spans[begin:end] = context_spans
    features = np.zeros((len(ids), N_FEATURES), dtype=np.float32)
    quoted = quotes(explanation)
    for number, (_, start, stop) in enumerate(quoted):
        touched = (explanation_spans[:, 0] < stop) & (explanation_spans[:, 1] > start)
        features[1 : 1 + len(explanation_ids)][touched, SLOTS * N_MATCHES + min(number, SLOTS - 1)] = 1
    features[begin:end] = _context_features(text, context_spans, [one for one, _, _ in quoted])
    marked = context & touching(spans, marks)
    return Encoded(ids=np.array(ids, dtype=np.int64), context=context, features=features, marked=marked, spans=spans)


def touching(spans: NDArray[np.int64], marks: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    """Tell which character spans [n, 2] overlap one of some marks."""
    found = np.zeros(len(spans), dtype=bool)
    for start, stop in marks:
        found |= (spans[:, 0] < stop) & (spans[:, 1] > start)
    return found


def _pieces(tokenizer: Tokenizer, text: str, most: int) -> tuple[list[int], NDArray[np.int64]]:
    shown = text.replace("\n", BREAK)
    made = tokenizer(
        shown, add_special_tokens=False, return_offsets_mapping=True, truncation=True, max_length=most, verbose=False
    )
    return made["input_ids"], np.array(made["offset_mapping"], dtype=np.int64).reshape(-1, 2)


def _context_features(text: str, spans: NDArray[np.int64], quoted: Sequence[str]) -> NDArray[np.float32]:
    """Features [n, N_FEATURES] of a context's pieces."""
    words = [match.span() for match in _WORD.finditer(text)]
    starts = np.array([start for start, _ in words], dtype=np.int64)
    ends = np.array([end for _, end in words], dtype=np.int64)
    of_word = np.zeros((len(words), N_FEATURES), dtype=np.float32)
    lower = text.lower()
    if len(lower) == len(text):  # a few characters grow in lower case; positions would not match
        for number, quote in enumerate(quoted):
            _match(lower, quote, min(number, SLOTS - 1), starts, ends, of_word)
    for i, (start, end) in enumerate(words):
        of_word[i, SLOTS * N_MATCHES + SLOTS + _shape(text[start:end])] = 1
        of_word[i, -1] = i == 0 or "\n" in text[words[i - 1][0] : start]
    features = np.zeros((len(spans), N_FEATURES), dtype=np.float32)
    if words:
        place = np.clip(np.searchsorted(ends, spans[:, 0], side="right"), 0, len(words) - 1)
        features = of_word[place]
    return features


def _match(
    text: str, quote: str, slot: int, starts: NDArray[np.int64], ends: NDArray[np.int64], of_word: NDArray[np.float32]
) -> None:
    """Write into `of_word` how the words of a text match one quoted string."""
    place = text.find(quote)
    while place >= 0 and quote:
        stop = place + len(quote)
        first = int(np.searchsorted(ends, place, side="right"))
        last = int(np.searchsorted(starts, stop, side="left")) - 1
        if first <= last:
            left = place <= starts[first]
            right = stop >= ends[last]
            kind = EQUAL if left and right else PREFIX if left else SUFFIX if right else INSIDE
            of_word[first : last + 1, slot * N_MATCHES + kind] = 1
            if left and right:
                if first > 0:
                    of_word[first - 1, slot * N_MATCHES + AFTER] = 1
                if last + 1 < len(starts):
                    of_word[last + 1, slot * N_MATCHES + BEFORE] = 1
        place = text.find(quote, place + 1)


def _shape(word: str) -> int:
    if word[0] == "\n":
        return SHAPES.index("break")
    if word[0].isdigit():
        return SHAPES.index("digits")
    if not word[0].isalpha():
        return SHAPES.index("other")
    if word.isupper():
        return SHAPES.index("upper" if len(word) > 1 else "capitalised")
    return SHAPES.index("capitalised" if word[0].isupper() else "lower")
