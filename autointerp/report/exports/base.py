"""An export is one file `autointerp/report/exports/<name>.py`: `Config` and `write`, which reports what it omits."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel

from autointerp.report.run import ReportRun


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """Result of an export: files, counts of their contents, counts of omissions by reason, warnings."""

    files: list[str]
    counts: dict[str, int]
    left_out: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)


class ExportModule(Protocol):
    """The members that every export file has."""

    Config: type[BaseModel]

    def write(self, run: ReportRun, out: Path, config: Any) -> Export:
        """Write the export into the folder `out`."""
        ...
