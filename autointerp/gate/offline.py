"""A candidate run against a baseline run: PASS 0, FAIL 1, INCONCLUSIVE 2, INVALID 3, and why.

The scores' non-inferiority is `autointerp.gate.decide`; here are the run directories, the other endpoints
(cross-entropy, dead latents), the controls, and the forms that CI systems read.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd

from autointerp.errors import TableError
from autointerp.gate.decide import gate
from autointerp.gate.verdicts import COLUMNS, Decision, GateResult, worst
from autointerp.run import integrity
from autointerp.run.reading import RunTables, differences, read_tables, same_judge
from autointerp.run.store import write_atomically, write_json
from autointerp.statistics import GateConfig, controls, latent_scores, planted_moved, validity
from autointerp.statistics.pairing import with_lost


def gate_runs(candidate: Path | str, baseline: Path | str, *, config: GateConfig, allow: bool = False) -> GateResult:
    """Judge a candidate run directory against a baseline run directory.

    Dictionaries are matched by name; where each run has one only, by that. Scores must not be inferior by the margin,
    cross-entropy increase and share of dead latents must not rise past their limits, and the candidate's controls must
    hold.

    Raises:
        TableError: the runs differ in protocol or context pool and `allow` is not set, or share no dictionary.
    """
    base, new = read_tables(baseline), read_tables(candidate)
    apart = refuse_differences(base.manifests[0], new.manifests[0], allow=allow)
    base, new = matched(base, new)
    tables = [latent_scores(run.judgements, run.latents, control=None) for run in (base, new)]
    own = [table[table["control"] == "none"].reset_index(drop=True) for table in tables]
    status, reasons = judged(base, new, tables[1], config)
    calls = calls_per_latent(base)
    found = gate(own[0], with_lost(own[0], own[1], new.latents), config=config, calls_per_latent=calls)
    notes = [*found.reasons, *(f"allowed: {difference}" for difference in apart)]
    return combined(replace(found, reasons=tuple(notes)), limit_rows(base, new, config), status, reasons)


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


def refuse_differences(base: dict[str, Any], new: dict[str, Any], *, allow: bool) -> list[str]:
    """Return the settings in which two runs' manifests differ that must agree, if that is allowed.

    Raises:
        TableError: they differ and it is not.
    """
    apart = differences([base, new])
    if apart and not allow:
        raise TableError(
            f"candidate and baseline differ in {'; '.join(apart)}: run both under one protocol, or say --allow to gate "
            "all the same"
        )
    return apart


def limit_rows(base: RunTables, new: RunTables, config: GateConfig) -> list[dict[str, object]]:
    """Test the endpoints that need no LLM: dead latents and cross-entropy, as far as both runs measured them."""
    return [*_dead_rows(base, new, config), *_cross_entropy_rows(base, new, config)]


def combined(found: GateResult, limits: Sequence[dict[str, object]], status: str, reasons: Sequence[str]) -> GateResult:
    """Put the scores' decision, the limits' and the controls' together: the worst of them is the gate's."""
    rows = pd.DataFrame(list(limits), columns=COLUMNS)
    tables = [table for table in (found.endpoints, rows) if len(table)]
    endpoints = pd.concat(tables, ignore_index=True) if tables else rows
    decision = worst([found.decision, *(row["decision"] for row in limits)])  # type: ignore[misc]
    notes = list(found.reasons)
    if not any(row["endpoint"] == "ce_increase" for row in limits):
        notes.append("cross-entropy increase was not measured in both runs, so it was not gated")
    if status == "INVALID":
        decision, notes = "INVALID", [*reasons, *notes]
    elif status == "undecided" and decision == "PASS":
        decision, notes = "INCONCLUSIVE", [*reasons, *notes]
    return GateResult(decision=decision, endpoints=endpoints, reasons=tuple(notes))


def keep(result: GateResult, folder: Path) -> None:
    """Write gate.parquet, which the gate figure draws, and gate.json into the candidate's run directory."""
    write_atomically(folder / "gate.parquet", lambda partial: result.endpoints.to_parquet(partial, index=False))
    record = integrity.record_of(folder / "gate.parquet")
    write_json(folder / "gate.json", {**json.loads(as_json(result)), "table": record})


def calls_per_latent(run: RunTables) -> float:
    """Return the calls that one explained and judged latent cost, from the run's manifest; 0 where it does not tell."""
    usage = run.manifests[0].get("usage") or {}
    calls = sum(int((usage.get(stage) or {}).get("calls") or 0) for stage in ("explain", "judge"))
    return calls / max(1, int(run.latents["sampled"].sum()))


def matched(base: RunTables, new: RunTables) -> tuple[RunTables, RunTables]:
    """Keep the dictionaries that both runs have, under the candidate's names."""
    sides = [list(run.dictionaries["dictionary"]) for run in (base, new)]
    common = [name for name in sides[0] if name in sides[1]]
    if not common and len(sides[0]) == len(sides[1]) == 1:
        base = _only(base, {sides[0][0]: sides[1][0]})
        common = sides[1]
    if not common:
        raise TableError(
            f"gate: no dictionary in common: baseline has {', '.join(sides[0])}, candidate {', '.join(sides[1])}"
        )
    return _only(base, dict.fromkeys(common, "")), _only(new, dict.fromkeys(common, ""))


def _only(run: RunTables, names: dict[str, str]) -> RunTables:
    """Keep some dictionaries (and planted latents), renamed where a new name is given."""
    new_names = {old: new for old, new in names.items() if new}

    def pick(table: pd.DataFrame, extra: set[str]) -> pd.DataFrame:
        column = table["dictionary"].astype("str")
        kept = table[column.isin({*names, *extra})]
        return kept.assign(dictionary=kept["dictionary"].astype("str").replace(new_names)).reset_index(drop=True)

    planted = set(run.judgements.loc[run.judgements["control"] == "planted", "dictionary"].astype("str"))
    return replace(
        run, judgements=pick(run.judgements, planted), latents=pick(run.latents, set()),
        dictionaries=pick(run.dictionaries, set()),
        reconstruction=None if run.reconstruction is None else pick(run.reconstruction, set()),
    )  # fmt: skip


def _dead_rows(base: RunTables, new: RunTables, config: GateConfig) -> list[dict[str, object]]:
    """Compare the share of latents that never fire; counted over all latents, so it has no sampling error."""
    shares = [1 - run.latents.groupby("dictionary")["alive"].mean() for run in (base, new)]
    sizes = new.latents.groupby("dictionary").size()
    old, now = shares
    limit = config.limits.dead_share
    return [
        _limit_row(str(name), "dead_share", float(now[name]), float(old[name]), limit, int(sizes[name]))
        for name in base.dictionaries["dictionary"]
    ]  # fmt: skip


def _cross_entropy_rows(base: RunTables, new: RunTables, config: GateConfig) -> list[dict[str, object]]:
    """Compare the cross-entropy increase, measured on the same held-out documents."""
    if base.reconstruction is None or new.reconstruction is None:
        return []
    values = []
    for run in (base, new):
        assert run.reconstruction is not None
        rows = run.reconstruction[run.reconstruction["metric"] == "ce_increase"]
        values.append(rows.set_index("dictionary"))
    names = [
        str(name) for name in base.dictionaries["dictionary"] if name in values[0].index and name in values[1].index
    ]
    return [
        _limit_row(
            name, "ce_increase", float(values[1].at[name, "value"]), float(values[0].at[name, "value"]),  # type: ignore[arg-type]
            config.limits.ce_increase, int(values[1].at[name, "n_documents"]),  # type: ignore[arg-type]
        )
        for name in names
    ]  # fmt: skip


def _limit_row(name: str, endpoint: str, new: float, base: float, limit: float, n: int) -> dict[str, object]:
    rise = new - base
    decision: Decision = "PASS" if rise <= limit else "FAIL_inferior"
    reason = f"{endpoint} {base:.4f} -> {new:.4f} ({rise:+.4f}, limit +{limit:g})"
    filled = {
        "dictionary": name, "endpoint": endpoint, "look": 1, "n": n, "n_planned": n, "info_frac": 1.0,
        "design": "limit", "diff": rise, "diff_unbiased": rise, "margin": limit, "decision": decision,
        "reason": reason, "llm_calls": 0, "llm_calls_saved": 0,
    }  # fmt: skip
    return {column: filled.get(column, 0.0) for column in COLUMNS}


def last_looks(result: GateResult) -> pd.DataFrame:
    """Return each endpoint's last look."""
    return result.endpoints.groupby(["dictionary", "endpoint"], sort=False).tail(1)


def as_text(result: GateResult) -> str:
    """Say the decision and each endpoint's reason, one per line."""
    lines = [f"{row['decision']:<14} {row['dictionary']}: {row['reason']}" for row in _last(result)]
    return "\n".join([f"gate: {result.decision}", *lines, *result.reasons])


def _last(result: GateResult) -> list[dict[str, object]]:
    return [{str(key): value for key, value in row.items()} for row in last_looks(result).to_dict("records")]


def as_json(result: GateResult) -> str:
    """Write the decision with every look as JSON."""
    rows = json.loads(result.endpoints.to_json(orient="records"))
    value = {
        "decision": result.decision,
        "exit_code": result.exit_code,
        "reasons": list(result.reasons),
        "endpoints": rows,
    }
    return json.dumps(value, indent=2, allow_nan=False)


def as_junit(result: GateResult) -> str:
    """Write JUnit XML: a test case per endpoint; FAIL is a failure, INVALID an error, INCONCLUSIVE skipped."""
    rows = _last(result)
    suite = ElementTree.Element("testsuite", name="autointerp gate", tests=str(len(rows) + 1))
    overall = {
        "dictionary": "gate",
        "endpoint": "all",
        "decision": result.decision,
        "reason": "; ".join(result.reasons),
    }
    counts = {"failure": 0, "error": 0, "skipped": 0}
    for row in [*rows, overall]:
        case = ElementTree.SubElement(suite, "testcase", classname=str(row["dictionary"]), name=str(row["endpoint"]))
        decision = str(row["decision"])
        tag = {"FAIL": "failure", "INVA": "error", "INCO": "skipped"}.get(decision[:4])
        if tag:
            counts[tag] += 1
            ElementTree.SubElement(case, tag, message=f"{decision}: {row['reason']}")
    for tag, name in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        suite.set(name, str(counts[tag]))
    root = ElementTree.Element("testsuites")
    root.append(suite)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True)


def as_markdown(result: GateResult) -> str:
    """Write a table for a GitHub step summary."""
    head = [
        "| dictionary | endpoint | n | difference | lower bound | margin | decision |",
        "|---|---|---|---|---|---|---|",
    ]
    rows = []
    for row in _last(result):
        bound = "" if row["design"] == "limit" else f"{float(str(row['lcb'])):+.4f}"
        rows.append(
            f"| {_cell(row['dictionary'])} | {_cell(row['endpoint'])} | {row['n']} | "
            f"{float(str(row['diff'])):+.4f} | {bound} | {row['margin']:g} | {row['decision']} |"
        )
    return "\n".join(
        [
            f"### autointerp gate: {result.decision}",
            "",
            *head,
            *rows,
            "",
            *(f"- {_cell(r)}" for r in result.reasons),
            "",
        ]
    )


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def write_outputs(result: GateResult, *, junit: Path | None, summary: Path | None, report: Path | None) -> None:
    """Write the forms asked for; the step summary is appended to, as GitHub wants."""
    if junit:
        junit.write_text(as_junit(result), encoding="utf-8")
    if report:
        report.write_text(as_json(result) + "\n", encoding="utf-8")
    if summary:
        with summary.open("a", encoding="utf-8") as file:
            file.write(as_markdown(result) + "\n")


def endpoints_scored(scorers: Sequence[str], wanted: Sequence[str] | None) -> tuple[str, ...]:
    """Return the endpoints to gate on: those wanted, else detection and fuzzing as far as they were scored.

    Raises:
        TableError: none of them was scored.
    """
    there = tuple(dict.fromkeys(scorers))
    found = tuple(wanted) if wanted else tuple(name for name in ("detection", "fuzzing") if name in there)
    missing = [name for name in found if name not in there]
    if missing or not found:
        raise TableError(f"gate: not scored: {', '.join(missing) or 'detection, fuzzing'}; scored: {', '.join(there)}")
    return found
