"""Collection against a widely used peer's cache: `python -m tests.benchmarks.peer_cache --peer DIR [--out DIR]`.

The peer is EleutherAI/delphi's `LatentCache`, which runs the whole model and keeps every non-zero in memory until it
saves. DIR is a checkout of it; of its requirements eai-sparsify, simple-parsing and jaxtyping must be installed (its
package as a whole wants vLLM; only its caching code is imported here).

Both read the same random model of Pythia-160M's shape (float32) at its sixth layer's MLP output, the same TopK
dictionary of 32,768 latents, k = 32, from one checkpoint in sparsify's format, and the same random tokens in contexts
of 256 without BOS, eight contexts at once, on `--threads` threads. Each run is a process of its own; they take turns.
Time is the CPU time of the pass and of writing all activations to disk, without loading model and dictionary; memory is
the process's peak above what it held when the pass began, and the peak itself. At the end the two sets of (context,
position, latent) are compared, since speed without the same result is none.
"""

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import types
from pathlib import Path
from typing import Any, Literal

import numpy as np
import safetensors.numpy
import torch
from numpy.typing import NDArray

from autointerp.collection.base import CollectConfig, SamplingConfig
from autointerp.collection.collect import collect
from autointerp.collection.device import Placed
from autointerp.collection.memory import peak_memory
from autointerp.dictionaries.base import DictionaryConfig
from autointerp.dictionaries.loading import open_dictionary
from autointerp.examples.base import ExamplesConfig
from autointerp.records import Site
from tests.benchmarks.collection import hardware
from tests.benchmarks.collection_floor import BATCH, LENGTH, N_LATENTS, D, Given, K, pythia, tokens_of
from tests.benchmarks.collection_floor import SITE as MODULE

N_SPLITS = 5
CONTESTANTS = ("peer", "ours_all", "ours_100")


def checkpoint(folder: Path) -> None:
    """Write a random SAE in sparsify's format."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((N_LATENTS, D), dtype=np.float32) / np.float32(D**0.5)
    arrays = {
        "encoder.weight": rows,
        "encoder.bias": np.zeros(N_LATENTS, np.float32),
        "W_dec": rows.copy(),
        "b_dec": np.zeros(D, np.float32),
    }
    folder.mkdir(parents=True)
    safetensors.numpy.save_file(arrays, folder / "sae.safetensors")
    cfg = {"activation": "topk", "expansion_factor": 1, "normalize_decoder": True, "num_latents": N_LATENTS, "k": K,
           "multi_topk": False, "skip_connection": False, "transcode": False, "d_in": D}  # fmt: skip
    (folder / "cfg.json").write_text(json.dumps(cfg))


def peer(source: Path, tokens: NDArray[np.int64], folder: Path, out: Path) -> dict[str, float]:
    """One pass of the peer, saved as it saves."""
    for name in ("delphi", "delphi.latents", "delphi.sparse_coders"):  # packages whose __init__ wants all requirements
        package: Any = types.ModuleType(name)
        package.__path__ = [str(source / name.replace(".", "/"))]
        package.logger = __import__("logging").getLogger(name)
        sys.modules[name] = package
    cache = importlib.import_module("delphi.latents.cache")
    sparsify = importlib.import_module("sparsify")
    encode = importlib.import_module("delphi.sparse_coders.load_sparsify").sae_dense_latents
    coder = sparsify.SparseCoder.load_from_disk(folder, device="cpu")
    model = pythia().model
    held = peak_memory()

    def work() -> None:
        with torch.no_grad():
            running = cache.LatentCache(model, {MODULE: lambda x: encode(x, coder)}, batch_size=BATCH)
            running.run(tokens.size, torch.from_numpy(tokens))
            running.save_splits(N_SPLITS, out)

    return measured(work, held)


def ours(tokens: NDArray[np.int64], folder: Path, out: Path, n_latents: int | Literal["all"]) -> dict[str, float]:
    """One pass of ours."""
    dictionary = open_dictionary(DictionaryConfig(name="sae", source=str(folder), site_in=MODULE, site_out=MODULE))
    under = pythia()
    placed = [Placed(dictionary.to("cpu"), Site(MODULE, "output"))]
    held = peak_memory()

    def work() -> None:
        collect(
            under,
            placed,
            Given(tokens),
            collection=CollectConfig(batch_tokens=LENGTH * BATCH),
            sampling=SamplingConfig(n_latents=n_latents),
            examples=ExamplesConfig(min_windows=1, n_explain=1, n_positives=1, n_negatives=1),
            folder=out,
            seed=0,
        )

    return measured(work, held)


def measured(work: Any, held: int) -> dict[str, float]:
    """Seconds of CPU and MiB of memory."""
    began = time.process_time()
    work()
    seconds, peak = time.process_time() - began, peak_memory()
    return {"seconds": seconds, "peak_mib": peak / 2**20, "above_start_mib": (peak - held) / 2**20}


def found_by_peer(out: Path) -> NDArray[np.int64]:
    """Sorted (context, position, latent) of the peer's splits, as one number each."""
    parts = []
    for path in (out / MODULE).glob("*_*.safetensors"):
        at = safetensors.numpy.load_file(path)["locations"].astype(np.int64)
        parts.append((at[:, 0] * LENGTH + at[:, 1]) * N_LATENTS + at[:, 2] + int(path.name.split("_")[0]))
    return np.sort(np.concatenate(parts))


def found_by_us(out: Path) -> NDArray[np.int64]:
    """The same of our shards."""
    parts = []
    for path in (out / "shards").glob("*.safetensors"):
        kept = safetensors.numpy.load_file(path)
        latents = np.repeat(kept["sae/latents"].astype(np.int64), np.diff(kept["sae/offsets"]))
        parts.append(kept["sae/positions"].astype(np.int64) * N_LATENTS + latents)
    return np.sort(np.concatenate(parts))


def contest(arguments: argparse.Namespace) -> dict[str, Any]:
    """Let the contestants take turns, each in a process of its own."""
    times: dict[str, list[dict[str, float]]] = {name: [] for name in CONTESTANTS}
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint(Path(scratch) / "sae")
        for turn in range(arguments.repeats):
            for name in CONTESTANTS:
                command = [sys.executable, "-m", "tests.benchmarks.peer_cache", "--child", name, "--scratch", scratch]
                command += ["--peer", str(arguments.peer), "--tokens", str(arguments.tokens), "--turn", str(turn)]
                done = subprocess.run(
                    [*command, "--threads", str(arguments.threads)], stdout=subprocess.PIPE, text=True, check=True
                )
                times[name].append(json.loads(done.stdout.splitlines()[-1]))
        theirs = found_by_peer(Path(scratch) / "peer-0")
        mine = found_by_us(Path(scratch) / "ours_all-0")
    middle = {
        name: {key: statistics.median(run[key] for run in runs) for key in runs[0]} for name, runs in times.items()
    }
    n = tokens_of(arguments.tokens).size
    settings = f"--tokens {arguments.tokens} --repeats {arguments.repeats} --threads {arguments.threads}"
    ratio = {
        f"peer_over_{name}_{key}": middle["peer"][key] / middle[name][key]
        for name in CONTESTANTS[1:]
        for key in ("seconds", "peak_mib", "above_start_mib")
    }
    return {
        "n_tokens": n,
        "repeats": arguments.repeats,
        "hardware": hardware(arguments.threads) | {"arguments": settings},
        "medians": middle,
        "ratios": ratio,
        "activations_peer": len(theirs),
        "activations_ours": len(mine),
        "in_both": len(np.intersect1d(theirs, mine, assume_unique=True)),
        "load_after": os.getloadavg()[0],
    }


def child(arguments: argparse.Namespace) -> dict[str, float]:
    """One contestant's run."""
    torch.set_num_threads(arguments.threads)
    folder, out = arguments.scratch / "sae", arguments.scratch / f"{arguments.child}-{arguments.turn}"
    out.mkdir()
    tokens = tokens_of(arguments.tokens)
    if arguments.child == "peer":
        return peer(arguments.peer, tokens, folder, out)
    return ours(tokens, folder, out, "all" if arguments.child == "ours_all" else 100)


def main() -> None:
    """Print the result; write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", type=Path, required=True, help="a checkout of EleutherAI/delphi")
    parser.add_argument("--out", type=Path, help="folder for peer.json")
    parser.add_argument("--tokens", type=int, default=8192)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    for hidden, kind in (("--child", str), ("--scratch", Path), ("--turn", int)):
        parser.add_argument(hidden, type=kind, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(child(arguments)))
        return
    found = contest(arguments)
    print(json.dumps(found, indent=2))
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "peer.json").write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
