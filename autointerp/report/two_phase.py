"""The table of two-phase estimates."""

import pandas as pd

from autointerp.report.tables import Number, Table
from autointerp.report.words import POPULATIONS


def table(estimates: pd.DataFrame) -> Table:
    """Means by the LLM's scores alone and with cheap scores of all latents (`statistics.two_phase.of_runs`)."""
    rows = [
        [
            str(row["dictionary"]),
            str(row["scorer"]),
            POPULATIONS[row["population"]],
            Number(value=row["plain"], low=row["plain_low"], high=row["plain_high"]),
            Number(value=row["value"], low=row["low"], high=row["high"]),
            int(row["n"]),
            int(row["n_phase_one"]),
            Number(value=row["explained"], digits=2),
            Number(value=row["n"] * row["gain"], digits=0),
        ]
        for row in estimates.to_dict("records")
    ]
    columns = ["dictionary", "scorer", "population", "judged alone", "two-phase", "judged", "phase one", "R2", "worth"]
    return Table(
        name="two_phase",
        title="Two-phase estimates [95% interval]",
        columns=columns,
        rows=rows,
        n_names=3,
        notes=("worth: judged latents that would be as precise without phase one",),
    )
