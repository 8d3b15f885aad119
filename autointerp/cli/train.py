"""Train SAEs, transcoders and skip transcoders on a subject, all of them in one pass over it.

    autointerp train MODEL --data text.jsonl --site layers.5.mlp --architecture sae,transcoder,skip-transcoder \
        --latents 32768 --k 32,64 --seeds 0,1 --tokens 100M --out runs/mine
    autointerp train study.yaml --out runs/mine        a training study: `subject`, `corpus`, `training`

The dictionaries are written to OUT/<architecture>_m<latents>_k<k>/<site>/seed<seed>/ in EleutherAI sparsify's
format, which `autointerp score` reads; OUT/log.jsonl holds loss, FVU and dead latents. The same command continues an
interrupted run. A transcoder needs a module with input and output of one width; an SAE reads the output alone.
"""

import argparse
from pathlib import Path

from autointerp.cli import _study


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("what", metavar="MODEL | STUDY.yaml", help="a model (folder or hub id) or a training study")
    parser.add_argument("--data", metavar="PATH_OR_NAME", help="text as for `autointerp score --data`")
    parser.add_argument("--site", metavar="MODULE,...", help="modules to train on: layers.5.mlp")
    parser.add_argument("--architecture", metavar="NAME,...", help="of sae, transcoder, skip-transcoder; default: all")
    parser.add_argument("--latents", metavar="N,...", help="numbers of latents; default 32768")
    parser.add_argument("--k", metavar="N,...", help="active latents per token; default 32")
    parser.add_argument("--seeds", metavar="N,...", help="seeds; default 0")
    parser.add_argument("--tokens", type=_study.count, metavar="N", help="token budget, such as 500k or 10M")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY.SUB=VALUE",
        dest="overrides",
        help="any other setting, such as training.lr=0.001; may be given several times",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the training run")


def run(args: argparse.Namespace) -> int:
    """Train, print the dictionaries' folders."""
    from autointerp.cli import _training

    for folder in _training.train_dictionaries(_training.study_of(args), args.out).values():
        print(folder)
    return 0
