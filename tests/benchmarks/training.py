"""Training speed: one dictionary, six in one pass over the subject, and six passes of one each.

    python -m tests.benchmarks.training [--width 768 --layers 6 --latents 4096 --tokens 4096]

The subject is a random GPT-NeoX-shaped model (Pythia-160M's width) stopped at `layers.<last>.mlp`; time and tokens/s
are of whole runs with the subject's forward and the checkpoint at the end included. Peak memory is the process's.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from autointerp.records import Site
from autointerp.subject.model import HookedSubject
from autointerp.train.base import TrainConfig
from autointerp.train.contexts import Contexts
from autointerp.train.run import Reads, train
from tests.helpers import tiny

LENGTH = 256


def seconds(subject: HookedSubject, layer: int, args: argparse.Namespace, **arms: Sequence[object]) -> float:
    """Time one training run of the arms asked for."""
    name = f"layers.{layer}.mlp"
    module = f"gpt_neox.{name}"
    config = TrainConfig.model_validate({
        "sites": [name], "latents": [args.latents], "k": [32], "n_tokens": args.tokens, "context_length": LENGTH,
        "contexts_per_step": 4, **arms,
    })  # fmt: skip
    n_rows = args.tokens // LENGTH
    rows = np.random.default_rng(0).integers(1, tiny.VOCABULARY, size=(n_rows, LENGTH)).astype(np.uint32)
    contexts = Contexts(rows, frozenset({0}), "random")
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        reads = {name: Reads(Site(module, "input"), Site(module, "output"))}
        train(subject, reads, contexts, config, Path(folder))
        return time.perf_counter() - began


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for flag, default in (("--width", 768), ("--layers", 6), ("--latents", 4096), ("--tokens", 4096)):
        parser.add_argument(flag, type=int, default=default)
    args = parser.parse_args()
    model = tiny.model(
        "gpt_neox", hidden_size=args.width, intermediate_size=4 * args.width, num_hidden_layers=args.layers,
        num_attention_heads=args.width // 64, max_position_embeddings=LENGTH,
    )  # fmt: skip
    for parameter in model.parameters():
        parameter.data.mul_(0.1)
    subject = HookedSubject(model, tiny.tokenizer(), fingerprint="random")
    seconds(subject, args.layers - 1, args, architectures=["sae"])  # warm-up
    one = seconds(subject, args.layers - 1, args, architectures=["skip-transcoder"])
    six = seconds(subject, args.layers - 1, args, seeds=[0, 1])
    apart = sum(
        seconds(subject, args.layers - 1, args, architectures=[name], seeds=[seed])
        for name in ("sae", "transcoder", "skip-transcoder") for seed in (0, 1)
    )  # fmt: skip
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{args}, {torch.get_num_threads()} threads")
    print(f"one arm            {one:6.1f} s  {args.tokens / one:7.0f} tokens/s")
    print(f"six arms, one pass {six:6.1f} s  {args.tokens / six:7.0f} tokens/s  {six / one:.2f} x one arm")
    print(f"six passes         {apart:6.1f} s                    {apart / one:.2f} x one arm")
    print(f"peak memory        {peak:6.0f} MB")


if __name__ == "__main__":
    main()
