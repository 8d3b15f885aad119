"""One script for a GPU, under 8 minutes: parity with the CPU, speed against the hardware's two ceilings, memory.

    python -m tests.benchmarks.gpu --out results/reference/gpu        on a GPU
    python -m tests.benchmarks.gpu --device cpu --tokens 512          a smoke test without one

parity     activations and the k strongest latents in float32, bfloat16 and float16 against float32 on the CPU
ceilings   the device's matrix product (FLOP/s) and copy (bytes/s), measured here
speed      tokens/s of collection with 1 and 3 dictionaries, its share of the matrix-product ceiling, peak memory
compile    tokens/s of the subject alone, plain and by `torch.compile`

The subject has Pythia-160M's shape and random weights. Prints a table; into `--out` go gpu.json and README.md.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from autointerp.collection.device import Placed
from autointerp.subject.model import HookedSubject
from tests.benchmarks.collection_floor import BATCH, LENGTH, N_LATENTS, SITE, D, K, ours, pythia, three, tokens_of
from tests.helpers import tiny

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
Row = dict[str, Any]


def subject(device: str, dtype: torch.dtype) -> HookedSubject:
    """The same random weights on every device."""
    return HookedSubject(pythia().model.to("cpu").to(device, dtype), tiny.tokenizer(), fingerprint=f"{device} {dtype}")


def timed(device: str, work: Callable[[], object]) -> float:
    """Return wall seconds, the device's queue included."""
    if device != "cpu":
        torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def placed(device: str, n: int) -> list[Placed]:
    """The first n dictionaries on a device."""
    return [Placed(one.dictionary.to(device), one.site) for one in three(SITE, D, N_LATENTS, K)[:n]]


def parity(device: str, n_tokens: int) -> list[Row]:
    """Relative error of activations, and the share of the strongest k latents that agree with float32 on the CPU."""
    ids = torch.from_numpy(tokens_of(min(n_tokens, 1024))).view(-1, min(n_tokens, LENGTH))
    (one,) = placed("cpu", 1)
    exact = subject("cpu", torch.float32).capture(ids, None, [one.site])[one.site].flatten(0, 1)
    wanted = one.dictionary.encode(exact).dense(N_LATENTS) != 0
    rows = []
    for name, dtype in DTYPES.items():
        under = subject(device, dtype)
        x = under.capture(ids.to(device), None, [one.site])[one.site].flatten(0, 1)
        found = one.dictionary.to(device).encode(x).dense(N_LATENTS).cpu() != 0
        error = float((x.float().cpu() - exact).norm() / exact.norm())
        agree = float((found & wanted).sum() / wanted.sum().clamp_min(1))
        rows.append({"what": f"parity {name}", "relative_error": error, "same_latents": agree})
    return rows


def ceilings(device: str) -> dict[str, float]:
    """FLOP/s of a large matrix product by type, and bytes/s of a copy."""
    n = 8192 if device != "cpu" else 1024
    found = {}
    for name, dtype in DTYPES.items():
        a = torch.randn(n, n, device=device, dtype=dtype)
        _ = a @ a
        found[name] = 2 * n**3 * 5 / timed(device, lambda a=a: [a @ a for _ in range(5)])
    big = torch.empty(n * n, device=device)
    found["copy"] = 2 * big.nbytes * 5 / timed(device, lambda: [big.clone() for _ in range(5)])
    return found


def speed(device: str, n_tokens: int, peak: dict[str, float]) -> list[Row]:
    """Collection with one and three dictionaries, by type of number."""
    rows = []
    tokens = tokens_of(n_tokens)
    for name in ("float32", "bfloat16") if device != "cpu" else ("float32",):
        under = subject(device, DTYPES[name])
        flops = 2 * sum(
            p.numel() for layer in under.model.gpt_neox.layers[: SITE_BLOCK + 1] for p in layer.parameters()
        )
        for n in (1, 3):
            arms = placed(device, n)
            ours(under, arms, tokens[: LENGTH * BATCH])  # warm
            if device != "cpu":
                torch.cuda.reset_peak_memory_stats()
            rate = n_tokens / timed(device, lambda under=under, arms=arms: ours(under, arms, tokens))
            share = rate * (flops + n * 2 * D * N_LATENTS) / peak[name]
            memory = torch.cuda.max_memory_allocated() / 2**20 if device != "cpu" else float("nan")
            rows.append({"what": f"collection {name}, {n} dictionaries", "tokens_per_s": rate,
                         "share_of_matmul_ceiling": share, "peak_mib": memory})  # fmt: skip
    return rows


SITE_BLOCK = int(SITE.split(".")[2])


def compiled(device: str, n_tokens: int) -> list[Row]:
    """The subject's forward pass, plain and compiled."""
    under = subject(device, torch.bfloat16 if device != "cpu" else torch.float32)
    ids = torch.from_numpy(tokens_of(LENGTH * min(BATCH, max(1, n_tokens // LENGTH)))).view(-1, LENGTH).to(device)
    rows = []
    for name, trunk in (("plain", under.model.base_model), ("torch.compile", torch.compile(under.model.base_model))):
        with torch.inference_mode():
            trunk(input_ids=ids, use_cache=False)
            taken = timed(device, lambda trunk=trunk: [trunk(input_ids=ids, use_cache=False) for _ in range(3)])
        rows.append({"what": f"forward, {name}", "tokens_per_s": 3 * ids.numel() / taken})
    return rows


def table(rows: list[Row]) -> str:
    """Write the rows as Markdown."""
    lines = [f"| {row['what']} | {', '.join(f'{k} {v:.4g}' for k, v in row.items() if k != 'what')} |" for row in rows]
    return "| what | measured |\n|---|---|\n" + "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tokens", type=int, default=2**20)
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    name = torch.cuda.get_device_name() if args.device != "cpu" else "cpu"
    peak = ceilings(args.device)
    rows: list[Row] = [{"what": f"ceilings of {name}", **peak}]
    rows += parity(args.device, args.tokens) + speed(args.device, args.tokens, peak)
    if not args.no_compile:
        rows += compiled(args.device, args.tokens)
    print(table(rows))
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / "gpu.json").write_text(
            json.dumps({"device": name, "torch": torch.__version__, "rows": rows}) + "\n"
        )
        (args.out / "README.md").write_text(f"`python -m tests.benchmarks.gpu`, {name}:\n\n{table(rows)}")


if __name__ == "__main__":
    main()
