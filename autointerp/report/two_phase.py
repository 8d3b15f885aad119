"""The table of two-phase estimates."""

import pandas as pd

from autointerp.report.tables import Number, Table
from autointerp.report.words import COMPARED


def table(estimates: pd.DataFrame) -> Table:
    """Means by the LLM's scores alone and with cheap scores of all latents (`statistics.two_phase.of_runs`).

    It fits 80 columns; means weighted by firing, intervals of the means alone and counts are in `two_phase.csv`.
    """
    rows = [
        [
            str(row["dictionary"]),
            str(row["scorer"]),
            COMPARED[row["population"]],
            Number(value=row["plain"]),
            Number(value=row["value"], low=row["low"], high=row["high"]),
            int(row["n"]),
            Number(value=row["explained"], digits=2),
            Number(value=row["n"] * row["gain"], digits=0),
        ]
        for row in estimates.to_dict("records")
        if row["population"] in COMPARED
    ]
    counts = sorted({int(n) for n in estimates["n_phase_one"]})
    scored = "-".join(f"{n:,}" for n in dict.fromkeys((counts[0], counts[-1]))) if counts else "0"
    return Table(
        name="two_phase",
        title=f"Two-phase estimates [95% interval]; phase one scored {scored} latents of a dictionary",
        columns=["dictionary", "scorer", "latents", "alone", "two-phase", "judged", "R2", "worth"],
        rows=rows,
        n_names=3,
        notes=("worth: judged latents that would be as precise without phase one",),
    )
