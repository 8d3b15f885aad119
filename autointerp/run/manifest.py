"""The manifest of a run: what it says of itself, with a schema version and a checksum."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autointerp.errors import RunDirectoryError
from autointerp.run import integrity
from autointerp.run.files import read_json, write_json


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return a run's manifest; empty before the first stage.

    Raises:
        RunDirectoryError: it is not what the run wrote, or of a later schema version.
    """
    path = folder / "manifest.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except (ValueError, RecursionError) as error:
        raise RunDirectoryError(f"{path} is not JSON ({error}); restore it, or run again") from error
    if not isinstance(found, dict):
        raise RunDirectoryError(f"{path} holds {type(found).__name__}, not a JSON object; restore it, or run again")
    integrity.check_schema(found, path)
    if found.get("schema") and found.get("checksum") != integrity.checksum(found):
        raise RunDirectoryError(
            f"{path} was changed after the run wrote it (its checksum differs); restore it, or run again"
        )
    return found


def write_manifest(folder: Path, entries: Mapping[str, Any]) -> None:
    """Write a manifest with its schema version and checksum."""
    text = json.dumps({**entries, "schema": integrity.SCHEMA}, allow_nan=False, default=str)
    plain = json.loads(text)
    write_json(folder / "manifest.json", {**plain, "checksum": integrity.checksum(plain)})


def schema_of(folder: Path) -> dict[str, Any]:
    """Return the schema version of a manifest that may be damaged otherwise."""
    try:
        found = read_json(folder / "manifest.json")
    except (RunDirectoryError, OSError):
        return {}
    return {key: found[key] for key in ("schema", "autointerp") if key in found} if isinstance(found, dict) else {}
