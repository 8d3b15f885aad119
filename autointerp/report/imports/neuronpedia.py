"""Neuronpedia: explanations of its public exports, JSON lines (`.jsonl`, `.jsonl.gz`) or JSON lists.

Source: neuronpedia-datasets.s3.amazonaws.com, v1/<model>/<source>/explanations/batch-<n>.jsonl.gz: one object per
explanation with `modelId`, `layer` (the source), `index` and `description`.
"""

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autointerp.report.imports.base import Imported, table_of

ENDINGS = (".jsonl", ".jsonl.gz", ".json")
NEEDED = ("index", "description")
NOTES = ("Neuronpedia's explanations carry no scores; score them with a study of the same dictionary",)


def recognises(folder: Path) -> bool:
    """Whether the first record of some file is an explanation."""
    return any(_is_explanation(next(_records(path), None)) for path in _files(folder)[:3])


def read(folder: Path) -> Imported:
    """Read explanations, one row each.

    Raises:
        TableError: no explanation can be read.
    """
    left: Counter[str] = Counter()
    rows = []
    for path in _files(folder):
        for record in _records(path):
            if not _is_explanation(record):
                left["records that are no explanation"] += 1
                continue
            name = "/".join(str(record[key]) for key in ("modelId", "layer") if record.get(key))
            rows.append(
                {
                    "dictionary": name,
                    "latent": int(record["index"]),
                    "scorer": "",
                    "explanation": str(record["description"]),
                }
            )
    return Imported(table=table_of(rows, folder), left_out=dict(left), notes=NOTES)


def _files(folder: Path) -> list[Path]:
    found = [folder] if folder.is_file() else sorted(path for path in folder.rglob("*") if path.is_file())
    return [path for path in found if path.name.endswith(ENDINGS)]


def _is_explanation(record: Any) -> bool:
    return isinstance(record, dict) and all(key in record for key in NEEDED) and str(record["index"]).isdigit()


def _records(path: Path) -> Iterator[Any]:
    """Yield the records of a file; a damaged line is yielded as None."""
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.name.endswith(".gz") else data).decode("utf-8")
    except (OSError, ValueError, EOFError):
        yield None
        return
    if path.name.endswith(".json"):
        try:
            whole = json.loads(text)
        except ValueError:
            whole = [None]
        yield from whole if isinstance(whole, list) else [whole]
        return
    for line in text.splitlines():
        if line.strip():
            try:
                yield json.loads(line)
            except ValueError:
                yield None
