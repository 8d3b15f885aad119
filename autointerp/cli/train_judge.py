"""Train a small judge of your own: a cross-encoder over explanation and context, on rules with known truth.

    autointerp train-judge --data docstrings --data stories.txt --held-out wiki.txt \
        --base sentence-transformers/all-MiniLM-L6-v2 --out judges/minilm
    autointerp score study.yaml --judge cross_encoder:judges/minilm

Rules (words, phrases, affixes, neighbours, topics, several clauses, the `pattern` back end's language) are drawn from
the texts of --data as training goes. The finished judge is measured on rules and on text (--held-out) that it was not
trained on, its probabilities calibrated on yet other rules. --responses adds the answers that another judge gave in a
finished run. The same command after an interruption continues from the last checkpoint.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autointerp.cli import _study
from autointerp.errors import StudyError

if TYPE_CHECKING:
    from autointerp.judge_training.base import JudgeTrainingConfig
    from autointerp.judge_training.train import Recorded

BASE = "sentence-transformers/all-MiniLM-L6-v2"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--data",
        action="append",
        required=True,
        metavar="PATH_OR_NAME",
        help="text to plant rules in, as for `autointerp score --data`; may be given several times",
    )
    parser.add_argument("--held-out", required=True, metavar="PATH_OR_NAME", help="other text, to measure the judge on")
    parser.add_argument("--base", default=BASE, metavar="MODEL", help=f"encoder: folder or hub name; default {BASE}")
    parser.add_argument(
        "--responses",
        action="append",
        type=Path,
        default=[],
        metavar="RUN",
        help="run directory with recorded answers to train on too; may be given several times",
    )
    parser.add_argument("--steps", type=_study.count, metavar="N", help="optimiser steps")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="another setting of training, such as layers=6; may be given several times",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the judge")


def run(args: argparse.Namespace) -> int:
    """Train, measure, write the judge, print its quality."""
    config = _config(args)
    out: Path = args.out

    from autointerp.console import note, results
    from autointerp.judge_training import finish, pairs
    from autointerp.judge_training.train import STATE, train

    cut = [pairs.windows(_texts(name), config) for name in args.data]
    held_out = pairs.windows(_texts(args.held_out), config)
    for name, some in zip([*args.data, args.held_out], [*cut, held_out], strict=True):
        if len(some) < 500:
            raise StudyError(f"{name}: {len(some)} windows of text; 500 are needed to plant rules in: name more text")
    recorded = _recorded(args.responses, note)
    source = finish.source(cut, args.base)
    identity = finish.identity(config, args.base, cut, len(recorded))
    network, tokenizer = train(source, args.base, config, out, identity=identity, recorded=recorded)
    lines = finish.measured(network, tokenizer, held_out, config, out, trained_on=args.data, held_out=args.held_out)
    (out / STATE).unlink(missing_ok=True)
    for line in lines:
        results().print(line, markup=False, soft_wrap=True)
    return 0


def _config(args: argparse.Namespace) -> "JudgeTrainingConfig":
    from pydantic import ValidationError

    from autointerp.experiment.study import override, problems
    from autointerp.judge_training.base import JudgeTrainingConfig

    given = [f"steps={args.steps}"] if args.steps is not None else []
    values: dict[str, Any] = override({}, [*given, *args.overrides])
    try:
        return JudgeTrainingConfig.model_validate(values)
    except ValidationError as error:
        raise StudyError("train-judge: " + "; ".join(problems(error))) from error


def _texts(name: str) -> Iterator[str]:
    """Yield the texts of a corpus named as on the command line of `score`.

    Raises:
        StudyError: it is not valid.
    """
    from pydantic import ValidationError

    from autointerp.experiment.study import CorpusMember, problems

    try:
        member = CorpusMember.model_validate(_study.corpus_of(name))
    except ValidationError as error:
        raise StudyError(f"--data {name}: " + "; ".join(problems(error))) from error
    return (document.text for document in member.module.documents(member.settings))


def _recorded(runs: list[Path], note: Any) -> "list[Recorded]":
    from autointerp.experiment.recorded import answers

    found: list[Recorded] = []
    for path in runs:
        some, n_left_out = answers(path)
        note(f"train-judge: {path}: {len(some):,} answers; {n_left_out:,} replies without a readable one left out")
        found += some
    return found
