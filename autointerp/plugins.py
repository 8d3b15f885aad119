"""One member of a family is one file: (family, name) -> module `autointerp/<family>/<name>.py`.

In a family's folder every file is a member except `base.py` (the family's protocol) and files whose
name begins with an underscore. A user's own member is a file outside the package, given by its path (`./surprisal.py`)
or as a dotted module on PYTHONPATH (`my_package.surprisal`).
"""

import hashlib
import importlib
import importlib.util
import pkgutil
import re
import sys
import traceback
from pathlib import Path
from types import ModuleType

from autointerp.console import note
from autointerp.errors import StudyError

# What a member of each family defines.
MEMBERS = {
    "corpus": ("Config", "documents"),
    "scorers": ("Config", "build"),
    "explainers": ("Config", "build"),
    "llm": ("Config", "open"),
    "execution": ("Config", "run"),
    "dictionaries.formats": ("recognises", "read"),
    "report.exports": ("Config", "write"),
    "report.figures": ("data", "draw", "caption"),
    "report.imports": ("recognises", "read"),
}
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", re.ASCII)


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
    if name in names(family):
        return importlib.import_module(f"autointerp.{family}.{name}")
    if name.endswith(".py"):
        return _complete(_from_file(family, Path(name)), family, name)
    if _DOTTED.fullmatch(name):
        return _complete(_from_module(family, name), family, name)
    raise StudyError(
        f"{family}: {name[:100]!r} is unknown; use one of: {', '.join(names(family))} (or ./a_file.py, or a dotted "
        "module)"
    )


def outside(family: str, name: str) -> dict[str, str]:
    """Return the hash of a user's own member by its name, for what depends on its code; nothing for one of ours."""
    if "." not in name:
        return {}
    source = load(family, name).__file__
    if source is None:
        raise StudyError(f"{family}: {name} is not a file of Python code")
    return {name: hashlib.sha256(Path(source).read_bytes()).hexdigest()}


def _complete(module: ModuleType, family: str, name: str) -> ModuleType:
    """Return a user's member if it defines what its family needs."""
    missing = [f"`{one}`" for one in MEMBERS.get(family, ()) if not hasattr(module, one)]
    if missing:
        raise StudyError(
            f"{family}: {name} defines no {', '.join(missing)}: see `autointerp/{family.replace('.', '/')}/base.py` "
            "for what it needs"
        )
    return module


def _from_module(family: str, name: str) -> ModuleType:
    """Import a dotted module, after saying so."""
    if name not in sys.modules:
        note(f"runs your code: module {name}")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise StudyError(f"{family}: module {name!r} cannot be imported ({error}); is it on PYTHONPATH?") from error
    except Exception as error:
        raise _broken(family, name, error) from error


def _broken(family: str, name: str, error: Exception) -> StudyError:
    """Return the error for a user's code that fails while it is imported."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f", line {frames[-1].lineno} of {frames[-1].filename}" if frames else ""
    return StudyError(f"{family}: {name} fails when it is imported: {type(error).__name__}: {error}{place}")


def _from_file(family: str, path: Path) -> ModuleType:
    """Import a file, once for each state of it: under the name of its path and content."""
    try:
        source = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise StudyError(f"{family}: file {str(path)[:200]!r}: {reason}; paths begin where the command runs") from error
    mark = hashlib.sha256(str(path.resolve()).encode() + source).hexdigest()[:16]
    name = f"autointerp_outside_{path.stem}_{mark}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None, f"{path} ends in .py"
        assert spec.loader is not None, f"{path} ends in .py"
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        note(f"runs your code: {path} (sha256 {hashlib.sha256(source).hexdigest()[:16]})")
        try:
            spec.loader.exec_module(module)
        except BaseException as error:
            del sys.modules[name]
            if isinstance(error, Exception):
                raise _broken(family, str(path), error) from error
            raise
    return sys.modules[name]
