"""Docstrings of the Python standard library, or of installed packages: English and code that is always there.

A document is a module's docstring, a top-level function's, or a class's with those of its members, each after the line
that defines it. Sources are parsed, never imported. Files come in an order drawn from their names, so that any first
part of the corpus is a fair sample of its packages; test folders are left out, since not every installation has them.
"""

import ast
import importlib.util
import inspect
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from autointerp.corpus.base import Document
from autointerp.errors import CorpusError
from autointerp.seeds import digest

STDLIB = "stdlib"
# Folders which are no part of a library's own text.
LEFT_OUT = {"site-packages", "dist-packages", "__pycache__", "test", "tests", "idle_test", "lib2to3"}
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class Config(BaseModel):
    """Packages to read docstrings of."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    packages: tuple[str, ...] = Field(
        default=(STDLIB,), min_length=1, description="'stdlib' for the standard library, or names of installed packages"
    )
    min_characters: int = Field(default=80, ge=1, le=10**6, description="shorter documents are left out")


def documents(config: Config) -> Iterator[Document]:
    """Yield the documents, equal texts once; ids count from 0 in the order yielded.

    Raises:
        CorpusError: a package is not installed.
    """
    files = [(package, root, path) for package in config.packages for root, path in _files(package)]
    files.sort(key=lambda file: digest("docstrings", file[0], file[2].relative_to(file[1]).as_posix()))
    seen: set[int] = set()
    for _, _, path in files:
        for text in _texts(path):
            key = digest(text)
            if len(text) >= config.min_characters and key not in seen:
                yield Document(id=len(seen), text=text)
                seen.add(key)


def _files(package: str) -> Iterator[tuple[Path, Path]]:
    """Yield (root folder, source file) of a package."""
    root = _root(package)
    if root.is_file():
        yield root.parent, root
        return
    for path in sorted(root.rglob("*.py")):
        if not LEFT_OUT & set(path.relative_to(root).parts[:-1]):
            yield root, path


def _root(package: str) -> Path:
    if package == STDLIB:
        return Path(sysconfig.get_paths()["stdlib"])
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or not (spec.submodule_search_locations or spec.origin):
        raise CorpusError(f"docstrings: package {package!r} is not installed here; 'stdlib' always is")
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(str(spec.origin))


def _texts(path: Path) -> Iterator[str]:
    """Yield the documents of one source file; a file that is not valid Python has none."""
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return
    if doc := ast.get_docstring(tree):
        yield doc
    for node in tree.body:
        if isinstance(node, Definition):
            parts = list(_parts(node))
            if parts:
                yield "\n\n".join(parts)


def _parts(node: Definition, owner: str = "") -> Iterator[str]:
    """Yield one text per docstring of a definition and, for a class, of its members."""
    name = f"{owner}.{node.name}" if owner else node.name
    if doc := ast.get_docstring(node, clean=False):
        yield f"{_heading(node, name)}\n{inspect.cleandoc(doc)}"
    if isinstance(node, ast.ClassDef):
        for member in node.body:
            if isinstance(member, Definition):
                yield from _parts(member, name)


def _heading(node: Definition, name: str) -> str:
    """Write the line that defines a class or function, without annotations: `def dumps(obj, *, indent=None):`."""
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        return f"class {name}({bases}):" if bases else f"class {name}:"
    for argument in ast.walk(node.args):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    word = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    return f"{word} {name}({ast.unparse(node.args)}):"
