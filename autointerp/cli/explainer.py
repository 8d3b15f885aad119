"""Qualify an explainer: do its explanations of planted rules let a judge find the contexts?

    autointerp explainer http://localhost:8000/v1
    autointerp explainer http://localhost:8000/v1 --judge cross_encoder:judges/minilm

Shows it contexts of twelve planted rules, as it is shown a latent's; checks its texts (failures, copies of the prompt's
examples, repeats, quotes of the contexts) and has them judged, by itself unless another judge is named. A judge that
is not qualified (`autointerp judge`) shows nothing about an explainer.

exit codes: 0 it passed, 2 the command must be corrected, 3 it is below the limit (it says why), 4 it stopped.
"""

import argparse

from autointerp.cli import _qualify


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    _qualify.configure(parser)
    parser.add_argument("--judge", metavar="NAME", help="judge of its explanations, as LLM; default: the LLM itself")


def run(args: argparse.Namespace) -> int:
    """Qualify the explainer, print the result."""
    return _qualify.report(_qualify.candidate(args, args.llm, args.judge or args.llm).explain(), args)
