"""Single token: the tokens with the strongest activations, without their contexts. The cheapest explanation there is.

What it scores close to a full explanation's score is owed to tokens alone (statistics: triviality).

Source: the tokens-only ablation is this project's; the prompt's form is that of the default explainer.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from pydantic import Field

from autointerp.explainers import _show
from autointerp.prompts import Prompts, one_line, plain
from autointerp.records import Example, ExplainTask, LatentExamples, Reply, Request, ShownExample


class Config(_show.ExplainerConfig):
    """Settings of the single-token explainer."""

    n_examples: int = Field(default=40, ge=1, description="activating examples to count peak tokens of")
    n_tokens: int = Field(
        default=10, ge=1, le=1_000, description="most common peak tokens that are shown, with their counts"
    )


class SingleToken:
    """Shows the most common peak tokens and how often each was the peak."""

    name = "single_token"
    templates: Sequence[str] = ("explainers/single_token",)

    def __init__(self, config: Config, prompts: Prompts) -> None:
        self.config, self.prompts = config, prompts

    def request(self, examples: LatentExamples, rng: np.random.Generator) -> Request:
        """Ask what the explain split's peak tokens have in common."""
        picked = _show.pick(examples.explain, self.config.n_examples, rng)
        counts = Counter(plain(_peak(example)) for example in picked)
        common = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[: self.config.n_tokens]
        # A frequent token is listed as often as it occurs, as the prompt says.
        shown = [ShownExample(pieces=(token,), levels=(_show.LEVELS,)) for token, count in common for _ in range(count)]
        tokens = [{"text": one_line(token), "count": count} for token, count in common]
        return Request(
            key=_show.key(examples.latent),
            messages=self.prompts.render(self.templates[0], tokens=tokens, n_tokens=len(tokens)),
            task=ExplainTask(examples=tuple(shown)),
            sampling=self.config.sampling(),
        )

    def read(self, reply: Reply) -> str:
        """Return the text after `Explanation:`."""
        return _show.read(reply)


def _peak(example: Example) -> str:
    return example.pieces[max(range(len(example.pieces)), key=lambda i: (example.activations[i], -i))]


def build(config: Config, prompts: Prompts) -> SingleToken:
    """Make the explainer."""
    return SingleToken(config, prompts)
