"""Detection: does this context activate the latent, by its explanation?

Score: balanced accuracy over held-out activating and silent contexts, in [0, 1]; chance .5, exactly .5 for a judge that
always says the same. Degenerate: a latent without positives or without negatives has no score. Random
negatives cannot punish an explanation that is too broad (arXiv 2506.05774): see the `hard` ones, reported separately.

Which measure notices which wrong explanation, by a perfect judge on four planted words of the Python manual, means
(`AUTOINTERP_TABLES=print pytest -s tests/scorers/test_wrong_explanations.py`; windows of 32 words):

    explanation    random negatives    hard negatives    F1 at real prevalence
    true                 1.00               1.00                1.00
    near miss             .52                .32                 .07
    too broad             .95                .50                 .60
    too narrow            .73                .73                 .60

Source: arXiv 2410.13928, section 3.2 ("detection").
"""

import numpy as np

from autointerp.prompts import Prompts
from autointerp.records import LatentExamples
from autointerp.scorers import _yes_no


class Config(_yes_no.YesNoConfig):
    """Settings of detection."""


def entries(examples: LatentExamples, rng: np.random.Generator) -> list[_yes_no.Entry]:
    """Ask about every held-out positive and every contrast window once, plain."""
    positives = [_yes_no.entry(example, truth=True) for example in examples.held_out]
    return positives + [_yes_no.entry(example, truth=False) for example in examples.contrast]


def build(config: Config, prompts: Prompts) -> _yes_no.YesNo:
    """Make the scorer."""
    return _yes_no.YesNo("detection", config, prompts, entries)
