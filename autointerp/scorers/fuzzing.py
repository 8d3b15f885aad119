"""Fuzzing: are the marked tokens the ones that activate the latent, by its explanation?

Score: balanced accuracy over rightly and wrongly marked contexts, in [0, 1]; chance .5. The default negatives are
`mismarked`: the windows of the positives, each marked like ANOTHER positive, as many tokens at about the same
positions, where the latent is silent. So contexts, their lengths, the number of marks and their positions are the same
in both classes, and a judge that sees only those scores .5. (Contexts on which the latent is silent would be recognised
by the context alone: they can be added by setting, and are reported by kind.) Degenerate: a window so full of
activity that no set of marks can be put wrongly into it is not asked about at all, since it would be known by being
only ever right; a latent with no others has no fuzzing score.

Right marks resemble each other, and a prompt shows several contexts. So wrong marks repeat words as right ones do
(`_mismarks`), and prompts are dealt so that true and false items resemble their prompt alike (`_dealing`):
`python -m tests.benchmarks.shortcuts RUN` measures what judges without an explanation gain, see docs/concepts.md.

Source: arXiv 2410.13928, section 3.2 ("fuzzing"); the negatives are this project's.
"""

from functools import partial
from typing import Literal

import numpy as np
from pydantic import Field

from autointerp.prompts import Prompts
from autointerp.records import Example, LatentExamples
from autointerp.scorers import _yes_no
from autointerp.scorers._mismarks import mismarks

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
        wrong = mismarks(shown, marked, rng, [one for one in examples.contrast if one.kind == "random"])
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


def build(config: Config, prompts: Prompts) -> _yes_no.YesNo:
    """Make the scorer."""
    return _yes_no.YesNo("fuzzing", config, prompts, partial(entries, config), balance=True)
