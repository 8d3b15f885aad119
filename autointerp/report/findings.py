"""Results of a run or a comparison of runs, and the warnings that must accompany them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from autointerp.report.words import VERDICTS
from autointerp.statistics import validity
from autointerp.statistics.random_arms import trained

if TYPE_CHECKING:
    from autointerp.report.run import ReportRun


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Stored tables of one run, or of several compared together; planted latents are left out of `dictionaries`."""

    dictionaries: pd.DataFrame
    estimates: pd.DataFrame
    comparisons: pd.DataFrame
    controls: pd.DataFrame
    reconstruction: pd.DataFrame
    summary: Mapping[str, Any]
    manifests: Sequence[Mapping[str, Any]] = ()
    reconstruction_comparisons: pd.DataFrame = field(default_factory=pd.DataFrame)
    prevalence_comparisons: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def names(self) -> list[str]:
        """The dictionaries in the study's order."""
        return [str(name) for name in self.dictionaries["dictionary"]]

    @property
    def scorers(self) -> list[str]:
        """The scorers in the order of the estimates."""
        return [] if self.estimates.empty else [str(name) for name in pd.unique(self.estimates["scorer"])]

    @property
    def control_status(self) -> Mapping[str, Any]:
        """`controls` of summary.json."""
        return self.summary.get("controls", {})

    def label(self, dictionary: str) -> str:
        """Return the user's name for a dictionary, with its architecture if the name does not contain it."""
        known = dict(zip(self.dictionaries["dictionary"], self.dictionaries["architecture"], strict=True))
        architecture = str(known.get(dictionary, ""))
        same = not architecture or architecture.lower() in dictionary.lower().replace("_", "-")
        return dictionary if same else f"{dictionary} ({architecture})"


def findings_of(run: "ReportRun") -> Findings:
    """Collect a run's stored tables."""
    return Findings(
        dictionaries=run.dictionaries,
        estimates=run.estimates,
        comparisons=run.comparisons,
        controls=run.controls,
        reconstruction=run.reconstruction,
        summary=run.summary,
        manifests=(run.manifest,),
        reconstruction_comparisons=run.reconstruction_comparisons,
        prevalence_comparisons=run.prevalence_comparisons,
    )


def model_name(role: Mapping[str, Any]) -> str:
    """Name an LLM of the manifest by its model, else by its back end."""
    return str(role.get("model") or role.get("use") or "unknown")


def judges(manifests: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name the judges of runs, each once."""
    found = [model_name((one.get("llms") or {}).get("judge") or {}) for one in manifests]
    return [name for name in dict.fromkeys(found) if name != "unknown"]


def baseline(manifests: Sequence[Mapping[str, Any]]) -> str:
    """Return the warning that must stand with scores that `pattern` explained or judged, else nothing.

    >>> baseline([{"llms": {"explainer": {"use": "openai"}, "judge": {"use": "pattern"}}}])
    'Baseline: judged by `pattern`, a literal-pattern matcher, not a language model.'
    """
    roles = {"explainer": "explained", "judge": "judged"}
    done = [
        verb
        for role, verb in roles.items()
        if any(((one.get("llms") or {}).get(role) or {}).get("use") == "pattern" for one in manifests)
    ]
    if not done:
        return ""
    return f"Baseline: {' and '.join(done)} by `pattern`, a literal-pattern matcher, not a language model."


def warnings(found: Findings) -> list[str]:
    """List what must stand with every number: a failed control, then the baseline warning."""
    return [text for text in (validity.warning(found.control_status), baseline(found.manifests)) if text]


def conditional(found: Findings) -> list[str]:
    """Say what the intervals of scores leave out."""
    return [f"Intervals are {text}." for text in [str(found.summary.get("intervals", ""))] if text]


def not_compared(found: Findings) -> list[str]:
    """List the trained dictionaries in no comparison, with the reason if known."""
    arms = trained(found.dictionaries)["dictionary"].astype(str).tolist()
    if len(arms) < 2:
        return ["no comparison: this run has one dictionary"] if arms else []
    table = found.comparisons
    compared = set() if table.empty else {*table["a"].astype(str), *table["b"].astype(str)}
    skipped = found.summary.get("skipped", [])
    lines = []
    for name in arms:
        if name not in compared:
            reasons = [str(row["reason"]) for row in skipped if name in str(row["what"]).replace(",", " ").split()]
            why = reasons[0] if reasons else "no other dictionary of this study shares what comparisons require"
            lines.append(f"{found.label(name)} is in no comparison: {why}")
    shown = {row["what"] for row in skipped if any(name in str(row["what"]) for name in arms if name not in compared)}
    return lines + [f"skipped: {row['what']}: {row['reason']}" for row in skipped if row["what"] not in shown]


def headline(found: Findings) -> str:
    """Summarise in one sentence what was scored, by which judge, and what the comparisons show."""
    coverage = [row for row in found.summary.get("coverage", []) if row["dictionary"] in found.names]
    scored = sum(int(row["scored"]) for row in coverage)
    eligible = sum(int(row["eligible"]) for row in coverage)
    many = len(found.names)
    who = " and ".join(f"`{name}`" for name in judges(found.manifests)) or "an unnamed judge"
    first = (
        f"{who} scored {scored:,} of {eligible:,} eligible latents of {many} "
        f"{'dictionary' if many == 1 else 'dictionaries'}"
    )
    if found.scorers:
        scorer = found.scorers[0]
        table = found.estimates
        means = table[
            (table["scorer"] == scorer) & (table["statistic"] == "score") & (table["population"] == "eligible")
        ]
        values = dict(zip(means["dictionary"].astype(str), means["value"], strict=True))
        listed = [f"{found.label(name)} {values[name]:.3f}" for name in found.names if name in values]
        first += f"; mean {scorer} score (0.5 is chance): {', '.join(listed)}" if len(listed) <= 6 else ""
    return f"{first}. {_compared(found)}"


def _compared(found: Findings) -> str:
    rows = [row for row in found.summary.get("headlines", []) if row.get("verdict") in VERDICTS]
    if not rows:
        return "Nothing was compared."
    if validity.warning(found.control_status) and not validity.partly(found.control_status):
        return "A control failed: these are not results."
    certain = [row for row in rows if row["verdict"] not in ("inconclusive", "invalid")]
    counts = f"{len(certain) or 'None'} of {len(rows)} comparisons {'is' if len(certain) < 2 else 'are'} decided"
    words = [
        f"{found.label(str(row['b']))} {VERDICTS[row['verdict']]} than {found.label(str(row['a']))} ({row['scorer']}, "
        f"{row['diff']:+.3f})"
        for row in certain
        if row.get("a") and row.get("b") and row["verdict"] in ("better", "worse")
    ]
    return f"{counts}{': ' + '; '.join(words) if 0 < len(words) <= 4 else ''}."
