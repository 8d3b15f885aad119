"""A gate's decision as text, JSON, JUnit XML and Markdown, and as files of the candidate's run directory."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from xml.etree import ElementTree

from autointerp.console import note
from autointerp.gate.base import GateResult, Row
from autointerp.run import integrity
from autointerp.run.files import write_atomically, write_json

JUNIT = {"FAIL": "failure", "INVALID": "error", "INCONCLUSIVE": "skipped"}
HEADER = ("dictionary", "endpoint", "look", "latents", "difference", "95 % interval", "bound", "margin", "decision")


def explain(row: Row) -> str:
    """Describe a row's decision, or what would decide it."""
    if not row.has_looks:
        return _explain_limit(row)
    interval = f"[{signed(row.low_judged)}, {signed(row.high_judged)}]"
    judged = f"{signed(row.diff_judged)} {interval} over {row.n_judged:,} judged latents"
    seen = f"look {row.look}, {row.n:,} latents"
    if row.n != row.n_judged or abs(row.diff - row.diff_judged) > 1e-9:
        seen += f": {signed(row.diff)}"
    return f"{row.endpoint} {judged}; {seen}; {_bounds(row)}"


def _bounds(row: Row) -> str:
    below = f"lower bound {signed(row.lower)}"
    if row.decision == "PASS":
        return f"{below} is above -{row.margin:g}: not worse by the margin"
    if row.decision == "FAIL":
        return f"upper bound {signed(row.upper)} is below 0, {below} not above -{row.margin:g}: worse"
    return (
        f"{below} is not above -{row.margin:g}, upper bound {signed(row.upper)} not below 0: "
        f"about {row.n_more:,} more latents would decide"
    )


def _explain_limit(row: Row) -> str:
    """A rise of dead latents or cross-entropy; `row` holds losses, so signs and bounds change sides."""
    unit = {"windows": "latents"}.get(row.design, "documents")
    interval = f"[{signed(-row.high_judged)}, {signed(-row.low_judged)}]"
    rise = f"{row.endpoint} rises by {signed(-row.diff)} {interval} ({row.n:,} {unit})"
    below = f"upper bound {signed(-row.lower)}"
    if row.decision == "PASS":
        return f"{rise}; {below} is within the limit +{row.margin:g}"
    if row.decision == "FAIL":
        return f"{rise}; {below} exceeds the limit +{row.margin:g}, lower bound {signed(-row.upper)} is above 0: worse"
    wanted = "more text" if row.design == "windows" else f"about {row.n_more:,} more documents"
    return f"{rise}; {below} exceeds the limit +{row.margin:g}: {wanted} would decide"


def calls(result: GateResult) -> str:
    """Report the LLM calls that the gate used, and those that all of the baseline's latents would have needed."""
    last = {row.dictionary: row for row in result.last if row.has_looks}
    if not last:
        return "LLM calls: none were needed"
    used, saved = (sum(getattr(row, name) for row in last.values()) for name in ("llm_calls", "llm_calls_saved"))
    return f"LLM calls: about {used:,} used, {saved:,} saved by not judging all of the baseline's latents"


def as_text(result: GateResult) -> str:
    """Write the decision and a line per endpoint."""
    lines = [f"{row.decision:<12} {row.dictionary}: {explain(row)}" for row in result.last]
    return "\n".join([f"gate: {result.decision}", *lines, *result.reasons, calls(result)])


def as_json(result: GateResult) -> str:
    """Write the decision, its exit code, and every look."""
    value = {
        "decision": result.decision,
        "exit_code": result.exit_code,
        "reasons": [*result.reasons, calls(result)],
        "endpoints": [{**asdict(row), "reason": explain(row)} for row in result.rows],
    }
    return json.dumps(value, indent=2, allow_nan=False)


def as_junit(result: GateResult) -> str:
    """Write JUnit XML: a test case per endpoint; FAIL is a failure, INVALID an error, INCONCLUSIVE skipped."""
    cases = [(row.dictionary, row.endpoint, row.decision, explain(row)) for row in result.last]
    cases.append(("gate", "all", result.decision, "; ".join([*result.reasons, calls(result)])))
    counts = {tag: sum(JUNIT.get(decision) == tag for _, _, decision, _ in cases) for tag in JUNIT.values()}
    suite = ElementTree.Element(
        "testsuite",
        name="autointerp gate",
        tests=str(len(cases)),
        failures=str(counts["failure"]),
        errors=str(counts["error"]),
        skipped=str(counts["skipped"]),
    )
    for name, endpoint, decision, reason in cases:
        case = ElementTree.SubElement(suite, "testcase", classname=name, name=endpoint)
        if tag := JUNIT.get(decision):
            ElementTree.SubElement(case, tag, message=f"{decision}: {reason}")
        ElementTree.SubElement(case, "system-out").text = f"{decision}: {reason}"
    root = ElementTree.Element("testsuites")
    root.append(suite)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True)


def as_markdown(result: GateResult) -> str:
    """Write a table for a GitHub step summary."""
    lines = [f"### autointerp gate: {result.decision}", "", _line(HEADER), _line(["---"] * len(HEADER))]
    for row in result.last:
        bound = row.upper if row.decision == "FAIL" else row.lower
        interval = f"[{signed(row.low_judged)}, {signed(row.high_judged)}]"
        cells = [row.dictionary, row.endpoint, str(row.look), f"{row.n_judged:,}", signed(row.diff_judged), interval]
        lines.append(_line([*cells, signed(bound), f"-{row.margin:g}", row.decision]))
    notes = [*result.reasons, calls(result)]
    if any(not row.has_looks for row in result.last):
        notes.append("dead_share and ce_increase are shown as losses: baseline minus candidate")
    return "\n".join([*lines, "", *(f"- {_cell(one)}" for one in notes), ""])


def show(text: str) -> None:
    """Print a decision; a reader that closed the pipe early must not change the exit code."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def signed(value: float) -> str:
    """Write a number with its sign and four decimals; what rounds to 0 is +0.0000."""
    return f"{round(value, 4) + 0.0:+.4f}"


def _line(cells: tuple[str, ...] | list[str]) -> str:
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(value: str) -> str:
    return value.replace("|", "\\|").replace("\n", " ")


def write(
    result: GateResult,
    folder: Path,
    *,
    junit: Path | None = None,
    summary: Path | None = None,
    report: Path | None = None,
) -> None:
    """Write gate.parquet and gate.json into the candidate's run directory, and the files asked for.

    A file that cannot be written is reported in one line; the decision and its exit code stand.

    Args:
        result: the decision.
        folder: the candidate's run directory.
        junit: JUnit XML.
        summary: Markdown, appended, as GitHub's step summary wants.
        report: JSON.
    """
    text, table = as_json(result) + "\n", folder / "gate.parquet"

    def keep(path: Path) -> None:
        write_atomically(table, lambda part: result.endpoints.to_parquet(part, index=False))
        write_json(path, {**json.loads(text), "table": integrity.record_of(table)})

    def append(path: Path) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(as_markdown(result) + "\n")

    jobs: list[tuple[Path | None, Callable[[Path], object]]] = [
        (folder / "gate.json", keep),
        (junit, lambda path: path.write_text(as_junit(result), encoding="utf-8")),
        (report, lambda path: path.write_text(text, encoding="utf-8")),
        (summary, append),
    ]
    for path, job in jobs:
        if path is None:
            continue
        try:
            job(path)
        except OSError as error:
            note(f"gate: {path} was not written ({error.strerror or error}); the decision is unaffected")
