"""docs/: the references are generated from the code and complete; every command parses, every Python block runs."""

import re
import shlex
from pathlib import Path
from types import ModuleType

import pytest

from autointerp.__main__ import parser, verb_names
from autointerp.report.words import TERMS
from tests.helpers import readme, script

DOCS = readme.ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    """The hook that MkDocs runs."""
    return script.module(DOCS / "reference.py")


def test_every_setting_has_a_meaning(reference: ModuleType) -> None:
    """The settings reference has no empty cell, and a section for every member of a family."""
    lines = "\n".join(reference.settings()).splitlines()
    rows = [line for line in lines if line.startswith("| `")]
    assert [row for row in rows if row.split(" | ")[-1].strip(" |") == ""] == []
    assert len(rows) > 100
    titles = [line for line in lines if line.startswith("## ")]
    assert any(title.endswith("detection") for title in titles)
    assert any(title.endswith("openai") for title in titles)


def test_every_verb_is_in_the_command_line_reference(reference: ModuleType) -> None:
    text = "\n".join(reference.cli())
    assert all(f"## autointerp {verb}\n" in text for verb in verb_names())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_parse_and_links_lead_somewhere(page: Path) -> None:
    """An unknown verb or flag in a page would end the test."""
    text = page.read_text(encoding="utf-8")
    for language, content, _ in readme.blocks(text):
        for line in content.replace("\\\n", " ").splitlines() if language == "sh" else ():
            for command in line.split("&&"):
                words = shlex.split(command, comments=True)
                if words[:1] == ["autointerp"]:
                    parser(words[1:]).parse_args(words[1:])
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (DOCS / target).exists(), target


def test_python_blocks_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On the committed reference run, under the name that the page gives it."""
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "embedded").symlink_to(readme.REFERENCE)
    monkeypatch.chdir(tmp_path)
    for page in PAGES:
        for language, content, _ in readme.blocks(page.read_text(encoding="utf-8")):
            if language == "python":
                exec(compile(content, str(page), "exec"), {})


def test_the_glossary_is_that_of_the_report() -> None:
    """One source of definitions: `words.TERMS`, as a table on the page and in the documentation."""
    rows = "".join(f"| {term} | {meaning} |\n" for term, meaning in TERMS.items())
    assert any(rows in page.read_text() for page in PAGES), "write the glossary's table again:\n" + rows
