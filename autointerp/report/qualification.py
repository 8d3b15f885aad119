"""What `qualification.json` says of explainer and judge, as a table and sentences; nothing is computed again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autointerp.report.tables import NAN, Number, Table

SOURCES = {"true": "the true ones", "own": "the explainer's"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Qualified:
    """Verdicts and causes in sentences, and the table of the judge's quality on planted rules."""

    sentences: Sequence[str]
    table: Table


def qualified(found: Mapping[str, Any]) -> Qualified:
    """Show a qualification as its file holds it."""
    form = f"; the judge's prompt form is {found['form']}" if found.get("form") else ""
    verdicts = f"Before any latent was paid for: judge {found['judge']}, explainer {found['explainer']}{form}."
    rows = [
        [
            str(row["scorer"]),
            SOURCES[row["words"]],
            str(row["grade"]),
            Number(value=_value(row, "informedness"), low=_value(row, "low"), high=_value(row, "high"), digits=2),
            *(Number(value=_value(row, name), digits=2) for name in ("auroc", "yes_share", "unreadable")),
            int(row["n"]),
        ]
        for row in found.get("rows", ())
    ]
    columns = ["scorer", "explanations", "rules", "sens. + spec. − 1", "AUROC", "yes", "unreadable", "judgements"]
    table = Table(name="qualification", title="Qualification on planted rules", columns=columns, rows=rows, n_names=3)
    return Qualified(sentences=[verdicts, *found.get("causes", ())], table=table)


def _value(row: Mapping[str, Any], name: str) -> float:
    return NAN if row[name] is None else float(row[name])
