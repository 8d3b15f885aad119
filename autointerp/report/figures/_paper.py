"""What the drawings for print share: panels, curves with error bars, the legend below."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from autointerp.report.figures.base import MARKERS, colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def panels(figure: "Figure", names: Sequence[str], *, sharex: bool = False, sharey: bool = True) -> "list[Axes]":
    """Make one panel per name, side by side, titled with it."""
    axes = figure.subplots(1, max(1, len(names)), squeeze=False, sharey=sharey, sharex=sharex)[0]
    for axis, name in zip(axes, names, strict=False):
        axis.set_title(name)
    return list(axes)


def curve(
    axis: "Axes", x: Any, rows: pd.DataFrame, architecture: str, label: str | None, *, joined: bool = True
) -> None:
    """Draw `value` with its interval at each x, in the colour and shape of the architecture."""
    errors = [rows["value"] - rows["low"], rows["high"] - rows["value"]]
    axis.errorbar(x, rows["value"], yerr=errors, color=colour(architecture), linewidth=float(joined), elinewidth=0.8,
                  marker=MARKERS.get(architecture, "^"), markersize=3, label=label)  # fmt: skip


def legend_below(figure: "Figure", ncols: int) -> None:
    """Put one legend under all panels; a name that several drawings carry stands once."""
    unique: dict[str, Any] = {}
    for axis in figure.axes:
        handles, labels = axis.get_legend_handles_labels()
        unique = {**dict(zip(labels, handles, strict=True)), **unique}
    figure.legend(unique.values(), unique.keys(), loc="outside lower center", ncols=ncols, frameon=False,
                  handletextpad=0.4, columnspacing=1.0)  # fmt: skip
