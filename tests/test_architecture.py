"""Architecture laws: which room may import which, how many floors there are, how long functions and files may be.

A room is a folder of the package, or a module at its root. `ARROWS` lists every allowed import between rooms; add an
arrow only if no existing one will do. `KNOWN_LONG` lists what is still over a limit: remove an entry with its cause.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "autointerp"
# Rooms that every room may import.
LEAVES = {"_version", "errors", "records", "seeds", "console", "text"}
ARROWS = {
    "__main__": "plugins",
    "autointerp": "cli dictionaries experiment report run statistics",
    "cli": "corpus dictionaries experiment gate judge_training plugins qualification reconstruction report "
    "run statistics subject train",
    "experiment": "asking collection corpus dictionaries examples gate judge_training llm plugins prompts "
    "qualification reconstruction report run scorers statistics subject",
    "qualification": "asking corpus examples explainers llm scorers",
    "judge_training": "examples llm",
    "gate": "run statistics",
    "report": "asking plugins run statistics",
    "statistics": "run",
    "collection": "corpus examples execution run subject",
    "reconstruction": "corpus run subject",
    "dictionaries": "plugins run subject",
    "train": "corpus subject",
    "asking": "explainers llm scorers",
    "examples": "corpus",
    "scorers": "prompts",
    "explainers": "prompts",
}
MAX_ROOT_MODULES, MAX_FLOORS = 10, 8
# Rooms of the experiment's steps: of each other they import only `base`, the protocol of the earlier step.
STEPS = {"corpus", "subject", "dictionaries", "examples", "llm", "explainers", "scorers", "train", "reconstruction"}
STEPS |= {"statistics", "report"}
# Top-level packages that a group of files must never import, not even inside a function.
HEAVY = {"torch", "transformers", "datasets", "vllm", "openai", "httpx", "aiohttp"}
LIGHT_ROOMS = {"scorers", "explainers", "statistics", "report"}

MAX_FUNCTION, MAX_FUNCTION_P90, MAX_FILE, MAX_TEST_FILE = 60, 25, 350, 400
# Lines of package and tests exempt from formatting: tables that are read by columns.
MAX_FMT_SKIP = 70
# Words of an old dialect (write given, again, fix, after, next to), and files of words that are data.
DIALECT = re.compile(r"\b(told|anew|mends?|behind|beside|nowhere|stubborn\w*)\b")
WORD_LISTS = {"bank.py", "topics.py", "literal.py", "rules.py"}
KNOWN_LONG: set[str] = set()


def dotted(path: Path) -> str:
    """Return the module's dotted name."""
    parts = ("autointerp", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts).removesuffix(".__init__")


MODULES = {dotted(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports(path: Path) -> Iterator[str]:
    """Yield the modules that a file imports, wherever in the file, names imported from a module resolved to it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                yield submodule if submodule in MODULES else node.module


def room(module: str) -> str:
    """Return the module's room: its folder, or itself at the root; `autointerp` for the package's own file."""
    return [*module.split("."), "autointerp"][1] if "." in module else "autointerp"


IMPORTS = {module: {name for name in imports(path) if name != module} for module, path in MODULES.items()}


def room_graph() -> dict[str, set[str]]:
    """Map room -> rooms that it imports."""
    graph: dict[str, set[str]] = defaultdict(set)
    for module, names in IMPORTS.items():
        graph[room(module)] |= {room(name) for name in names if name in MODULES} - {room(module)}
    return graph


def height(graph: Mapping[str, set[str]], node: str, trail: tuple[str, ...] = ()) -> int:
    """Return the length of the longest path down from a node; a circle fails."""
    assert node not in trail, "import circle: " + " -> ".join((*trail, node))
    return max((height(graph, below, (*trail, node)) + 1 for below in sorted(graph.get(node, ()))), default=0)


def members(*rooms: str) -> list[str]:
    return [module for module in MODULES if room(module) in rooms]


def test_root_holds_few_modules() -> None:
    """What is needed in several rooms lies at the root, and nothing else."""
    root = sorted(path.name for path in PACKAGE.glob("*.py"))
    assert len(root) <= MAX_ROOT_MODULES, root


def test_rooms_import_only_along_the_allowed_arrows() -> None:
    """Every import between rooms is in the table, and every arrow of the table is used."""
    graph = {name: below - LEAVES for name, below in room_graph().items() if name not in LEAVES}
    new = [f"{name} -> {below}" for name in graph for below in graph[name] - set(ARROWS.get(name, "").split())]
    assert not new, f"not in ARROWS: {new}"


def test_leaves_import_no_room() -> None:
    """Modules that every room may import stand below all rooms."""
    graph = room_graph()
    assert {name: graph.get(name, set()) - LEAVES for name in LEAVES} == {name: set() for name in LEAVES}


def test_rooms_have_few_floors_and_no_circle() -> None:
    """A value goes through few floors, and never back up."""
    graph = room_graph()
    floors = {name: height(graph, name) + 1 for name in graph}
    assert max(floors.values()) <= MAX_FLOORS, sorted(floors.items(), key=lambda pair: -pair[1])


def test_files_have_no_import_circle() -> None:
    """A topological order of the modules exists (imports for type checking included)."""
    graph = {module: {name for name in names if name in MODULES} for module, names in IMPORTS.items()}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join((*trail, module))
        if module not in done:
            for target in graph[module]:
                visit(target, (*trail, module))
            done.add(module)

    for module in MODULES:
        visit(module, ())


@pytest.mark.parametrize("module", members(*STEPS))
def test_steps_import_only_the_base_of_each_other(module: str) -> None:
    """Values arrive as arguments; only an earlier step's `base` (its protocol) may be imported."""
    # The report stands above the steps and computes what it shows by the statistics' own functions.
    allowed = {room(module), "statistics"} if room(module) == "report" else {room(module)}
    for name in IMPORTS[module]:
        if name.startswith("autointerp.") and room(name) in STEPS - allowed:
            assert name.split(".")[2:3] == ["base"], f"{module} imports {name}"


@pytest.mark.parametrize("module", members(*LIGHT_ROOMS))
def test_light_rooms_import_nothing_heavy(module: str) -> None:
    """`compare`, `gate`, `report` and `figures` start fast and run without torch."""
    heavy = {name for name in IMPORTS[module] if name.split(".")[0] in HEAVY}
    assert not heavy, f"{module} imports {heavy}"


def functions() -> Iterator[tuple[str, int]]:
    """Yield every function of the package with its number of lines."""
    for path in MODULES.values():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{path.relative_to(PACKAGE)}:{node.name}", (node.end_lineno or 0) - node.lineno + 1


def test_functions_and_files_are_short() -> None:
    """Nothing is over its limit but what is listed, and what is listed still is."""
    lines = {path: len(path.read_text().splitlines()) for path in chain(PACKAGE.rglob("*.py"), TESTS.rglob("*.py"))}
    inside = {path for path in lines if PACKAGE in path.parents}
    long = {name for name, n in functions() if n > MAX_FUNCTION}
    long |= {str(path.relative_to(PACKAGE)) for path in inside if lines[path] > MAX_FILE}
    long |= {str(path.relative_to(TESTS.parent)) for path in lines.keys() - inside if lines[path] > MAX_TEST_FILE}
    assert long - KNOWN_LONG == set(), "over the limit: split it"
    assert KNOWN_LONG - long == set(), "no longer over the limit: remove it from KNOWN_LONG"


def test_most_functions_are_very_short() -> None:
    """Nine of ten functions are read at a glance."""
    sizes = sorted(n for _, n in functions())
    assert sizes[int(0.9 * len(sizes))] < MAX_FUNCTION_P90


def test_the_formatter_is_rarely_switched_off() -> None:
    """Layout by hand hides wide dicts and long argument lists; small records need none."""
    files = chain(PACKAGE.rglob("*.py"), TESTS.rglob("*.py"))
    n = sum(line.endswith("# fmt: skip") for path in files for line in path.read_text().splitlines())
    assert n <= MAX_FMT_SKIP, f"{n} lines are exempt from formatting"


def test_changelog_lines_are_short() -> None:
    """One user-visible outcome a line, under the usual headings."""
    lines = (TESTS.parent / "CHANGELOG.md").read_text().splitlines()
    assert not [line for line in lines if line.startswith("- ") and len(line.split()) > 26]
    headings = {line.removeprefix("### ") for line in lines if line.startswith("### ")}
    assert headings <= {"Added", "Changed", "Removed", "Fixed", "Numbers that moved"}


def test_texts_are_in_plain_words() -> None:
    """Messages, help and docstrings use the words of the field; lists of words that are data are exempt."""
    dialect = [
        f"{path.relative_to(PACKAGE)}:{node.lineno} {word[0]}"
        for path in MODULES.values()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and path.name not in WORD_LISTS
        for word in [DIALECT.search(node.value)]
        if word
    ]
    assert not dialect, f"plainer words, please (told: given; behind: after; beside: next to; anew: again): {dialect}"
