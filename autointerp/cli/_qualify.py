"""Shared code of the verbs `judge` and `explainer`: one LLM, qualified by itself on planted rules."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from autointerp.cli import _study
from autointerp.errors import NotQualifiedError

if TYPE_CHECKING:
    from autointerp.experiment.qualify import Candidate
    from autointerp.qualification.base import Qualification


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "llm",
        metavar="LLM",
        help="pattern, vllm:MODEL, hosted:PROVIDER/MODEL, http://host:port/v1 or, as a judge, cross_encoder:DIR",
    )
    parser.add_argument("--model", metavar="MODEL", help="model of a server that serves several")
    parser.add_argument("--data", metavar="PATH_OR_NAME", help="text for the planted rules; default: docstrings")
    parser.add_argument(
        "--form",
        choices=["list", "single", "token", "auto"],
        default="list",
        help="the judge's prompt: a list of contexts, one context, one yes/no token; auto tries all",
    )
    parser.add_argument("--prompts", type=Path, metavar="DIR", help="templates to use instead of the shipped ones")
    parser.add_argument(
        "--store", type=Path, metavar="FILE", help="response store: stored replies are not requested again"
    )
    parser.add_argument("--json", action="store_true", help="print the qualification as JSON")


def candidate(args: argparse.Namespace, explainer: str, judge: str) -> "Candidate":
    """Return what is qualified; `explainer` and `judge` are as on the command line of `score`."""
    from autointerp.experiment import qualify

    named = {"explainer": explainer, "judge": judge}
    return qualify.alone(
        {role: _study.llm_of(name, args.model if name == args.llm else None) for role, name in named.items()},
        prompt="pattern" if explainer == "pattern" else "default",
        form=args.form,
        prompts=args.prompts,
        store=args.store,
        corpus=_study.corpus_of(args.data) if args.data else {"use": "docstrings"},
    )


def report(found: "Qualification", args: argparse.Namespace) -> int:
    """Print the qualification; return 0, or 3 below a limit."""
    from autointerp.console import results
    from autointerp.qualification import keep, show

    if args.json:
        print(keep.as_json(found))
    else:
        for line in show.lines(found):
            results().print(line, markup=False, soft_wrap=True)
    return NotQualifiedError.exit_code if found.failed else 0
