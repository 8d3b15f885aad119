"""Text made safe to store and to print."""

import unicodedata
from collections.abc import Iterable, Sequence
from itertools import accumulate


def mend_surrogates(text: str) -> str:
    """Replace lone halves of UTF-16 pairs, which JSON can hold and neither files nor tokenizers take, by U+FFFD.

    >>> mend_surrogates("a\\ud83d"), mend_surrogates("a\\ud83d\\ude00")
    ('a\ufffd', 'a😀')
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def one_line(text: str) -> str:
    r"""Return text with line breaks, control and invisible direction characters written as escapes.

    >>> one_line("two\nlines")
    'two\\nlines'
    """
    return "".join(_escape(character) for character in text)


def _escape(character: str) -> str:
    if character == " " or unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}:
        return character
    return character.encode("unicode_escape", "backslashreplace").decode()


def token_spans(pieces: Sequence[str]) -> list[tuple[int, int]]:
    """Return the character span of each token's text in the joined text, never empty while there is any text.

    A token that holds only a part of a character has the text ""; its span is that of the whole character, which the
    next token with text begins with.

    >>> token_spans(["a", "", "", "\u732b.", " b"])
    [(0, 1), (1, 2), (1, 2), (1, 3), (3, 5)]
    """
    ends = list(accumulate(map(len, pieces)))
    total = ends[-1] if ends else 0
    found = []
    for piece, end in zip(pieces, ends, strict=True):
        begin = end - len(piece) if piece else min(end, max(0, total - 1))
        found.append((begin, end if piece else min(begin + 1, total)))
    return found


def joined(spans: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Join ascending spans that touch or overlap; empty ones are dropped.

    >>> joined([(0, 1), (1, 3), (2, 3), (5, 6)])
    ((0, 3), (5, 6))
    """
    found: list[tuple[int, int]] = []
    for begin, end in spans:
        if begin == end:
            continue
        if found and begin <= found[-1][1]:
            begin, end = found[-1][0], max(end, found.pop()[1])
        found.append((begin, end))
    return tuple(found)
