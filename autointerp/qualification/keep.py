"""Qualifications kept across runs, so that each model, prompt and protocol is paid for once."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from autointerp.console import note
from autointerp.qualification.base import Qualification, QualityRow

# A run's qualification, in its directory.
FILE = "qualification.json"


def folder() -> Path:
    """Return the folder of kept qualifications: `$XDG_CACHE_HOME/autointerp/qualification`, or below `~/.cache`."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "autointerp" / "qualification"


def as_json(found: Qualification) -> str:
    """Write a qualification as JSON."""
    return json.dumps(asdict(found), indent=1)


def parsed(text: str) -> Qualification:
    """Read what `as_json` wrote.

    Raises:
        ValueError: it is not that.
    """
    values = json.loads(text)
    try:
        rows = tuple(QualityRow(**row) for row in values.pop("rows"))
        texts: dict[str, Any] = {name: tuple(values.pop(name)) for name in ("causes", "advice", "explanations")}
        return Qualification(**values, **texts, rows=rows)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"not a qualification: {error}") from error


def recall(key: str) -> Qualification | None:
    """Return the kept qualification of this key; None where there is none that can be read."""
    try:
        return parsed((folder() / f"{key}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def remember(key: str, found: Qualification) -> None:
    """Keep a qualification; a folder that cannot be written costs the next run its calls, not this one its result."""
    path = folder() / f"{key}.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.partial")
        partial.write_text(as_json(found), encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        note(f"qualify: {path.parent} cannot be written ({error.strerror}); the next run qualifies again")
