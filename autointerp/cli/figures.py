"""Draw the figures of runs, with captions, their data as CSV, and LaTeX tables."""

import argparse
import json
from pathlib import Path

from autointerp.console import note, results


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("run", type=Path, nargs="+", help="run directories; several write into folders of their own")
    parser.add_argument("--out", type=Path, default=Path("figs"), help="folder of the figures (default: figs)")
    parser.add_argument("--format", default="pdf,svg,png", help="comma-separated: pdf, svg, png (default: all)")
    parser.add_argument(
        "--style", default="paper", help="paper (column and page of a journal) or slides (default: paper)"
    )
    parser.add_argument("--only", help="comma-separated names of figures (default: all)")
    parser.add_argument("--json", action="store_true", help="print what was written as JSON")


def run(args: argparse.Namespace) -> int:
    """Write the figures; say which ones a run has no data for."""
    from autointerp.report.drawing import write_figures

    formats = tuple(name.strip() for name in args.format.split(",") if name.strip())
    names = None if args.only is None else [name.strip() for name in args.only.split(",") if name.strip()]
    made = []
    for path in args.run:
        out = args.out / path.resolve().name if len(args.run) > 1 else args.out
        made.append(write_figures(path, out, formats=formats, style=args.style, names=names))
    if args.json:
        print(json.dumps(made, indent=1))
        return 0
    for found in made:
        for name, reason in found["skipped"].items():
            note(f"{found['run']}: figure {name} left out: {reason}")
        for file in found["written"]:
            results().print(file, markup=False, soft_wrap=True)
    return 0
