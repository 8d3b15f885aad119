"""Measure how interpretable the latents of dictionaries are, and compare the dictionaries.

    autointerp score                                   the embedded default: no download, no LLM
    autointerp score study.yaml                        a study file (autointerp init writes one)
    autointerp score MODEL SAE TRANSCODER --data text.jsonl --explainer http://localhost:8000/v1 \
        --explainer-model M                            the common case; writes the study it ran

The run directory holds every table, the study that replays it, and report.html. The same command continues
an interrupted run and repeats no answered LLM call.

    autointerp score study.yaml --gate results/base    a checkpoint against an earlier run of the same protocol:
        scores the baseline's latents in looks, stops once the decision is clear, and reports the LLM calls saved

Explainer and judge first show on planted rules what they can do (`qualify` in the study; `autointerp judge LLM` alone).

exit codes: 0 done, 2 something to correct, 3 a control or the qualification failed (it says which), 4 stopped early;
with --gate those of `autointerp gate`: 0 PASS, 1 FAIL, 2 INCONCLUSIVE (or invalid input), 3 INVALID, 70 unexpected
error.
"""

import argparse
import json
from pathlib import Path

from autointerp.cli import _study
from autointerp.errors import StudyError

INVALID = 3


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    _study.add_arguments(parser)
    group = parser.add_argument_group("how it runs")
    group.add_argument(
        "--update",
        action="store_true",
        help="DIR holds an older version of this study: redo the stages a change affects",
    )
    group.add_argument("--no-cache", action="store_true", help="neither keep nor reuse LLM replies")
    group.add_argument(
        "--dry-run",
        action="store_true",
        help="collect, then print the calls, tokens and money the LLMs would need",
    )
    group.add_argument(
        "--gate", type=Path, metavar="RUN", help="score only as many latents as a decision against RUN needs"
    )
    group.add_argument(
        "--margin", type=float, default=0.02, help="with --gate: loss of score that still counts as not worse (.02)"
    )
    group.add_argument("--looks", type=int, default=5, help="with --gate: times at which it may stop (5)")
    group.add_argument(
        "--allow", action="store_true", help="with --gate: compare even if the protocols differ; lists the differences"
    )
    group.add_argument("--json", action="store_true", help="print summary.json instead of tables")


def run(args: argparse.Namespace) -> int:
    """Run the study, print what came out."""
    if args.gate is not None:
        return _gated(args)
    study = _study.study_of(args)
    path = _study.out_of(args, study)

    from autointerp.experiment import pipeline
    from autointerp.run.store import read_json

    if args.dry_run:
        for line in pipeline.plan(study, path, update=args.update):
            print(line)
        return 0
    finished = pipeline.score(study, path, update=args.update, cache=not args.no_cache)
    summary = read_json(finished / "summary.json")
    if args.json:
        print((finished / "summary.json").read_text(encoding="utf-8"), end="")
    else:
        from autointerp.cli import _summary

        _summary.show(finished)
    return INVALID if summary["controls"]["verdict"] == "INVALID" else 0


def _gated(args: argparse.Namespace) -> int:
    """Run the study as far as the gate needs, print the decision."""
    if args.dry_run or args.no_cache:
        raise StudyError("--gate asks in looks and keeps replies between them: leave out --dry-run and --no-cache")
    args.overrides.append(f"sampling.same_as={json.dumps(str(args.gate))}")
    study = _study.study_of(args)
    path = _study.out_of(args, study)
    if path.resolve() == args.gate.resolve():
        raise StudyError(f"--gate {args.gate} is the run directory itself; give the candidate another --out")

    from autointerp.console import note
    from autointerp.experiment import gated
    from autointerp.gate import base, output
    from autointerp.run.reading import read_tables

    scorers = read_tables(args.gate).judgements["scorer"].astype("str").unique().tolist()
    config = base.settings(scorers, margin=args.margin, looks=args.looks)
    run, result = gated.score(study, path, args.gate, config=config, update=args.update, allow=args.allow)
    output.show(output.as_json(result) if args.json else output.as_text(result))
    note(f"run directory  {run.path}")
    return result.exit_code
