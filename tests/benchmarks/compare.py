"""How long `autointerp compare` takes, and how much memory, on a run of any size.

    python -m tests.benchmarks.compare                    3 architectures x 12 layers x 1,000 latents x 2 scorers x 100
    python -m tests.benchmarks.compare --latents 100      a tenth of it

Writes a made-up run (in random order of rows with --shuffled), runs the command in a process of its own, and prints
its wall time, CPU time and largest resident memory as one line of CSV.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from autointerp.run import tables
from autointerp.run.writer import arrow_schema
from tests.helpers.simulate import Arm, dictionaries_table, latents_table

ARCHITECTURES = ("sae", "transcoder", "skip-transcoder")
SCORERS = ("detection", "fuzzing")


def judgements(arm: Arm, latents: pd.DataFrame, scorer: str, n_items: int, rng: np.random.Generator) -> pa.Table:
    """All judgements of one dictionary and scorer: half positives over deciles, half random negatives."""
    chosen = latents.loc[latents["sampled"], "latent"].to_numpy()
    n = len(chosen) * n_items
    positive = np.tile(np.arange(n_items) < n_items // 2, len(chosen))
    right = rng.random(n) < np.repeat(rng.normal(arm.mean, 0.1, len(chosen)).clip(0.05, 0.95), n_items)
    item = np.tile(np.arange(n_items), len(chosen))
    latent = np.repeat(chosen, n_items)
    window = np.where(positive, 100_000 + latent * n_items + item, (latent * 37 + item) % 5000)
    question = pa.array([f"{arm.name}/{scorer}/{one}/{i}" for one in chosen for i in range(n_items // 5)])
    place = pa.array(np.arange(n) // 5)
    text = {
        "dictionary": arm.name,
        "site": latents["site"].iloc[0],
        "scorer": scorer,
        "control": "none",
        "explanation_id": "e",
        "status": "ok",
    }
    columns = {
        **{name: pa.array(np.full(n, value)) for name, value in text.items()},
        "latent": latent,
        "question_id": question.take(place),
        "position": item % 5,
        "document_id": window // 4,
        "window_id": window,
        "kind": np.where(positive, "positive", "random"),
        "stratum": np.where(positive, item * 10 // (n_items // 2), 0),
        "stratum_share": np.where(positive, 0.1, 1.0),
        "truth": positive,
        "answer": np.where(right == positive, "yes", "no"),
        "probability": rng.random(n),
        "n_retries": np.zeros(n, dtype=np.int64),
    }
    schema = arrow_schema(tables.JUDGEMENTS)
    return pa.table({name: columns[name] for name in schema.names}, schema=schema)


def write(folder: Path, n_layers: int, n_latents: int, n_items: int, *, shuffled: bool) -> int:
    """Write a run directory; return its number of judgements."""
    rng = np.random.default_rng(0)
    arms = [
        Arm(
            name=f"{architecture}.{layer}",
            architecture=architecture,
            layer=layer,
            n_total=4 * n_latents,
            n_eligible=3 * n_latents,
            n_sampled=n_latents,
        )
        for layer in range(n_layers)
        for architecture in ARCHITECTURES
    ]
    latents = [latents_table(arm, rng) for arm in arms]
    folder.mkdir(parents=True, exist_ok=True)
    n_rows = 0
    with pq.ParquetWriter(folder / "judgements.parquet", arrow_schema(tables.JUDGEMENTS), compression="zstd") as file:
        for arm, table in zip(arms, latents, strict=True):
            for scorer in SCORERS:
                part = judgements(arm, table, scorer, n_items, rng)
                file.write_table(part.take(rng.permutation(len(part))) if shuffled else part)
                n_rows += len(part)
    pd.concat(latents, ignore_index=True).to_parquet(folder / "latents.parquet")
    dictionaries_table(arms).to_parquet(folder / "dictionaries.parquet")
    (folder / "manifest.json").write_text('{"protocol_hash": "p", "context_pool_hash": "c"}')
    return n_rows


def measure(folder: Path) -> tuple[float, float, float]:
    """Run `autointerp compare` on the folder: wall seconds, CPU seconds, GB of largest resident memory."""
    command = [sys.executable, "-m", "autointerp", "compare", str(folder)]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"compare ended with code {process.returncode}")
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--latents", type=int, default=1000)
    parser.add_argument("--items", type=int, default=100)
    parser.add_argument("--shuffled", action="store_true")
    parser.add_argument("--keep", type=Path, help="write the run here and leave it, or use the one that is there")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.keep or Path(scratch)
        if not (folder / "manifest.json").exists():
            write(folder, args.layers, args.latents, args.items, shuffled=args.shuffled)
        n_rows = pq.read_metadata(folder / "judgements.parquet").num_rows
        load = os.getloadavg()[0]
        wall, cpu, memory = measure(folder)
        print("rows,wall_s,cpu_s,memory_gb,cpus,load_before")
        print(f"{n_rows},{wall:.1f},{cpu:.1f},{memory:.2f},{os.cpu_count()},{load:.1f}")


if __name__ == "__main__":
    main()
