"""YAML of settings, read strictly: no surprise of YAML 1.1 changes a value, and no file can exhaust memory.

Numbers are decimal (`010` and `190:20:30` stay text), `1e-3` is a number, only `true` and `false` are truth values,
dates stay text. Keys that occur twice, deep nesting and aliases that expand to very large values are errors.
"""

import re
import reprlib
from collections.abc import Hashable
from typing import Any

import yaml

MAX_CHARACTERS, MAX_DEPTH, MAX_VALUES = 1_000_000, 50, 50_000
_INT = re.compile(r"[-+]?(0|[1-9][0-9_]*|0x[0-9a-fA-F]+)$")
_FLOAT = re.compile(
    r"([-+]?(\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$"
)
_BREAKS = frozenset("\x85\u2028\u2029")
_short = reprlib.Repr()
_short.maxlevel, _short.maxdict, _short.maxlist, _short.maxtuple, _short.maxset = 2, 3, 4, 4, 4
_short.maxstring = _short.maxother = 70


class _Loader(yaml.SafeLoader):
    """`SafeLoader` with the rules of this module."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (yaml's own attribute)
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose a node, not deeper than allowed."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise yaml.YAMLError(f"nested deeper than {MAX_DEPTH} levels")
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Construct a mapping; reject repeated keys."""
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:merge" and isinstance(key.value, str):
                if key.value in seen:
                    raise yaml.YAMLError(f"key {short(key.value)} occurs twice (line {key.start_mark.line + 1})")
                seen.add(key.value)
        return super().construct_mapping(node, deep)


for _tag, _pattern, _first in (
    ("bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)$"), "tTfF"),
    ("int", _INT, "-+0123456789"),
    ("float", _FLOAT, "-+0123456789."),
    ("merge", re.compile(r"<<$"), "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", _pattern, list(_first))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])


class _Dumper(yaml.SafeDumper):
    """`SafeDumper` that also quotes text which these rules would read as a number, and escapes all line breaks."""


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    """Represent text; outside double quotes PyYAML folds these line breaks, so that they are read as spaces."""
    style = '"' if _BREAKS.intersection(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _text)


_Dumper.yaml_implicit_resolvers = {  # pyright: ignore[reportAttributeAccessIssue]
    first: [*yaml.SafeDumper.yaml_implicit_resolvers.get(first, []), *_Loader.yaml_implicit_resolvers.get(first, [])]
    for first in {*yaml.SafeDumper.yaml_implicit_resolvers, *_Loader.yaml_implicit_resolvers}
}


def load(text: str) -> Any:
    """Read YAML.

    Raises:
        ValueError: it is not YAML, or breaks a rule of this module; the message is one short line.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"{len(text):,} characters; settings have at most {MAX_CHARACTERS:,}")
    try:
        value = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError, AttributeError, IndexError, KeyError) as error:
        raise ValueError(shortened(" ".join(str(error).split()))) from error
    try:
        _count(value, [0], 0)
    except RecursionError as error:
        raise ValueError("it refers to itself") from error
    return value


def _count(value: object, so_far: list[int], depth: int) -> None:
    """Count values, each as often as aliases repeat it, up to the limit."""
    so_far[0] += 1
    if so_far[0] > MAX_VALUES or depth > 2 * MAX_DEPTH:
        raise ValueError(f"aliases expand it to more than {MAX_VALUES:,} values or without end")
    if isinstance(value, dict | list | tuple | set):
        inner = [*value, *value.values()] if isinstance(value, dict) else value
        for one in inner:
            _count(one, so_far, depth + 1)


def dump(value: object, **options: Any) -> str:
    """Write YAML that `load` reads back to equal values."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, **options)


def short(value: object) -> str:
    """Return a value as it would be written in Python, cut before it becomes long."""
    try:
        return _short.repr(value)
    except Exception:
        return f"a {type(value).__name__}"


def shortened(text: str, limit: int = 400) -> str:
    """Cut the middle out of a long text."""
    return text if len(text) <= limit else f"{text[: limit * 3 // 4]} [...] {text[-limit // 5 :]}"
