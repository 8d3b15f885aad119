"""Inputs of the cross-encoder judge: word pieces of an explanation and a context, with literal matches between them.

A word-piece encoder does not see letters, so that "a word ending in ing" is beyond it. The words of the explanation
that a context can match literally, quoted strings first, are its terms. Each context piece carries which terms its word
equals, begins with, ends with, contains, shares a stem with, and whether the word before or after it equals one; each
term carries which pieces stand before and after it in the explanation, so that the network learns what "ending in"
makes of a match.

Source: exact-match features next to embeddings as in DrQA (Chen et al. 2017, arXiv 1704.00051, section 3.2).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

# Most terms of an explanation; further ones are ignored.
TERMS = 24
# How a term matches a word: all of it, its beginning, its end, inside; the word after, or before, is it; same stem.
EQUAL, PREFIX, SUFFIX, INSIDE, AFTER, BEFORE, STEM = range(7)
N_MATCHES = 7
SHAPES = ("lower", "capitalised", "upper", "digits", "break", "other")
# A piece's shape, whether it begins a line, whether it belongs to a quoted term.
N_FEATURES = len(SHAPES) + 2
# Where pieces stand to a term: in it, up to five before it, up to four after it.
N_CUES, CUE_BEFORE, CUE_AFTER = 3, 5, 4
# Longest explanation and context, in word pieces.
MOST_EXPLANATION, MOST_CONTEXT = 64, 128
BREAK = "¶"  # a line break, in a character that the encoder's vocabulary has

_QUOTED = re.compile(r'"((?:[^"\\\n]|\\.){1,60})"|[“‘]([^”’\n]{1,60})[”’]|`([^`\n]{1,60})`')
_AFFIX = re.compile(r"(?<![\w-])-([^\W\d_]{1,12})\b|\b([^\W\d_]{1,12})-(?![\w-])")
_WORD = re.compile(r"[^\W_]+(?:['’][^\W\d_]+)*|\n[^\S\n]*|[^\w\s]|_+")
_PLAIN = re.compile(r"[^\W\d_]{2,}")
_STEM = 4  # letters that words of one stem share at least


class Tokenizer(Protocol):
    """The methods of a Hugging Face fast tokenizer that `encode` needs."""

    cls_token_id: int
    sep_token_id: int

    def __call__(self, text: str, **options: object) -> dict[str, list]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A string of an explanation in lower case, its character span there, and whether it is quoted."""

    text: str
    start: int
    end: int
    quoted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """One explanation with one context.

    Attributes:
        ids: [n] word pieces: CLS, explanation, SEP, context, SEP.
        explanation: [n] whether a piece belongs to the explanation.
        context: [n] whether a piece belongs to the context.
        features: [n, N_FEATURES] 0 or 1.
        matches: [n, TERMS, N_MATCHES] 0 or 1, of context pieces.
        cues: [TERMS, N_CUES, n] weights that average the pieces in, before and after each term.
        marked: [n] whether a piece touches a marked span.
        spans: [n, 2] character span of each context piece in the text; 0, 0 elsewhere.
    """

    ids: NDArray[np.int64]
    explanation: NDArray[np.bool_]
    context: NDArray[np.bool_]
    features: NDArray[np.float32]
    matches: NDArray[np.float32]
    cues: NDArray[np.float32]
    marked: NDArray[np.bool_]
    spans: NDArray[np.int64]


def terms(explanation: str) -> list[Term]:
    """Return the terms of an explanation: quoted strings and affixes first, then its other words, at most `TERMS`.

    >>> [term.text for term in terms('ending in -ing, or "The end"')]
    ['the end', 'ing', 'ending', 'in', 'or']
    """
    found: list[Term] = []
    for pattern in (_QUOTED, _AFFIX):
        for match in pattern.finditer(explanation):
            text = next(group for group in match.groups() if group is not None)
            text = _unescaped(text).strip(" ").lower() or text
            found.append(Term(text=text, start=match.start(), end=match.end(), quoted=True))
    n_quoted = len(found)
    for match in _PLAIN.finditer(explanation):
        if not any(term.start < match.end() and match.start() < term.end for term in found[:n_quoted]):
            found.append(Term(text=match.group().lower(), start=match.start(), end=match.end(), quoted=False))
    return found[:TERMS]


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
    in_explanation, in_context = np.zeros(len(ids), dtype=bool), np.zeros(len(ids), dtype=bool)
    in_explanation[1 : 1 + len(explanation_ids)] = True
    begin = len(explanation_ids) + 2
    in_context[begin : begin + len(context_ids)] = True
    spans = np.zeros((len(ids), 2), dtype=np.int64)
    spans[in_context] = context_spans
    found = terms(explanation)
    features = np.zeros((len(ids), N_FEATURES), dtype=np.float32)
    matches = np.zeros((len(ids), TERMS, N_MATCHES), dtype=np.float32)
    features[in_context], matches[in_context] = _context_features(text, context_spans, found)
    for term in found:
        if term.quoted:
            features[in_explanation, -1] += touching(explanation_spans, [(term.start, term.end)])
    return Encoded(
        ids=np.array(ids, dtype=np.int64),
        explanation=in_explanation,
        context=in_context,
        features=np.minimum(features, 1),
        matches=matches,
        cues=_cues(found, explanation_spans, len(ids)),
        marked=in_context & touching(spans, marks),
        spans=spans,
    )


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


def _cues(found: Sequence[Term], spans: NDArray[np.int64], n: int) -> NDArray[np.float32]:
    """Weights [TERMS, N_CUES, n] of the explanation's pieces, whose character spans [m, 2] begin at piece 1."""
    weights = np.zeros((TERMS, N_CUES, n), dtype=np.float32)
    for number, term in enumerate(found):
        inside = np.flatnonzero((spans[:, 0] < term.end) & (spans[:, 1] > term.start))
        if len(inside):
            first, last = 1 + int(inside[0]), 1 + int(inside[-1])
            ranges = (first, last + 1), (max(1, first - CUE_BEFORE), first), (last + 1, last + 1 + CUE_AFTER)
            for cue, (start, stop) in enumerate(ranges):
                stop = min(stop, 1 + len(spans))
                weights[number, cue, start:stop] = 1 / max(1, stop - start)
    return weights


def _context_features(
    text: str, spans: NDArray[np.int64], found: Sequence[Term]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Features [n, N_FEATURES] and matches [n, TERMS, N_MATCHES] of a context's pieces."""
    words = [match.span() for match in _WORD.finditer(text)]
    if not words:
        empty = np.zeros((len(spans), N_FEATURES), dtype=np.float32)
        return empty, np.zeros((len(spans), TERMS, N_MATCHES), dtype=np.float32)
    starts, ends = (np.array(places, dtype=np.int64) for places in zip(*words, strict=True))
    matches = np.zeros((len(words), TERMS, N_MATCHES), dtype=np.float32)
    lower = text.lower()
    if len(lower) == len(text):  # a few characters grow in lower case; then nothing can be matched by position
        shown = [lower[start:end] for start, end in words]
        for number, term in enumerate(found):
            if term.quoted:
                _match_quoted(lower, term.text, starts, ends, matches[:, number])
            _match_word(shown, term.text, matches[:, number], equal=not term.quoted)
    of_word = np.zeros((len(words), N_FEATURES), dtype=np.float32)
    for i, (start, end) in enumerate(words):
        of_word[i, _shape(text[start:end])] = 1
        of_word[i, -2] = i == 0 or "\n" in text[words[i - 1][0] : start]
    word_of = np.clip(np.searchsorted(ends, spans[:, 0], side="right"), 0, len(words) - 1)
    return of_word[word_of], matches[word_of]


def _match_quoted(
    text: str, term: str, starts: NDArray[np.int64], ends: NDArray[np.int64], matches: NDArray[np.float32]
) -> None:
    """Write into `matches` [n_words, N_MATCHES] how the words of a text match a quoted term."""
    start = text.find(term)
    while start >= 0 and term:
        stop = start + len(term)
        first = int(np.searchsorted(ends, start, side="right"))
        last = int(np.searchsorted(starts, stop, side="left")) - 1
        if first <= last:
            left, right = start <= starts[first], stop >= ends[last]
            kind = EQUAL if left and right else PREFIX if left else SUFFIX if right else INSIDE
            matches[first : last + 1, kind] = 1
            if left and right:
                if first > 0:
                    matches[first - 1, AFTER] = 1
                if last + 1 < len(starts):
                    matches[last + 1, BEFORE] = 1
        start = text.find(term, start + 1)


def _match_word(words: Sequence[str], term: str, matches: NDArray[np.float32], *, equal: bool) -> None:
    """Write into `matches` which words share a stem with a term and, if asked, which equal it."""
    stem = term[:_STEM]
    for i, word in enumerate(words):
        if word == term:
            if equal:
                matches[i, EQUAL] = 1
        elif len(stem) == _STEM and word.startswith(stem) and _same_stem(word, term):
            matches[i, STEM] = 1


def _same_stem(first: str, second: str) -> bool:
    """Tell whether two words differ by their last three letters at most.

    >>> _same_stem("running", "runner"), _same_stem("interest", "internal")
    (True, False)
    """
    short, long = sorted((first, second), key=len)
    shared = next((i for i, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short))
    return shared >= max(_STEM, len(long) - 3)


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
