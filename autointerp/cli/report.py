"""Write a run's page, report.html, again."""

import argparse
import json
from pathlib import Path

from autointerp.console import results


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("run", type=Path, help="run directory")
    parser.add_argument("--out", type=Path, help="the page's file (default: report.html in the run directory)")
    parser.add_argument("--json", action="store_true", help="print the page's path and size as JSON")


def run(args: argparse.Namespace) -> int:
    """Write the page and print where it is."""
    from autointerp.report.page import write_report

    path = write_report(args.run, args.out)
    if args.json:
        print(json.dumps({"report": str(path), "bytes": path.stat().st_size}))
    else:
        results().print(str(path), markup=False, soft_wrap=True)
    return 0
