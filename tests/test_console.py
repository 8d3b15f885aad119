"""Progress as a log file shows it."""

import pytest
from rich.text import Text

from autointerp import console
from autointerp.console import Bar


def test_an_estimated_total_is_said_to_be_one_and_gives_way(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never "12 of 10": a reckoned total is `about`, and the last line tells what there was."""
    monkeypatch.setattr("autointerp.console.LOG_INTERVAL_S", 0.0)
    with Bar("judge", total=10, unit="questions", estimated=True) as bar:
        bar.advance(4)
        bar.advance(8)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("judge: 4 of about 10 questions")
    assert lines[-1].startswith("judge: 12 of 12 questions")
    with Bar("select", total=2, unit="latents") as bar:
        bar.advance(1)
    assert capsys.readouterr().err.splitlines()[-1].startswith("select: 1 of 2 latents")


def test_names_between_colons_are_no_emoji(capsys: pytest.CaptureFixture[str]) -> None:
    """`openai:m: ...` once began with a circled M, since `:m:` is the name of an emoji."""
    text = "openai:m: the model :rocket: [red]x[/red]"
    console.note(text)
    console.results().print(Text(text))
    console.results().print(text, markup=False)
    shown = capsys.readouterr()
    assert (shown.err + shown.out).splitlines() == [text] * 3
