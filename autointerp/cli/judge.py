"""Qualify a judge: does it tell, by a true explanation, contexts that fit from others?

    autointerp judge http://localhost:8000/v1 --form auto
    autointerp judge cross_encoder:judges/minilm --data text.jsonl

Asks about planted rules with known explanations, until each scorer is decided: about 30 prompts of 5 contexts for a
clear judge. Prints sensitivity, specificity, AUROC and calibration of P(yes), the share of yes and of constant lists,
and the effect of the position in the prompt, by scorer and grade of rule; calls, tokens a second and money.

exit codes: 0 it passed, 2 the command must be corrected, 3 it is below the limit (it says why), 4 it stopped.
"""

import argparse

from autointerp.cli import _qualify


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    _qualify.configure(parser)


def run(args: argparse.Namespace) -> int:
    """Qualify the judge, print the result."""
    return _qualify.report(_qualify.candidate(args, "pattern", args.llm).judge(), args)
