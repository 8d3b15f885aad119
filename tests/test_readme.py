"""README.md is true: its commands run or are at least understood; its table is the reference run's."""

import ast
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from autointerp.__main__ import main, parser
from autointerp.cli import _study
from tests.helpers import readme

TEXT = readme.README.read_text(encoding="utf-8")
BLOCKS = readme.blocks(TEXT)
# What makes a study small enough for a test, behind the arguments that README gives.
SMALL = shlex.split(
    "--tokens 24k --set sampling.n_latents=3 --set examples.min_windows=8 --set reconstruction.n_documents=4"
)
GATE = {0, 1, 2, 3}


def commands(content: str) -> list[list[str]]:
    """The commands of a shell block, continued lines joined, `&&` taken apart."""
    lines = content.replace("\\\n", " ").splitlines()
    return [shlex.split(part, comments=True) for line in lines for part in line.split("&&") if part.strip()]


def of_kind(kind: str) -> list[list[str]]:
    """The `autointerp` commands of shell blocks whose remark begins so; "" for blocks without a remark."""
    shell = [(content, remark) for language, content, remark in BLOCKS if language == "sh"]
    chosen = [content for content, remark in shell if (remark.startswith(kind) if kind else not remark)]
    return [words[1:] for content in chosen for words in commands(content) if words[0] == "autointerp"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which README's commands were run in the order in which they stand."""
    folder = tmp_path_factory.mktemp("readme")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for language, content, remark in BLOCKS:
            if language != "sh" or remark.startswith(("test: parsed", "test: run by")):
                continue
            for words in commands(content):
                if words[0] == "autointerp":
                    small = SMALL if words[1] == "score" else []
                    allowed = GATE if words[1] in {"score", "gate"} else {0}
                    assert main([*words[1:], *small]) in allowed, words
        yield folder


@pytest.mark.timeout(1200)
def test_every_command_runs_in_order(place: Path) -> None:
    """Runs, figures, an exported folder and a gate's report are there, where README says that they are."""
    files = (
        "results/embedded/report.html figs/scores.pdf folder/README.md results/mine/study.yaml "
        "results/reference/base/judgements.parquet gate.xml"
    )
    for file in files.split():
        assert (place / file).exists(), file


@pytest.mark.timeout(1200)
def test_the_python_example_runs_and_shows_what_it_says(place: Path) -> None:
    """The last line is a table of comparisons; the latent renders as HTML."""
    (content,) = [content for language, content, _ in BLOCKS if language == "python"]
    tree = ast.parse(content)
    shown = tree.body.pop()
    assert isinstance(shown, ast.Expr)
    names: dict = {}
    exec(compile(tree, "README.md", "exec"), names)
    compared = eval(compile(ast.Expression(shown.value), "README.md", "eval"), names)
    assert set(compared["scorer"]) == {"detection", "fuzzing"}
    assert names["run"].latent("sae", 41)._repr_html_().startswith("<pre")
    assert place.name in str(Path.cwd())


@pytest.mark.parametrize("words", of_kind("test: parsed only"), ids=lambda words: words[0])
def test_what_needs_a_server_or_the_hub_is_understood(words: list[str]) -> None:
    """The arguments parse, and make a valid study."""
    args = parser(words).parse_args(words)
    if args.verb == "score":
        study = _study.study_of(args)
        assert [one.name for one in study.dictionaries] == ["sae", "transcoder"]


def test_every_block_says_whether_it_runs_and_installs_extras_that_exist() -> None:
    """No remark means that it runs as it stands; pip's extras are those of pyproject.toml."""
    remarks = {remark for language, _, remark in BLOCKS if language in {"sh", "python"}}
    assert all(remark == "" or remark.startswith("test: ") for remark in remarks)
    known = tomllib.loads((readme.ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    extras = [name for _, content, _ in BLOCKS for name in re.findall(r"'[\w.]*\[(\w+)\]'", content)]
    assert extras
    assert set(extras) <= set(known)


def test_verbs_of_the_table_are_all_the_verbs() -> None:
    from autointerp.__main__ import verb_names

    rows = [line.split("|")[1] for line in TEXT.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([\w-]+)`", row)}
    assert set(verb_names()) <= named


def test_the_table_is_the_reference_runs() -> None:
    """`python -m tests.helpers.readme` writes it; every number stands in the run that is committed."""
    assert readme.quoted(TEXT) == readme.block().strip()


def test_pictures_and_folders_that_the_text_names_are_there() -> None:
    for path in re.findall(r"\]\((?!http)([^)#]+)\)", TEXT):
        assert (readme.ROOT / path).exists(), path
    for name in re.findall(r"(autointerp/\w+\.py|results/reference/[\w-]+)", TEXT):
        assert name == "results/reference/base" or (readme.ROOT / name).exists(), name
