"""Learning a pattern: the few clauses that best tell marked units from unmarked ones in the examples shown."""

import heapq
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import accumulate

from autointerp.llm._pattern_language import Clause, Unit, key, matches, say, units
from autointerp.records import ExplainTask, ShownExample

# Longest pattern in characters: an explanation, not a table of words.
LONGEST = 900
# Clauses are added while each adds this much to (share of examples matched) - (share of silent contexts matched).
LEAST_GAIN = 0.01
# Discount on the examples that a clause matches: a single match is more likely chance than a rule.
SHRINK = 0.5
# Weight of the estimate from unmarked units, in silent contexts, next to the counterexamples shown.
PRIOR_CONTEXTS = 20
# The share of a clause's finds that must have the same active part before the pattern names that part.
FOCUS_SHARE = 0.8
# Kinds of targets from the most to the least specific: which is preferred among equals.
SPECIFIC = ("lower", "word", "number", "break", "suffix", "prefix", "part", "upper", "capitalised", "alpha", "any")

# A clause during counting: kind and text, joined; units before; units after. Strings cache their hash.
Target = str
Key = tuple[Target, str, str]


@dataclass(slots=True)
class Found:
    """Matches of a clause: examples at marked units (a bit each), counterexamples (a bit each), units."""

    examples: int = 0
    counterexamples: int = 0
    n_marked: int = 0
    n_unmarked: int = 0
    false_rate: float = 0.0


@dataclass(slots=True)
class Counts:
    """All clauses that hold at some marked unit, and how much text was shown."""

    clauses: dict[Key, Found] = field(default_factory=dict)
    n_examples: int = 0
    n_counterexamples: int = 0
    n_unmarked: int = 0
    n_units: int = 0

    def false_rate(self, found: Found) -> float:
        """Estimate the share of silent contexts in which a clause holds."""
        per_unit = found.n_unmarked / max(1, self.n_unmarked)
        units_per_context = self.n_units / max(1, self.n_examples + self.n_counterexamples)
        expected = 1 - math.exp(-per_unit * units_per_context)
        seen = found.counterexamples.bit_count()
        return (seen + PRIOR_CONTEXTS * expected) / (self.n_counterexamples + PRIOR_CONTEXTS)

    def gain(self, found: Found, covered: int) -> float:
        """Return the share of examples that a clause newly finds less the share of silent contexts it finds."""
        new = (found.examples & ~covered).bit_count()
        return (new - SHRINK) / self.n_examples - found.false_rate


def learn(task: ExplainTask) -> list[Clause]:
    """Return the clauses of the best pattern, most useful first; [] if nothing is marked.

    Greedy, and lazily so: what a clause would add only shrinks as others are chosen, so old gains are upper bounds.
    """
    counts = count(task)
    chosen: list[Clause] = []
    covered = 0
    heap = [_rank(counts.gain(found, 0), found, name) for name, found in counts.clauses.items()]
    heapq.heapify(heap)
    while heap:
        name = heap[0][-1]
        found = counts.clauses[name]
        now = _rank(counts.gain(found, covered), found, name)
        if now > heap[0]:
            heapq.heapreplace(heap, now)
            continue
        if chosen and (-now[0] < LEAST_GAIN or len(say([*chosen, clause(name)])) > LONGEST):
            break
        heapq.heappop(heap)
        chosen.append(clause(name))
        covered |= found.examples
    shown = [(text := "".join(example.pieces), units(text), active_spans(example)) for example in task.examples]
    return [_with_focus(one, shown) for one in chosen]


def _rank(gain: float, found: Found, name: Key) -> tuple[float, int, int, int, Key]:
    """Sort key of clauses, the best first: more gain; then more matches, a narrower target, fewer neighbours."""
    target, after, before = name
    return -gain, -found.n_marked, SPECIFIC.index(target.partition(":")[0]), len(after) + len(before), name


def clause(name: Key) -> Clause:
    """Return the clause of a key."""
    what, _, text = name[0].partition(":")
    after, before = (tuple(side.split(" ")) if side else () for side in name[1:])
    return Clause(what, text, tuple(map(_spaced, after)), tuple(map(_spaced, before)))


def _spaced(unit: str) -> str:
    return unit.replace("\0", " ")


def count(task: ExplainTask) -> Counts:
    """Count where each clause that any marked unit suggests holds."""
    counts = Counts(n_examples=len(task.examples), n_counterexamples=len(task.counterexamples))
    shown = [marked_units(example) for example in task.examples]
    parts = Parts(task.examples)
    for bit, (cut, marked) in enumerate(shown):
        for name in (name for i in sorted(marked) for name in (*suggested(cut, i), *parts.of(cut[i].text))):
            found = counts.clauses.setdefault(name, Found())
            found.examples |= 1 << bit
            found.n_marked += 1
    # A match of a single example counts only as a plain word: anything matches once.
    counts.clauses = {
        name: found
        for name, found in counts.clauses.items()
        if found.examples.bit_count() > 1 or len(shown) < 3 or (name[0].startswith("lower") and name[1:] == ("", ""))
    }
    shown += [(units("".join(example.pieces)), set()) for example in task.counterexamples]
    for number, (cut, marked) in enumerate(shown):
        counts.n_units += len(cut)
        counts.n_unmarked += len(cut) - len(marked)
        bit = 1 << (number - counts.n_examples) if number >= counts.n_examples else 0
        silent = [i for i in range(len(cut)) if i not in marked]
        for name in (name for i in silent for name in (*suggested(cut, i), *parts.of(cut[i].text))):
            if (found := counts.clauses.get(name)) is not None:
                found.n_unmarked += 1
                found.counterexamples |= bit
    for found in counts.clauses.values():
        found.false_rate = counts.false_rate(found)
    return counts


class Parts:
    """Active tokens that are less than a unit, seen in two examples at least: what a unit may contain."""

    def __init__(self, examples: Sequence[ShownExample]) -> None:
        seen = Counter(part for example in examples for part in _parts(example))
        self._parts = sorted(part for part, n in seen.items() if n > 1)
        self._known: dict[str, tuple[Key, ...]] = {}

    def of(self, unit: str) -> tuple[Key, ...]:
        """List the clauses that match a unit by its content."""
        if unit not in self._known:
            lower = unit.lower()
            inside = [part for part in self._parts if part in lower and part != lower]
            self._known[unit] = tuple((f"part:{part}", "", "") for part in inside)
        return self._known[unit]


def _parts(example: ShownExample) -> set[str]:
    text = "".join(example.pieces)
    wholes = {unit.text.lower() for unit in units(text)}
    return {part for begin, end in active_spans(example) if (part := text[begin:end].lower()) not in wholes}


def marked_units(example: ShownExample) -> tuple[tuple[Unit, ...], set[int]]:
    """Cut an example into units; return them and the numbers of those that touch an active token."""
    cut = units("".join(example.pieces))
    active = active_spans(example)
    touched = {i for i, unit in enumerate(cut) if any(unit.start < end and begin < unit.end for begin, end in active)}
    return cut, touched


def active_spans(example: ShownExample) -> list[tuple[int, int]]:
    """Return the character spans of an example's active tokens, white space in front left out."""
    ends = list(accumulate(len(piece) for piece in example.pieces))
    spans = []
    for piece, level, end in zip(example.pieces, example.levels, ends, strict=True):
        if level > 0 and piece:
            bare = piece.lstrip(" ") or piece
            spans.append((end - len(bare), end))
    return spans


def suggested(cut: Sequence[Unit], i: int) -> Iterator[Key]:
    """List the clauses that hold at unit `i`, each once."""
    own, broad = _targets(cut[i].text)
    for target in own:
        yield (target, "", "")
    after1 = _name(cut[i - 1].text) if i else ""
    before1 = _name(cut[i + 1].text) if i + 1 < len(cut) else ""
    narrow = (own[0], *broad)
    if after1:
        for target in narrow:
            yield (target, after1, "")
        if i > 1:
            after2 = f"{_name(cut[i - 2].text)} {after1}"
            for target in narrow:
                yield (target, after2, "")
    if before1:
        for target in narrow:
            yield (target, "", before1)
        if i + 2 < len(cut):
            yield (own[0], "", f"{before1} {_name(cut[i + 2].text)}")
    if after1 and before1:
        for target in narrow:
            yield (target, after1, before1)


@lru_cache(maxsize=2**15)
def _name(unit: str) -> str:
    """Return a unit as neighbours name it, its own spaces hidden so that spaces can join names."""
    return key(unit).replace(" ", "\0")


@lru_cache(maxsize=2**15)
def _targets(unit: str) -> tuple[tuple[Target, ...], tuple[Target, ...]]:
    """Return a unit's descriptions, the plain word first; and the broadest one."""
    lower = key(unit)
    own = [f"lower:{lower}"]
    broad = ["any:"]
    if unit[0].isdigit():
        own.append("number:")
        broad.append("number:")
    elif unit.startswith("\n"):
        own.append("break:")
    elif unit[0].isalpha():
        broad.append("alpha:")
        if unit != lower:
            own += [f"word:{unit}", "upper:" if len(unit) > 1 and unit.isupper() else "capitalised:"]
            broad.append("capitalised:")
        for length in (1, 2, 3, 4):
            if len(lower) > length + 1:
                own += [f"suffix:{lower[-length:]}", f"prefix:{lower[:length]}"]
    return tuple(own), tuple(broad)


def _with_focus(one: Clause, shown: Sequence[tuple[str, tuple[Unit, ...], list[tuple[int, int]]]]) -> Clause:
    """Name the part of the clause's units that is active, where it is always the same and not all of the unit."""
    parts: dict[str, int] = {}
    for text, cut, active in shown:
        for begin, end in matches(one, cut):
            hit = [(max(begin, a), min(end, b)) for a, b in active if a < end and begin < b]
            if hit:
                part = text[hit[0][0] : hit[-1][1]].lower()
                whole = hit[0][0] == begin and hit[-1][1] == end
                parts["" if whole else part] = parts.get("" if whole else part, 0) + 1
    if not parts:
        return one
    best = max(parts, key=lambda part: (parts[part], part))
    return replace(one, focus=best) if best and parts[best] >= FOCUS_SHARE * sum(parts.values()) else one
