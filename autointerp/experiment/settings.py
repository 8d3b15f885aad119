"""Settings as data: validation with one line per problem, `key.sub=value` overrides, and short diffs."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from autointerp.errors import StudyError
from autointerp.run import yaml_files

Model = TypeVar("Model", bound=BaseModel)
UNKNOWN = "unknown setting"
# Problems of one study that are listed.
MAX_PROBLEMS = 20


def validated(model: type[Model], values: Mapping[str, Any], *, source: str) -> Model:
    """Return the values as a settings model.

    Raises:
        StudyError: all problems, one a line, with similar names for unknown settings.
    """
    try:
        read = model.model_validate(values)
    except ValidationError as error:
        lines = [_suggest(line, model) for line in problems(error)]
    except RecursionError:
        lines = ["a value refers to itself"]
    else:
        if not (wrong := truth_value_as_number(values, read.model_dump(mode="json"))):
            return read
        lines = [wrong]
    raise StudyError(f"{source}: " + (lines[0] if len(lines) == 1 else "\n  " + "\n  ".join(lines)))


def problems(error: ValidationError) -> list[str]:
    """Turn pydantic's errors into one short line each: where, what was seen, what is allowed."""
    lines = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"])
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = UNKNOWN
        elif item["type"] != "value_error" and item["type"] != "missing":
            message += f" (it is {yaml_files.short(item['input'])})"
        lines.append(yaml_files.shortened(f"{where}: {message}" if where else message))
    n_more = len(lines) - MAX_PROBLEMS
    return lines if n_more <= 0 else [*lines[:MAX_PROBLEMS], f"and {n_more:,} more"]


def _suggest(line: str, model: type[BaseModel]) -> str:
    where, _, message = line.partition(": ")
    if message != UNKNOWN:
        return line
    known, last = list(_known_settings(model)), where.rsplit(".", 1)[-1]
    near = [name for name in known if name.rsplit(".", 1)[-1] == last]
    near = near or difflib.get_close_matches(where, known, n=1)
    if not near:
        by_last = {name.rsplit(".", 1)[-1]: name for name in reversed(known)}
        near = [by_last[name] for name in difflib.get_close_matches(last, by_last, n=1)]
    return f"{line}; did you mean {' or '.join(near)}?" if near else line


def _known_settings(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of all settings."""
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _known_settings(field.annotation, f"{prefix}{name}.")


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


def changes(old: Any, new: Any, where: str = "") -> list[str]:
    """List the settings in which two dumped models differ: `key: old -> new`, `+ key.name`, `- key.name`.

    Items of lists are matched by their `name` or `use`, as dictionaries and scorers have one.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        keys = dict.fromkeys([*old, *new])
        return [line for key in keys for line in changes(old.get(key), new.get(key), f"{where}.{key}".lstrip("."))]
    if isinstance(old, list) and isinstance(new, list):
        before, after = _by_name(old), _by_name(new)
        if len(before) == len(old) and len(after) == len(new):
            keys = dict.fromkeys([*before, *after])
            return [line for key in keys for line in _item_changes(before.get(key), after.get(key), f"{where}.{key}")]
    return [] if old == new else [f"{where}: {yaml_files.short(old)} -> {yaml_files.short(new)}"]


def _by_name(items: list[Any]) -> dict[str, Any]:
    return {str(item.get("name", item.get("use"))): item for item in items if isinstance(item, dict)}


def _item_changes(old: Any, new: Any, where: str) -> list[str]:
    if old is None:
        return [f"+ {where} ({new.get('source', new.get('use'))})"]
    return [f"- {where}"] if new is None else changes(old, new, where)
