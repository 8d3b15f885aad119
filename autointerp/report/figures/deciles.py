"""Where the judge errs: recall by activation decile, and specificity by kind of negative."""

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from autointerp.report.figures import _paper, _plotly
from autointerp.report.figures.base import arms, interval_columns, scorers_of, simultaneous, with_arm
from autointerp.report.run import ReportRun
from autointerp.run import tables

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Recall by decile, specificity by kind of negative"
SIZE: Literal["column", "page"] = "page"
NEEDS = "judgements of positives with activation deciles"
KINDS = ("random", "mismarked", "hard")
LEVEL = 0.95


def data(run: ReportRun) -> pd.DataFrame:
    """One row per dictionary, scorer and decile (`bin` 1..10) or kind of negative; intervals hold together."""
    judged = run.judgements
    judged = judged[
        (judged["control"] == "none") & (judged["answer"] != "unanswered") & (judged["scorer"] != "intruder")
    ]
    judged = judged[judged["dictionary"].isin(run.dictionaries["dictionary"])]
    if judged.empty:
        return pd.DataFrame()
    positive = judged["kind"] == "positive"
    label = pd.Series(np.where(positive, (judged["stratum"] + 1).astype(str), judged["kind"]), index=judged.index)
    right = (judged["answer"] == "yes") == judged["truth"]
    rates = right.groupby([judged[name] for name in [*tables.KEY, "scorer"]] + [label.rename("bin")], sort=False).mean()
    known = run.latents[[*tables.KEY, "architecture", "inclusion_probability"]]
    table = with_arm(rates.rename("rate").reset_index().merge(known, on=tables.KEY), run)
    table["curve"] = np.where(table["bin"].isin(KINDS), "specificity", "recall")
    rows = []
    for (curve, scorer, arm, architecture), part in table.groupby(
        ["curve", "scorer", "arm", "architecture"], sort=False
    ):
        bins = sorted(part["bin"].unique(), key=_order)
        for name in bins:
            inside = part[part["bin"] == name]
            weights = 1 / inside["inclusion_probability"].to_numpy(float)
            found = interval_columns(inside["rate"].to_numpy(float), weights, simultaneous(LEVEL, len(bins)))
            rows.append(
                {"curve": curve, "scorer": scorer, "arm": arm, "architecture": architecture, "bin": name, **found}
            )
    return pd.DataFrame(rows)


def _order(name: str) -> int:
    return 20 + KINDS.index(name) if name in KINDS else int(name)


def _bins(table: pd.DataFrame) -> list[str]:
    """Deciles weakest first, then a gap, then the kinds of negatives."""
    return sorted(table["bin"].unique(), key=_order)


def caption(table: pd.DataFrame) -> str:
    """Say what the bands are."""
    return (
        "Share of judged contexts that the judge gets right, averaged over latents: activating contexts by "
        "activation decile "
        "(10 strongest), then silent contexts by kind. Bars: 95 %, simultaneous over a dictionary's deciles "
        "and over its "
        "kinds (Bonferroni)."
    )


def height(table: pd.DataFrame) -> float:
    """One row of panels."""
    return 2.3


def draw(table: pd.DataFrame, figure: "Figure") -> None:
    """Draw one curve per dictionary, shifted so that bars do not hide each other."""
    names, bins = arms(table), _bins(table)
    places = {name: at + (0.6 if name in KINDS else 0) for at, name in enumerate(bins)}
    for axis, scorer in zip(_paper.panels(figure, scorers_of(table)), scorers_of(table), strict=True):
        for at, (name, architecture) in enumerate(names):
            mine = table[(table["scorer"] == scorer) & (table["arm"] == name)]
            for curve, rows in mine.groupby("curve", sort=False):
                x = np.array([places[one] for one in rows["bin"]]) + (at - (len(names) - 1) / 2) * 0.16
                label = name if curve == "recall" else None
                _paper.curve(axis, x, rows, architecture, label, joined=curve == "recall")
        axis.set_xticks([places[name] for name in bins], bins)
        for text in axis.get_xticklabels():
            if text.get_text() in KINDS:
                text.set(rotation=35, ha="right", rotation_mode="anchor")
        axis.set(ylim=(0, 1.03), xlabel="activation decile, then kind of negative")
    figure.axes[0].set_ylabel("judged rightly")
    _paper.legend_below(figure, 4)


def interactive(table: pd.DataFrame) -> dict[str, Any]:
    """The same curves for the page."""
    found, names = [], arms(table)
    for place, scorer in enumerate(scorers_of(table)):
        for name, architecture in names:
            rows = table[(table["scorer"] == scorer) & (table["arm"] == name)]
            hover = f"{name}, %{{x}}: %{{y:.3f}}<extra></extra>"
            for curve, part in rows.groupby("curve", sort=False):
                joined = curve == "recall"
                found.append(_plotly.curve(part["bin"].tolist(), part, name, architecture, place, joined=joined,
                                           legend=joined, hovertemplate=hover))  # fmt: skip
    x = {"type": "category", "categoryorder": "array", "categoryarray": _bins(table),
         "title": {"text": "activation decile, then kind of negative"}}  # fmt: skip
    y = {"range": [0, 1.03], "title": {"text": "judged rightly"}}
    return {"data": found, "layout": _plotly.grid_layout(scorers_of(table), x, y, legend=len(names))}
