"""Docstrings: found by parsing, once each, in an order that depends on names alone."""

import sys
from pathlib import Path

import pytest

from autointerp.corpus.docstrings import Config, documents
from autointerp.errors import CorpusError

SOURCE = '''"""A module with enough words to be kept."""

raise RuntimeError("parsed, never run")

def f(a: int, *, b: str = "x") -> int:
    """Return what f returns.

    On:
        Indented twice.
    """

class C(list):
    """Class words."""

    async def m(self, c):
        """Method words."""

    def silent(self): ...
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package `docs_here` with one module, its copy, a broken file and a test folder."""
    root = tmp_path / "docs_here"
    (root / "tests").mkdir(parents=True)
    (root / "__init__.py").write_text("")
    (root / "a.py").write_text(SOURCE)
    (root / "copy.py").write_text(SOURCE)
    (root / "broken.py").write_text("def (")
    (root / "tests" / "test_a.py").write_text('"""Words of a test, which are left out."""')
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return root


def test_each_docstring_once_behind_its_heading(package: Path) -> None:
    """A class carries its members' docstrings; annotations, copies, broken files and tests are left out."""
    found = list(documents(Config(packages=(package.name,), min_characters=1)))
    assert [document.id for document in found] == [0, 1, 2]
    assert {document.text for document in found} == {
        "A module with enough words to be kept.",
        "def f(a, *, b='x'):\nReturn what f returns.\n\nOn:\n    Indented twice.",
        "class C(list):\nClass words.\n\nasync def C.m(self, c):\nMethod words.",
    }


def test_shorter_documents_are_left_out(package: Path) -> None:
    found = list(documents(Config(packages=(package.name,), min_characters=50)))
    assert [len(document.text) >= 50 for document in found] == [True, True]


def test_the_order_is_the_same_wherever_a_package_lies(package: Path, tmp_path: Path) -> None:
    """The order is drawn from paths inside the package, not from where it is installed."""
    first = [document.text for document in documents(Config(packages=(package.name,), min_characters=1))]
    (tmp_path / "else").mkdir()
    moved = package.rename(tmp_path / "else" / package.name)
    sys.path.insert(0, str(moved.parent))
    assert [document.text for document in documents(Config(packages=(package.name,), min_characters=1))] == first


def test_the_standard_library_is_english_and_code() -> None:
    """The first 200 documents hold what any Python's docstrings hold."""
    texts = [document.text for document, _ in zip(documents(Config()), range(200), strict=False)]
    assert len(set(texts)) == 200
    assert min(map(len, texts)) >= Config().min_characters
    assert sum(" the " in text for text in texts) > 100
    assert sum("def " in text or "class " in text for text in texts) > 100


def test_an_unknown_package_is_named() -> None:
    with pytest.raises(CorpusError, match="'no_such_package_here' is not installed"):
        next(documents(Config(packages=("no_such_package_here",))))
