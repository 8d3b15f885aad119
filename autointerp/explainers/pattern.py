"""Pattern: activating and silent contexts, and a prompt that asks for a literal pattern and not for a meaning.

What the `pattern` back end answers best, and a baseline for a language model: how far do words and their neighbours go?

Source: Neuron to Graph (Foote et al. 2023, arXiv 2305.19911) for the kind of explanation; the prompt is our own.
"""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from autointerp.explainers import _show, contrastive
from autointerp.prompts import Prompts
from autointerp.records import LatentExamples, Reply, Request


class Config(contrastive.Config):
    """Settings of the pattern explainer."""

    n_examples: int = Field(
        default=40, ge=1, le=10_000, description="activating examples shown, evenly over the deciles"
    )
    n_counterexamples: int = Field(default=40, ge=0, le=10_000, description="silent examples shown, hard ones first")


class Pattern:
    """Shows activating and silent contexts and asks for a literal pattern."""

    name = "pattern"
    templates: Sequence[str] = ("explainers/pattern",)

    def __init__(self, config: Config, prompts: Prompts) -> None:
        self.config, self.prompts = config, prompts

    def request(self, examples: LatentExamples, rng: np.random.Generator) -> Request:
        """Ask for the literal pattern that separates the explain split's activating contexts from its silent ones."""
        task = contrastive.contrast(examples, self.config, rng)
        return _show.request(
            examples.latent, self.templates[0], task, prompts=self.prompts, sampling=self.config.sampling()
        )

    def read(self, reply: Reply) -> str:
        """Return the text after `Explanation:`."""
        return _show.read(reply)


def build(config: Config, prompts: Prompts) -> Pattern:
    """Make the explainer."""
    return Pattern(config, prompts)
