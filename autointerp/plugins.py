"""One member of a family is one file: (family, name) -> module `autointerp/<family>/<name>.py`.

In a family's folder every file is a member except `base.py` (the family's protocol) and files whose
name begins with an underscore. A user's own member is a file outside the package, given by its path (`./surprisal.py`)
or as a dotted module on PYTHONPATH (`my_package.surprisal`).
"""

import hashlib
import importlib
import importlib.util
import pkgutil
import sys
from pathlib import Path
from types import ModuleType

from autointerp.errors import StudyError


def names(family: str) -> list[str]:
    """List the members of a family, in alphabetical order."""
    package = importlib.import_module(f"autointerp.{family}")
    found = (module.name for module in pkgutil.iter_modules(package.__path__))
    return sorted(name for name in found if name != "base" and not name.startswith("_"))


def load(family: str, name: str) -> ModuleType:
    """Import one member by its file name, or one from outside the package by its path or its dotted name.

    Args:
        family: folder below `autointerp/`, such as `scorers` or `dictionaries.formats`.
        name: `detection` for `autointerp/scorers/detection.py`; `./my_scorer.py` or `my_package.my_scorer` for a
            user's own file.

    Raises:
        StudyError: no such member; the message lists those that exist.
    """
    if name.endswith(".py"):
        return _from_file(family, Path(name))
    if "." in name:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise StudyError(f"{family}: module {name!r} cannot be imported ({error}); is it on PYTHONPATH?") from error
    if name not in names(family):
        raise StudyError(
            f"{family}: {name!r} is unknown; there are: {', '.join(names(family))} (or ./a_file.py, or a dotted module)"
        )
    return importlib.import_module(f"autointerp.{family}.{name}")


def outside(family: str, name: str) -> dict[str, str]:
    """Return the hash of a user's own member by its name, for what depends on its code; nothing for one of ours."""
    if "." not in name:
        return {}
    source = load(family, name).__file__
    assert source is not None, f"{name} is a file"
    return {name: hashlib.sha256(Path(source).read_bytes()).hexdigest()}


def _from_file(family: str, path: Path) -> ModuleType:
    """Import a file, once for each state of it: under the name of its path and content."""
    try:
        source = path.read_bytes()
    except OSError as error:
        raise StudyError(
            f"{family}: file {str(path)!r}: {error.strerror}; paths begin where the command runs"
        ) from error
    mark = hashlib.sha256(str(path.resolve()).encode() + source).hexdigest()[:16]
    name = f"autointerp_outside_{path.stem}_{mark}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None, f"{path} ends in .py"
        assert spec.loader is not None, f"{path} ends in .py"
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]
