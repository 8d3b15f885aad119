"""The rows of the estimates table of one dictionary and scorer."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from autointerp.errors import TableError
from autointerp.statistics._rows import flat
from autointerp.statistics.base import POPULATIONS, Estimate, Population, chance_of
from autointerp.statistics.clusters import FEW_DOCUMENTS, NO_DOCUMENTS, Documents, DocumentTerm, Side
from autointerp.statistics.composition import is_trivial
from autointerp.statistics.effects import between_latents
from autointerp.statistics.estimates import finish
from autointerp.statistics.populations import Bins, arm_of, population_mean, population_weights, usable
from autointerp.statistics.shares import share_reaching

# A frequency-weighted mean that rests on fewer effective latents than this is not to be relied on.
FEW_EFFECTIVE = 50
# Means of eligible latents given next to the score.
BESIDES = ("recall", "specificity", "score_hard", "auroc", "skill")


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What all estimates of one dictionary and scorer have in common."""

    dictionary: str
    architecture: str
    site: str
    scorer: str
    n_unanswered: int
    missing_share: float
    chance: float
    n_total: int
    n_alive: int
    n_eligible: int
    n_sampled: int
    n_explained: int
    n_scored: int
    tau: float


@dataclass(frozen=True, kw_only=True)
class Statistic:
    """Which number a row of the estimates table holds, its bounds for unanswered items, and the documents it used."""

    population: str
    statistic: str
    missing_low: float
    missing_high: float
    note: str
    n_documents: int
    n_eff_documents: float
    largest_document: float


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What estimates of a run share: level and thresholds."""

    level: float
    trivial_share: float
    threshold: float


class Estimates:
    """The estimates of one dictionary and scorer (control none)."""

    def __init__(
        self,
        scores: pd.DataFrame,
        bins: Bins,
        settings: Settings,
        documents: Documents | None,
        lexical: pd.DataFrame | None = None,
    ) -> None:
        """Take the scores; `lexical` are those of the same latents' modal tokens, which `skill` is measured from."""
        self._scores, self._arm, self._bins = scores, arm_of(scores), bins
        self._settings, self._documents, self._lexical = settings, documents, lexical
        self._scored = self._arm.known()
        if not len(self._scored):
            raise TableError("every judgement is unanswered")
        self._facts = _facts(scores, between_latents(self._scored["score"], self._scored["noise_variance"]))

    def rows(self) -> list[dict[str, object]]:
        """Make the rows of the estimates table.

        Raises:
            TableError: no latent has a score.
        """
        return [
            *(self._population(name) for name in POPULATIONS),
            *(row for name, kept, column in self._besides() if (row := self._beside(name, kept, column))),
            *self._shares(),
        ]

    def _population(self, name: Population) -> dict[str, object]:
        inner = population_mean(self._arm, name, bins=self._bins, level=self._settings.level)
        term = self._term(np.ones(len(self._arm), bool), "score", name)
        found = finish(inner, self._scored, term=term, level=self._settings.level)
        sides = [population_mean(self._arm, name, bins=self._bins, column=f"score_{side}") for side in ("low", "high")]
        few = name == "freq" and found.n_eff < FEW_EFFECTIVE
        notes = ["few effective latents"] if few else []
        return self._row(name, "score", found, [one.value for one in sides], term, notes)

    def _besides(self) -> list[tuple[str, np.ndarray, str]]:
        """List the further means of eligible latents: name, latents, column."""
        trivial = is_trivial(self._arm, self._settings.trivial_share)
        every = np.ones(len(trivial), bool)
        return [
            *((column, every, column) for column in BESIDES if column in self._arm.columns),
            ("score_trivial", trivial, "score"),
            ("score_nontrivial", ~trivial, "score"),
        ]

    def _beside(self, name: str, kept: np.ndarray, column: str) -> dict[str, object] | None:
        part = self._arm.where(kept).known(column)
        if not len(part):
            return None
        inner = population_mean(part, "eligible", column=column, level=self._settings.level)
        term = self._term(kept, column)
        found = finish(inner, part, column=column, term=term, level=self._settings.level)
        return self._row("eligible", name, found, [found.value, found.value], term)

    def _shares(self) -> list[dict[str, object]]:
        """Shares of latents: trivial ones, and those whose score reaches the threshold once judging noise is out."""
        level, threshold = self._settings.level, self._settings.threshold
        trivial = is_trivial(self._scored, self._settings.trivial_share)
        term = self._term(np.ones(len(self._arm), bool), "score")
        reaching = share_reaching(self._scored, threshold, level=level, documents=term.variance)
        exact = share_reaching(
            replace(self._scored, columns={**self._scored.columns, "score": trivial.astype(float)}),
            0.5,
            level=level,
            noise=False,
        )
        out = []
        for population, name, found, part in (
            ("eligible", "trivial_share", exact, NO_DOCUMENTS),
            ("eligible", "share_above_threshold", reaching, term),
            ("iti", "yield", reaching.scaled(self._arm.share, self._arm.share_variance, level), term),
        ):
            notes = [] if name == "trivial_share" else [f"true score >= {threshold:g}"]
            one = Estimate(
                value=found.value,
                low=found.low,
                high=found.high,
                level=level,
                se=found.se,
                df=found.df,
                n_latents=len(self._scored),
                n_eff=found.n_eff,
                n_unanswered=int(self._scored["n_unanswered"].sum()),
                method=found.method,
            )
            out.append(self._row(population, name, one, [one.value, one.value], part, notes))
        return out

    def _term(self, kept: np.ndarray, column: str, population: Population = "eligible") -> DocumentTerm:
        """Return what documents add to the variance of a mean over some of the latents."""
        if self._documents is None:
            return NO_DOCUMENTS
        rows = usable(self._scores[kept], column)
        side = Side(scores=rows, weights=population_weights(rows, population, self._bins))
        if column != "skill":
            return self._documents.term([side], column)
        if self._lexical is None:
            return NO_DOCUMENTS
        other = replace(side, scores=rows.assign(control="lexical"), sign=-1.0)
        return self._documents.term([side, other], "score", paired=True)

    def _row(
        self,
        population: str,
        name: str,
        found: Estimate,
        bounds: Sequence[float],
        term: DocumentTerm,
        notes: Sequence[str] = (),
    ) -> dict[str, object]:
        """Write one row of the estimates table."""
        few = ["one document"] if term.n == 1 else ["few effective documents"] if 0 < term.n_eff < FEW_DOCUMENTS else []
        statistic = Statistic(
            population=population,
            statistic=name,
            missing_low=bounds[0],
            missing_high=bounds[1],
            note="; ".join([*notes, *few]),
            n_documents=term.n,
            n_eff_documents=term.n_eff,
            largest_document=term.largest,
        )
        return flat(found, self._facts, statistic)


def _facts(scores: pd.DataFrame, tau: float) -> Facts:
    first = scores.iloc[0]
    items, unanswered = int(scores["n_items"].sum()), int(scores["n_unanswered"].sum())
    return Facts(
        dictionary=str(first["dictionary"]),
        architecture=str(first["architecture"]),
        site=str(first["site"]),
        scorer=str(first["scorer"]),
        n_total=int(first["n_total"]),
        n_alive=int(first["n_alive"]),
        n_eligible=int(first["n_eligible"]),
        n_sampled=int(first["n_sampled"]),
        n_unanswered=unanswered,
        missing_share=unanswered / items if items else 0.0,
        chance=chance_of(scores),
        n_explained=int(scores["explained"].sum()),
        n_scored=int(scores["score"].notna().sum()),
        tau=tau,
    )
