"""Explanations are read in the forms that models write them, and nothing else is taken for one."""

import pytest

from autointerp.explainers import _show
from autointerp.explainers.base import UnreadableError
from autointerp.records import Reply


@pytest.mark.parametrize(
    "text",
    [
        "Explanation: words about food",
        "Let me see.\n\nExplanation: words about food\n\nHope it helps!",
        '{"explanation": "words about food"}',
        '```json\n{"Explanation": "words about food", "sure": 1}\n```',
        "Explanation\uff1awords about food",
        "[EXPLANATION]: words about food",
        "**Explanation**: words about food",
        "## Explanation: *words about food*",
        "<|channel|>final<|message|>Explanation: words about food<|return|>",
        "<think>Explanation: no</think>Explanation: words about food",
    ],
)
def test_an_explanation_is_read_in_every_common_form(text: str) -> None:
    assert _show.read(Reply(key="", text=text)) == "words about food"


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("words about food", "unparsed"),
        ('{"reason": "food"}', "unparsed"),
        ('{"explanation": 3}', "unparsed"),
        ("[1, 2]", "unparsed"),
        ("", "empty"),
        ("Explanation:", "empty"),
        ("Explanation: <your sentence>", "empty"),
        ('{"explanation": ""}', "empty"),
        ("I'm sorry, but no.", "refused"),
        ("Explanation: I cannot say", "refused"),
        ('{"explanation": "I am unable to help"}', "refused"),
        ("My explanation of this: food", "unparsed"),
    ],
)
def test_anything_else_is_a_failure_with_its_reason(text: str, status: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        _show.read(Reply(key="", text=text))
    assert caught.value.status == status
