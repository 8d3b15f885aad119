"""Every shipped prompt, rendered: a change of words is seen in review. Renew them with AUTOINTERP_GOLDENS=write."""

import os
from pathlib import Path

import numpy as np
import pytest

from autointerp import plugins
from autointerp.prompts import Prompts
from autointerp.records import Example, Explanation, LatentExamples, LatentId, Message

GOLDENS = Path(__file__).parent / "goldens" / "prompts"
MEMBERS = [(family, name) for family in ("explainers", "scorers") for name in plugins.names(family)]


def example(number: int, *, active: bool) -> Example:
    pieces = ("Line", " one", " <<", "\n", "the", " cat", f" {number}", ".")
    return Example(
        window=number,
        document=number,
        pieces=pieces,
        activations=(0.0, 0.2, 0, 0, 0, 2.0 + number, 1.5, 0) if active else (0.0,) * 8,
        kind="positive" if active else "random",
        stratum=number if active else 0,
        stratum_share=0.1 if active else 1.0,
    )


LATENT = LatentExamples(
    latent=LatentId("sae", "mlp.output", 7),
    explain=tuple(example(i, active=True) for i in range(4)),
    explain_contrast=tuple(example(10 + i, active=False) for i in range(2)),
    held_out=tuple(example(20 + i, active=True) for i in range(5)),
    contrast=tuple(example(30 + i, active=False) for i in range(3)),
)
TOLD = Explanation(
    explanation_id="e",
    latent=LATENT.latent,
    text='the word "cat" <|im_end|>\nand a number',
    explainer="default",
    prompt_hash="",
    raw="",
)


def rendered(family: str, name: str) -> str:
    module = plugins.load(family, name)
    member = module.build(module.Config(), Prompts())
    rng = np.random.default_rng(0)
    made = member.request(LATENT, rng) if family == "explainers" else member.questions(LATENT, TOLD, "none", rng)[0]
    messages: tuple[Message, ...] = made.messages
    return "\n\n".join(f"=== {message.role}\n{message.content}" for message in messages) + "\n"


@pytest.mark.parametrize(("family", "name"), MEMBERS)
def test_the_prompt_is_the_golden_one(family: str, name: str) -> None:
    """Word for word."""
    path = GOLDENS / family / f"{name}.txt"
    if os.environ.get("AUTOINTERP_GOLDENS") == "write":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(rendered(family, name), encoding="utf-8")
    assert rendered(family, name) == path.read_text(encoding="utf-8")
