"""Pass or fail a candidate run against a baseline run, with an exit code for CI.

exit codes: 0 PASS, every endpoint is shown to be not worse by the margin; 1 FAIL, some endpoint is significantly worse;
2 INCONCLUSIVE, neither is shown (the output says how many more latents would decide), or a wrong command line or run
(one line on stderr); 3 INVALID, a control failed, so no score can be trusted; 70 unexpected error.

The error rates are those of the whole gate, however many dictionaries and endpoints it has: at most alpha to pass a
candidate that is worse by the margin in some endpoint, at most alpha to fail one that is not worse in any.

A finished candidate is tested once, on all its latents. One that `autointerp score ... --gate BASELINE` scored, only as
far as needed, is tested in the same looks again. The decision is written to CANDIDATE/gate.json and gate.parquet.

In a workflow: autointerp gate results/candidate --baseline results/reference/base --junit gate.xml
--summary "$GITHUB_STEP_SUMMARY"
"""

import argparse
import os
from dataclasses import replace
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add arguments."""
    parser.add_argument("candidate", type=Path, help="run directory of the candidate")
    parser.add_argument("--baseline", type=Path, required=True, help="run directory to compare with")
    parser.add_argument("--margin", type=float, default=0.02, help="loss of score that still counts as not worse (.02)")
    parser.add_argument("--alpha", type=float, default=0.05, help="error rate of the whole gate (.05)")
    parser.add_argument(
        "--looks", type=int, help="looks of the group-sequential test (1; after `score --gate`, those it planned)"
    )
    parser.add_argument("--endpoints", help="scorers that must all pass, comma-separated (detection,fuzzing as scored)")
    parser.add_argument("--max-missing", type=float, default=0.02, help="largest share of unanswered judgements (.02)")
    parser.add_argument("--max-dead", type=float, default=0.02, help="largest rise of the share of dead latents (.02)")
    parser.add_argument("--max-ce", type=float, default=0.005, help="largest rise of the CE increase, in nats (.005)")
    parser.add_argument(
        "--allow", action="store_true", help="compare even if the protocols differ; lists the differences"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.add_argument("--report", type=Path, help="also write JSON here")
    parser.add_argument("--junit", type=Path, help="also write JUnit XML here")
    parser.add_argument(
        "--summary", type=Path, help="also append a Markdown table here ($GITHUB_STEP_SUMMARY is used if set)"
    )


def run(args: argparse.Namespace) -> int:
    """Decide, print, write, return the decision's exit code."""
    from autointerp.gate import base, offline, output
    from autointerp.qualification import show
    from autointerp.run.reading import read_tables

    scorers = read_tables(args.baseline).judgements["scorer"].astype("str").unique().tolist()
    config = base.settings(
        scorers,
        args.endpoints.split(",") if args.endpoints else None,
        margin=args.margin,
        alpha=args.alpha,
        looks=offline.looks_of(args.candidate) if args.looks is None else args.looks,
        limits={"missing": args.max_missing, "dead_share": args.max_dead, "ce_increase": args.max_ce},
    )
    result = offline.gate_runs(args.candidate, args.baseline, config=config, allow=args.allow)
    result = replace(result, reasons=(*result.reasons, *show.of_run(args.candidate)))
    output.show(output.as_json(result) if args.json else output.as_text(result))
    summary = args.summary or os.environ.get("GITHUB_STEP_SUMMARY")
    output.write(
        result, args.candidate, junit=args.junit, report=args.report, summary=Path(summary) if summary else None
    )
    return result.exit_code
