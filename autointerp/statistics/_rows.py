"""Rows of tables from small records."""

from dataclasses import fields


def flat(*parts: object) -> dict[str, object]:
    """Put the fields of dataclasses side by side, as one row of a table; a later field replaces an earlier one."""
    return {field.name: getattr(part, field.name) for part in parts for field in fields(part)}  # type: ignore[arg-type]
