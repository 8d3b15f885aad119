"""How fast and how flat collection is: `python -m tests.benchmarks.collection [--out DIR] [--only PART] [--threads N]`.

speed      (a) collection against its floor and (b) three dictionaries in one pass against three: `collection_floor`
memory     (c) peak memory at 64k and 512k tokens, in processes of their own that take turns, on a small model
disk       (d) bytes per token on disk, with a sample and with all latents kept
selection  (e) choosing examples for 1,000 latents from 1M and 10M tokens

Prints a table and a JSON; into `--out` goes collection.json, in which the parts that were measured are replaced. CPU
seconds are those of the process; the clock on the wall is told besides.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
import transformers
from numpy.typing import NDArray

from autointerp import corpus
from autointerp.collection import shards
from autointerp.collection.base import CollectConfig, SamplingConfig
from autointerp.collection.collect import Collection, collect
from autointerp.corpus._tokens import TokenStore
from autointerp.corpus.base import Document, Windows, WindowsConfig
from autointerp.examples import select
from autointerp.examples.base import Firing
from autointerp.records import LatentId
from autointerp.subject.model import HookedSubject
from tests.benchmarks.collection_floor import DEVICE, LENIENT, against_floor, seconds, three
from tests.helpers import tiny

WORDS = tuple("the cat sat on a mat and dog ran after it while two birds sang in an old tree near our house".split())
SMALL, LARGE = 64_000, 512_000


def read(under: HookedSubject, folder: Path, n_tokens: int, length: int) -> TokenStore:
    """Contexts filled up with documents, so that neither side of a comparison is helped or hurt by padding."""
    rng = np.random.default_rng(0)
    n_words = 200

    def documents() -> Iterator[Document]:
        for number in range(n_tokens // n_words + 1):
            yield Document(number, " ".join(rng.choice(WORDS, n_words)))

    config = WindowsConfig(n_tokens=n_tokens, context_length=length, packing="packed")
    store = corpus.read(documents(), under.tokenizer, config, folder, seed=0)
    store.windows()
    return store


def small(n_tokens: int, n_latents: int | Literal["all"]) -> dict[str, float]:
    """(c) and (d), in a process of its own: a small model, three dictionaries of 2,048 latents, k = 16."""
    under = HookedSubject(
        tiny.model("llama", hidden_size=64, max_position_embeddings=512).to(DEVICE),
        tiny.tokenizer(),
        fingerprint="small",
    )
    with tempfile.TemporaryDirectory() as folder:
        store = read(under, Path(folder) / "tokens", n_tokens, length=128)
        placed = three("model.layers.1.mlp", 64, 2048, 16)
        found = collect(
            under,
            placed,
            store,
            collection=CollectConfig(shard_tokens=2**15, values="float16"),
            sampling=SamplingConfig(n_latents=n_latents),
            examples=LENIENT,
            folder=Path(folder),
            seed=0,
        )
        nnz = sum(len(part.positions) for shard in found.shards for part in shard.kept.values())
        stored = (Path(folder) / "tokens" / "tokens.bin").stat().st_size
    n = found.counts["tokens"]
    return {
        "n_tokens": n,
        "peak_mib": found.counts["peak_memory_bytes"] / 2**20,
        "kept_per_token": nnz / n,
        "activation_bytes_per_token": found.counts["bytes_kept"] / n,
        "token_bytes_per_token": stored / n,
        "bytes_per_kept_activation": found.counts["bytes_kept"] / max(1, nnz),
    }


def apart(n_tokens: int, n_latents: int | Literal["all"], threads: int) -> dict[str, float]:
    """`small` in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.collection", "--small", str(n_tokens), str(n_latents)]
    done = subprocess.run(
        [*command, "--threads", str(threads)], stdout=subprocess.PIPE, text=True, check=True, env=os.environ
    )
    return json.loads(done.stdout)


def memory(repeats: int, threads: int) -> dict[str, Any]:
    """(c): peaks of all runs, MiB, and the ratio of their medians."""
    peaks: dict[int, list[float]] = {SMALL: [], LARGE: []}
    for _ in range(repeats):
        for n_tokens, found in peaks.items():
            found.append(apart(n_tokens, 100, threads)["peak_mib"])
    middle = {n_tokens: statistics.median(found) for n_tokens, found in peaks.items()}
    return {
        "small_mib": peaks[SMALL],
        "large_mib": peaks[LARGE],
        "large_over_small": middle[LARGE] / middle[SMALL],
        "spread_of_equal_runs": max(max(found) / min(found) for found in peaks.values()),
    }


def synthetic(folder: Path, n_tokens: int, n_latents: int) -> Collection:
    """A collection as a run leaves it: 1,000 latents of mean rate 32 / 32,768, spread as log-normal with sd 1.5."""
    rng = np.random.default_rng(0)
    rates = np.exp(rng.normal(scale=1.5, size=n_latents))
    rates *= 32 / 32768 / rates.mean()
    found, size, counts = [], 2**18, np.zeros(n_latents, np.int64)
    for number, offset in enumerate(range(0, n_tokens, size)):
        here = min(size, n_tokens - offset)
        parts = [np.sort(rng.choice(here, rng.binomial(here, min(rate, 0.5)), replace=False)) for rate in rates]
        offsets = np.append(0, np.cumsum([len(part) for part in parts]))
        kept = shards.Kept(
            latents=np.arange(n_latents),
            offsets=offsets,
            tokens=counts,
            explain=counts,
            held_out=counts,
            positions=(np.concatenate(parts) + offset).astype(np.uint32),
            values=rng.exponential(size=offsets[-1]).astype(np.float32),
        )
        path = folder / f"{number}.safetensors"
        shards.write(path, shards.Shard(kept={"d": kept}, n=np.array([here, 0, 0])), "f")
        shard = shards.read(path, "f")
        assert shard is not None
        found.append(shard)
    starts = np.arange(0, n_tokens - 31, 32)
    windows = Windows(
        tokens=rng.integers(0, len(WORDS), n_tokens),
        starts=starts,
        length=32,
        documents=starts // 640,
        held_out=(starts // 640) % 2 == 1,
        decode=words,
        fingerprint="synthetic",
    )
    return Collection(
        windows=windows,
        latents=pd.DataFrame(),
        references={},
        fingerprint="",
        counts={},
        seconds={},
        shards=found,
    )


def words(ids: NDArray[np.integer]) -> tuple[str, ...]:
    """Spell tokens."""
    return tuple(map(WORDS.__getitem__, ids.tolist()))


def selection(n_tokens: int, n_latents: int = 1000) -> dict[str, float]:
    """(e): seconds to read the latents' activations and choose 40 + 20 windows of each."""
    with tempfile.TemporaryDirectory() as folder:
        found = synthetic(Path(folder), n_tokens, n_latents)

        def work() -> None:
            for latent in range(n_latents):
                firing: Firing = found.firing("d", latent)
                select.positives(
                    found.windows, firing, latent=LatentId("d", "s", latent), n_explain=40, n_held_out=20, seed=0
                )

        return {"n_tokens": n_tokens, "n_latents": n_latents} | seconds(work)


def hardware(threads: int) -> dict[str, object]:
    """What it ran on."""
    cpu = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return {
        "arguments": " ".join(sys.argv[1:]),
        "cpu": cpu,
        "cpus": os.cpu_count(),
        "threads": threads,
        "load_average": os.getloadavg()[0],
        "gpu": torch.cuda.get_device_name() if DEVICE == "cuda" else "none",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
    }


def table(found: dict[str, Any]) -> str:
    """Write what was measured as a Markdown table."""
    rows: list[tuple[str, str]] = []
    if speed := found.get("speed"):
        rows += _speed_rows(speed)
    if peaks := found.get("memory"):
        small, large = (statistics.median(peaks[name]) for name in ("small_mib", "large_mib"))
        rows += [
            (f"peak memory, {SMALL:,} tokens", f"{small:,.0f} MiB, median of {len(peaks['small_mib'])}"),
            (f"peak memory, {LARGE:,} tokens", f"{large:,.0f} MiB: {peaks['large_over_small']:.3f} x"),
            ("largest over smallest peak of equal runs", f"{peaks['spread_of_equal_runs']:.3f}"),
        ]
    for kept, run in found.get("disk", {}).items():
        if kept == "hardware":
            continue
        rows.append(
            (
                f"disk, {kept} of 3 x 2,048 latents kept",
                f"{run['activation_bytes_per_token']:.1f} bytes a token, {run['bytes_per_kept_activation']:.2f} "
                f"per activation kept; {run['token_bytes_per_token']:.0f} more for the token",
            )
        )
    for n, run in found.get("selection", {}).items():
        if n == "hardware":
            continue
        rows.append((f"examples of 1,000 latents, {n} tokens", f"{run['cpu']:.1f} s"))
    body = "\n".join(f"| {what} | {value} |" for what, value in rows)
    return f"| what | measured |\n|---|---|\n{body}\n"


def _speed_rows(speed: dict[str, Any]) -> Iterator[tuple[str, str]]:
    cpu, wall = speed["cpu"], speed["wall"]
    for n, word in ((1, "one dictionary"), (3, "three dictionaries")):
        name = cpu[f"fastest_floor_{n}"]
        rates = {who: speed["n_tokens"] / cpu["seconds"][who] for who in (name, f"ours_{n}")}
        yield f"floor, {word}", f"{rates[name]:,.0f} tokens/s ({name.rpartition('_')[2]})"
        yield (
            f"collection, {word}",
            f"{rates[f'ours_{n}']:,.0f} tokens/s: {cpu[f'ours_over_floor_{n}']:.3f} x the floor's CPU time, "
            f"{wall[f'ours_over_floor_{n}']:.3f} x by the wall; "
            f"{cpu[f'ours_over_plain_floor_{n}']:.3f} x that of the plain floor",
        )
    yield "three passes against one", f"{cpu['three_passes_over_one']:.2f} x the CPU time"


def measured(part: str, args: argparse.Namespace) -> dict[str, Any]:
    """Measure one part."""
    if part == "speed":
        return against_floor(args.tokens, args.repeats)
    if part == "memory":
        return memory(args.repeats, args.threads)
    if part == "disk":
        return {"100": apart(SMALL, 100, args.threads), "all": apart(SMALL, "all", args.threads)}
    return {"1M": selection(10**6), "10M": selection(10**7)}


def main() -> None:
    """Run everything, or a part; print the table, and write the JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder for collection.json")
    parser.add_argument("--only", choices=["speed", "memory", "disk", "selection"], help="measure this part alone")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=4096, help="tokens of each contest of speed")
    parser.add_argument("--small", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.small:
        n_latents = args.small[1] if args.small[1] == "all" else int(args.small[1])
        print(json.dumps(small(int(args.small[0]), n_latents)))
        return
    found: dict[str, Any] = {}
    if args.out and (args.out / "collection.json").exists():
        found = json.loads((args.out / "collection.json").read_text())
    for part in [args.only] if args.only else ["speed", "memory", "disk", "selection"]:
        found[part] = measured(part, args) | {"hardware": hardware(args.threads)}
    print(json.dumps(found, indent=2))
    print(table(found))
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / "collection.json").write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
