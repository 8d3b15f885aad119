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
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by readers with any of the common colour vision deficiencies; shapes say the same.
COLOURS = {"sae": "#0072B2", "transcoder": "#D55E00", "skip-transcoder": "#009E73"}
OTHER_COLOUR = "#7A5195"
MARKERS = {"sae": "o", "transcoder": "s", "skip-transcoder": "D"}
SYMBOLS = {"sae": "circle", "transcoder": "square", "skip-transcoder": "diamond"}
GREY, INK = "#6B7280", "#22262C"
# More dictionaries than this are shown by architecture.
MANY = 9


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


# Two-column journals give a column about 85 mm and a page about 175 mm; slides are 16:9.
STYLES = {
    "paper": Style(name="paper", column=3.35, page=6.9, font=7.0, scale=1.0),
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


def role(architecture: str, alpha: float | None = None) -> str:
    """Return the colour of an architecture on the page."""
    name = f"@{architecture}" if architecture in COLOURS else "@other"
    return name if alpha is None else f"{name}/{alpha:g}"


def scorers_of(table: pd.DataFrame) -> list[str]:
    """List the scorers in the order of the table."""
    return [str(name) for name in pd.unique(table["scorer"].dropna()) if name]


def panels(figure: "Figure", names: Sequence[str], *, sharex: bool = False, sharey: bool = True) -> "list[Axes]":
    """Make one panel per name, side by side, titled with it."""
    axes = figure.subplots(1, max(1, len(names)), squeeze=False, sharey=sharey, sharex=sharex)[0]
    for axis, name in zip(axes, names, strict=False):
        axis.set_title(name)
    return list(axes)


def arms(table: pd.DataFrame) -> list[tuple[str, str]]:
    """List (name, architecture) of the rows' arms, in order."""
    return list(dict.fromkeys(zip(table["arm"].astype(str), table["architecture"].astype(str), strict=True)))


def with_arm(table: pd.DataFrame) -> pd.DataFrame:
    """Add `arm`: the dictionary, or the architecture where there are too many dictionaries to name."""
    many = table["dictionary"].nunique() > MANY
    return table.assign(arm=table["architecture"] if many else table["dictionary"])


def simultaneous(level: float, n: int) -> float:
    """Level of each of `n` intervals so that all cover together (Bonferroni): conservative, whatever depends."""
    return 1 - (1 - level) / max(1, n)


def interval_columns(values: np.ndarray, weights: np.ndarray, level: float) -> dict[str, float]:
    """Mean over latents with its t interval, by the statistics' own estimator."""
    from autointerp.statistics.intervals import mean

    found = mean(values, weights, level=level)
    low, high = found.interval(level)
    return {"value": found.value, "low": low, "high": high, "n_latents": found.n}


def error_bars(rows: pd.DataFrame, axis: str = "y") -> dict[str, Any]:
    """Plotly's form of the intervals in `low` and `high` around `value`."""
    upper = (rows["high"] - rows["value"]).round(6).tolist()
    lower = (rows["value"] - rows["low"]).round(6).tolist()
    return {f"error_{axis}": {"type": "data", "array": upper, "arrayminus": lower, "thickness": 1.4, "width": 3}}


def axis_name(letter: str, place: int) -> str:
    """Plotly's name of the axis of the panel at `place` (0-based): `xaxis`, `xaxis2`."""
    return f"{letter}axis{place + 1 if place else ''}"


def grid_layout(titles: Sequence[str], x: dict[str, Any], y: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Lay out panels side by side in Plotly: one x and one y axis each, titles above, the y axes matched."""
    n = max(1, len(titles))
    gap = 0.06 if n > 1 else 0.0
    wide = (1 - gap * (n - 1)) / n
    layout: dict[str, Any] = {"annotations": [], "showlegend": False, "margin": {"l": 56, "r": 12, "t": 26, "b": 46}}
    for at in range(n):
        start = at * (wide + gap)
        layout[axis_name("x", at)] = {
            **x,
            "domain": [round(start, 4), round(start + wide, 4)],
            "anchor": f"y{at + 1 if at else ''}",
        }
        layout[axis_name("y", at)] = {**y, "anchor": f"x{at + 1 if at else ''}"}
        if at:
            layout[axis_name("y", at)] |= {"matches": "y", "showticklabels": False, "title": None}
        if titles and titles[at]:
            layout["annotations"].append({
                "text": titles[at], "x": round(start + wide / 2, 4), "y": 1.02, "xref": "paper", "yref": "paper",
                "xanchor": "center", "yanchor": "bottom", "showarrow": False, "font": {"size": 12},
            })  # fmt: skip
    return {**layout, **more}


def on(place: int) -> dict[str, str]:
    """Put a Plotly trace into the panel at `place`."""
    number = "" if place == 0 else str(place + 1)
    return {"xaxis": f"x{number}", "yaxis": f"y{number}"}


def line(
    place: int, *, x: float | None = None, y: float | None = None, colour: str = "@soft", dash: str = "dot"
) -> dict[str, Any]:
    """Draw a reference line over a whole Plotly panel."""
    number = "" if place == 0 else str(place + 1)
    if y is not None:
        ends = {"xref": f"x{number} domain", "yref": f"y{number}", "x0": 0, "x1": 1, "y0": y, "y1": y}
    else:
        ends = {"xref": f"x{number}", "yref": f"y{number} domain", "x0": x, "x1": x, "y0": 0, "y1": 1}
    return {"type": "line", **ends, "line": {"color": colour, "width": 1, "dash": dash}, "layer": "below"}
