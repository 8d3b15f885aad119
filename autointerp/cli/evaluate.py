"""Measure what dictionaries preserve of the subject: FVU, loss increase, KL, L0, dead latents, with intervals.

    autointerp evaluate                                  the embedded default
    autointerp evaluate study.yaml                       the dictionaries of a study, on its held-out documents
    autointerp evaluate MODEL SAE TRANSCODER --data text.jsonl

All dictionaries are measured on the same held-out documents; `autointerp score` does the same as part of a run.
"""

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from autointerp.cli import _study

if TYPE_CHECKING:
    import pandas as pd

    from autointerp.experiment.study import Study


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    _study.add_arguments(parser)
    parser.set_defaults(explainer="pattern")  # nothing is explained here
    parser.add_argument("--documents", type=_study.count, metavar="N", help="held-out documents to measure on")
    parser.add_argument("--csv", action="store_true", help="print the whole table as CSV")


def run(args: argparse.Namespace) -> int:
    """Measure, print the table; with --out also keep it."""
    if args.documents is not None:
        args.overrides.append(f"reconstruction.n_documents={args.documents}")
    table = evaluate(_study.study_of(args))
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        table.to_parquet(args.out / "reconstruction.parquet", index=False)
    if args.csv:
        print(table.to_csv(index=False), end="")
        return 0
    words = [f"{row.value:.4g} [{row.low:.4g}, {row.high:.4g}]" for row in table.itertuples()]  # pyright: ignore[reportAttributeAccessIssue]
    wide = table.assign(words=words).pivot(index="metric", columns="dictionary", values="words")
    print(wide.loc[table["metric"].unique(), table["dictionary"].unique()].to_string())
    return 0


def evaluate(study: "Study") -> "pd.DataFrame":
    """Measure the dictionaries of a study on its held-out documents."""
    from autointerp import corpus
    from autointerp.dictionaries import loading
    from autointerp.reconstruction import metrics
    from autointerp.reconstruction.base import Arm, held_out_documents
    from autointerp.subject import model, sites

    subject = model.load(study.subject)
    arms = []
    for named in study.dictionaries:
        one = loading.open_dictionary(named, device=str(subject.device))
        arms.append(Arm(one, *(sites.resolve(subject.model, name) for name in (one.site_in, one.site_out))))
    with tempfile.TemporaryDirectory() as folder:
        tokens = corpus.read(
            study.corpus.module.documents(study.corpus.settings),
            subject.tokenizer,
            study.windows,
            Path(folder),
            seed=study.seed,
        )
        documents = held_out_documents(tokens.windows(), study.reconstruction, study.windows.context_length)
        return metrics.evaluate(subject, arms, documents, study.reconstruction, bos=tokens.bos, seed=study.seed)
