"""Which scores of a run may be read: a failed control takes its own scorer's, one that is of all scorers takes all."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import pandas as pd

Validity = Literal["valid", "INVALID", "undecided"]
# Judgements that are missing tell of the judge behind all scorers, so that no scorer's scores stand beside them.
OF_ALL_SCORERS = ("missing",)


def of_run(table: pd.DataFrame) -> tuple[Validity, list[str]]:
    """Say whether the run's scores may be read, and why not: only rows over all dictionaries decide.

    INVALID if any scorer's control failed; `by_scorer` says whose.
    """
    deciding = table[table["dictionary"] == "all"]
    failed = [str(reason) for reason in deciding.loc[deciding["status"] == "failed", "reason"]]
    if failed:
        return "INVALID", failed
    open_ones = [str(reason) for reason in deciding.loc[deciding["status"] == "undecided", "reason"]]
    return ("undecided", open_ones) if open_ones else ("valid", [])


def by_scorer(table: pd.DataFrame, scorers: Iterable[str] = ()) -> dict[str, Validity]:
    """Map each scorer to whether its own scores may be read.

    Args:
        table: rows of `controls`.
        scorers: scorers to name besides those of the table; one without any control is as valid as the whole run.
    """
    deciding = table[table["dictionary"] == "all"]
    names = list(dict.fromkeys([*map(str, scorers), *map(str, deciding["scorer"])]))
    whole = of_run(table)[0]
    failed = deciding[deciding["status"] == "failed"]
    if failed["control"].isin(OF_ALL_SCORERS).any():
        return dict.fromkeys(names, whole)
    return {
        name: of_run(own)[0] if len(own := deciding[deciding["scorer"] == name]) else whole for name in names
    }  # fmt: skip


def invalid_scorers(found: Mapping[str, Any]) -> list[str]:
    """List the scorers that `controls` of summary.json calls INVALID; a summary without them names none."""
    return [str(name) for name, status in (found.get("scorers") or {}).items() if status == "INVALID"]


def in_words(found: Mapping[str, Any], absent: str = "not run") -> str:
    """Say the verdict on the controls; where one is INVALID and others are not, whose it is.

    Args:
        found: `controls` of summary.json.
        absent: what to say where there is none.

    >>> in_words({"verdict": "INVALID", "scorers": {"detection": "valid", "embedding": "INVALID"}})
    'INVALID for embedding, valid for detection'
    """
    if not found.get("verdict"):
        return absent
    if not partly(found):
        return str(found["verdict"])
    by = {status: [name for name, own in found["scorers"].items() if own == status] for status in
          ("INVALID", "undecided", "valid")}  # fmt: skip
    return ", ".join(f"{status} for {' and '.join(names)}" for status, names in by.items() if names)


def partly(found: Mapping[str, Any]) -> bool:
    """Tell whether controls of some scorers failed and others' scores stand."""
    return 0 < len(invalid_scorers(found)) < len(found.get("scorers") or {})


def warning(found: Mapping[str, Any]) -> str:
    """Return what must stand with the numbers of a run: a text if a control failed, else nothing."""
    if found.get("verdict") != "INVALID":
        return ""
    if not partly(found):
        return "INVALID: a control of this run failed; these are not results"
    names = " and ".join(invalid_scorers(found))
    return f"INVALID for {names}: a control of {names} failed; numbers of {names} are not results"


def marked(scorer: str, found: Mapping[str, Any]) -> str:
    """Name a scorer in a table, with INVALID behind it if a control of it failed.

    >>> marked("embedding", {"scorers": {"embedding": "INVALID"}}), marked("fuzzing", {"scorers": {"fuzzing": "valid"}})
    ('embedding (INVALID)', 'fuzzing')
    """
    return f"{scorer} (INVALID)" if scorer in invalid_scorers(found) else scorer
