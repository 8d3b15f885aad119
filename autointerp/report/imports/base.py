"""An import is one file `autointerp/report/imports/<name>.py`: `recognises(folder)` and `read(folder)`."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from autointerp.errors import TableError

COLUMNS = ["dictionary", "latent", "scorer", "score", "recall", "specificity", "n_items", "n_unanswered", "explanation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """Results of another tool.

    `table` has `COLUMNS`, a row per latent and scorer (or per dictionary, where `latent` is -1); values that the tool
    does not record are missing. `study` holds the settings of a study that measures the same, as far as they are
    known; `left_out` counts what could not be read by reason; `notes` say what the scores are.
    """

    table: pd.DataFrame
    study: dict[str, Any] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def table_of(rows: Iterable[dict[str, Any]], folder: Path) -> pd.DataFrame:
    """Return rows as a table with all `COLUMNS`.

    Raises:
        TableError: there are none.
    """
    found = pd.DataFrame(list(rows), columns=COLUMNS)
    if found.empty:
        raise TableError(f"{folder} holds no results that can be read")
    return found.sort_values(["dictionary", "scorer", "latent"], kind="stable").reset_index(drop=True)
