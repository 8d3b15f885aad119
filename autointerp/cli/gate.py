"""Pass or fail a candidate run against a baseline run, with an exit code that CI understands.

PASS 0: no endpoint is worse by the margin, limits and controls hold. FAIL 1: one is worse. INCONCLUSIVE 2: the data
cannot tell; judge more latents. INVALID 3: a control failed, so no score may be read. (2 is also the code of a wrong
command line or unreadable run, with one line on stderr.)

The decision is also kept in CANDIDATE/gate.json, and each look in offline.parquet (drawn by `autointerp figures`). To
spend calls only while undecided, let the candidate be scored by `autointerp score ... --gate BASELINE`.

In a workflow: autointerp gate results/candidate --baseline results/reference/base --junit offline.xml
--summary "$GITHUB_STEP_SUMMARY"
"""

import argparse
import os
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add arguments."""
    parser.add_argument("candidate", type=Path, help="run directory of the candidate")
    parser.add_argument("--baseline", type=Path, required=True, help="run directory it is measured against")
    parser.add_argument("--margin", type=float, default=0.02, help="loss of score that still counts as not worse (.02)")
    parser.add_argument(
        "--alpha", type=float, default=0.05, help="chance of passing one that is worse by the margin (.05)"
    )
    parser.add_argument(
        "--looks", type=int, default=5, help="looks of the group-sequential test (5); 1 tests all latents at once"
    )
    parser.add_argument("--endpoints", help="scorers that must all pass, comma-separated (detection,fuzzing as scored)")
    parser.add_argument("--max-missing", type=float, default=0.02, help="largest share of unanswered judgements (.02)")
    parser.add_argument("--max-dead", type=float, default=0.02, help="largest rise of the share of dead latents (.02)")
    parser.add_argument("--max-ce", type=float, default=0.005, help="largest rise of the CE increase, in nats (.005)")
    parser.add_argument("--allow", action="store_true", help="gate across different protocols; the output names them")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.add_argument("--report", type=Path, help="also write JSON here")
    parser.add_argument("--junit", type=Path, help="also write JUnit XML here")
    parser.add_argument(
        "--summary", type=Path, help="also append a Markdown table here ($GITHUB_STEP_SUMMARY is used if set)"
    )


def run(args: argparse.Namespace) -> int:
    """Decide, print, write, return the decision's exit code."""
    from pydantic import ValidationError

    from autointerp.errors import StudyError
    from autointerp.gate import offline
    from autointerp.run.reading import read_tables
    from autointerp.statistics import GateConfig, Limits

    wanted = args.endpoints.split(",") if args.endpoints else None
    scorers = read_tables(args.baseline).judgements["scorer"].astype("str").unique().tolist()
    try:
        config = GateConfig(
            margin=args.margin, alpha=args.alpha, looks=args.looks, endpoints=offline.endpoints_scored(scorers, wanted),
            limits=Limits(missing=args.max_missing, dead_share=args.max_dead, ce_increase=args.max_ce),
        )  # fmt: skip
    except ValidationError as error:
        first = error.errors()[0]
        raise StudyError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}; you gave {first['input']!r}") from error
    result = offline.gate_runs(args.candidate, args.baseline, config=config, allow=args.allow)
    summary = args.summary or (
        Path(os.environ["GITHUB_STEP_SUMMARY"]) if os.environ.get("GITHUB_STEP_SUMMARY") else None
    )
    offline.keep(result, args.candidate)
    offline.write_outputs(result, junit=args.junit, summary=summary, report=args.report)
    print(offline.as_json(result) if args.json else offline.as_text(result))
    return result.exit_code
