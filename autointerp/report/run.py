"""A finished run as a reader meets it: its tables, the scores and controls that follow from them, single latents."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from autointerp.errors import RunDirectoryError, TableError
from autointerp.report.latent import LatentView
from autointerp.run import report_tables, store, tables, yaml_files
from autointerp.run.reading import RunTables

if TYPE_CHECKING:
    from autointerp.statistics.summary import Summary

REQUIRED = ("dictionaries", "latents", "judgements")


class ReportRun:
    """The tables of a run directory as DataFrames, read when first asked for. Needs no torch.

    `dictionaries`, `latents`, `examples`, `explanations`, `judgements` are as `autointerp.run.tables` describes them;
    `questions`, `reconstruction`, `logits`, `histograms` are empty where the run has none; `estimates`, `comparisons`,
    `controls` and `summary` are read where the run wrote them, and computed from the judgements where it did not.
    """

    def __init__(self, path: Path | str) -> None:
        self.files = store.open_run(path)
        self.path = self.files.path

    def __repr__(self) -> str:
        n_sampled = int(self.latents["sampled"].sum())
        return f"Run({str(self.path)!r}: {len(self.dictionaries)} dictionaries, {n_sampled} latents sampled)"

    @property
    def name(self) -> str:
        """The study's name, else the folder's."""
        return str(self.manifest.get("name") or self.path.resolve().name)

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The run's manifest."""
        return self.files.manifest

    @cached_property
    def study(self) -> dict[str, Any]:
        """The study file of the run; empty where it has none."""
        path = self.path / "study.yaml"
        try:
            found = yaml_files.load(path.read_text(encoding="utf-8")) if path.exists() else None
        except ValueError as error:
            raise RunDirectoryError(f"{path} cannot be read: {error}") from error
        return found if isinstance(found, dict) else {}

    def table(self, name: str) -> pd.DataFrame:
        """Read a table; an optional one that is not there comes back empty, with its columns."""
        columns: dict[str, str] = dict(getattr(tables, name.upper()))
        if name == "examples":  # schema 1 lacks this column, and reports do not show planted latents
            del columns["planted"]
        if not self.files.has(name) and name not in REQUIRED:
            return pd.DataFrame(columns=list(columns))
        return self.files.table(name, columns)

    @cached_property
    def dictionaries(self) -> pd.DataFrame:
        """One row per dictionary of the study."""
        return self.table("dictionaries")

    @cached_property
    def latents(self) -> pd.DataFrame:
        """One row per latent of the study's dictionaries, sampled or not."""
        return self.table("latents")

    @cached_property
    def examples(self) -> pd.DataFrame:
        """The windows of the sampled latents."""
        return self.table("examples")

    @cached_property
    def explanations(self) -> pd.DataFrame:
        """The explanations."""
        return self.table("explanations")

    @cached_property
    def judgements(self) -> pd.DataFrame:
        """One row per judged item."""
        return self.table("judgements")

    @cached_property
    def questions(self) -> pd.DataFrame:
        """One row per prompt; empty where the run did not keep them."""
        return self.table("questions")

    @cached_property
    def reconstruction(self) -> pd.DataFrame:
        """One row per dictionary and metric; empty where it was not measured."""
        return self.table("reconstruction")

    @cached_property
    def logits(self) -> pd.DataFrame:
        """The tokens that each sampled latent promotes and suppresses; empty where it was not computed."""
        return self.table("logits")

    @cached_property
    def neighbours(self) -> pd.DataFrame:
        """The nearest latents of each sampled latent by decoder and by co-firing; empty where not computed."""
        return self.table("neighbours")

    @cached_property
    def contexts(self) -> pd.DataFrame:
        """The text around the strongest windows of each sampled latent; empty where the run did not keep it."""
        return self.table("contexts")

    @cached_property
    def without_logits(self) -> dict[str, str]:
        """Why a dictionary's latents have no logits, as the run said, by dictionary."""
        marker = self.files.stages().get("describe") or self.manifest.get("stages", {}).get("describe", {})
        return {str(name): str(why) for name, why in marker.get("counts", {}).get("without_logits", {}).items()}

    @cached_property
    def histograms(self) -> pd.DataFrame:
        """All positive activations of each sampled latent, in bins; empty where they were not counted."""
        return self.table("histograms")

    @cached_property
    def scores(self) -> pd.DataFrame:
        """One row per latent, scorer and control, as stored; computed from the judgements where it was not stored."""
        from autointerp.statistics.scores import latent_scores
        from autointerp.statistics.variance import with_shrunk

        found = self._written("scores")
        if found is None:
            return with_shrunk(latent_scores(self.judgements, self.table("latents"), control=None))
        return tables.check(found, report_tables.SCORES, "scores")

    @cached_property
    def curves(self) -> pd.DataFrame:
        """Points of the curves that the figures draw, as stored; computed where they were not stored."""
        from autointerp.statistics.curves import curves

        found = self._written("curves")
        if found is None:
            kept = self.reconstruction if len(self.reconstruction) else None
            return curves(self.judgements, self.scores, self.latents, self.estimates, kept)
        return tables.check(found, report_tables.CURVES, "curves")

    @cached_property
    def own_scores(self) -> pd.DataFrame:
        """The scores of the study's latents by their own explanations (no controls)."""
        own = self.scores["control"].eq("none") & self.scores["dictionary"].isin(self.dictionaries["dictionary"])
        return self.scores[own].reset_index(drop=True)

    @cached_property
    def scorers(self) -> list[str]:
        """The scorers of the run, in the order of the judgements."""
        return [str(name) for name in pd.unique(self.own_scores["scorer"])]

    @cached_property
    def _derived(self) -> "Summary":
        """The summary computed from the tables, for results that the run has not stored."""
        from autointerp.statistics.summary import summarise

        tables = RunTables(
            judgements=self.judgements,
            latents=self.table("latents"),
            dictionaries=self.table("dictionaries"),
            reconstruction=self.reconstruction,
        )
        return summarise(tables)

    def _written(self, name: str) -> pd.DataFrame | None:
        return self.files.read(name) if self.files.has(name) else None

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Verdicts in words, coverage, controls: `summary.json`, else computed."""
        path = self.path / "summary.json"
        return store.read_json(self.files.verified("summary.json")) if path.exists() else self._derived.summary

    @property
    def qualification(self) -> dict[str, Any] | None:
        """What explainer and judge showed on planted rules: `qualification.json`; None where it was off."""
        there = (self.path / "qualification.json").exists()
        return store.read_json(self.files.verified("qualification.json")) if there else None

    @cached_property
    def controls(self) -> pd.DataFrame:
        """One row per control, scorer and dictionary, with its status."""
        from autointerp.statistics.base import Limits
        from autointerp.statistics.controls import controls

        found = self._written("controls")
        limits = Limits(**self.summary.get("settings", {}).get("limits", {}))
        return controls(self.scores, limits=limits) if found is None else found

    @cached_property
    def estimates(self) -> pd.DataFrame:
        """Means of each dictionary and scorer over each population, with intervals."""
        found = self._written("estimates")
        return self._derived.estimates if found is None else found

    @cached_property
    def comparisons(self) -> pd.DataFrame:
        """Contrasts of dictionaries with their verdicts."""
        found = self._written("comparisons")
        return self._derived.comparisons if found is None else found

    @cached_property
    def reconstruction_comparisons(self) -> pd.DataFrame:
        """Contrasts of what dictionaries preserve; empty where that was not measured."""
        found = self._written("reconstruction_comparisons")
        return self._derived.reconstruction_comparisons if found is None else found

    @cached_property
    def prevalence_comparisons(self) -> pd.DataFrame:
        """Differences of F1 and precision at the firing rates of real text."""
        found = self._written("prevalence_comparisons")
        return self._derived.prevalence_comparisons if found is None else found

    def compare(self, a: str, b: str, **settings: Any) -> pd.DataFrame:
        """Return the comparison of two dictionaries, B minus A, one row per scorer and population.

        Without settings, rows of the run's comparisons where it has this pair: the numbers of every other output, p
        values adjusted in their family; a pair stored as A minus B is turned round. A pair that the run did not
        compare, or settings (of `autointerp.statistics.contrasts.compare`), are computed now, without adjustment, and
        their verdict is `exploratory`.

        Raises:
            TableError: no such dictionary, or no common scorer.
        """
        from autointerp.statistics.contrasts import compare
        from autointerp.statistics.reversal import reversed_comparisons
        from autointerp.statistics.scores import latent_scores

        a, b = self._known(a), self._known(b)
        stored = self.comparisons
        if not settings and len(stored):
            for first, second, turn in ((a, b, False), (b, a, True)):
                rows = stored[(stored["a"] == first) & (stored["b"] == second)].reset_index(drop=True)
                if len(rows):
                    return reversed_comparisons(rows) if turn else rows
        scores = latent_scores(self.judgements, self.table("latents"))
        arms = [scores[scores["dictionary"] == name] for name in (a, b)]
        pools = [self.latents[self.latents["dictionary"] == name] for name in (a, b)]
        found = compare(*arms, latents=pools, **settings)
        return found.assign(family="exploratory", verdict="exploratory")

    def _known(self, name: str) -> str:
        if name not in set(self.dictionaries["dictionary"]):
            known = ", ".join(self.dictionaries["dictionary"])
            raise TableError(f"dictionary {name!r} is not in this run; it has: {known}")
        return name

    def latent(self, name: str, index: int | None = None) -> LatentView:
        """Return one latent: `run.latent("sae_k16", 41)` or `run.latent("sae_k16/41")`.

        Raises:
            TableError: no such dictionary or latent.
        """
        dictionary, index = self._named(name, index)
        mine = self.latents[(self.latents["dictionary"] == dictionary) & (self.latents["latent"] == index)]
        if mine.empty:
            n = int(self.latents["dictionary"].eq(dictionary).sum())
            raise TableError(f"{dictionary} has no latent {index}; it has 0 to {n - 1}")
        row = {str(column): value for column, value in mine.iloc[0].to_dict().items()}

        def of(table: pd.DataFrame) -> pd.DataFrame:
            kept = (table["dictionary"] == dictionary) & (table["latent"] == index)
            return table[kept].reset_index(drop=True)

        return LatentView(
            name=f"{dictionary}/{index}",
            row=row,
            scores=of(self.scores),
            explanations=of(self.explanations),
            examples=of(self.examples),
            judgements=of(self.judgements),
            questions=of(self.questions),
            logits=of(self.logits),
            histogram=of(self.histograms),
            without_logits=self.without_logits.get(dictionary),
        )

    def _named(self, name: str, index: int | None) -> tuple[str, int]:
        if index is not None:
            return self._known(name), index
        dictionary, slash, number = name.rpartition("/")
        if not slash and len(self.dictionaries) == 1:
            dictionary = str(self.dictionaries["dictionary"].iloc[0])
        if not (number.isascii() and number.isdigit() and len(number) < 19) or not dictionary:
            example = f"{self.dictionaries['dictionary'].iloc[0]}/0" if len(self.dictionaries) else "sae/0"
            raise TableError(f"latent {name!r} is not understood; write <dictionary>/<index>, such as {example}")
        return self._known(dictionary), int(number)


def sampled_rows(run: ReportRun) -> pd.DataFrame:
    """One row per sampled latent: its own columns, its explanation, one `score_<scorer>` column per scorer."""
    rows = run.latents[run.latents["sampled"]].copy()
    wide = run.own_scores.pivot_table(index=tables.KEY, columns="scorer", values="score", aggfunc="first", dropna=False)
    wide.columns = [f"score_{scorer}" for scorer in wide.columns]
    first = run.explanations.drop_duplicates(tables.KEY)[[*tables.KEY, "explanation_id", "text", "status", "explainer"]]
    first = first.rename(columns={"text": "explanation", "status": "explanation_status"})
    joined = rows.merge(first, on=tables.KEY, how="left").merge(wide.reset_index(), on=tables.KEY, how="left")
    score = [column for column in joined.columns if column.startswith("score_")]
    joined["score"] = joined[score].mean(axis=1) if score else np.nan
    return joined
