"""Protocol of figures: one table of stored numbers, a caption computed from it, and one drawing for every output.

A figure is one file `autointerp/report/figures/<name>.py`. It computes no statistic: what it draws is in the run's
stored tables, and in the CSV table next to the picture. Print shows all panels side by side; the page
shows them one by one, so that they stack on a narrow screen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import pandas as pd

from autointerp.report.escaping import visible
from autointerp.report.run import ReportRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which readers with any of the common colour vision deficiencies can distinguish.
COLOURS = {"sae": "#0072B2", "transcoder": "#D55E00", "skip-transcoder": "#009E73"}
MORE_COLOURS = ("#CC79A7", "#E69F00", "#56B4E9", "#7A5195")
MARKERS = {"sae": "o", "transcoder": "s", "skip-transcoder": "D"}
MORE_MARKERS = ("^", "v", "P", "X")
GREY, INK = "#6B7280", "#22262C"
# More dictionaries than this are coloured and named by architecture where they share a panel.
MANY = 6
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
# One panel of report.html, whatever the figure.
SCREEN = Style(name="screen", column=4.2, page=4.2, font=7.5, scale=1.15)


@dataclass(frozen=True, slots=True)
class Arm:
    """Style of one dictionary; `label` is its architecture if there are too many to distinguish."""

    dictionary: str
    label: str
    colour: str
    marker: str


class FigureModule(Protocol):
    """The members of every figure file. `PANEL` is the column that panels are split by."""

    TITLE: str
    SIZE: Literal["column", "page"]
    NEEDS: str
    PANEL: str

    def data(self, run: ReportRun) -> pd.DataFrame:
        """Return all that is drawn, or an empty table where the run lacks what `NEEDS` says."""
        ...

    def caption(self, table: pd.DataFrame) -> str:
        """Write the caption: quantity, intervals, number of latents."""
        ...

    def height(self, table: pd.DataFrame) -> float:
        """Return the height in inches at paper size."""
        ...

    def draw(self, table: pd.DataFrame, figure: "Figure") -> None:
        """Draw with matplotlib into an empty figure."""
        ...


def with_arm(table: pd.DataFrame, run: ReportRun) -> pd.DataFrame:
    """Sort rows in the study's order of dictionaries; add `arm` (name as shown), `architecture` and `tone`.

    `tone` counts the dictionaries of one architecture, so that each has its own colour in every figure of the run.
    """
    names = run.dictionaries[["dictionary", "architecture"]]
    place = {name: at for at, name in enumerate(names["dictionary"])}
    tone = names.groupby("architecture", sort=False).cumcount()
    known = names.assign(tone=tone, arm=[visible(str(name)) for name in names["dictionary"]])
    found = table.drop(columns="architecture", errors="ignore").merge(known, on="dictionary")
    return found.sort_values("dictionary", key=lambda column: column.map(place), kind="stable").reset_index(drop=True)


def arms(table: pd.DataFrame) -> list[Arm]:
    """List the dictionaries in rows of `with_arm`, each with its colour and marker."""
    known = table.dropna(subset=["arm"]).drop_duplicates("arm")
    many, others, found = len(known) > MANY, 0, []
    for name, architecture, tone in zip(known["arm"], known["architecture"], known["tone"], strict=True):
        own = architecture in COLOURS and (many or not tone)
        colour = COLOURS[architecture] if own else MORE_COLOURS[others % len(MORE_COLOURS)]
        marker = MARKERS[architecture] if own else MORE_MARKERS[others % len(MORE_MARKERS)]
        others += not own and not many
        found.append(Arm(str(name), str(architecture) if many else str(name), colour, marker))
    return found


def scorers_of(table: pd.DataFrame) -> list[str]:
    """List the scorers in the order of the table."""
    return [str(name) for name in pd.unique(table["scorer"].dropna()) if name]


def listed(words: Sequence[str]) -> str:
    """Join the numbers of a caption, or say where they are if they are many."""
    return "; ".join(words) if len(words) <= MOST_LISTED else f"{len(words)} values, in the figure's CSV"
