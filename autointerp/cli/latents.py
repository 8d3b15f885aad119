"""List a run's latents: sorted, filtered, one line each."""

import argparse
import json
from pathlib import Path

from autointerp.console import note, results


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("run", type=Path, help="run directory")
    parser.add_argument("--sort", default="score", help="column, falling; column:up for rising (default: score)")
    parser.add_argument(
        "--filter",
        action="append",
        default=[],
        metavar="CONDITION",
        help="such as 'score>0.8', dictionary==sae_k16, explanation~colour; may be repeated",
    )
    parser.add_argument("--limit", type=int, default=20, help="rows at most; 0 for all (default: 20)")
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    from autointerp.report.listing import latents_table, rows_of
    from autointerp.report.plain import plain
    from autointerp.report.run import ReportRun

    opened = ReportRun(args.run)
    rows = rows_of(opened, args.sort, args.filter)
    shown = rows.head(args.limit) if args.limit else rows
    if args.json:
        for row in shown.to_dict("records"):
            print(json.dumps(plain(row), allow_nan=False))
        return 0
    results().print(latents_table(shown, opened.scorers))
    if len(shown) < len(rows):
        note(f"{len(shown):,} of {len(rows):,} latents; --limit 0 shows all")
    return 0
