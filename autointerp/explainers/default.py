"""The established prompt: activating contexts over all deciles, active tokens marked, activations 0 to 10 below.

Source: arXiv 2410.13928, section 3 (40 examples of 32 tokens, marks from .3 of an example's maximum, no chain of
thought).
"""

from collections.abc import Sequence

import numpy as np

from autointerp.explainers import _show
from autointerp.prompts import Prompts
from autointerp.records import ExplainTask, LatentExamples, Reply, Request


class Config(_show.ExplainerConfig):
    """Settings of the default explainer."""


class Default:
    """Shows activating contexts only."""

    name = "default"
    templates: Sequence[str] = ("explainers/default",)

    def __init__(self, config: Config, prompts: Prompts) -> None:
        self.config, self.prompts = config, prompts

    def request(self, examples: LatentExamples, rng: np.random.Generator) -> Request:
        """Ask for an explanation of the explain split's activating contexts."""
        picked = _show.pick(examples.explain, self.config.n_examples, rng)
        task = ExplainTask(examples=_show.shown(picked, self.config.mark_share))
        return _show.request(
            examples.latent, self.templates[0], task, prompts=self.prompts, sampling=self.config.sampling()
        )

    def read(self, reply: Reply) -> str:
        """Return the text after `Explanation:`."""
        return _show.read(reply)


def build(config: Config, prompts: Prompts) -> Default:
    """Make the explainer."""
    return Default(config, prompts)
