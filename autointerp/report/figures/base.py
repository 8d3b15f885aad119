"""What a figure is: its data as one table, a caption made from the data, a drawing for print and one for the page.

A figure is one file `autointerp/report/figures/<name>.py`. Nothing is computed while drawing: what is drawn is in the
table, which is written beside the picture as CSV.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import pandas as pd

from autointerp.report.run import ReportRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by readers with any of the common colour vision deficiencies; shapes say the same.
COLOURS = {"sae": "#0072B2", "transcoder": "#D55E00", "skip-transcoder": "#009E73"}
OTHER_COLOUR = "#7A5195"
MARKERS = {"sae": "o", "transcoder": "s", "skip-transcoder": "D"}
GREY, INK = "#6B7280", "#22262C"
# More dictionaries than this are drawn by architecture where they share a panel: their colours could not be told apart.
MANY = 4
# A caption lists at most this many numbers; more are in the CSV.
MOST_LISTED = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """Sizes of one medium: widths in inches, font size in points, factor on heights and line widths."""

    name: str
    column: float
    page: float
    font: float
    scale: float

    def width(self, size: str) -> float:
        """Return the width of a `column` or `page` figure in inches."""
        return self.page if size == "page" else self.column


# A column and a page of the two-column conferences (ICML: 3.25 and 6.75 inches); slides are 16:9.
STYLES = {
    "paper": Style(name="paper", column=3.25, page=6.75, font=7.0, scale=1.0),
    "slides": Style(name="slides", column=8.0, page=12.0, font=16.0, scale=2.1),
}


class FigureModule(Protocol):
    """The members that every figure file has."""

    TITLE: str
    SIZE: Literal["column", "page"]
    NEEDS: str

    def data(self, run: ReportRun) -> pd.DataFrame:
        """Return all that is drawn, or an empty table where the run lacks what `NEEDS` says."""
        ...

    def caption(self, table: pd.DataFrame) -> str:
        """Say what is shown, with which intervals and over how many latents."""
        ...

    def height(self, table: pd.DataFrame) -> float:
        """Return the height in inches at paper size."""
        ...

    def draw(self, table: pd.DataFrame, figure: "Figure") -> None:
        """Draw with matplotlib into an empty figure."""
        ...

    def interactive(self, table: pd.DataFrame) -> dict[str, Any]:
        """Return a Plotly figure (`data`, `layout`); colours are roles such as `@sae`, which follow the theme."""
        ...


def colour(architecture: str) -> str:
    """Return the colour of an architecture in print."""
    return COLOURS.get(architecture, OTHER_COLOUR)


def scorers_of(table: pd.DataFrame) -> list[str]:
    """List the scorers in the order of the table."""
    return [str(name) for name in pd.unique(table["scorer"].dropna()) if name]


def arms(table: pd.DataFrame) -> list[tuple[str, str]]:
    """List (name, architecture) of the rows' arms, in order."""
    return list(dict.fromkeys(zip(table["arm"].astype(str), table["architecture"].astype(str), strict=True)))


def with_arm(table: pd.DataFrame, run: ReportRun, *, many: int = MANY) -> pd.DataFrame:
    """Add `arm`, in the study's order: the dictionary, or the architecture where there are too many to tell apart."""
    by_architecture = table["dictionary"].nunique() > many
    place = {name: at for at, name in enumerate(run.dictionaries["dictionary"])}
    found = table.assign(arm=table["architecture"] if by_architecture else table["dictionary"])
    return found.sort_values("dictionary", key=lambda names: names.map(place), kind="stable").reset_index(drop=True)


def listed(words: Sequence[str]) -> str:
    """Join the numbers of a caption, or say where they are if they are many."""
    return "; ".join(words) if len(words) <= MOST_LISTED else f"{len(words)} values, in the figure's CSV"


def simultaneous(level: float, n: int) -> float:
    """Level of each of `n` intervals so that all cover together (Bonferroni): conservative, whatever depends."""
    return 1 - (1 - level) / max(1, n)


def interval_columns(values: np.ndarray, weights: np.ndarray, level: float) -> dict[str, float]:
    """Mean over latents with its t interval, by the statistics' own estimator."""
    from autointerp.statistics.intervals import mean

    found = mean(values, weights, level=level)
    low, high = found.interval(level)
    return {"value": found.value, "low": low, "high": high, "n_latents": found.n}
