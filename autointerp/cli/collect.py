"""Run the subject and the dictionaries over the corpus, store the sample's activations, and stop.

Takes the arguments of `autointerp score`, which continues from the result. Prints what the pass cost:
tokens per second, peak memory, bytes written, and the share of time per part.

    tokens    waiting for the tokeniser, which works in the background
    subject   the forward pass up to the last site that is read
    encode    the dictionaries' encoders
    select    counting firings, picking the sample out, sorting by latent
    write     shards to disk
"""

import argparse
import json
from typing import Any

from autointerp.cli import _study


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    _study.add_arguments(parser)
    parser.add_argument(
        "--update",
        action="store_true",
        help="DIR holds an older version of this study: redo the stages a change affects",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of lines")


def run(args: argparse.Namespace) -> int:
    """Collect activations and print the cost."""
    study = _study.study_of(args)

    from autointerp.experiment import pipeline

    finished = pipeline.score(study, _study.out_of(args, study), update=args.update, until="collect")
    found = cost(finished.stages()["collect"]["counts"])
    if args.json:
        print(json.dumps({"run_directory": str(finished.path), **found}, indent=2))
    else:
        print("\n".join([*lines(found), f"run directory     {finished.path}"]))
    return 0


def cost(counts: dict[str, Any]) -> dict[str, Any]:
    """Turn the collect stage's counts into rates and shares; they are of the process that finished the stage."""
    seconds = sum(counts["seconds"].values())
    return {
        **{name: value for name, value in counts.items() if name not in ("seconds", "peak_memory_bytes")},
        "seconds": round(seconds, 3),
        "tokens_per_second": round(counts["tokens_computed"] / seconds, 1) if seconds else 0.0,
        "peak_memory_bytes": counts["peak_memory_bytes"],
        "share_of_time": {
            part: round(value / seconds, 4) if seconds else 0.0 for part, value in counts["seconds"].items()
        },
    }


def lines(found: dict[str, Any]) -> list[str]:
    """Write the cost for people, a line per number."""
    shares = ", ".join(f"{part} {share:.0%}" for part, share in found["share_of_time"].items())
    taken_up = found["tokens"] - found["tokens_computed"]
    return [
        f"corpus            {found['documents']:,} documents, {found['tokens']:,} tokens, {found['windows']:,} windows",
        f"latents           {found['latents']:,}, {found['eligible']:,} eligible, {found['sampled']:,} sampled",
        f"speed             {found['tokens_per_second']:,.0f} tokens/s over {found['tokens_computed']:,} tokens"
        + (f" ({taken_up:,} were collected before)" if taken_up else ""),
        f"time              {found['seconds']:,.1f} s: {shares}",
        f"peak memory       {found['peak_memory_bytes'] / 2**20:,.0f} MiB",
        f"activations       {found['bytes_written']:,} bytes written, {found['bytes_kept']:,} bytes kept",
    ]
