"""Fuzzing: are the marked tokens the ones that activate the latent, by its explanation?

Score: balanced accuracy over rightly and wrongly marked contexts, in [0, 1]; chance .5. The default negatives are
`mismarked`: the very windows of the positives, marked at the positions of ANOTHER positive's marks where the latent is
silent. So contexts, their lengths, the number of marks and their positions are the same in both classes, and a judge
that sees only those scores .5. (Contexts on which the latent is silent would be told apart by the context alone:
they can be added by setting, and are reported apart by kind.) Degenerate: a latent so dense that no silent tokens are
left to mark has fewer or no negatives; those missing are not made up.

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
    marked = [active(example, config.mark_share) for example in examples.held_out]
    pairs = zip(examples.held_out, marked, strict=True)
    made = [_yes_no.entry(example, truth=True, marks=tokens) for example, tokens in pairs]
    if "mismarked" in config.negatives:
        for example, tokens in zip(examples.held_out, mismarks(examples.held_out, marked, rng), strict=True):
            if tokens is not None:
                changes = {"kind": "mismarked", "stratum": 0, "stratum_share": 1.0}
                made.append(_yes_no.entry(example, truth=False, marks=tokens, **changes))
    silent = [example for example in examples.contrast if example.kind in config.negatives]
    donors = rng.permutation(np.arange(len(silent)) % len(marked)) if silent else []
    return made + [_yes_no.entry(e, truth=False, marks=marked[d]) for e, d in zip(silent, donors, strict=True)]


def active(example: Example, share: float) -> tuple[int, ...]:
    """Return the tokens whose activation is at least `share` of the window's largest."""
    peak = max(example.activations)
    return tuple(i for i, value in enumerate(example.activations) if value > 0 and value >= share * peak)


def mismarks(
    windows: Sequence[Example], marked: Sequence[tuple[int, ...]], rng: np.random.Generator
) -> list[tuple[int, ...] | None]:
    """Give each window the mark positions of another one, at tokens on which the latent is silent.

    Each set of positions is given away once, matched so that as few as possible meet active tokens; a set that still
    does is shifted by as little as possible.

    Returns:
        For each window the tokens to mark; None where no shift of its set is free of active tokens.
    """
    silent = [tuple(value == 0 for value in window.activations) for window in windows]
    hits = np.array([[_hits(tokens, quiet) for tokens in marked] for quiet in silent], dtype=float)
    # Ties are broken at random: less than half a hit in all.
    donors = linear_sum_assignment(hits + rng.random(hits.shape) / (2 * len(windows)))[1].tolist()
    # A set that must move goes left or right by a coin: always the same way would tell rightly from wrongly marked.
    sides = rng.choice([-1, 1], size=len(windows)).tolist()
    return [_shifted(marked[donor], quiet, side) for donor, quiet, side in zip(donors, silent, sides, strict=True)]


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
