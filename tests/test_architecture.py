"""The tree reads as the experiment: who may import whom, held by a test."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "autointerp"
STAGES = {
    "corpus", "subject", "dictionaries", "examples", "llm", "explainers", "scorers", "train", "reconstruction",
    "statistics", "report",
}  # fmt: skip
# Top-level names that a group of files must never import, not even inside a function.
HEAVY = {"torch", "transformers", "datasets", "vllm", "openai", "httpx", "aiohttp", "httptools"}
LIGHT_ROOMS = {"scorers", "explainers", "statistics", "report"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Dotted names that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else ""


def name(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", [path for path in modules() if room(path) in STAGES], ids=name)
def test_stage_folders_do_not_import_each_other(path: Path) -> None:
    """Values arrive as arguments; only an upstream stage's `base` (its protocol) may be imported."""
    here = room(path)
    # Report stands above the stages and computes what it shows from judgements, by the statistics' own functions.
    below = {here, "statistics"} if here == "report" else {here}
    for imported in imports(path):
        parts = imported.split(".")
        if len(parts) > 1 and parts[0] == "autointerp" and parts[1] in STAGES - below:
            assert "base" in parts[2:3], f"{path} imports {imported}"


@pytest.mark.parametrize("path", [path for path in modules() if room(path) in LIGHT_ROOMS], ids=name)
def test_light_rooms_import_nothing_heavy(path: Path) -> None:
    """`compare`, `gate`, `report` and `figures` start fast and run without torch."""
    heavy = {name for name in imports(path) if name.split(".")[0] in HEAVY}
    assert not heavy, f"{path} imports {heavy}"


@pytest.mark.parametrize("path", [PACKAGE / "records.py", PACKAGE / "errors.py"], ids=name)
def test_nouns_import_nothing_of_ours(path: Path) -> None:
    """`records` and `errors` stand below everything."""
    assert not [name for name in imports(path) if name.split(".")[0] == "autointerp"]


def test_no_import_circles() -> None:
    """A topological order of the modules exists (imports for type checking included)."""
    names = {".".join(("autointerp", *path.relative_to(PACKAGE).with_suffix("").parts)): path for path in modules()}
    edges = {name: {target for target in imports(path) if target in names} for name, path in names.items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail, name))
        if name not in done:
            for target in edges[name]:
                visit(target, (*trail, name))
            done.add(name)

    for name in names:
        visit(name, ())
