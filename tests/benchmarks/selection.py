"""Time and memory of `select` on synthetic activations, hard negatives included.

    python -m tests.benchmarks.selection               2.5M to 10M tokens, 500 to 2,000 latents
    python -m tests.benchmarks.selection --at 1M 250   one size

Each size runs in a process of its own: CPU seconds of the stage, its peak memory above that before it. The last line
extrapolates to 100,000 latents on 10M tokens from the two sizes with the most tokens.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from autointerp.collection import latents as table
from autointerp.collection.memory import peak_memory
from autointerp.examples.base import ExamplesConfig
from autointerp.experiment.stages import select
from autointerp.run.store import Run
from autointerp.seeds import generator
from tests.benchmarks.collection import synthetic

SIZES = ((2_500_000, 500), (5_000_000, 1000), (10_000_000, 500), (10_000_000, 2000))
# Latents among which hard negatives look for neighbours (`collection.sample.N_REFERENCE`), and the size asked about.
N_REFERENCE, WANTED = 512, 100_000


def measure(n_tokens: int, n_latents: int) -> dict[str, float]:
    """Run the stage once."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        made = synthetic(folder, n_tokens, n_latents)
        counts = np.full(n_latents, 1000)
        firing = table.FiringCounts(
            tokens=counts, explain=counts, held_out=counts, n_tokens=n_tokens, n_explain=n_tokens, n_held_out=n_tokens
        )
        rows = table.rows(
            firing,
            ExamplesConfig(),
            dictionary="d",
            architecture="sae",
            site="s",
            chances=np.ones(n_latents),
            drawn=np.arange(n_latents),
        )
        reference = generator(0, "reference").permutation(n_latents)[:N_REFERENCE]
        collected = replace(made, latents=rows, references={"d": np.sort(reference)})
        study = SimpleNamespace(examples=ExamplesConfig(), seed=0, controls=SimpleNamespace(n_planted=0))
        experiment: Any = SimpleNamespace(study=study, run=Run(folder), collected=collected)
        before, began, wall = peak_memory(), time.process_time(), time.perf_counter()
        found = select.run(experiment)
        return {
            "tokens": n_tokens,
            "latents": n_latents,
            "selected": int(found["latents"]),  # pyright: ignore[reportArgumentType]
            "cpu_s": round(time.process_time() - began, 1),
            "wall_s": round(time.perf_counter() - wall, 1),
            "peak_mib_above_start": round((peak_memory() - before) / 2**20),
        }


def apart(n_tokens: int, n_latents: int) -> dict[str, float]:
    """Run `measure` in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.selection", "--at", str(n_tokens), str(n_latents)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--at", nargs=2, metavar=("TOKENS", "LATENTS"))
    args = parser.parse_args()
    if args.at:
        print(json.dumps(measure(int(float(args.at[0].replace("M", "e6"))), int(args.at[1]))))
        return
    found = []
    for size in SIZES:
        found.append(apart(*size))
        print(found[-1], flush=True)
    few, many = found[-2:]
    slope = (many["cpu_s"] - few["cpu_s"]) / (many["latents"] - few["latents"])
    total = few["cpu_s"] + slope * (WANTED - few["latents"])
    print(f"{slope * 1000:.1f} ms a latent; {WANTED:,} latents: {total / 60:.0f} CPU minutes")


if __name__ == "__main__":
    main()
