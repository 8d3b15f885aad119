"""Contrastive: activating contexts next to silent ones, which the explanation must distinguish.

The silent contexts are the explain split's (`hard` ones where the study draws them): held-out ones are never shown.

Source: the weakness it answers is that random negatives do not punish too broad explanations (arXiv 2506.05774).
"""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from autointerp.explainers import _show
from autointerp.prompts import Prompts
from autointerp.records import ExplainTask, LatentExamples, Reply, Request


class Config(_show.ExplainerConfig):
    """Settings of the contrastive explainer."""

    n_examples: int = Field(
        default=30, ge=1, le=10_000, description="activating examples shown, evenly over the deciles"
    )
    n_counterexamples: int = Field(default=15, ge=0, le=10_000, description="silent examples shown, hard ones first")


class Contrastive:
    """Shows activating and silent contexts."""

    name = "contrastive"
    templates: Sequence[str] = ("explainers/contrastive",)

    def __init__(self, config: Config, prompts: Prompts) -> None:
        self.config, self.prompts = config, prompts

    def request(self, examples: LatentExamples, rng: np.random.Generator) -> Request:
        """Ask what separates the explain split's activating contexts from its silent ones."""
        task = contrast(examples, self.config, rng)
        return _show.request(
            examples.latent, self.templates[0], task, prompts=self.prompts, sampling=self.config.sampling()
        )

    def read(self, reply: Reply) -> str:
        """Return the text after `Explanation:`."""
        return _show.read(reply)


def contrast(examples: LatentExamples, config: Config, rng: np.random.Generator) -> ExplainTask:
    """Pick the activating contexts over their deciles, and the silent ones, hard ones first."""
    picked = _show.pick(examples.explain, config.n_examples, rng)
    silent = [examples.explain_contrast[i] for i in rng.permutation(len(examples.explain_contrast))]
    silent.sort(key=lambda example: example.kind != "hard")
    return ExplainTask(
        examples=_show.shown(picked, config.mark_share),
        counterexamples=_show.shown(silent[: config.n_counterexamples], config.mark_share),
    )


def build(config: Config, prompts: Prompts) -> Contrastive:
    """Make the explainer."""
    return Contrastive(config, prompts)
