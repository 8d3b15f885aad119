"""Planted rules as latents to explain and to judge, over windows of words: no subject and no tokenizer is needed."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from autointerp.corpus.base import Document
from autointerp.errors import CorpusError
from autointerp.examples import planted
from autointerp.examples.bank import RULES, Rule
from autointerp.records import Example, LatentExamples
from autointerp.seeds import generator

# Words and punctuation marks of a window; as long as the 32 tokens of the default windows.
WINDOW = 28
# Windows searched on each side, and the most documents read for them.
N_WINDOWS, MOST_DOCUMENTS = 1200, 4000
# Contexts shown to an explainer, and silent ones shown to a contrastive one.
N_EXPLAIN, N_EXPLAIN_SILENT = 20, 20
# Rules fewer than this cannot decide anything.
LEAST_RULES = 8
_PIECE = re.compile(r"\s*(?:\w+|[^\w\s])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A planted rule with contexts to explain it by and to judge it on."""

    rule: Rule
    examples: LatentExamples


@dataclass(frozen=True, slots=True)
class _Window:
    number: int
    document: int
    pieces: tuple[str, ...]


def probes(documents: Iterable[Document], *, n_rules: int, n_contexts: int, seed: int) -> list[Probe]:
    """Make probes of up to `n_rules` rules, grades taking turns.

    Args:
        documents: even ones are explained from, odd ones judged on.
        n_rules: most rules.
        n_contexts: activating, and silent, contexts to judge per rule.
        seed: of all draws.

    Raises:
        CorpusError: fewer than 8 rules of the bank occur often enough.
    """
    sides: tuple[list[_Window], list[_Window]] = ([], [])
    for document in islice(documents, MOST_DOCUMENTS):
        side = sides[document.id % 2]
        if len(side) < N_WINDOWS:
            side += _cut(document, len(side) * 2 + document.id % 2)
        if min(map(len, sides)) >= N_WINDOWS:
            break
    joined = tuple("\0".join("".join(window.pieces) for window in side) for side in sides)
    found = [probe for rule in RULES if (probe := _probe(rule, sides, joined, n_contexts, seed)) is not None]
    if len(found) < LEAST_RULES:
        raise CorpusError(
            f"qualify: {len(found)} of {len(RULES)} planted rules occur in {N_EXPLAIN} windows to explain and "
            f"{n_contexts} to judge; {LEAST_RULES} are needed: name a larger corpus, or set qualify: off"
        )
    return _turns(found)[:n_rules]


def _cut(document: Document, first: int) -> Iterator[_Window]:
    pieces = _PIECE.findall(document.text[:20_000])
    for n, start in enumerate(range(0, len(pieces) - WINDOW + 1, WINDOW)):
        yield _Window(first + 2 * n, document.id, tuple(pieces[start : start + WINDOW]))


def _probe(
    rule: Rule, sides: tuple[list[_Window], list[_Window]], joined: tuple[str, ...], n_contexts: int, seed: int
) -> Probe | None:
    latent = planted.latent(rule)
    chosen: list[tuple[Example, ...]] = []
    wanted = ((N_EXPLAIN, N_EXPLAIN_SILENT), (n_contexts, n_contexts))
    for side, windows, text, (n_active, n_silent) in zip(("explain", "judge"), sides, joined, wanted, strict=True):
        holds = _holds(rule, windows, text)
        if holds.sum() < n_active or (~holds).sum() < n_silent:
            return None
        rng = generator(seed, "qualify", side, latent)
        for active, n in ((True, n_active), (False, n_silent)):
            picked = rng.permutation(np.flatnonzero(holds == active))[:n]
            chosen.append(tuple(_example(rule, windows[i], active, rank, n) for rank, i in enumerate(picked)))
    explain, silent, held_out, contrast = chosen
    examples = LatentExamples(
        latent=latent, explain=explain, explain_contrast=silent, held_out=held_out, contrast=contrast
    )
    return Probe(rule=rule, examples=examples)


def _holds(rule: Rule, windows: list[_Window], joined: str) -> NDArray[np.bool_]:
    """Return the windows on which a rule holds, by one search through all, joined by NUL (no rule crosses it)."""
    ends = np.cumsum([sum(map(len, window.pieces)) + 1 for window in windows])
    found = np.array([start for start, _ in rule.spans(joined)], dtype=np.int64)
    holds = np.zeros(len(windows), dtype=bool)
    holds[np.searchsorted(ends, found, side="right")] = True
    return holds


def _example(rule: Rule, window: _Window, active: bool, rank: int, n: int) -> Example:
    return Example(
        window=window.number,
        document=window.document,
        pieces=window.pieces,
        activations=planted.activations(rule, window.pieces) if active else (0.0,) * len(window.pieces),
        kind="positive" if active else "random",
        stratum=planted.N_STRATA * rank // n if active else 0,
        stratum_share=1 / planted.N_STRATA if active else 1.0,
    )


def _turns(found: list[Probe]) -> list[Probe]:
    """Order probes so that every first part has all grades, spread over each grade's rules."""
    grades: dict[str, list[Probe]] = {}
    for probe in found:
        grades.setdefault(probe.rule.grade, []).append(probe)
    rank: list[tuple[int, int, Probe]] = []
    for number, group in enumerate(grades.values()):
        spread = sorted(range(len(group)), key=lambda i: (i * 0.6180339887498949) % 1)
        rank += [(order, number, group[i]) for order, i in enumerate(spread)]
    return [probe for _, _, probe in sorted(rank, key=lambda entry: entry[:2])]
