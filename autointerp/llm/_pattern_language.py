"""The language of the `pattern` back end: what a pattern is, how it is said in English, read back and applied to text.

Text is cut into units (a word, a number, a punctuation mark, a line break). A clause says which units it means, by what
they are and by their neighbours; a pattern is a list of clauses, most reliable first, any of which may hold:

    any of the words "cat", "dog"; a word ending in "ing" right after "is"; the "ar" in the word "scary"
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

# A word is letters with inner apostrophes; identifiers are cut at digits and underscores.
UNIT = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*|\d+|\n[^\S\n]*|[^\w\s]|_+|[^\S\n]{2,}")


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit of a text: its characters, where they begin, and how neighbours name it."""

    text: str
    start: int
    key: str

    @property
    def end(self) -> int:
        """End position."""
        return self.start + len(self.text)


@dataclass(frozen=True, slots=True)
class Clause:
    """Target units: `what` they are (a key of `WHAT`), after and before which neighbours (lower case).

    `focus` is the part of the unit that counts, "" for all of it.
    """

    what: str
    text: str = ""
    after: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    focus: str = ""


# How each kind of target is said; {} is its quoted text.
WHAT = {
    "lower": "the word {}",  # in any case
    "word": "exactly the word {}",
    "suffix": "a word ending in {}",
    "prefix": "a word beginning with {}",
    "part": "a word containing {}",
    "number": "a number",
    "capitalised": "a capitalised word",
    "upper": "a word in capitals",
    "break": "a line break",
    "alpha": "any word",
    "any": "anything",
}
_MANY = "any of the words "
# Characters that no line of a prompt shows as they are, and how a quoted text writes them.
_ODD = re.compile(r"[^\S ]|[\x00-\x1f\x7f-\x9f\xad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
_ESCAPE = re.compile(r"\\(U[0-9a-f]{8}|u[0-9a-f]{4}|x[0-9a-f]{2}|.)", re.DOTALL)
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_CLAUSE = re.compile(
    rf"(?:the (?P<focus>{_QUOTED}) in )?"
    rf"(?:{_MANY}(?P<many>{_QUOTED}(?:, {_QUOTED})*)"
    + "".join(
        f"|(?P<{name}>{re.escape(said).replace(re.escape('{}'), f'(?P<{name}_text>{_QUOTED})')})"
        for name, said in sorted(WHAT.items(), key=lambda pair: -len(pair[1]))
    )
    + rf")(?: right after (?P<after>{_QUOTED}(?: {_QUOTED})*))?(?: right before (?P<before>{_QUOTED}(?: {_QUOTED})*))?"
)


@lru_cache(maxsize=2**15)  # the same windows are judged many times
def units(text: str) -> tuple[Unit, ...]:
    """Cut a text into units.

    >>> [unit.text for unit in units("def f_1(x):  # it's")]
    ['def', 'f', '_', '1', '(', 'x', ')', ':', '  ', '#', "it's"]
    """
    return tuple(Unit(match.group(), match.start(), key(match.group())) for match in UNIT.finditer(text))


@lru_cache(maxsize=2**15)
def key(unit: str) -> str:
    """Return a unit as neighbours name it: lower case, a line break without its indentation."""
    return "\n" if unit.startswith("\n") else unit.lower()


def is_what(clause: Clause, unit: str) -> bool:
    """Return whether a unit is what the clause names, whatever its neighbours."""
    if clause.what == "lower":  # by far the most frequent
        return key(unit) == clause.text
    match clause.what:
        case "word":
            return unit == clause.text
        case "alpha":
            return unit[0].isalpha()
        case "suffix":
            return unit.lower().endswith(clause.text) and unit.lower() != clause.text
        case "prefix+":  # only from free English: the word or one that continues it
            return unit.lower().startswith(clause.text)
        case "prefix":
            return unit.lower().startswith(clause.text) and unit.lower() != clause.text
        case "part":
            return clause.text in unit.lower() and unit.lower() != clause.text
        case "number":
            return unit[0].isdigit()
        case "capitalised":
            return unit[0].isupper() and not unit[1:].isupper()
        case "upper":
            return len(unit) > 1 and unit.isupper()
        case "break":
            return unit.startswith("\n")
        case _:
            return True


def matches(clause: Clause, cut: Sequence[Unit]) -> list[tuple[int, int]]:
    """Return the character spans of a text's units that a clause means."""
    n_after, n_before = len(clause.after), len(clause.before)
    found = []
    for i, unit in enumerate(cut):
        if not is_what(clause, unit.text):
            continue
        if n_after and _keys(cut[max(0, i - n_after) : i]) != clause.after:
            continue
        if n_before and _keys(cut[i + 1 : i + 1 + n_before]) != clause.before:
            continue
        found.append(_focused(unit, clause.focus))
    return found


def _keys(cut: Sequence[Unit]) -> tuple[str, ...]:
    return tuple(unit.key for unit in cut)


def _focused(unit: Unit, focus: str) -> tuple[int, int]:
    place = unit.text.lower().find(focus) if focus else -1
    return (unit.start + place, unit.start + place + len(focus)) if place >= 0 else (unit.start, unit.end)


def say(clauses: Iterable[Clause]) -> str:
    """Write a pattern in English; clauses that differ only in their word are joined."""
    groups: dict[Clause, list[str]] = {}
    for clause in clauses:
        if clause.what == "lower":
            groups.setdefault(replace(clause, text=""), []).append(clause.text)
        else:
            groups[clause] = [clause.text]
    return "; ".join(_say(frame, texts) for frame, texts in groups.items())


def _say(frame: Clause, texts: list[str]) -> str:
    said = _MANY + ", ".join(map(_quote, texts)) if len(texts) > 1 else WHAT[frame.what].format(_quote(texts[0]))
    focus = f"the {_quote(frame.focus)} in " if frame.focus else ""
    after = " right after " + " ".join(map(_quote, frame.after)) if frame.after else ""
    before = " right before " + " ".join(map(_quote, frame.before)) if frame.before else ""
    return focus + said + after + before


def read(text: str) -> list[Clause] | None:
    """Read a pattern back from its English, or None where the text is not in this language.

    >>> read('any of the words "cat", "dog"; a number right before "%"') == [
    ...     Clause("lower", "cat"), Clause("lower", "dog"), Clause("number", before=("%",))]
    True
    """
    clauses: list[Clause] = []
    place = 0
    while place < len(text):
        found = _CLAUSE.match(text, place)
        if found is None:
            return None
        clauses += _clauses(found)
        place = found.end()
        if place < len(text):
            if not text.startswith("; ", place):
                return None
            place += 2
    return clauses or None


def _clauses(found: re.Match[str]) -> list[Clause]:
    after, before = (tuple(map(key, _unquote(found[side] or ""))) for side in ("after", "before"))
    focus = "".join(_unquote(found["focus"] or ""))
    if found["many"]:
        named = [("lower", text.lower()) for text in _unquote(found["many"])]
    else:
        what = next(name for name in WHAT if found[name])
        text = "".join(_unquote(found[f"{what}_text"])) if "{}" in WHAT[what] else ""
        named = [(what, text if what == "word" else text.lower())]
    return [Clause(what, text, after, before, focus) for what, text in named]


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{_ODD.sub(_escaped, escaped)}"'


def _unquote(text: str) -> list[str]:
    return [_ESCAPE.sub(_unescaped, quoted[1:-1]) for quoted in re.findall(_QUOTED, text)]


def _escaped(odd: re.Match[str]) -> str:
    return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(odd.group()) or f"\\U{ord(odd.group()):08x}"


def _unescaped(escape: re.Match[str]) -> str:
    said = escape.group(1)
    return chr(int(said[1:], 16)) if len(said) > 1 else {"n": "\n", "t": "\t", "r": "\r"}.get(said, said)
