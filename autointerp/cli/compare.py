"""Recompute estimates and comparisons of finished runs from their tables, in seconds, without a model.

Several runs are compared as one study if they were made under one protocol and with one pool of contexts; otherwise the
settings in which they differ are named, and --allow compares all the same and says so in the output.

exit codes: 0 done, 2 something to mend, 3 a control failed (the comparison is INVALID; all is printed and written).
"""

import argparse
from pathlib import Path

INVALID = 3


def configure(parser: argparse.ArgumentParser) -> None:
    """Add arguments."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run directories")
    parser.add_argument(
        "--by", default="layer,k", help="what compared dictionaries have in common: layer,k,seed (layer,k)"
    )
    parser.add_argument("--margin", type=float, default=0.02, help="equivalence margin in score points (.02)")
    parser.add_argument("--alpha", type=float, default=0.05, help="error rate of each test (.05)")
    parser.add_argument("--out", type=Path, help="folder for parquet, CSV, LaTeX and JSON (<first RUN>/compare)")
    parser.add_argument(
        "--allow", action="store_true", help="compare across protocols; the output names the differences"
    )
    parser.add_argument("--json", action="store_true", help="print JSON; writes files only with --out")


def run(args: argparse.Namespace) -> int:
    """Compute, print, write."""
    import json

    from autointerp.cli import _tables
    from autointerp.console import note
    from autointerp.experiment.settings import validated
    from autointerp.run.reading import read_runs
    from autointerp.statistics import StatisticsConfig, claims, frontier, summarise

    by = tuple(name for name in args.by.split(",") if name)
    config = validated(StatisticsConfig, {"margin": args.margin, "alpha": args.alpha, "by": by}, source="compare")
    tables = read_runs(args.runs, allow=args.allow)
    found = summarise(tables, config)
    summary = {**found.summary, "runs": list(tables.names), "allowed": list(tables.allowed)}
    written = {"estimates": found.estimates, "comparisons": found.comparisons, "controls": found.controls,
               "reconstruction_comparisons": found.reconstruction_comparisons}  # fmt: skip
    if tables.reconstruction is not None:
        front = frontier(found.estimates, tables.reconstruction, tables.dictionaries, config, controls=found.controls)
        judges = sorted({str(one.get("llms", {}).get("judge", {}).get("use", "unknown")) for one in tables.manifests})
        answers = claims(found.comparisons, found.reconstruction_comparisons, front, judges)
        written |= {"frontier": front, "claims": answers}
    out = args.out or (None if args.json else args.runs[0] / "compare")
    if out:
        _tables.write_all(out, written, summary)
    lines, verdict = _remarks(summary)
    code = INVALID if verdict == "INVALID" else 0
    if args.json:
        print(
            json.dumps(
                {**{name: _tables.records(table) for name, table in written.items()}, "summary": summary}, default=str
            )
        )
        return code
    _tables.show(
        _tables.estimates_table(found.estimates, summary["controls"]), _tables.comparisons_table(found.comparisons),
        _tables.beyond_table(summary),
    )  # fmt: skip
    if len(written.get("claims", ())):
        _tables.show(*_tables.claims_tables(written["claims"]))
    for line in lines:
        print(line)
    note(f"written: {out}")
    return code


def _remarks(summary: dict[str, object]) -> tuple[list[str], str]:
    """List what a reader must know beside the tables, and return the controls' verdict."""
    from autointerp.statistics import validity

    controls = summary["controls"]
    assert isinstance(controls, dict)
    lines = [f"controls: {validity.in_words(controls)}", *(f"  {reason}" for reason in controls["reasons"])]
    for key in ("headlines", "reconstruction_headlines", "skipped"):
        rows = summary[key]
        assert isinstance(rows, list)
        lines += [row["words"] if "words" in row else f"skipped: {row['what']}: {row['reason']}" for row in rows]
    allowed = summary["allowed"]
    assert isinstance(allowed, list)
    lines += [f"ALLOWED although it differs: {difference}" for difference in allowed]
    return lines, str(controls["verdict"])
