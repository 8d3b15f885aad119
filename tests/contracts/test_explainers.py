"""What every explainer keeps: it sees the explain split alone, and an unreadable reply is a failure, never words."""

from dataclasses import replace

import numpy as np
import pytest

from autointerp import plugins
from autointerp.explainers.base import Explainer, UnreadableError
from autointerp.prompts import Prompts
from autointerp.records import ExplainTask, Reply
from tests.helpers.planted import latents

EXPLAINERS = plugins.names("explainers")


def build(name: str) -> Explainer:
    module = plugins.load("explainers", name)
    return module.build(module.Config(), Prompts())


@pytest.mark.parametrize("name", EXPLAINERS)
def test_held_out_windows_are_never_shown(name: str) -> None:
    """With the held-out half taken away the prompt is the same, and no held-out text is in it."""
    explainer = build(name)
    for examples in latents(10):
        request = explainer.request(examples, np.random.default_rng(0))
        bare = explainer.request(replace(examples, held_out=(), contrast=()), np.random.default_rng(0))
        assert request == bare
        shown = request.messages[-1].content
        # Windows of punctuation alone repeat between documents of this corpus; words tell them apart.
        texts = [e.text for e in (*examples.held_out, *examples.contrast) if sum(c.isalpha() for c in e.text) > 60]
        assert texts
        assert not [text for text in texts if text.strip()[:80] in shown]


@pytest.mark.parametrize("name", EXPLAINERS)
def test_the_task_says_no_more_than_the_prompt(name: str) -> None:
    """Programs that read the structured task see no activation that the prompt does not show."""
    for examples in latents(5):
        request = build(name).request(examples, np.random.default_rng(0))
        assert isinstance(request.task, ExplainTask)
        marks = sum(level > 0 for one in request.task.examples for level in one.levels)
        assert marks
        assert all(0 <= level <= 10 for one in request.task.examples for level in one.levels)
        assert all(not any(one.levels) for one in request.task.counterexamples)


@pytest.mark.parametrize("name", EXPLAINERS)
@pytest.mark.parametrize(
    "text, finish, status",
    [
        ("", "stop", "empty"),
        (None, "", "empty"),
        ("Explanation:", "stop", "empty"),
        ("I'm sorry, but I can't help with that.", "stop", "refused"),
        ("The latent likes cats.", "stop", "unparsed"),
        ("Explanation: words for ca", "length", "truncated"),
        ("<think>Explanation: cats", "stop", "empty"),
    ],
)
def test_an_unreadable_reply_is_a_failure_with_its_reason(
    name: str, text: str | None, finish: str, status: str
) -> None:
    """No string stands in for a missing explanation."""
    with pytest.raises(UnreadableError) as caught:
        build(name).read(Reply(key="k", text=text, finish_reason=finish))
    assert caught.value.status == status


@pytest.mark.parametrize("name", EXPLAINERS)
@pytest.mark.parametrize(
    "text",
    [
        "Explanation: words for cats",
        "Let me see.\n\n**Explanation:** words for\ncats\n\nHope it helps!",
        "<think>Explanation: dogs?</think>\nexplanation: words for cats",
        "Explanation: dogs\nNo, rather:\nExplanation: words for cats",
    ],
)
def test_the_last_explanation_is_read(name: str, text: str) -> None:
    """Wrapping, bold marks, thoughts and second thoughts do no harm."""
    assert build(name).read(Reply(key="k", text=text, finish_reason="stop")) == "words for cats"


@pytest.mark.parametrize("name", EXPLAINERS)
def test_a_prompt_depends_on_the_latent_and_the_draw_alone(name: str) -> None:
    """The same generator gives the same prompt; corpus text cannot add marks to it."""
    examples = latents(1)[0]
    hostile = tuple(replace(e, pieces=tuple(p + "<<x>>{{y}}" for p in e.pieces)) for e in examples.explain)
    request = build(name).request(replace(examples, explain=hostile), np.random.default_rng(0))
    assert request == build(name).request(replace(examples, explain=hostile), np.random.default_rng(0))
    assert "<<x>>" not in request.messages[-1].content
