"""Controls and their expected values: chance for wrong explanations, near 1 for planted latents."""

from typing import TYPE_CHECKING, Literal

import pandas as pd

from autointerp.report.figures import _paper
from autointerp.report.figures.base import GREY, INK, scorers_of
from autointerp.report.run import ReportRun
from autointerp.report.words import CONTROLS
from autointerp.statistics.random_arms import CONTROL_ARMS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Controls"
SIZE: Literal["column", "page"] = "column"
NEEDS = "control judgements"
PANEL = "scorer"
TINTS = {"passed": "#009E73", "failed": "#D55E00", "undecided": "#B8860B", "informative": GREY}
FORMS = {"passed": "o", "failed": "X", "undecided": "D", "informative": "s"}
ORDER = ["shuffled", "empty", "lexical", "planted"]
KEPT = ["control", "scorer", "measure", "value", "low", "high", "expected", "n_latents", "status"]


def data(run: ReportRun) -> pd.DataFrame:
    """Rows of the controls table over all dictionaries, in their own measure; then a row per control arm.

    An arm's row is its stored estimate over eligible latents; `expected` is that of the dictionary it controls for.
    """
    table = run.controls
    if table.empty:
        return pd.DataFrame()
    drawn = table["control"].isin(ORDER) & ~table["measure"].isin(("moved", "score_hard"))
    rows = table[(table["dictionary"] == "all") & drawn][KEPT]
    place = {name: at for at, name in enumerate(ORDER)}
    rows = rows.assign(kind="control", place=rows["control"].map(place)).sort_values("place", kind="stable")
    arms = pd.DataFrame(_arms(run), columns=[*KEPT, "kind", "place"])
    found = pd.concat([rows, arms], ignore_index=True) if len(arms) else rows
    return found.sort_values(["scorer", "place"], kind="stable").drop(columns="place").reset_index(drop=True)


def _arms(run: ReportRun) -> list[dict[str, object]]:
    means = run.estimates
    if means.empty:
        return []
    means = means[(means["statistic"] == "score") & (means["population"] == "eligible")]
    stored = {(row["dictionary"], row["scorer"]): row for row in means.to_dict("records")}
    arms = run.dictionaries[run.dictionaries["architecture"].isin(CONTROL_ARMS)].to_dict("records")
    rows = []
    for at, arm in enumerate(arms):
        status = run.controls[run.controls["control"] == arm["architecture"]]
        for row in status[status["dictionary"] == arm["source"]].to_dict("records"):
            own, trained = stored.get((arm["dictionary"], row["scorer"])), stored.get((arm["source"], row["scorer"]))
            if own and trained:
                rows.append(
                    {
                        **{name: own[name] for name in ("scorer", "value", "low", "high", "n_latents")},
                        "control": f"{arm['dictionary']} ({arm['architecture']})",
                        "measure": "score",
                        "expected": trained["value"],
                        "status": row["status"],
                        "kind": "arm",
                        "place": len(ORDER) + at,
                    }
                )
    return rows


def caption(table: pd.DataFrame) -> str:
    """Count what passed."""
    counts = ", ".join(f"{n} {status}" for status, n in table["status"].value_counts().items())
    arms = (
        " Control arms, untrained, must score less than their dictionary (the bar shows its mean); "
        "their intervals are 95 %."
        if (table["kind"] == "arm").any()
        else ""
    )
    return (
        "Balanced accuracy under another latent's explanation and under none (both must be 0.5), and by the latent's "
        "modal tokens without a judge (for information). Planted latents: J, the judge's sensitivity + "
        f"specificity \N{MINUS SIGN} 1, with their true explanation (guessing is 0, perfect is 1). 90 % intervals."
        f"{arms} {counts}."
    )


def height(table: pd.DataFrame) -> float:
    """Grow with the number of controls."""
    return 0.9 + 0.22 * table["control"].nunique()


def draw(table: pd.DataFrame, figure: "Figure") -> None:
    """Draw each control's interval; colour and shape show its status, grey ticks what is expected."""
    arms = table.loc[table["kind"] == "arm", "control"]
    names = [*dict.fromkeys(arms), *(name for name in ORDER[::-1] if name in set(table["control"]))]
    scorers = scorers_of(table)
    for axis, scorer in zip(_paper.panels(figure, scorers, sharex=True), scorers, strict=True):
        for row in table[table["scorer"] == scorer].to_dict("records"):
            at, tint = names.index(row["control"]), TINTS[row["status"]]
            if row["status"] != "informative":
                grey = GREY if row["kind"] == "control" else INK
                axis.plot([row["expected"]] * 2, [at - 0.35, at + 0.35], color=grey, linewidth=1)
            axis.plot([row["low"], row["high"]], [at, at], color=tint, linewidth=1.4)
            axis.plot(row["value"], at, FORMS[row["status"]], color=tint, markersize=4)
            words = f"{CONTROLS.get(row['control'], row['control'])}: {row['value']:.3f}"
            interval = f"[{row['low']:.3f}, {row['high']:.3f}], {row['status']}"
            _paper.tips(axis, [row["value"]], [at], [f"{words} {interval}"])
        axis.set(xlim=(-0.03, 1.03), ylim=(-0.6, len(names) - 0.4), xlabel="score")
        axis.set_yticks(range(len(names)), [f"{name} (J)" if name == "planted" else name for name in names])
        axis.tick_params(axis="y", length=0)
