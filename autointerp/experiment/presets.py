"""Shipped studies of published dictionaries: `autointerp/presets/<name>.yaml`, ordinary study files."""

import json
from pathlib import Path
from typing import Any

from autointerp.dictionaries.registry import index, nearest
from autointerp.errors import StudyError
from autointerp.experiment.study import read_study

FOLDER = Path(__file__).parent.parent / "presets"
# Presets whose release has the same layout for several models: the part of names that differs, and a release's name.
FAMILIES = {"gemma-scope-2": ("1b-pt", "gemma-scope-2-{}-mlp-all")}


def names() -> list[str]:
    """List the presets."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def models(name: str) -> list[str]:
    """List the models that a preset can be run for, as `--model` takes them.

    Raises:
        StudyError: no such preset.
    """
    subject = _subject(_values(name))
    if name not in FAMILIES:
        return [subject.rpartition("/")[2]]
    own, release = FAMILIES[name]
    stem = subject.rpartition("/")[2].removesuffix(own)
    begin, end = release.split("{}")
    sizes = [one.removeprefix(begin).removesuffix(end) for one in index().releases if one.startswith(begin)]
    return sorted(f"{stem}{size}" for size in sizes if f"{begin}{size}{end}" in index().releases)


def preset(name: str, model: str | None) -> dict[str, Any]:
    """Return the settings of a preset's study, for one of its models; a local folder is used as the subject as it is.

    Raises:
        StudyError: no such preset, or a model that it has no dictionaries of.
    """
    values, known = _values(name), models(name)
    subject = _subject(values)
    tail = (model or subject).rstrip("/").rpartition("/")[2]
    if tail not in known:
        near = nearest(tail, known) or f"; it has: {', '.join(known)}"
        raise StudyError(f"preset {name!r} has no dictionaries of {tail!r}{near}")
    if name in FAMILIES:
        own, _ = FAMILIES[name]
        size = tail.removeprefix(subject.rpartition("/")[2].removesuffix(own))
        values = json.loads(json.dumps(values).replace(own, size))
        subject = _subject(values).replace("270m-pt", "270m")  # its repository alone has no suffix
    local = model is not None and Path(model).is_dir()
    return {**values, "subject": {**values["subject"], "model": model if local else subject}}


def _values(name: str) -> dict[str, Any]:
    if name not in names():
        near = nearest(name, names()) or f"; there are: {', '.join(names())}"
        raise StudyError(f"unknown preset {name[:100]!r}{near}")
    return read_study(FOLDER / f"{name}.yaml")


def _subject(values: dict[str, Any]) -> str:
    return str(values["subject"]["model"])
