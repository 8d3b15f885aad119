"""Learning a pattern: the few clauses that best tell marked units from unmarked ones in the examples shown."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

from autointerp.llm._pattern_language import Clause, Unit, key, matches, say, units
from autointerp.records import ExplainTask, ShownExample

# Longest pattern in characters: an explanation, not a table of words.
LONGEST = 900
# Clauses are added while each makes this much more of (share of examples found) - (share of silent contexts found).
LEAST_GAIN = 0.01
# What one example found is discounted by: a clause that fits only one is more likely chance than a rule.
SHRINK = 0.5
# How many silent contexts the estimate from unmarked units counts for, beside counterexamples that are shown.
PRIOR_CONTEXTS = 20
# The share of a clause's finds that must have the same active part before the pattern names that part.
FOCUS_SHARE = 0.8


@dataclass(slots=True)
class Found:
    """Where a clause holds: examples (a bit each) at marked units, counterexamples, marked and unmarked units."""

    examples: int = 0
    counterexamples: int = 0
    n_marked: int = 0
    n_unmarked: int = 0


@dataclass(slots=True)
class Counts:
    """All clauses that hold at some marked unit, and how much text was shown."""

    clauses: dict[Clause, Found] = field(default_factory=dict)
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


def learn(task: ExplainTask) -> list[Clause]:
    """Return the clauses of the best pattern found, most useful first; [] where nothing is marked."""
    counts = count(task)
    chosen: list[Clause] = []
    covered = 0
    open_ = counts.clauses
    while open_:
        gains = {clause: _gain(counts, found, covered) for clause, found in open_.items()}
        best = max(gains, key=lambda clause: (gains[clause], counts.clauses[clause].n_marked, _simpler(clause)))
        if chosen and (gains[best] < LEAST_GAIN or len(say([*chosen, best])) > LONGEST):
            break
        chosen.append(best)
        covered |= counts.clauses[best].examples
        open_ = {clause: found for clause, found in open_.items() if found.examples & ~covered}
    return [_with_focus(clause, task.examples) for clause in chosen]


def _gain(counts: Counts, found: Found, covered: int) -> float:
    new = (found.examples & ~covered).bit_count()
    return (new - SHRINK) / counts.n_examples - counts.false_rate(found)


def _simpler(clause: Clause) -> tuple[int, str]:
    """Prefer, among equals, fewer conditions, then more text, in an order that depends on nothing else."""
    return (-len(clause.after) - len(clause.before), repr(clause))


def count(task: ExplainTask) -> Counts:
    """Count where each clause that any marked unit suggests holds."""
    counts = Counts(n_examples=len(task.examples), n_counterexamples=len(task.counterexamples))
    shown = [(example, marked_units(example)) for example in task.examples]
    for bit, (_, (cut, marked)) in enumerate(shown):
        for i in sorted(marked):
            for clause in suggested(cut, i):
                found = counts.clauses.setdefault(clause, Found())
                found.examples |= 1 << bit
                found.n_marked += 1
    shown += [(example, marked_units(example)) for example in task.counterexamples]
    for number, (_, (cut, marked)) in enumerate(shown):
        counts.n_units += len(cut)
        for i in range(len(cut)):
            if i in marked:
                continue
            counts.n_unmarked += 1
            for clause in suggested(cut, i):
                if (found := counts.clauses.get(clause)) is not None:
                    found.n_unmarked += 1
                    if number >= counts.n_examples:
                        found.counterexamples |= 1 << (number - counts.n_examples)
    return counts


def marked_units(example: ShownExample) -> tuple[list[Unit], set[int]]:
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


def suggested(cut: Sequence[Unit], i: int) -> Iterator[Clause]:
    """List the clauses that hold at unit `i`."""
    unit = cut[i].text
    lower = key(unit)
    before1 = (key(cut[i - 1].text),) if i else ()
    after1 = (key(cut[i + 1].text),) if i + 1 < len(cut) else ()
    yield from _targets(unit, lower)
    word = Clause("lower", lower)
    if before1:
        yield replace(word, after=before1)
        yield Clause("any", after=before1)
        if i > 1:
            before2 = (key(cut[i - 2].text), *before1)
            yield replace(word, after=before2)
            yield Clause("any", after=before2)
    if after1:
        yield replace(word, before=after1)
        yield Clause("any", before=after1)
        if i + 2 < len(cut):
            yield replace(word, before=(*after1, key(cut[i + 2].text)))
    if before1 and after1:
        yield replace(word, after=before1, before=after1)
        yield Clause("any", after=before1, before=after1)


def _targets(unit: str, lower: str) -> Iterator[Clause]:
    yield Clause("lower", lower)
    if unit[0].isdigit():
        yield Clause("number")
    elif unit.startswith("\n"):
        yield Clause("break")
    elif unit[0].isalpha():
        if unit != lower:
            yield Clause("word", unit)
            yield Clause("upper" if len(unit) > 1 and unit.isupper() else "capitalised")
        else:
            yield Clause("word", unit)
        for length in (1, 2, 3, 4):
            if len(lower) > length + 1:
                yield Clause("suffix", lower[-length:])
                yield Clause("prefix", lower[:length])


def _with_focus(clause: Clause, examples: Sequence[ShownExample]) -> Clause:
    """Name the part of the clause's units that is active, where it is always the same and not all of the unit."""
    parts: dict[str, int] = {}
    for example in examples:
        text = "".join(example.pieces)
        active = active_spans(example)
        for begin, end in matches(clause, units(text)):
            hit = [(max(begin, a), min(end, b)) for a, b in active if a < end and begin < b]
            if hit:
                part = text[hit[0][0] : hit[-1][1]].lower()
                whole = hit[0][0] == begin and hit[-1][1] == end
                parts["" if whole else part] = parts.get("" if whole else part, 0) + 1
    if not parts:
        return clause
    best = max(parts, key=lambda part: (parts[part], part))
    return replace(clause, focus=best) if best and parts[best] >= FOCUS_SHARE * sum(parts.values()) else clause
