"""Files of a corpus: one file, a folder or a glob, always in the same order."""

import glob
from pathlib import Path

from autointerp.errors import CorpusError


def find(path: str, suffixes: tuple[str, ...]) -> list[Path]:
    """List the files that `path` names, sorted; of a folder those with one of the suffixes, at any depth.

    Raises:
        CorpusError: there is none.
    """
    place = Path(path).expanduser()
    if place.is_dir():
        found = [file for file in place.rglob("*") if file.name.endswith(suffixes)]
        if not found:
            raise CorpusError(f"corpus: folder {path!r} holds no file ending in {', '.join(suffixes)}")
    else:
        found = [Path(name) for name in glob.glob(str(place), recursive=True)]  # noqa: PTH207 (paths may be absolute)
        if not found:
            raise CorpusError(f"corpus: {path!r} does not exist; give a file, a folder or a glob such as 'texts/*.txt'")
    return sorted(file for file in found if file.is_file())


def column_of(row_keys: list[str], column: str, where: str) -> str:
    """Return the column if the data has it.

    Raises:
        CorpusError: it has not; the message lists those there are.
    """
    if column not in row_keys:
        raise CorpusError(f"corpus: {where} has no column {column!r}; it has: {', '.join(row_keys)}; set corpus.column")
    return column
