"""`autointerp score --gate BASELINE`: score a candidate only as far as a verdict against the baseline needs.

What needs no LLM comes first: dead latents and cross-entropy are held against their limits before anything is asked.
Then the baseline's latents are explained and judged in its look order, look by look, until every endpoint has passed,
or one has failed, or the plan is spent. Replies are kept as they come, so that a run that was killed repeats none.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from autointerp.console import note
from autointerp.errors import StudyError, TableError
from autointerp.experiment import pipeline
from autointerp.experiment.context import Experiment
from autointerp.experiment.study import Study
from autointerp.gate import offline
from autointerp.gate.decide import GateState, gate_start, gate_step, shortage
from autointerp.gate.verdicts import GateResult
from autointerp.records import LatentId
from autointerp.report.page import write_report
from autointerp.run import record_rows, tables
from autointerp.run.files import fingerprint
from autointerp.run.lock import claimed
from autointerp.run.reading import RunTables, read_judgements, read_tables
from autointerp.run.store import Run
from autointerp.statistics import GateConfig, latent_scores
from autointerp.statistics.pairing import with_lost

# What a gate does before it asks anything.
FREE = ("collect", "reconstruct", "select")


def score(
    study: Study, path: Path, baseline: Path, *, settings: GateConfig, update: bool = False, allow: bool = False
) -> tuple[Run, GateResult]:
    """Run a study in its run directory as far as the gate against a baseline needs.

    Args:
        study: the candidate's; `sampling.same_as` must be the baseline.
        path: the candidate's run directory.
        baseline: a finished run of the same protocol.
        settings: margin, errors, looks, endpoints, limits.
        update: as `pipeline.score`.
        allow: gate although the protocols differ; the result names the differences.

    Raises:
        UserError: something in the study, its inputs, the baseline or the directory is wrong.
        StoppedError: an LLM or a limit stopped it; what is done is kept, and the same command goes on.
    """
    base = read_tables(baseline)
    if base.judgements.empty:
        raise TableError(f"--gate {baseline}: it has no judgements to compare with")
    with claimed(path) as run:
        experiment = Experiment(study=study, run=run)
        pipeline.begin(experiment, update=update)
        apart = _apart(base.manifests[0].get("protocol"), _protocol(study), allow=allow)
        apart += _apart(base.manifests[0].get("prompts"), run.manifest.get("prompts"), allow=allow)
        marks = pipeline.fingerprints(experiment)
        pipeline.reach(experiment, marks)
        for name in ("qualify", *FREE):
            pipeline.do(experiment, name, marks[name])
        base, new = offline.matched(base, _without_judgements(run, base))
        pools = [{"context_pool_hash": tables.manifests[0].get("context_pool_hash")} for tables in (base, new)]
        apart += _apart(*pools, allow=allow)
        result = _decided(experiment, base, new, marks, settings, apart, allow=allow)
        offline.keep(result, run.path)
        if run.has("estimates"):
            write_report(run.path)
    return run, result


def _protocol(study: Study) -> dict[str, Any]:
    """Return what a run of this study will say of its protocol, before any LLM has been asked."""
    return study.protocol()


def _apart(base: dict[str, Any] | None, new: dict[str, Any] | None, *, allow: bool) -> list[str]:
    """Return in which of these settings candidate and baseline differ, if that is allowed."""
    sides = ({"protocol": side or {}, "protocol_hash": side or {}} for side in (base, new))
    return offline.refuse_differences(*sides, allow=allow)


def _without_judgements(run: Run, base: RunTables) -> RunTables:
    """Return the candidate's tables as far as they are there before it is judged."""
    latents = run.table("latents", tables.LATENTS)
    return replace(
        base, judgements=base.judgements.iloc[:0], latents=latents[latents["dictionary"] != "planted"],
        dictionaries=run.read("dictionaries"), manifests=(run.manifest,),
        reconstruction=run.read("reconstruction") if run.has("reconstruction") else None, documents=None,
    )  # fmt: skip


def _decided(
    experiment: Experiment, base: RunTables, new: RunTables, marks: dict[str, str], settings: GateConfig,
    apart: list[str], *, allow: bool,
) -> GateResult:  # fmt: skip
    """Hold the limits, then ask look by look."""
    limits = offline.limit_rows(base, new, settings)
    if any(row["decision"] != "PASS" for row in limits):
        said = ("a limit is passed: no LLM was asked",)
        return offline.combined(GateResult(decision="PASS", endpoints=pd.DataFrame(), reasons=said), limits, "", [])
    own = latent_scores(base.judgements, base.latents)
    own = own[own["dictionary"].isin(base.dictionaries["dictionary"])].reset_index(drop=True)
    state = gate_start(
        own, config=settings, n_available=int(own.groupby("dictionary")["latent"].nunique().min()),
        calls_per_latent=offline.calls_per_latent(base),
    )  # fmt: skip
    while state.decision is None:
        state = _look(experiment, state, new, marks)
        if state.look <= 1:
            apart += _apart(base.manifests[0].get("llms"), experiment.run.manifest.get("llms"), allow=allow)
    while (controlled := _validity(experiment, base, new, settings))[0] == "undecided" and state.decision == "PASS":
        if state.look + 1 >= len(state.design.fractions):
            break
        state = _controlled(experiment, state, new, marks)
    pipeline.do(experiment, "estimate", _mark(marks["estimate"], experiment))
    notes = [f"allowed: {one}" for one in dict.fromkeys(apart)]
    found = state.result([*shortage(state), *notes, _account(state)])
    return offline.combined(found, limits, *controlled)


def _validity(
    experiment: Experiment, base: RunTables, new: RunTables, settings: GateConfig
) -> tuple[str, list[str]]:  # fmt: skip
    """Judge the controls of what has been asked so far."""
    latents = record_rows.with_status(experiment.run, experiment.asked)
    asked = replace(new, manifests=(experiment.run.manifest,))
    return offline.judged(base, asked, latent_scores(_judgements(experiment.run), latents, control=None), settings)


def _controlled(experiment: Experiment, state: GateState, new: RunTables, marks: dict[str, str]) -> GateState:
    """Ask one more look's latents for the sake of the controls, which too few latents leave open; no test is done."""
    note("gate: the scores pass; more latents are asked to decide the controls")
    reopened = replace(state, decision=None, decisions={}, look=state.look + 1)
    scores = _asked(experiment, reopened, new, marks)
    return replace(state, look=reopened.look, candidate=pd.concat([state.candidate, scores], ignore_index=True))


def _look(experiment: Experiment, state: GateState, new: RunTables, marks: dict[str, str]) -> GateState:
    """Explain and judge what the next look wants, and look."""
    scores = _asked(experiment, state, new, marks)
    if state.look == 0:
        state = replace(state, calls_per_latent=_calls_per_latent(experiment))
    return gate_step(state, scores, complete=True)


def _asked(experiment: Experiment, state: GateState, new: RunTables, marks: dict[str, str]) -> pd.DataFrame:
    """Explain and judge what the next look wants; return the scores of latents that the state does not have yet."""
    run, before = experiment.run, experiment.asked or frozenset()
    experiment.batches = (*experiment.batches, _next(state, new) - before)
    wanted = experiment.asked or frozenset()
    note(f"gate: look {state.look + 1} of {len(state.design.fractions)}, {len(wanted):,} latents in all")
    for name in ("explain", "judge"):
        pipeline.do(experiment, name, _mark(marks[name], experiment))
    latents = record_rows.with_status(run, experiment.asked)
    scores = with_lost(_of(state.base, wanted), latent_scores(_judgements(run), latents), latents)
    known = pd.MultiIndex.from_frame(state.candidate[["dictionary", "latent", "scorer"]])
    fresh = ~pd.MultiIndex.from_frame(scores[["dictionary", "latent", "scorer"]]).isin(known)
    return scores[fresh].reset_index(drop=True)


def _next(state: GateState, new: RunTables) -> frozenset[LatentId]:
    """Return the latents of undecided dictionaries up to the next look, by the baseline's look order."""
    sites = new.latents.drop_duplicates("dictionary").set_index("dictionary")["site"]
    found: set[LatentId] = set()
    for name in state.undecided:
        mine = state.base[state.base["dictionary"] == name].drop_duplicates("latent").sort_values("look_order")
        found |= {LatentId(name, str(sites[name]), int(latent)) for latent in mine["latent"].head(state.wanted)}
    return frozenset(found)


def _of(scores: pd.DataFrame, latents: frozenset[LatentId]) -> pd.DataFrame:
    """Keep the baseline's scores of some latents."""
    keys = pd.MultiIndex.from_tuples([(one.dictionary, one.index) for one in latents])
    return scores[pd.MultiIndex.from_frame(scores[["dictionary", "latent"]]).isin(keys)]


def _judgements(run: Run) -> pd.DataFrame:
    return read_judgements(run)


def _mark(mark: str, experiment: Experiment) -> str:
    """Mark a stage that was done for some latents only; a whole run's mark differs, so `score` would complete it."""
    return fingerprint(mark, sorted(map(str, experiment.asked or ())))


def _calls_per_latent(experiment: Experiment) -> float:
    """Count the prompts that one more latent costs: its explanation and its own questions, repeats included."""
    rows = experiment.run.read("questions", ["scorer", "control", "n_retries"])
    own = rows[(rows["scorer"] == "explain") | rows["control"].isin(["none", "duplicate"])]
    return float((1 + own["n_retries"]).sum()) / max(1, len(experiment.asked or ()))


def _account(state: GateState) -> str:
    """Say what was asked and what stopping saved."""
    asked = ", ".join(f"{name} {n:,}" for name, n in state.n_asked.items())
    return (
        f"stopped at look {state.look + 1} of {len(state.design.fractions)}; latents asked: {asked} of "
        f"{state.n_planned:,} each; {state.calls_saved:,} LLM calls saved against the whole plan "
        f"({state.calls_per_latent:.1f} per latent)"
    )


def settings_of(baseline: Path, margin: float, looks: int) -> GateConfig:
    """Make a gate's settings; its endpoints are detection and fuzzing as far as the baseline scored them.

    Raises:
        StudyError: a setting outside its range.
    """
    from pydantic import ValidationError

    scorers = read_tables(baseline).judgements["scorer"].astype("str").unique().tolist()
    try:
        return GateConfig(margin=margin, looks=looks, endpoints=offline.endpoints_scored(scorers, None))
    except ValidationError as error:
        first = error.errors()[0]
        raise StudyError(f"--{first['loc'][0]}: {first['msg']}; you gave {first['input']!r}") from error
