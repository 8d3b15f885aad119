"""How fast and how flat collection is: `python -m tests.benchmarks.collection [--out DIR] [--threads N] [--repeats N]`.

(a) the floor - a forward that stops at the last site, the encoders' matmuls and top-k, nothing else - against
    collection, in the same process, taking turns, for one dictionary and for three (SAE, transcoder, skip transcoder);
(b) three dictionaries in one pass against three passes;
(c) peak memory at 64k and 512k tokens, each in a process of its own, on a small model;
(d) bytes per token on disk, with a sample and with all latents kept;
(e) choosing examples for 1,000 latents from 1M and 10M tokens.

(a) and (b) run a random model of Pythia-160M's shape, read at its sixth layer's MLP, 32,768 latents, k = 32. Seconds
are those of the process's own CPU time on `--threads` threads, so that a busy machine disturbs less; on a GPU wall
time.
"""

import argparse
import functools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
import transformers
from numpy.typing import NDArray

from autointerp import corpus
from autointerp.corpus._tokens import TokenStore
from autointerp.corpus.base import Document, WindowsConfig
from autointerp.dictionaries.activations import Activation
from autointerp.dictionaries.spec import Dictionary, Provenance
from autointerp.examples import select, shards
from autointerp.examples.base import CollectConfig, ExamplesConfig, Firing, SamplingConfig, Windows
from autointerp.examples.collect import Collection, collect
from autointerp.examples.collect_device import Placed
from autointerp.records import LatentId, Site
from autointerp.subject.model import HookedSubject
from tests.helpers import tiny

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SITE = "gpt_neox.layers.5.mlp"
WORDS = [
    "the",
    "cat",
    "sat",
    "on",
    "a",
    "mat",
    "and",
    "dog",
    "ran",
    "after",
    "it",
    "while",
    "two",
    "birds",
    "sang",
    "in",
    "an",
    "old",
    "tree",
    "near",
    "our",
    "house",
]
LENIENT = ExamplesConfig(min_windows=1, n_explain=1, n_positives=1, n_negatives=1)


def seconds(work: Callable[[], object]) -> float:
    """Time one piece of work: CPU seconds of this process, or wall seconds on a GPU."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    clock = time.process_time if DEVICE == "cpu" else time.perf_counter
    began = clock()
    work()
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    return clock() - began


def dictionary(name: str, architecture: Any, d: int, n_latents: int, k: int, seed: int) -> Dictionary:
    """A random TopK dictionary."""
    rng = torch.Generator().manual_seed(seed)
    W_enc = torch.randn(d, n_latents, generator=rng) / d**0.5
    b_dec = torch.zeros(d)
    made = Dictionary(
        name=name, architecture=architecture, site_in="", site_out="", W_enc=W_enc, b_enc=torch.zeros(n_latents),
        activation=Activation(kind="topk", k=k), W_dec=torch.zeros(1, d).expand(n_latents, d), b_dec=b_dec,
        W_skip=torch.zeros(d, d) if architecture == "skip-transcoder" else None,
        pre_bias=b_dec if architecture == "sae" else None, provenance=Provenance(format="none", source="random"),
    )  # fmt: skip
    return made.to(DEVICE)


def three(site: str, d: int, n_latents: int, k: int) -> list[Placed]:
    """An SAE on the MLP's output, a transcoder and a skip transcoder on its input."""
    sides: dict[str, Literal["input", "output"]] = {"sae": "output", "transcoder": "input", "skip-transcoder": "input"}
    return [
        Placed(dictionary(kind, kind, d, n_latents, k, seed), Site(site, side))
        for seed, (kind, side) in enumerate(sides.items())
    ]


def pythia() -> HookedSubject:
    """A random model of Pythia-160M's shape."""
    settings = transformers.GPTNeoXConfig(
        vocab_size=50304, hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072,
        max_position_embeddings=2048,
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(settings, dtype=torch.float32).to(DEVICE)
    return HookedSubject(model, tiny.tokenizer(), fingerprint="random Pythia-160M")


def read(under: HookedSubject, folder: Path, n_tokens: int, length: int = 256) -> TokenStore:
    """Contexts filled up with documents, so that neither side of a comparison is helped or hurt by padding."""
    rng = np.random.default_rng(0)
    n_words = 200

    def documents() -> Sequence[Document]:
        texts = (" ".join(rng.choice(WORDS, n_words)) for _ in range(n_tokens // n_words + 1))
        return [Document(number, text) for number, text in enumerate(texts)]

    config = WindowsConfig(n_tokens=n_tokens, context_length=length, packing="packed")
    store = corpus.read(documents(), under.tokenizer, config, folder, seed=0)
    store.windows()
    return store


def floor(under: HookedSubject, placed: Sequence[Placed], store: TokenStore, batch_tokens: int) -> None:
    """A forward up to the last site, encoder matmuls and top-k: nothing is kept."""
    tokens = store.windows().tokens.astype(np.int64)
    width = 257
    rows = torch.from_numpy(tokens[: len(tokens) // width * width].reshape(-1, width)).to(DEVICE)
    sites = list({place.site for place in placed})
    for ids in rows.split(batch_tokens // width):
        found = under.capture(ids, None, sites)
        with torch.inference_mode():
            for place in placed:
                place.dictionary.encode(found[place.site].flatten(0, 1))


def ours(
    under: HookedSubject, placed: Sequence[Placed], store: TokenStore, batch_tokens: int, n: int | Literal["all"] = 100
) -> Collection:
    """Collection into a fresh folder."""
    with tempfile.TemporaryDirectory() as folder:
        return collect(
            under, placed, store, collection=CollectConfig(batch_tokens=batch_tokens, shard_tokens=2**17),
            sampling=SamplingConfig(n_latents=n), examples=LENIENT, folder=Path(folder), seed=0,
        )  # fmt: skip


def against_floor(n_tokens: int, repeats: int) -> dict[str, float]:
    """(a) and (b): medians over repeats in which the contestants take turns."""
    under, placed, batch = pythia(), three(SITE, 768, 32768, 32), 2056
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        store = read(under, Path(folder), n_tokens)
        n = len(store.windows().tokens)
        contestants = {
            "floor_1": lambda: floor(under, placed[1:2], store, batch),
            "ours_1": lambda: ours(under, placed[1:2], store, batch),
            "floor_3": lambda: floor(under, placed, store, batch), "ours_3": lambda: ours(under, placed, store, batch),
            "ours_3_passes": lambda: [ours(under, [place], store, batch) for place in placed],
        }  # fmt: skip
        contestants["floor_1"]()  # warm up
        for _ in range(repeats):
            for name, work in contestants.items():
                times.setdefault(name, []).append(seconds(work))
    middle = {name: statistics.median(values) for name, values in times.items()}

    def ratio(a: str, b: str) -> float:
        return statistics.median(x / y for x, y in zip(times[a], times[b], strict=True))

    return {
        "n_tokens": n, "repeats": repeats, **{f"{name}_tokens_per_second": n / value for name, value in middle.items()},
        "ours_over_floor_1": ratio("ours_1", "floor_1"), "ours_over_floor_3": ratio("ours_3", "floor_3"),
        "three_passes_over_one": ratio("ours_3_passes", "ours_3"),
    }  # fmt: skip


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
            under, placed, store, collection=CollectConfig(shard_tokens=2**15, values="float16"),
            sampling=SamplingConfig(n_latents=n_latents), examples=LENIENT, folder=Path(folder), seed=0,
        )  # fmt: skip
        nnz = sum(len(part.positions) for shard in found.shards for part in shard.kept.values())
        stored = (Path(folder) / "tokens" / "tokens.bin").stat().st_size
    n = found.counts["tokens"]
    return {
        "n_tokens": n, "peak_mib": found.counts["peak_memory_bytes"] / 2**20, "kept_per_token": nnz / n,
        "activation_bytes_per_token": found.counts["bytes_kept"] / n, "token_bytes_per_token": stored / n,
        "bytes_per_kept_activation": found.counts["bytes_kept"] / max(1, nnz),
    }  # fmt: skip


def memory(n_tokens: int, n_latents: int | Literal["all"], threads: int) -> dict[str, float]:
    """`small` in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.collection", "--small", str(n_tokens), str(n_latents)]
    done = subprocess.run(
        [*command, "--threads", str(threads)], capture_output=True, text=True, check=True, env=os.environ
    )
    return json.loads(done.stdout)


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
            latents=np.arange(n_latents), offsets=offsets, tokens=counts, explain=counts, held_out=counts,
            positions=(np.concatenate(parts) + offset).astype(np.uint32),
            values=rng.exponential(size=offsets[-1]).astype(np.float32),
        )  # fmt: skip
        path = folder / f"{number}.safetensors"
        shards.write(path, shards.Shard(kept={"d": kept}, n=np.array([here, 0, 0])), "f")
        shard = shards.read(path, "f")
        assert shard is not None
        found.append(shard)
    starts = np.arange(0, n_tokens - 31, 32)
    windows = Windows(
        tokens=rng.integers(0, len(WORDS), n_tokens), starts=starts, length=32, documents=starts // 640,
        held_out=(starts // 640) % 2 == 1, decode=words, fingerprint="synthetic",
    )  # fmt: skip
    return Collection(
        windows=windows,
        latents=pd.DataFrame(),
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

        return {"n_tokens": n_tokens, "n_latents": n_latents, "seconds": seconds(work)}


def hardware(threads: int) -> dict[str, object]:
    """What it ran on."""
    cpu = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("model name")), platform.processor())  # fmt: skip
    return {
        "arguments": " ".join(sys.argv[1:]),
        "cpu": cpu, "cpus": os.cpu_count(), "threads": threads, "load_average": os.getloadavg()[0],
        "gpu": torch.cuda.get_device_name() if DEVICE == "cuda" else "none", "torch": torch.__version__,
        "transformers": transformers.__version__, "python": platform.python_version(), "clock": "process CPU seconds"
        if DEVICE == "cpu" else "wall seconds",
    }  # fmt: skip


def table(found: dict[str, dict]) -> str:
    """Write the results as a Markdown table."""
    a, few, more, every = (found[name] for name in ("against_floor", "memory_64k", "memory_512k", "memory_all"))
    machine = ", ".join(f"{name} {value}" for name, value in found["hardware"].items())

    def speed(who: str) -> str:
        return f"{a[who + '_tokens_per_second']:,.0f} tokens/s"

    def disk(run: dict[str, float]) -> str:
        return (
            f"{run['activation_bytes_per_token']:.1f} bytes a token, {run['bytes_per_kept_activation']:.2f} "
            f"per activation kept; {run['token_bytes_per_token']:.0f} more for the token"
        )

    rows = [
        ("floor, one dictionary", speed("floor_1")),
        ("collection, one dictionary", f"{speed('ours_1')}: {a['ours_over_floor_1']:.3f} x the floor's time"),
        ("floor, three dictionaries", speed("floor_3")),
        ("collection, three dictionaries", f"{speed('ours_3')}: {a['ours_over_floor_3']:.3f} x the floor's time"),
        ("three passes against one", f"{a['three_passes_over_one']:.2f} x the time"),
        ("peak memory, 64k tokens", f"{few['peak_mib']:,.0f} MiB"),
        ("peak memory, 512k tokens", f"{more['peak_mib']:,.0f} MiB: {more['peak_mib'] / few['peak_mib']:.3f} x"),
        ("disk, 100 latents each of three dictionaries kept", disk(more)),
        ("disk, all 2,048 latents each of three kept", disk(every)),
        ("examples of 1,000 latents, 1M tokens", f"{found['selection_1M']['seconds']:.1f} s"),
        ("examples of 1,000 latents, 10M tokens", f"{found['selection_10M']['seconds']:.1f} s"),
        ("GPU", "not run" if DEVICE == "cpu" else "this run"),
    ]
    body = "\n".join(f"| {what} | {value} |" for what, value in rows)
    return (
        "# Speed of collection\n\nMade by `python -m tests.benchmarks.collection --out "
        "results/reference/collection-speed`; what each line measures stands in that file's docstring.\n\n"
        f"{machine}\n\n| what | measured |\n|---|---|\n{body}\n"
    )


def main() -> None:
    """Run everything; print the table, and write it with the JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder for collection.json and README.md")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=2048, help="tokens of each contest in (a) and (b)")
    parser.add_argument("--small", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.small:
        n_latents = args.small[1] if args.small[1] == "all" else int(args.small[1])
        print(json.dumps(small(int(args.small[0]), n_latents)))
        return
    measure = functools.partial(memory, threads=args.threads)
    found: dict[str, dict] = {
        "hardware": hardware(args.threads), "against_floor": against_floor(args.tokens, args.repeats),
        "memory_64k": measure(64_000, 100), "memory_512k": measure(512_000, 100), "memory_all": measure(64_000, "all"),
        "selection_1M": selection(10**6), "selection_10M": selection(10**7),
    }  # fmt: skip
    print(table(found))
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / "collection.json").write_text(json.dumps(found, indent=2) + "\n")
        (args.out / "README.md").write_text(table(found))


if __name__ == "__main__":
    main()
