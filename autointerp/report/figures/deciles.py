"""Errors of the judge: recall by activation decile, and specificity by kind of negative."""

from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from autointerp.report.figures import _paper
from autointerp.report.figures.base import arms, scorers_of, with_arm
from autointerp.report.run import ReportRun
from autointerp.statistics.curves import KINDS, bin_order

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Recall by decile, specificity by kind of negative"
SIZE: Literal["column", "page"] = "page"
NEEDS = "judgements of positives with activation deciles"
PANEL = "scorer"


def data(run: ReportRun) -> pd.DataFrame:
    """One row per dictionary, scorer and decile (`bin` 1..10) or kind of negative; intervals hold together."""
    stored = run.curves
    rows = stored[stored["curve"].isin(["recall", "specificity"])]
    return with_arm(rows, run) if len(rows) else pd.DataFrame()


def caption(table: pd.DataFrame) -> str:
    """Explain the bars."""
    return (
        "Share of judged contexts that the judge gets right, averaged over latents: activating contexts by activation "
        "decile (10 strongest), then silent contexts by kind. Bars: 95 % intervals, simultaneous over a dictionary's "
        "deciles and over its kinds (Bonferroni)."
    )


def height(table: pd.DataFrame) -> float:
    """One row of panels."""
    return 2.3


def draw(table: pd.DataFrame, figure: "Figure") -> None:
    """Draw one curve per dictionary, shifted so that bars do not hide each other."""
    names, scorers = arms(table), scorers_of(table)
    for axis, scorer in zip(_paper.panels(figure, scorers), scorers, strict=True):
        mine = table[table["scorer"] == scorer]
        bins = sorted(mine["bin"].unique(), key=bin_order)
        places = {name: at + (0.6 if name in KINDS else 0) for at, name in enumerate(bins)}
        for at, arm in enumerate(names):
            for curve, rows in mine[mine["arm"] == arm.dictionary].groupby("curve", sort=False):
                x = np.array([places[one] for one in rows["bin"]]) + (at - (len(names) - 1) / 2) * 0.16
                recall = curve == "recall"
                words = "decile " if recall else ""
                _paper.curve(axis, x, rows, arm, joined=recall, label=recall, words=words)
        axis.set_xticks([places[name] for name in bins], bins)
        for text in axis.get_xticklabels():
            if text.get_text() in KINDS:
                text.set(rotation=35, ha="right", rotation_mode="anchor")
        axis.set(ylim=(0, 1.03), xlabel="activation decile, then kind of negative")
    figure.axes[0].set_ylabel("judged right")
    _paper.legend_below(figure, 3)
