"""Drawing steps that figures share: panels, curves with error bars, texts under the pointer, the legend."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pandas as pd

from autointerp.report.escaping import visible
from autointerp.report.figures.base import Arm

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Label of a matplotlib figure that is drawn for the page: only there do points carry links and texts.
SCREEN = "screen"
PER_ROW = 4


def panels(figure: "Figure", names: Sequence[str], *, sharex: bool = False, sharey: bool = True) -> "list[Axes]":
    """Make one panel per name, titled with it, at most `PER_ROW` in a row."""
    columns = max(1, min(PER_ROW, len(names)))
    axes = figure.subplots(rows_of(len(names)), columns, squeeze=False, sharey=sharey, sharex=sharex).ravel()
    for axis, name in zip(axes, names, strict=False):
        axis.set_title(name)
    for axis in axes[max(1, len(names)) :]:
        axis.remove()
    return list(axes[: max(1, len(names))])


def rows_of(n_panels: int) -> int:
    """Return the number of rows that so many panels take."""
    return max(1, -(-n_panels // PER_ROW))


def curve(
    axis: "Axes", x: Any, rows: pd.DataFrame, arm: Arm, *, joined: bool = True, label: bool = True, words: str = ""
) -> None:
    """Draw `value` with its interval at each x, in the colour and shape of the dictionary."""
    errors = [(rows["value"] - rows["low"]).clip(lower=0), (rows["high"] - rows["value"]).clip(lower=0)]
    style: dict[str, Any] = {"color": arm.colour, "marker": arm.marker, "markersize": 3, "elinewidth": 0.8}
    shown = arm.label if label else None
    axis.errorbar(x, rows["value"], yerr=errors, linewidth=float(joined), label=shown, **style)
    texts = [
        f"{arm.dictionary}, {words}{row['bin']}: {row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
        for row in rows.to_dict("records")
    ]
    tips(axis, x, rows["value"], texts)


def tips(axis: "Axes", x: Any, y: Any, texts: Iterable[str], latents: Iterable[str] | None = None) -> None:
    """On the page, give each point a text under the pointer, and a link to its latent where one is named."""
    if axis.figure.get_label() != SCREEN:
        return
    texts = [visible(text) for text in texts]
    names = [None] * len(texts) if latents is None else list(latents)
    urls = [
        f"#tip={quote(text, safe='')}" if name is None else f"#latent={quote(name, safe='')}&tip={quote(text, safe='')}"
        for text, name in zip(texts, names, strict=True)
    ]
    if urls:
        axis.scatter(x, y, s=30, alpha=0, linewidths=0, color="#000000", urls=urls, zorder=9)


def legend_below(figure: "Figure", ncols: int) -> None:
    """Put one legend under all panels; a name that several drawings carry is listed once."""
    unique: dict[str, Any] = {}
    for axis in figure.axes:
        handles, labels = axis.get_legend_handles_labels()
        unique = {**dict(zip(labels, handles, strict=True)), **unique}
    if unique:
        figure.legend(
            unique.values(),
            unique.keys(),
            loc="outside lower center",
            ncols=ncols,
            frameon=False,
            handletextpad=0.4,
            columnspacing=1.0,
        )
