"""A finished candidate run against a baseline run: its tables drive the gate, its controls are judged."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from autointerp.errors import TableError
from autointerp.gate import decide, endpoints
from autointerp.gate.base import Cell, GateConfig, GateResult, Row, worst
from autointerp.run.reading import RunTables, changed, differences, read_tables, refuse_empty, same_judge
from autointerp.run.store import open_run
from autointerp.statistics import latent_scores, validity
from autointerp.statistics.controls import controls, planted_moved
from autointerp.statistics.intervals import Difference
from autointerp.statistics.pairing import with_lost


def gate_runs(candidate: Path | str, baseline: Path | str, *, config: GateConfig, allow: bool = False) -> GateResult:
    """Judge a candidate run directory against a baseline run directory.

    Dictionaries are matched by name; where each run has one only, these two. Scores must not be worse by the margin,
    dead latents and cross-entropy increase must not rise past their limits, and the candidate's controls must hold.

    Raises:
        TableError: the runs differ in protocol or context pool and `allow` is not set, or share no dictionary.
    """
    base, new = read_tables(baseline), read_tables(candidate)
    for path, run in ((baseline, base), (candidate, new)):
        refuse_empty(run, path)
    apart = refused(differences([base.manifests[0], new.manifests[0]]), allow=allow)
    base, new = matched(base, new)
    tables = [latent_scores(run.judgements, run.latents, control=None) for run in (base, new)]
    ours, theirs = (table[table["control"] == "none"].reset_index(drop=True) for table in tables)
    found = gate(ours, theirs, config=config, latents=new.latents, limits=endpoints.limit_rows(base, new, config))
    held = {name: len(order) for name, order in endpoints.look_orders(ours).items()}
    found = with_calls(found, new.calls_per_latent, held)
    return combined(found, *judged(base, new, tables[1], config), notes=apart)


def looks_of(candidate: Path | str) -> int:
    """Return the looks in which `score --gate` scored a run; 1 for a run that was scored without a gate."""
    return int((open_run(candidate).manifest.get("gate") or {}).get("looks", 1))


def gate(
    base: pd.DataFrame,
    candidate: pd.DataFrame,
    *,
    config: GateConfig,
    latents: pd.DataFrame | None = None,
    limits: Sequence[Row] = (),
) -> GateResult:
    """Test two finished tables of scores.

    With one look all latents are tested at once. With more, latents are taken in look order, and the gate stops as it
    would have done had it asked for them: so a candidate that `score --gate` stopped early gets the same decision.

    Args:
        base: baseline's `latent_scores` (control none).
        candidate: the candidate's.
        config: margin, error rates, looks, endpoints.
        latents: the candidate's latents table; a latent that can no longer be judged then counts as chance.
        limits: rows of `endpoints.limit_rows`.
    """
    if latents is not None:
        candidate = with_lost(base, candidate, latents)
    held = {name: len(order) for name, order in endpoints.look_orders(base).items()}
    judged_of = candidate.groupby("dictionary", observed=True)["latent"].nunique()

    def answer(wanted: Mapping[str, int]) -> decide.Scored:
        ended = all(n >= judged_of.get(name, 0) for name, n in wanted.items())
        return replace(endpoints.scored(base, candidate, wanted, config), ended=ended)

    looks = decide.looks(held, config, None if config.looks == 1 else first_look(base, config), len(limits))
    found = decide.run(looks, answer)
    everything = answer(held)
    rows = [*with_all(found.rows, everything), *with_all(limits)]
    return GateResult(decision=decide.decision_of(rows), rows=tuple(rows))


def first_look(base: pd.DataFrame, config: GateConfig) -> dict[str, int]:
    """Return the latents of the first look."""
    return {name: decide.first_look(sizes, config) for name, sizes in endpoints.needed(base, config).items()}


def with_all(rows: Sequence[Row], everything: decide.Scored | None = None) -> list[Row]:
    """Add the difference over all judged latents, with its 95 % interval; of a limit, its own."""
    done = []
    for row in rows:
        found = everything.contrasts.get(Cell(row.dictionary, row.endpoint)) if everything else None
        whole = found.difference if found else Difference(value=row.diff, se=row.se, df=row.df)
        low, high = whole.interval(0.95)
        n = found.n if found else row.n
        done.append(replace(row, n_judged=n, diff_judged=whole.value, low_judged=low, high_judged=high))
    return done


def with_calls(found: GateResult, per_latent: float, held: Mapping[str, int]) -> GateResult:
    """Add the LLM calls of each row's latents, and how many all of the baseline's latents would have taken besides.

    Args:
        found: rows with `n_judged`.
        per_latent: calls that one latent costs.
        held: latents that the baseline holds of each dictionary.
    """
    rows = [
        replace(
            row,
            llm_calls=round(row.n * per_latent),
            llm_calls_saved=max(0, round((held[row.dictionary] - row.n_judged) * per_latent)),
        )
        if row.has_looks
        else row
        for row in found.rows
    ]
    return replace(found, rows=tuple(rows))


def judged(base: RunTables, new: RunTables, scores: pd.DataFrame, config: GateConfig) -> tuple[str, list[str]]:
    """Judge the controls of the candidate, and whether its judge still is the baseline's.

    Args:
        base: the baseline's tables.
        new: the candidate's, of which only the manifest is read.
        scores: the candidate's `latent_scores(..., control=None)`.
        config: its limits are held.
    """
    found = controls(scores, limits=config.limits)
    known = base.judgements[base.judgements["control"] == "planted"]
    if len(known) and same_judge(base.manifests[0], new.manifests[0]):
        before = latent_scores(known, base.latents, control=None)
        moved = planted_moved(scores, before, limits=config.limits, against="the baseline")
        found = pd.concat([found, moved], ignore_index=True) if len(moved) else found
    return validity.of_run(found)


def refused(apart: Sequence[str], *, allow: bool) -> list[str]:
    """Return a note per setting in which two runs differ that must agree, if that is allowed.

    Raises:
        TableError: they differ and it is not.
    """
    if apart and not allow:
        raise TableError(
            f"gate: candidate and baseline differ in {'; '.join(apart)}: run both under one protocol, or compare them "
            "nevertheless with --allow"
        )
    return [f"allowed difference: {one}" for one in apart]


def refused_settings(base: Mapping[str, Any] | None, new: Mapping[str, Any] | None, *, allow: bool) -> list[str]:
    """Do what `refused` does for two sets of settings, named by what differs."""
    return refused(changed(base or {}, new or {}), allow=allow)


def combined(found: GateResult, status: str, problems: Sequence[str], notes: Sequence[str] = ()) -> GateResult:
    """Put the decision on scores and limits together with the controls': no PASS without valid controls."""
    reasons = [*found.reasons, *notes]
    if not any(row.endpoint == "ce_increase" for row in found.rows):
        reasons.append("cross-entropy increase was not measured in both runs, so it was not tested")
    if status == "INVALID":
        return replace(found, decision="INVALID", reasons=(*problems, *reasons))
    if status == "undecided":
        return replace(found, decision=worst([found.decision, "INCONCLUSIVE"]), reasons=(*problems, *reasons))
    return replace(found, reasons=tuple(reasons))


def matched(base: RunTables, new: RunTables) -> tuple[RunTables, RunTables]:
    """Keep the dictionaries that both runs have, under the candidate's names."""
    sides = [list(run.dictionaries["dictionary"].astype("str")) for run in (base, new)]
    common = [name for name in sides[0] if name in sides[1]]
    if not common and len(sides[0]) == len(sides[1]) == 1:
        base = _only(base, {sides[0][0]: sides[1][0]})
        common = sides[1]
    if not common:
        raise TableError(
            f"gate: no dictionary in common: the baseline has {', '.join(sides[0])}, the candidate "
            f"{', '.join(sides[1])}"
        )
    return _only(base, {name: name for name in common}), _only(new, {name: name for name in common})


def _only(run: RunTables, names: Mapping[str, str]) -> RunTables:
    """Keep some dictionaries (and planted latents) under new names."""

    def pick(table: pd.DataFrame, extra: frozenset[str] = frozenset()) -> pd.DataFrame:
        column = table["dictionary"].astype("str")
        kept = table[column.isin({*names, *extra})]
        return kept.assign(dictionary=kept["dictionary"].astype("str").replace(dict(names))).reset_index(drop=True)

    planted = run.judgements.loc[run.judgements["control"] == "planted", "dictionary"].astype("str")
    return replace(
        run,
        judgements=pick(run.judgements, frozenset(planted)),
        latents=pick(run.latents),
        dictionaries=pick(run.dictionaries),
        reconstruction=None if run.reconstruction is None else pick(run.reconstruction),
        documents=None if run.documents is None else pick(run.documents),
    )
