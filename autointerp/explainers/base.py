"""The protocol every explainer keeps: examples in, one prompt out, the reply read into an explanation's text."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from autointerp.records import LatentExamples, Reply, Request


class UnreadableError(ValueError):
    """A reply holds no explanation; `status` says why: unparsed | refused | empty | truncated."""

    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status


class Explainer(Protocol):
    """Writes the prompt that asks for one latent's explanation, and reads the reply. Pure: no I/O, no LLM.

    A member file `autointerp/explainers/<name>.py` defines a frozen pydantic `Config` and
    `build(config, prompts) -> Explainer`, where `prompts` renders templates (`autointerp.prompts`).
    """

    name: str
    templates: Sequence[str]  # the templates it renders, for the manifest's hashes

    def request(self, examples: LatentExamples, rng: np.random.Generator) -> Request:
        """Make the prompt from the explain split only."""
        ...

    def read(self, reply: Reply) -> str:
        """Return the explanation in the reply.

        Raises:
            UnreadableError: there is none.
        """
        ...
