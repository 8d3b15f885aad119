"""Show one latent in the terminal: explanation, scores, shaded examples, the judge's mistakes."""

import argparse
import json
from pathlib import Path

from autointerp.console import results


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("run", type=Path, help="run directory")
    parser.add_argument("latent", help="<dictionary>/<index>, such as sae_k16/41")
    parser.add_argument("--examples", type=int, default=5, help="examples and mistakes shown (default: 5)")
    parser.add_argument("--prompts", action="store_true", help="print the raw prompts and replies too")
    parser.add_argument("--json", action="store_true", help="print everything known of it as JSON")


def run(args: argparse.Namespace) -> int:
    """Print the latent."""
    from autointerp.report.latent import latent_page, latent_record
    from autointerp.report.run import ReportRun

    view = ReportRun(args.run).latent(args.latent)
    if args.json:
        print(json.dumps(latent_record(view), ensure_ascii=True, allow_nan=False))
    else:
        marks = not results().is_terminal
        results().print(latent_page(view, n_examples=args.examples, prompts=args.prompts, marks=marks))
    return 0
