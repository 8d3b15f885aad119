"""Measure how interpretable the latents of dictionaries are, and compare the dictionaries.

    autointerp score                                   the embedded default: no download, no LLM
    autointerp score study.yaml                        a study file (autointerp init writes one)
    autointerp score MODEL SAE TRANSCODER --data text.jsonl --explainer http://localhost:8000/v1 \
        --explainer-model M                            the common case; writes the study it ran

The run directory holds every table, the study that replays it, and report.html. The same command after an
interruption goes on where it stopped and repeats no finished LLM call.

exit codes: 0 done, 2 something to mend, 3 a control failed (the comparison is INVALID), 4 stopped part-way.
"""

import argparse

from autointerp.verbs import _study, _summary

INVALID = 3


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    _study.add_arguments(parser)
    group = parser.add_argument_group("how it runs")
    group.add_argument(
        "--update", action="store_true", help="DIR holds an older version of this study: redo what the change touches"
    )
    group.add_argument("--no-cache", action="store_true", help="neither keep nor reuse LLM replies")
    group.add_argument(
        "--dry-run",
        action="store_true",
        help="collect, then print the calls, tokens and money that the LLMs would take",
    )
    group.add_argument("--json", action="store_true", help="print summary.json instead of tables")


def run(args: argparse.Namespace) -> int:
    """Run the study, print what came out."""
    study = _study.study_of(args)
    path = _study.out_of(args, study)

    from autointerp import pipeline
    from autointerp.store import read_json

    if args.dry_run:
        for line in pipeline.plan(study, path, update=args.update):
            print(line)
        return 0
    finished = pipeline.score(study, path, update=args.update, cache=not args.no_cache)
    summary = read_json(finished / "summary.json")
    if args.json:
        print((finished / "summary.json").read_text(encoding="utf-8"), end="")
    else:
        _summary.show(finished)
    return INVALID if summary["controls"]["verdict"] == "INVALID" else 0
