"""Which scores of a run may be read: a failed control invalidates what it is about, and no more.

A control over all dictionaries invalidates its scorer; one of a single dictionary, the scores of that dictionary; one
of two compared dictionaries, their comparison; unanswered judgements, everything, since all scorers have one judge.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import pandas as pd

Validity = Literal["valid", "INVALID", "undecided", "not checked"]
OF_ALL_SCORERS = ("missing",)
# Controls without which nothing is known about the judge.
CHECKS = ("shuffled", "empty", "planted")
EVERY = "all"
NOT_CHECKED = "no shuffled, empty or planted latent was judged: nothing shows that the scores mean anything"


def _deciding(table: pd.DataFrame) -> pd.DataFrame:
    """Keep the rows that can invalidate: control arms (random dictionaries) and informative rows cannot."""
    return table[table["control"].isin((*CHECKS, "missing", "explanations"))]


def of_run(table: pd.DataFrame) -> tuple[Validity, list[str]]:
    """Return whether the run's scores may be read, with the reasons if not.

    INVALID if any control failed anywhere; `by_scorer` and `failures` say where. Undecided if a control over all
    dictionaries is. Not checked if no shuffled, empty or planted latent was judged or asked for.
    """
    rows = _deciding(table)
    failed = [str(reason) for reason in rows.loc[rows["status"] == "failed", "reason"]]
    if failed:
        return "INVALID", failed
    whole = rows[rows["dictionary"] == EVERY]
    undecided = [str(reason) for reason in whole.loc[whole["status"] == "undecided", "reason"]]
    if undecided:
        return "undecided", undecided
    if not rows["control"].isin(CHECKS).any():
        return "not checked", [
            "no shuffled, empty or planted latent was judged: nothing shows that scores mean anything"
        ]
    return "valid", []


def by_scorer(table: pd.DataFrame, scorers: Iterable[str] = ()) -> dict[str, Validity]:
    """Map each scorer to whether its scores may be read, as far as controls over all dictionaries tell.

    Args:
        table: rows of `controls`.
        scorers: scorers to name besides those of the table.
    """
    rows = _deciding(table)
    whole = rows[rows["dictionary"] == EVERY]
    names = list(dict.fromkeys([*map(str, scorers), *(str(name) for name in whole["scorer"] if name != EVERY)]))
    failed = whole[whole["status"] == "failed"]
    if failed["control"].isin(OF_ALL_SCORERS).any():
        return dict.fromkeys(names, "INVALID")
    return {name: of_run(whole[whole["scorer"].isin((name, EVERY))])[0] for name in names}


def failures(table: pd.DataFrame) -> list[dict[str, str]]:
    """List the failed controls of single dictionaries, or of two: `dictionary`, `scorer` ("all" for all), `reason`."""
    rows = _deciding(table)
    rows = rows[(rows["status"] == "failed") & (rows["dictionary"] != EVERY)]
    return [
        {"dictionary": str(row["dictionary"]), "scorer": str(row["scorer"]), "reason": str(row["reason"])}
        for row in rows.to_dict("records")
    ]


def why_invalid(
    table: pd.DataFrame, a: Sequence[str], b: Sequence[str], scorer: str, statuses: Mapping[str, str]
) -> str:
    """Return why a comparison of dictionaries by one scorer is INVALID; "" where it is not.

    Args:
        table: rows of `controls`.
        a: dictionaries of the first side, one or several that were pooled.
        b: those of the second side.
        scorer: by which they are compared.
        statuses: `by_scorer` of the table.
    """
    if statuses.get(scorer) == "INVALID":
        return f"a control of {scorer} failed"
    about = {*a, *b, *(f"{second} - {first}" for first in a for second in b)}
    for failed in failures(table):
        if failed["scorer"] in (scorer, EVERY) and failed["dictionary"] in about:
            return failed["reason"]
    return ""


def invalid_scorers(found: Mapping[str, Any]) -> list[str]:
    """List the scorers that `controls` of summary.json calls INVALID; a summary without them names none."""
    return [str(name) for name, status in (found.get("scorers") or {}).items() if status == "INVALID"]


def in_words(found: Mapping[str, Any], absent: str = "not run") -> str:
    """Return the verdict on the controls; where one is INVALID and others are not, whose it is.

    Args:
        found: `controls` of summary.json.
        absent: what to print where there is none.

    >>> in_words({"verdict": "INVALID", "scorers": {"detection": "valid", "embedding": "INVALID"}})
    'INVALID for embedding, valid for detection'
    """
    if not found.get("verdict"):
        return absent
    if not partly(found):
        return str(found["verdict"])
    statuses = ("INVALID", "undecided", "not checked", "valid")
    by = {status: [name for name, own in found["scorers"].items() if own == status] for status in statuses}
    parts = [f"INVALID for {one['dictionary']} by {one['scorer']}" for one in found.get("arms") or []]
    parts = list(dict.fromkeys(part.replace(" by all", " by every scorer") for part in parts))
    return ", ".join([*parts, *(f"{status} for {' and '.join(names)}" for status, names in by.items() if names)])


def partly(found: Mapping[str, Any]) -> bool:
    """Return whether some controls failed while other scores of the run may still be read."""
    return 0 < len(invalid_scorers(found)) < len(found.get("scorers") or {}) or (
        not invalid_scorers(found) and bool(found.get("arms"))
    )


def warning(found: Mapping[str, Any]) -> str:
    """Return the text that must accompany the numbers of a run whose controls failed, else ""."""
    if found.get("verdict") != "INVALID":
        return ""
    names = " and ".join(invalid_scorers(found))
    if names and partly(found):
        return f"INVALID for {names}: a control of {names} failed; numbers of {names} are not results"
    arms = " and ".join(dict.fromkeys(str(one["dictionary"]) for one in found.get("arms") or []))
    if arms and partly(found):
        return f"INVALID for {arms}: a control of {arms} failed; comparisons with {arms} are not results"
    return "INVALID: a control of this run failed; these are not results"


def marked(scorer: str, found: Mapping[str, Any]) -> str:
    """Name a scorer in a table, followed by INVALID if one of its controls failed.

    >>> marked("embedding", {"scorers": {"embedding": "INVALID"}}), marked("fuzzing", {"scorers": {"fuzzing": "valid"}})
    ('embedding (INVALID)', 'fuzzing')
    """
    return f"{scorer} (INVALID)" if scorer in invalid_scorers(found) else scorer
