"""One member of a family is one file: (family, name) -> module `autointerp/<family>/<name>.py`.

In a family's folder every file is a member except `base.py` (the family's protocol) and files whose
name begins with an underscore.
"""

import importlib
import pkgutil
from types import ModuleType

from autointerp.errors import StudyError


def names(family: str) -> list[str]:
    """List the members of a family, in alphabetical order."""
    package = importlib.import_module(f"autointerp.{family}")
    found = (module.name for module in pkgutil.iter_modules(package.__path__))
    return sorted(name for name in found if name != "base" and not name.startswith("_"))


def load(family: str, name: str) -> ModuleType:
    """Import one member by its file name, or an outside module by its dotted name.

    Args:
        family: folder below `autointerp/`, such as `scorers` or `dictionaries.formats`.
        name: `detection` for `autointerp/scorers/detection.py`; `my_package.my_scorer` for a user's own module.

    Raises:
        StudyError: no such member; the message lists those that exist.
    """
    if "." in name:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise StudyError(f"{family}: module {name!r} cannot be imported ({error}); is it on PYTHONPATH?") from error
    if name not in names(family):
        raise StudyError(f"{family}: {name!r} is unknown; there are: {', '.join(names(family))} (or a dotted module)")
    return importlib.import_module(f"autointerp.{family}.{name}")
