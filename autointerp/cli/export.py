"""Export a run for others: Neuronpedia upload batches, SAEBench results, a Hugging Face dataset folder, LLM replies.

    autointerp export RUN --to reference --out results/reference/NAME    a small copy to commit, redraw and gate against
    autointerp export RUN --to responses --out folder     prompts and replies of its LLMs, from the response store
    autointerp export RUN --to huggingface --out folder --set license=cc-by-4.0

A form is one file in autointerp/report/exports/.
"""

import argparse
import json
from pathlib import Path

from autointerp.console import note, results


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("run", type=Path, help="run directory")
    parser.add_argument("--to", required=True, help="neuronpedia, saebench, huggingface, reference or responses")
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the export")
    parser.add_argument(
        "--push",
        nargs="?",
        const="",
        metavar="TARGET",
        help="also send it: org/name of a dataset on the hub (huggingface), or to Neuronpedia, key in "
        "NEURONPEDIA_API_KEY (neuronpedia)",
    )
    parser.add_argument("--json", action="store_true", help="print what was written as JSON")


def run(args: argparse.Namespace) -> int:
    """Write the export; say what was left out and why."""
    from autointerp.report.exports import export
    from autointerp.report.push import push

    found = export(args.run, args.to, args.out, args.set)
    if args.push is not None:
        note(f"sent to {push(args.to, found, args.out, args.push)}")
    if args.json:
        print(json.dumps(found.as_dict(), indent=1))
        return 0
    for line in found.notes:
        note(line)
    for reason, n in found.left_out.items():
        note(f"left out: {n:,} {reason}")
    note(", ".join(f"{n:,} {name}" for name, n in found.counts.items()))
    for file in found.files:
        results().print(file, markup=False, soft_wrap=True)
    return 0
