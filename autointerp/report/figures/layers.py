"""Differences between dictionaries, and over layers, with the zone in which they count as equivalent."""

from typing import TYPE_CHECKING, Literal

import pandas as pd

from autointerp.report.escaping import visible
from autointerp.report.figures import _paper
from autointerp.report.figures.base import GREY, INK, listed, scorers_of
from autointerp.report.findings import findings_of
from autointerp.report.run import ReportRun
from autointerp.report.tables import pair_name
from autointerp.report.words import VERDICTS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Differences between dictionaries"
SIZE: Literal["column", "page"] = "page"
NEEDS = "at least two dictionaries that can be compared"
PANEL = "scorer"
KEPT = ["contrast", "scorer", "over", "layer", "k", "a", "b", "scope", "margin", "verdict", "n_a", "n_b"]
BANDS = ["band_lo", "band_hi", "pi_lo", "pi_hi"]


def data(run: ReportRun) -> pd.DataFrame:
    """Comparisons over eligible latents; `low`, `high` are simultaneous over layers if there are several."""
    table = run.comparisons
    rows = table[table["population"] == "eligible"] if len(table) else table
    if rows.empty:
        return pd.DataFrame()
    bands = {name: rows[name].astype(float) if name in rows else float("nan") for name in BANDS}
    found = rows[[*KEPT, "ci95_lo", "ci95_hi"]].assign(value=rows["diff"], **bands)
    found["low"], found["high"] = found["band_lo"].fillna(found["ci95_lo"]), found["band_hi"].fillna(found["ci95_hi"])
    known, several = findings_of(run), rows.loc[rows["layer"] >= 0, "layer"].nunique() > 1
    found["label"] = [visible(_label(pair_name(known, row), row, several)) for row in found.to_dict("records")]
    found = found.sort_values(["contrast", "over", "layer"], kind="stable", key=_first_seen)
    return found.reset_index(drop=True)


def _first_seen(column: pd.Series) -> pd.Series:
    """Sort key: contrasts as they first come, pooled rows after their layers, layers upwards."""
    if column.name == "layer":
        return column
    if column.name == "over":
        return column.ne("dictionaries")
    return column.map({name: at for at, name in enumerate(pd.unique(column))})


def _label(pair: str, row: dict, several: bool) -> str:
    pair = pair.replace(" - ", " \N{MINUS SIGN} ")
    if row["over"] not in ("dictionaries", ""):
        return f"{pair}, all {row['over']}"
    return f"{pair}, layer {int(row['layer'])}" if several and row["layer"] >= 0 else pair


def caption(table: pd.DataFrame) -> str:
    """Explain the zone and the bars, and list the verdicts."""
    margin = float(table["margin"].iloc[0])
    several = table["layer"].nunique() > 1 and bool(table["band_lo"].notna().any())
    kind = "simultaneous 95 % bands over layers" if several else "95 % intervals"
    verdicts = listed(
        [
            f"{row['label']} ({row['scorer']}) {row['value']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]: "
            f"{VERDICTS.get(row['verdict'], row['verdict'])}"
            for row in table.to_dict("records")
        ]
    )
    pooled = (
        " Diamonds pool the layers; the thin line is where a further layer would lie."
        if (table["over"] == "layers").any()
        else ""
    )
    return (
        "Difference of mean balanced accuracy over eligible latents, the dictionary named first minus the one named "
        f"second, with {kind}. Grey: within {margin:g} of no difference, the zone of equivalence.{pooled} {verdicts}."
    )


def height(table: pd.DataFrame) -> float:
    """Grow with the number of rows."""
    return 0.7 + 0.2 * table["label"].nunique()


def draw(table: pd.DataFrame, figure: "Figure") -> None:
    """Draw one row per comparison and layer, one panel per scorer."""
    labels, scorers = list(dict.fromkeys(table["label"]))[::-1], scorers_of(table)
    margin = float(table["margin"].iloc[0])
    for axis, scorer in zip(_paper.panels(figure, scorers, sharex=True), scorers, strict=True):
        axis.axvspan(-margin, margin, color="#D9DCE1", linewidth=0, zorder=0)
        axis.axvline(0, color=GREY, linewidth=0.7, zorder=1)
        for row in table[table["scorer"] == scorer].to_dict("records"):
            at = labels.index(row["label"])
            axis.plot([row["pi_lo"], row["pi_hi"]], [at, at], color=GREY, linewidth=0.7)
            axis.plot([row["low"], row["high"]], [at, at], color=INK, linewidth=1.5, solid_capstyle="butt")
            axis.plot(row["value"], at, "D" if row["over"] == "layers" else "o", color=INK, markersize=4)
            words = f"{row['label']}: {row['value']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"
            _paper.tips(axis, [row["value"]], [at], [f"{words}, {VERDICTS.get(row['verdict'], row['verdict'])}"])
        axis.set_xlabel("difference in balanced accuracy")
        axis.locator_params(axis="x", nbins=5)
        axis.set_yticks(range(len(labels)), labels)
        axis.set_ylim(-0.6, len(labels) - 0.4)
        axis.tick_params(axis="y", length=0)
