"""JSON read and written often: by orjson, and by the standard library what orjson refuses (NaN, half characters)."""

import json
from typing import Any

import orjson


def loads(text: str | bytes) -> Any:
    """Read JSON; NaN, Infinity and lone surrogates too, as Python's `json` does.

    Raises:
        ValueError: it is no JSON.
        RecursionError: it is nested too deeply.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)


def quoted(text: str) -> str:
    """Write a text as a JSON string.

    >>> quoted('say "\u00e9"'), quoted("half: \\ud800")
    ('"say \\\\"\u00e9\\\\""', '"half: \\\\ud800"')
    """
    try:
        return orjson.dumps(text).decode()
    except TypeError:
        return json.dumps(text)
