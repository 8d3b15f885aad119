"""A finished run in brief: DataFrames of at most ten columns, and its summary in a notebook."""

from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from autointerp.report import findings, tables, writers
from autointerp.report.run import ReportRun, sampled_rows
from autointerp.statistics import validity

COMPARISON = ["a", "b", "scorer", "population", "diff", "ci95_lo", "ci95_hi", "p_diff_adj", "verdict", "reason"]
# Scorers with a column of their own in the table of latents, which then has ten columns.
MAX_SCORERS = 4
STYLE = """<style>.autointerp table {border-collapse: collapse; margin: .5em 0}
.autointerp th, .autointerp td {text-align: left; padding: .1em .8em .1em 0}
.autointerp .num {text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums}
.autointerp .ci {opacity: .65}</style>"""


@dataclass(frozen=True, slots=True)
class Brief:
    """The tables of a run with the columns that most readers need; the run itself has all columns."""

    run: ReportRun

    @property
    def scores(self) -> pd.DataFrame:
        """Mean score by dictionary, scorer and population, with its 95 % interval and the latents it rests on."""
        table = self.run.estimates
        kept = table[table["statistic"] == "score"].rename(columns={"value": "score", "n_latents": "latents"})
        columns = ["dictionary", "scorer", "population", "score", "low", "high", "chance", "latents"]
        return kept[columns].reset_index(drop=True)

    @property
    def comparisons(self) -> pd.DataFrame:
        """Differences b - a of mean scores, with the 95 % interval, the adjusted p value and the verdict."""
        return self.run.comparisons.reindex(columns=COMPARISON)

    @property
    def latents(self) -> pd.DataFrame:
        """One row per sampled latent: its explanation, its scores (best first), how often it fires."""
        rows = sampled_rows(self.run)
        scores = [name for name in rows.columns if name.startswith("score_")][:MAX_SCORERS]
        columns = ["dictionary", "latent", "explanation", "score", *scores, "firing_rate_token", "peak_token"]
        return rows[columns].sort_values("score", ascending=False, kind="stable").reset_index(drop=True)

    @property
    def reconstruction(self) -> pd.DataFrame:
        """What each dictionary preserves: one row per dictionary and metric, with its 95 % interval."""
        return self.run.reconstruction[["dictionary", "metric", "value", "low", "high", "n_documents"]]


class OpenedRun(ReportRun):
    """A finished run as Python and notebooks meet it; see `ReportRun`."""

    @property
    def brief(self) -> Brief:
        """The tables with at most ten columns: `run.brief.scores`, `.comparisons`, `.latents`, `.reconstruction`."""
        return Brief(self)

    def _repr_html_(self) -> str:
        return html(self)


def html(run: ReportRun) -> str:
    """Write a run's headline, scores, reconstruction and comparisons, and what must stand with them."""
    found = findings.findings_of(run)
    said = [
        f"controls: {validity.in_words(found.control_status)}",
        *findings.warnings(found),
        *findings.not_compared(found),
        f"{run.path} (report.html has every latent)",
    ]
    shown = (tables.scores(found), tables.reconstruction(found, ("fvu", "ce_increase")), tables.comparisons(found))
    parts = [
        Markup("<p><b>{}</b> {}</p>").format(run.name, findings.headline(found)),
        *(Markup("<p><i>{}</i></p>{}").format(table.title, writers.html(table)) for table in shown if table),
        *(Markup("<p>{}</p>").format(line) for line in said),
    ]
    return f'{STYLE}<div class="autointerp">{Markup("").join(parts)}</div>'
