"""Output of a finished run: one sentence, the tables, and next steps."""

from rich.text import Text

from autointerp.console import results
from autointerp.report import findings, tables, writers
from autointerp.report.run import ReportRun
from autointerp.run.store import Run
from autointerp.statistics import validity

STEPS = ("total", "alive", "eligible", "sampled", "scored")


def show(run: Run) -> None:
    """Print a run's results; every number comes from its stored tables."""
    opened = ReportRun(run.path)
    found = findings.findings_of(opened)
    results().print(Text(findings.headline(found)), soft_wrap=True)
    shown = (
        tables.coverage(found, STEPS),
        tables.scores(found),
        tables.reconstruction(found, ("fvu", "ce_increase")),
        tables.comparisons(found),
    )
    for table in shown:
        if table:
            results().print()
            results().print(writers.terminal(table))
    results().print()
    said = [*findings.not_compared(found), *controls(found), *findings.conditional(found), *findings.warnings(found)]
    for line in [*said, *_next(opened)]:
        results().print(Text(line), soft_wrap=True)


def controls(found: findings.Findings) -> list[str]:
    """Return the controls' verdict and its reasons."""
    said = [*found.control_status.get("reasons", []), *found.control_status.get("remarks", [])]
    return [f"controls: {validity.in_words(found.control_status)}", *(f"  {reason}" for reason in said)]


def _next(run: ReportRun) -> list[str]:
    """Name the files and the commands that follow."""
    sampled = run.latents[run.latents["sampled"]]
    one = f"{sampled['dictionary'].iloc[0]}/{sampled['latent'].iloc[0]}" if len(sampled) else ""
    lines = ["", f"run directory  {run.path}", f"report         {run.path / 'report.html'}"]
    if one:
        lines += [f"next           autointerp show {run.path} {one}", f"               autointerp latents {run.path}"]
    if any(row.get("verdict") == "inconclusive" for row in run.summary.get("headlines", [])):
        lines.append(f"to decide      autointerp plan --pilot {run.path}    (how many latents it takes)")
    return lines
