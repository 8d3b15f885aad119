"""Estimate and compare finished runs from their tables, in seconds, without a model.

Several runs are compared as one study if they share the protocol and the pool of contexts; otherwise the
differing settings are listed; --allow compares them and lists the differences in the output.

exit codes: 0 done, 2 invalid input, 3 a control failed (the comparison is INVALID; everything is printed and written).
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from autointerp.report.findings import Findings

INVALID = 3


def configure(parser: argparse.ArgumentParser) -> None:
    """Add arguments."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run directories")
    parser.add_argument(
        "--by", default="layer,k", help="what compared dictionaries have in common: layer,k,seed (layer,k)"
    )
    parser.add_argument("--reference", help="compare every dictionary with this one only (all pairs)")
    parser.add_argument("--margin", type=float, default=0.02, help="equivalence margin in score points (.02)")
    parser.add_argument("--alpha", type=float, default=0.05, help="error rate of each test (.05)")
    parser.add_argument("--out", type=Path, help="folder for parquet, CSV, LaTeX and JSON (<first RUN>/compare)")
    parser.add_argument(
        "--allow", action="store_true", help="compare across protocols; the output names the differences"
    )
    parser.add_argument(
        "--phase-one",
        type=Path,
        metavar="RUN",
        help="run that scored all eligible latents cheaply (pattern, a small judge): adds two-phase estimates",
    )
    parser.add_argument("--json", action="store_true", help="print JSON; writes files only with --out")


def run(args: argparse.Namespace) -> int:
    """Compute, print, write."""
    import json

    import pandas as pd

    from autointerp.cli import _tables
    from autointerp.console import note
    from autointerp.experiment.settings import validated
    from autointerp.report import findings
    from autointerp.report.plain import records
    from autointerp.report.tables import all_tables
    from autointerp.run.reading import read_runs, read_tables
    from autointerp.statistics import StatisticsConfig, summarise, two_phase
    from autointerp.statistics.claims import claims
    from autointerp.statistics.frontier import frontier

    by = tuple(name for name in args.by.split(",") if name)
    settings = {"margin": args.margin, "alpha": args.alpha, "by": by, "reference": args.reference}
    config = validated(StatisticsConfig, settings, source="compare")
    tables = read_runs(args.runs, allow=args.allow)
    found = summarise(tables, config)
    summary = {**found.summary, "runs": list(tables.names), "allowed": list(tables.allowed)}
    stored = {
        "estimates": found.estimates,
        "comparisons": found.comparisons,
        "controls": found.controls,
        "reconstruction_comparisons": found.reconstruction_comparisons,
        "reliability": found.reliability,
        "prevalence": found.prevalence,
        "prevalence_comparisons": found.prevalence_comparisons,
    }
    if tables.reconstruction is not None:
        front = frontier(found.estimates, tables.reconstruction, tables.dictionaries, config, controls=found.controls)
        answers = claims(found.comparisons, found.reconstruction_comparisons, front, findings.judges(tables.manifests))
        stored |= {"frontier": front, "claims": answers}
    if args.phase_one is not None:
        stored["two_phase"] = two_phase.of_runs(tables, read_tables(args.phase_one), level=config.level)
    findings_ = findings.Findings(
        dictionaries=tables.dictionaries,
        estimates=found.estimates,
        comparisons=found.comparisons,
        controls=found.controls,
        reconstruction=pd.DataFrame() if tables.reconstruction is None else tables.reconstruction,
        summary=summary,
        manifests=tables.manifests,
        reconstruction_comparisons=found.reconstruction_comparisons,
        prevalence_comparisons=found.prevalence_comparisons,
    )
    out = args.out or (None if args.json else args.runs[0] / "compare")
    if out:
        _tables.write_all(out, stored, all_tables(findings_), summary)
    if args.json:
        print(json.dumps({**{name: records(table) for name, table in stored.items()}, "summary": summary}, default=str))
    else:
        _print(findings_, stored.get("claims"), stored.get("two_phase"))
        note(f"written: {out}")
    return INVALID if summary["controls"]["verdict"] == "INVALID" else 0


def _print(found: "Findings", answers: "pd.DataFrame | None", both: "pd.DataFrame | None") -> None:
    """Print the tables, then the warnings that go with them."""
    from autointerp.cli import _summary, _tables
    from autointerp.report import findings, tables, two_phase, writers
    from autointerp.report.escaping import visible

    shown = [tables.scores(found), tables.comparisons(found), tables.reconstruction_comparisons(found)]
    shown += tables.beyond(found)
    shown += [] if answers is None else tables.claims(answers)
    shown += [] if both is None else [two_phase.table(both)]
    _tables.show(*(writers.terminal(table) for table in shown if table))
    lines = [*findings.not_compared(found), *_summary.controls(found), *findings.conditional(found)]
    lines += findings.warnings(found)
    lines += [f"ALLOWED although it differs: {difference}" for difference in found.summary["allowed"]]
    for line in lines:
        print(visible(line))
