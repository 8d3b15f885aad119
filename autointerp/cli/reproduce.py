"""Run a shipped study of published dictionaries at every layer, and answer the paper's claims over layers.

    autointerp reproduce gemma-scope-2 --model gemma-3-1b-pt
    autointerp reproduce pythia-160m --layers 0-5 --explainer http://localhost:8000/v1 --out results/pythia

The presets are ordinary study files (`autointerp/presets/`). Writes claims.csv and, next to our scores, the paper's own
accuracy and F1 at as many positives as negatives (paper_metrics.csv) into RUN/compare.
"""

import argparse

from autointerp.cli import _study
from autointerp.errors import StudyError


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    _study.add_arguments(parser)
    parser.add_argument("--model", metavar="MODEL", help="which of the preset's models; or a local folder of that name")
    parser.add_argument("--update", action="store_true", help="DIR holds an older version: redo what changed")
    parser.add_argument("--dry-run", action="store_true", help="print what it would take, ask nothing")
    parser.add_argument("--show", action="store_true", help="print the preset's study and stop")


def run(args: argparse.Namespace) -> int:
    """Score the preset's dictionaries, compare them, print the paper's metrics."""
    from autointerp.experiment import presets
    from autointerp.run import yaml_files

    if len(args.what) != 1:
        raise StudyError(f"name one preset: {', '.join(presets.names())}")
    values = presets.preset(args.what[0], args.model)
    if args.show:
        print(yaml_files.dump(values), end="")
        return 0
    study = _study.study_with(values, f"preset {args.what[0]}", args)
    path = _study.out_of(args, study)

    from autointerp.experiment import pipeline

    if args.dry_run:
        for line in pipeline.plan(study, path, update=args.update):
            print(line)
        return 0
    finished = pipeline.score(study, path, update=args.update)
    return _answers(finished)


def _answers(finished: object) -> int:
    """Compare the run's dictionaries, and print the paper's metrics."""
    from rich.text import Text

    from autointerp.cli import compare
    from autointerp.console import results
    from autointerp.run.reading import read_tables
    from autointerp.statistics.paper import paper_metrics

    path = finished.path  # type: ignore[attr-defined]
    parser = argparse.ArgumentParser()
    compare.configure(parser)
    code = compare.run(parser.parse_args([str(path)]))
    found = paper_metrics(read_tables(path).judgements)
    found.to_csv(path / "compare" / "paper_metrics.csv", index=False)
    results().print(Text("\nThe paper's own metrics, at as many positives as random negatives (chance: accuracy .5)"))
    results().print(Text(found.round(3).to_string(index=False)))
    return code
