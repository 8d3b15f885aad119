"""Fuzzing: are the marked tokens the ones that activate the latent, by its explanation?

Score: balanced accuracy over rightly and wrongly marked contexts, in [0, 1]; chance .5. The default negatives are
`mismarked`: the very windows of the positives, marked at the positions of ANOTHER positive's marks where the latent is
silent. So contexts, their lengths, the number of marks and their positions are the same in both classes, and a judge
that sees only those scores .5. (Contexts on which the latent is silent would be recognised by the context alone:
they can be added by setting, and are reported by kind.) Degenerate: a window so full of activity that no set of
marks can be put wrongly into it is not asked about at all, since it would be known by being only ever right; a latent
with no others has no fuzzing score.

Marked words leak information, without any explanation, if a prompt shows several contexts: a judge that calls
those marked words right which other contexts of the prompt have marked too scores .66 on planted rules of the Python
manual in words, .85 in sub-word tokens (`AUTOINTERP_TABLES=print pytest -s -k what_marks tests/scorers`). Such a judge
fails the shuffled and empty controls; `n_per_question: 1` gives it nothing to compare, at five times the prompts.

Source: arXiv 2410.13928, section 3.2 ("fuzzing"); the negatives are this project's.
"""

from collections.abc import Sequence
from functools import partial
from typing import Literal

import numpy as np
from pydantic import Field
from scipy.optimize import linear_sum_assignment

from autointerp.prompts import Prompts
from autointerp.records import Example, LatentExamples
from autointerp.scorers import _yes_no

Negative = Literal["mismarked", "random", "hard"]


class Config(_yes_no.YesNoConfig):
    """Settings of fuzzing."""

    negatives: tuple[Negative, ...] = Field(
        default=("mismarked",), min_length=1, description="kinds of negatives; all but mismarked have silent contexts"
    )
    mark_share: float = Field(
        default=0.3, gt=0, le=1, description="tokens are marked from this share of the window's largest activation on"
    )


def entries(config: Config, examples: LatentExamples, rng: np.random.Generator) -> list[_yes_no.Entry]:
    """Ask about every held-out positive with right marks, and about the negatives with marks like those."""
    if not examples.held_out:
        return []
    shown = examples.held_out
    marked = [active(example, config.mark_share) for example in shown]
    made: list[_yes_no.Entry] = []
    if "mismarked" in config.negatives:
        wrong = mismarks(shown, marked, rng)
        kept = [i for i, tokens in enumerate(wrong) if tokens is not None]
        for i in kept:
            changes = {"kind": "mismarked", "stratum": 0, "stratum_share": 1.0}
            made.append(_yes_no.entry(shown[i], truth=False, marks=wrong[i] or (), **changes))
        shown, marked = [shown[i] for i in kept], [marked[i] for i in kept]
    made = [_yes_no.entry(e, truth=True, marks=tokens) for e, tokens in zip(shown, marked, strict=True)] + made
    for kind in config.negatives:
        silent = [example for example in examples.contrast if example.kind == kind] if marked else []
        # Each set of marks as often as any other, give or take one; which, by chance.
        rounds = [rng.permutation(len(marked)) for _ in range(-(-len(silent) // max(1, len(marked))))]
        donors = np.concatenate([*rounds, np.empty(0, int)])[: len(silent)]
        made += [_yes_no.entry(e, truth=False, marks=marked[d]) for e, d in zip(silent, donors, strict=True)]
    return made


def active(example: Example, share: float) -> tuple[int, ...]:
    """Return the tokens with an activation of at least `share` of the window's largest."""
    peak = max(example.activations)
    return tuple(i for i, value in enumerate(example.activations) if value > 0 and value >= share * peak)


def mismarks(
    windows: Sequence[Example], marked: Sequence[tuple[int, ...]], rng: np.random.Generator
) -> list[tuple[int, ...] | None]:
    """Give each window the mark positions of another one, at tokens on which the latent is silent.

    Each set of positions is given away once, matched so that as few as possible meet active tokens; a set that still
    does is shifted by as little as possible. Where no shift helps, the busier of the two windows is left out, with its
    own set, until those left can exchange theirs: so these show the same sets rightly and wrongly.

    Returns:
        For each window the tokens to mark; None for those left out.
    """
    found: list[tuple[int, ...] | None] = [None] * len(windows)
    left = list(range(len(windows)))
    while left:
        donors, shifted = _exchanged([windows[i] for i in left], [marked[i] for i in left], rng)
        stuck = [place for place, tokens in enumerate(shifted) if tokens is None]
        if not stuck:
            for i, tokens in zip(left, shifted, strict=True):
                found[i] = tokens
            break
        pair = (left[stuck[0]], left[donors[stuck[0]]])
        left.remove(max(pair, key=lambda i: sum(value > 0 for value in windows[i].activations)))
    return found


def _exchanged(
    windows: Sequence[Example], marked: Sequence[tuple[int, ...]], rng: np.random.Generator
) -> tuple[list[int], list[tuple[int, ...] | None]]:
    """Return for each window the set that it gets, and that set shifted; None if every shift hits active tokens."""
    silent = [tuple(value == 0 for value in window.activations) for window in windows]
    hits = np.array([[_hits(tokens, quiet) for tokens in marked] for quiet in silent], dtype=float)
    # Ties are broken at random: less than half a hit in all.
    donors = linear_sum_assignment(hits + rng.random(hits.shape) / (2 * len(windows)))[1].tolist()
    # A set that must move goes left or right by a coin: always the same way would tell rightly from wrongly marked.
    sides = rng.choice([-1, 1], size=len(windows)).tolist()
    sets = [_shifted(marked[donor], quiet, side) for donor, quiet, side in zip(donors, silent, sides, strict=True)]
    return donors, sets


def _hits(tokens: tuple[int, ...], silent: tuple[bool, ...]) -> int:
    return sum(token >= len(silent) or not silent[token] for token in tokens)


def _shifted(tokens: tuple[int, ...], silent: tuple[bool, ...], side: int) -> tuple[int, ...] | None:
    length = len(silent)
    for shift in sorted(range(-tokens[-1], length - tokens[0]), key=lambda shift: (abs(shift), side * shift)):
        moved = tuple(token + shift for token in tokens)
        if moved[0] >= 0 and moved[-1] < length and all(silent[token] for token in moved):
            return moved
    return None


def build(config: Config, prompts: Prompts) -> _yes_no.YesNo:
    """Make the scorer."""
    return _yes_no.YesNo("fuzzing", config, prompts, partial(entries, config))
