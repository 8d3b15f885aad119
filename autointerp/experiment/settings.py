"""Nested settings: overrides of single ones, what differs between two of them, truth values given for numbers."""

from collections.abc import Mapping
from typing import Any

from autointerp.errors import StudyError
from autointerp.run import yaml_files


def truth_value_as_number(given: object, read: object, where: str = "") -> str:
    """Name the first setting that was given as true or false and read as something else, such as the number 1."""
    if isinstance(given, bool) and not isinstance(read, bool) and read is not None:
        return f"{where}: should be {type(read).__name__}, not {str(given).lower()}"
    if isinstance(given, Mapping) and isinstance(read, Mapping):
        pairs = [(key, value, read.get(key)) for key, value in given.items()]
    elif isinstance(given, list | tuple) and isinstance(read, list | tuple):
        pairs = [(n, *pair) for n, pair in enumerate(zip(given, read, strict=False))]
    else:
        return ""
    found = (truth_value_as_number(value, other, f"{where}.{key}".lstrip(".")) for key, value, other in pairs)
    return next((one for one in found if one), "")


def override(values: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """Apply `key.sub=value` settings, values read as YAML; a number in a key picks from a list.

    Raises:
        StudyError: a setting without `=`, or a key into something that is neither settings nor a list.
    """
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals:
            raise StudyError(
                f"--set {yaml_files.shortened(text)}: should be key.sub=value, for example examples.n_positives=20"
            )
        try:
            values = _put(values, key.split("."), yaml_files.load(value))
        except (TypeError, ValueError, IndexError, AttributeError) as error:
            reason = yaml_files.shortened(" ".join(str(error).split()))
            raise StudyError(f"--set {yaml_files.shortened(text)}: {reason}") from error
    return values


def _put(node: Any, path: list[str], value: object) -> Any:
    if not path:
        return value
    head, *rest = path
    if isinstance(node, list):
        if not (head.isascii() and head.isdigit() and int(head) < len(node)):
            raise ValueError(f"{head!r} is not a position in a list of {len(node)}; the first is 0")
        index = int(head)
        return [*node[:index], _put(node[index], rest, value), *node[index + 1 :]]
    if (isinstance(node, str) and rest) or not isinstance(node, str | Mapping | None):
        raise ValueError(f"{head!r} cannot be set in {yaml_files.short(node)}")
    node = {"use": node} if isinstance(node, str) else (node or {})
    return {**node, head: _put(node.get(head), rest, value)}


def study_changes(old: Any, new: Any, where: str = "") -> list[str]:
    """List the settings in which two dumped studies differ, as `key: old -> new`."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = [*old, *(key for key in new if key not in old)]
        return [
            line for key in keys for line in study_changes(old.get(key), new.get(key), f"{where}.{key}".lstrip("."))
        ]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [
            line for n, pair in enumerate(zip(old, new, strict=True)) for line in study_changes(*pair, f"{where}.{n}")
        ]
    return [] if old == new else [f"{where}: {yaml_files.short(old)} -> {yaml_files.short(new)}"]
