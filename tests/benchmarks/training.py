"""Training speed and memory: one dictionary, six in one pass over the subject, six passes, and EleutherAI's sparsify.

    python -m tests.benchmarks.training [--width 768 --layers 6 --latents 4096 --tokens 4096 --repeats 2 --out DIR]

The subject is a random GPT-NeoX-shaped model (Pythia-160M's width); every case reads `layers.<last>.mlp` with Adam on
the same rows of tokens. Each case is a process of its own on one thread, and cases take turns, so that load on the
machine meets all of them. Seconds are CPU seconds of the training run alone, the subject's forward and the checkpoint
at the end included; peak memory is the process's, model and libraries included. The sparsify case needs `eai-sparsify`
(`pip install -e '.[parity-sparsify]'`) and is left out, with its reason, where it is absent.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from autointerp.records import Site
from autointerp.subject.model import HookedSubject
from autointerp.train.base import TrainConfig
from autointerp.train.contexts import Contexts
from autointerp.train.run import Reads, train
from tests.helpers import tiny

LENGTH, ROWS, K = 256, 4, 32
ARCHITECTURES = ("sae", "transcoder", "skip-transcoder")
# Arms of each case; `six passes` is a case per architecture, counted twice.
CASES: dict[str, dict[str, Any]] = {
    "one arm": {"architectures": ["skip-transcoder"]},
    "six arms, one pass": {"architectures": list(ARCHITECTURES), "seeds": [0, 1]},
    **{f"alone: {name}": {"architectures": [name]} for name in ARCHITECTURES},
    "sparsify, one arm": {},
}


def model_of(args: argparse.Namespace) -> Any:
    """A random GPT-NeoX-shaped model whose activations stay finite."""
    model = tiny.model(
        "gpt_neox",
        hidden_size=args.width,
        intermediate_size=4 * args.width,
        num_hidden_layers=args.layers,
        num_attention_heads=args.width // 64,
        max_position_embeddings=LENGTH,
        vocab_size=args.vocabulary,
    )
    for parameter in model.parameters():
        parameter.data.mul_(0.1)
    return model


def rows_of(args: argparse.Namespace) -> np.ndarray:
    """Token rows [n, LENGTH]."""
    shape = (args.tokens // LENGTH, LENGTH)
    return np.random.default_rng(0).integers(1, args.vocabulary, size=shape).astype(np.uint32)


def ours(args: argparse.Namespace, arms: dict[str, Any], out: Path) -> Callable[[], object]:
    """A training run by autointerp."""
    name = f"layers.{args.layers - 1}.mlp"
    site = f"gpt_neox.{name}"
    config = TrainConfig.model_validate(
        {
            "sites": [name],
            "latents": [args.latents],
            "k": [K],
            "n_tokens": args.tokens,
            "context_length": LENGTH,
            "contexts_per_step": ROWS,
            **arms,
        }
    )
    subject = HookedSubject(model_of(args), tiny.tokenizer(), fingerprint="random")
    reads = {name: Reads(Site(site, "input"), Site(site, "output"))}
    return lambda: train(subject, reads, Contexts(rows_of(args), frozenset({0}), "random"), config, out)


def sparsify(args: argparse.Namespace, out: Path) -> Callable[[], object]:
    """The same skip transcoder by EleutherAI's trainer."""
    from datasets import Dataset
    from sparsify import SparseCoderConfig, TrainConfig, Trainer  # pyright: ignore[reportMissingImports]

    coder = SparseCoderConfig(num_latents=args.latents, k=K, transcode=True, skip_connection=True)
    config = TrainConfig(
        coder,
        batch_size=ROWS,
        optimizer="adam",
        hookpoints=[f"layers.{args.layers - 1}.mlp"],
        log_to_wandb=False,
        save_dir=str(out),
    )
    data = Dataset.from_dict({"input_ids": rows_of(args).astype(np.int64)}).with_format("torch")
    trainer = Trainer(config, data, model_of(args))
    return trainer.fit


def child(args: argparse.Namespace) -> None:
    """Run one case; prints its CPU seconds and the process's peak memory as JSON."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        try:
            run = (
                sparsify(args, Path(folder))
                if args.case.startswith("sparsify")
                else ours(args, CASES[args.case], Path(folder))
            )
        except ImportError as error:
            print(json.dumps({"absent": str(error)}))
            return
        began = time.process_time()
        run()
        seconds = time.process_time() - began
    print(json.dumps({"seconds": seconds, "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def measured(case: str, words: list[str]) -> dict[str, Any]:
    """Run one case in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, "-m", "tests.benchmarks.training", *words, "--case", case]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{case}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    """Print the table; with --out also keep it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = {"width": 768, "layers": 6, "latents": 4096, "tokens": 4096, "vocabulary": 50304}
    for flag, default in sizes.items():
        parser.add_argument(f"--{flag}", type=int, default=default)
    parser.add_argument("--repeats", type=int, default=2, help="turns of every case")
    parser.add_argument("--out", type=Path, help="folder for table.json")
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        child(args)
        return
    words = [word for flag in sizes for word in (f"--{flag}", str(getattr(args, flag)))]
    runs: dict[str, list[dict[str, Any]]] = {case: [] for case in CASES}
    for _ in range(args.repeats):
        for case, found in runs.items():
            if not found or "absent" not in found[0]:
                found.append(measured(case, words))
                print(case, found[-1], file=sys.stderr, flush=True)
    table = summary(runs, args.tokens)
    for name, value in table.items():
        print(f"{name:48} {value}")
    if args.out:
        settings = {flag: getattr(args, flag) for flag in sizes}
        kept = {"settings": {**settings, "repeats": args.repeats}, "table": table, "runs": runs}
        (args.out / "table.json").write_text(json.dumps(kept, indent=1) + "\n")


def summary(runs: dict[str, list[dict[str, Any]]], tokens: int) -> dict[str, Any]:
    """Medians over the turns, and ratios of what ran in one turn."""
    table: dict[str, Any] = {}
    for case, found in runs.items():
        if "absent" in found[0]:
            table[case] = f"not measured: {found[0]['absent']}"
            continue
        seconds, mb = (statistics.median(one[name] for one in found) for name in ("seconds", "mb"))
        table[case] = f"{seconds:.1f} s, {tokens / seconds:.0f} tokens/s, {mb:.0f} MB"
    turns = list(zip(*(found for found in runs.values() if "absent" not in found[0]), strict=True))
    names = [case for case, found in runs.items() if "absent" not in found[0]]
    by_turn = [{name: one["seconds"] for name, one in zip(names, turn, strict=True)} for turn in turns]
    passes = [2 * sum(turn[f"alone: {name}"] for name in ARCHITECTURES) for turn in by_turn]
    table["six arms in one pass / one arm"] = ratios([t["six arms, one pass"] / t["one arm"] for t in by_turn])
    table["six passes / six arms in one pass"] = ratios(
        [apart / t["six arms, one pass"] for apart, t in zip(passes, by_turn, strict=True)]
    )
    if "sparsify, one arm" in names:
        table["sparsify / one arm of ours"] = ratios([t["sparsify, one arm"] / t["one arm"] for t in by_turn])
    return table


def ratios(values: list[float]) -> str:
    """Median with the least and the largest."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    main()
