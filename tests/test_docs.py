"""docs/: the references are generated from the code and complete; every command parses, every Python block runs."""

import ast
import inspect
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import autointerp
from autointerp import plugins
from autointerp.__main__ import main, parser, verb_names
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


def test_every_scorer_and_explainer_has_a_page_and_every_format_a_row(reference: ModuleType) -> None:
    """Generated from docstring, settings and prompt of each member."""
    pages = reference.members()
    for family in ("scorers", "explainers"):
        for name in plugins.names(family):
            _, text = pages[f"{family}/{name}.md"]
            config = plugins.load(family, name).Config
            assert all(f"`{setting}`" in text for setting in config.model_fields)
    assert "```jinja" in pages["scorers/detection.md"][1]
    rows = "\n".join(reference.formats())
    assert all(f"| `{name}` |" in rows for name in plugins.names("dictionaries.formats"))


def commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """Every `autointerp` command of a page with the remark on its block."""
    for language, content, remark in readme.blocks(text):
        for line in content.replace("\\\n", " ").splitlines() if language == "sh" else ():
            for command in line.split("&&"):
                words = shlex.split(command, comments=True)
                if words[:1] == ["autointerp"]:
                    yield remark, words[1:]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_parse_and_links_lead_somewhere(page: Path, reference: ModuleType) -> None:
    """An unknown verb or flag in a page would end the test."""
    text = page.read_text(encoding="utf-8")
    for _, words in commands(text):
        parser(words).parse_args(words)
    made = {*reference.members(), *(f"img/{name}.svg" for name in reference.FIGURES)}
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert target in made or (DOCS / target).exists(), target


@pytest.fixture
def beside_the_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder in which results/embedded is the committed reference run."""
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "embedded").symlink_to(readme.REFERENCE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_commands_on_the_reference_run_do_what_they_say(beside_the_run: Path) -> None:
    """Each once, however many pages have it; with exit code 0."""
    marked = [
        tuple(words)
        for page in PAGES
        for remark, words in commands(page.read_text(encoding="utf-8"))
        if remark.startswith("test: on the reference")
    ]
    assert len(set(marked)) > 5
    for words in dict.fromkeys(marked):
        assert main(list(words)) == 0, words
    for written in ("figs/scores.pdf", "compared/comparisons.csv"):
        assert (beside_the_run / written).exists()


def test_python_blocks_run(beside_the_run: Path) -> None:
    """On the reference run; what needs the hub compiles, and its arguments fit the function's signature."""
    for page in PAGES:
        for language, content, remark in readme.blocks(page.read_text(encoding="utf-8")):
            if language != "python":
                continue
            code = compile(content, str(page), "exec")
            if not remark.startswith("test: compiled only"):
                exec(code, {})
                continue
            for call in ast.walk(ast.parse(content)):
                if isinstance(call, ast.Call) and ast.unparse(call.func).startswith("autointerp."):
                    function = getattr(autointerp, ast.unparse(call.func).partition(".")[2])
                    inspect.signature(function).bind(**{one.arg: None for one in call.keywords if one.arg})


def test_the_example_notebook_was_executed_and_still_runs(beside_the_run: Path) -> None:
    """Every code cell has its output in the file, and runs in order."""
    cells = json.loads((readme.ROOT / "examples" / "embedded.ipynb").read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert sum(bool(cell["outputs"]) for cell in code) >= len(code) - 1
    names: dict = {}
    for cell in code:
        exec(compile("".join(cell["source"]), "embedded.ipynb", "exec"), names)


def test_the_glossary_is_that_of_the_report() -> None:
    """One source of definitions: `words.TERMS`, as a table on the page and in the documentation."""
    rows = "".join(f"| {term} | {meaning} |\n" for term, meaning in TERMS.items())
    assert any(rows in page.read_text() for page in PAGES), "write the glossary's table again:\n" + rows
