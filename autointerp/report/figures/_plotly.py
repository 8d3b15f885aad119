"""What the figures of the page share: panels, curves with error bars, reference lines, the legend below, in Plotly."""

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from autointerp.report.figures.base import COLOURS

SYMBOLS = {"sae": "circle", "transcoder": "square", "skip-transcoder": "diamond"}


def role(architecture: str, alpha: float | None = None) -> str:
    """Return the colour of an architecture on the page."""
    name = f"@{architecture}" if architecture in COLOURS else "@other"
    return name if alpha is None else f"{name}/{alpha:g}"


def symbol(architecture: str) -> str:
    """Return the shape of an architecture on the page."""
    return SYMBOLS.get(architecture, "triangle-up")


def short(values: Iterable[float]) -> list[float]:
    """Round to four digits."""
    return [float(f"{value:.4g}") for value in values]


def curve(
    x: Sequence[Any], rows: pd.DataFrame, name: str, architecture: str, place: int, *, joined: bool = True,
    legend: bool = True, axis: str = "y", size: float = 7, **more: Any
) -> dict[str, Any]:  # fmt: skip
    """Draw `value` with its interval at each x in the panel at `place`; one legend entry serves all panels."""
    tint = role(architecture)
    return {
        "type": "scatter", "mode": "lines+markers" if joined else "markers", "x": list(x), "y": short(rows["value"]),
        "name": name, "legendgroup": name, "showlegend": legend and place == 0, "line": {"color": tint, "width": 1.6},
        "marker": {"color": tint, "size": size, "symbol": symbol(architecture)}, **error_bars(rows, axis), **on(place),
        **more,
    }  # fmt: skip


def error_bars(rows: pd.DataFrame, axis: str = "y") -> dict[str, Any]:
    """Plotly's form of the intervals in `low` and `high` around `value`."""
    upper = (rows["high"] - rows["value"]).round(6).tolist()
    lower = (rows["value"] - rows["low"]).round(6).tolist()
    return {f"error_{axis}": {"type": "data", "array": upper, "arrayminus": lower, "thickness": 1.4, "width": 3}}


def axis_name(letter: str, place: int) -> str:
    """Plotly's name of the axis of the panel at `place` (0-based): `xaxis`, `xaxis2`."""
    return f"{letter}axis{place + 1 if place else ''}"


def grid_layout(
    titles: Sequence[str], x: dict[str, Any], y: dict[str, Any], *, legend: int = 0, **more: Any
) -> dict[str, Any]:
    """Lay out panels side by side: one x and one y axis each, titles above, the y axes matched.

    `legend` names are listed below. On a narrow screen the page puts the panels (`meta.panels`) under each other.
    """
    n = max(1, len(titles))
    gap = 0.06 if n > 1 else 0.0
    wide = (1 - gap * (n - 1)) / n
    layout: dict[str, Any] = {
        "annotations": [], "showlegend": legend > 0, "meta": {"panels": n, "legend": legend},
        "margin": {"l": 56, "r": 12, "t": 26, "b": 46 + (34 if legend else 0)},
        "legend": {"orientation": "h", "x": 0, "y": 0, "yref": "container", "yanchor": "bottom"},
    }  # fmt: skip
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
                "text": titles[at], "x": round(start + wide / 2, 4), "y": 1, "yshift": 3, "xref": "paper",
                "yref": "paper", "xanchor": "center", "yanchor": "bottom", "showarrow": False, "font": {"size": 12},
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


def zone(place: int, low: float, high: float) -> dict[str, Any]:
    """Shade a range of x over a whole panel."""
    number = "" if place == 0 else str(place + 1)
    return {"type": "rect", "xref": f"x{number}", "yref": f"y{number} domain", "x0": low, "x1": high, "y0": 0, "y1": 1,
            "fillcolor": "@soft/0.18", "line": {"width": 0}, "layer": "below"}  # fmt: skip


def mark(place: int, x: float, text: str) -> dict[str, Any]:
    """Name a vertical reference line at the top of a panel."""
    at = on(place)
    return {"text": text, "x": x, "y": 1, "xref": at["xaxis"], "yref": f"{at['yaxis']} domain", "xanchor": "center",
            "yanchor": "top", "showarrow": False, "bgcolor": "@panel",
            "font": {"size": 10, "color": "@soft"}}  # fmt: skip
