"""Ways to find the k largest pre-activations, for other machines too: `python -m tests.benchmarks.encoders`.

2,048 rows of width 768, 32,768 latents, k = 32. Every way must find the same set as float64 does wherever float32 can
tell, and is timed in turns with the others; none but `ours` is in the package:

    plain      float32 `addmm`, `topk`
    ours       `Dictionary.encode` with memory for its tiles that is taken once
    bf16       a bfloat16 matmul gives 4 k candidates, float32 dot products refine them, and an upper bound of the
               error of all others (Cauchy-Schwarz over the rounding) certifies the set; rows without a certificate are
               done plainly, and counted
    compiled   `plain` through `torch.compile` (needs a C++ compiler; compiling is not timed)
    matmul     the float32 matmul alone, into memory that is there: what no float32 way can do without

`--subject` times the subject's forward up to the sixth block instead, as it is and through `torch.compile`.
`--padding TOKENIZER FILE` counts the slots that padding takes with contexts in the order of the text and sorted by
length within a shard, as collection has them.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from autointerp.collection.memory import Workspace
from autointerp.dictionaries.activations import Codes
from tests.benchmarks.collection import hardware
from tests.benchmarks.collection_floor import DEVICE, LENGTH, N_LATENTS, D, K, dictionary, pythia, seconds, tokens_of

ROWS, CANDIDATES = 2048, 4 * K
# Rounding to bfloat16 changes each factor by 2**-9 at most, the sum of products by 2**-8 of the sum of their sizes.
ROUNDING = 2.0**-8 * 1.01


def plain(x: Tensor, W: Tensor, bias: Tensor) -> Codes:
    """Find the k largest of each row."""
    return Codes(*torch.topk(torch.addmm(bias, x, W), K, dim=1, sorted=False))


class Certified:
    """Candidates from a bfloat16 matmul, refined and certified."""

    def __init__(self, W: Tensor, bias: Tensor) -> None:
        self._W, self._bias, self._rows = W, bias, W.T.contiguous()
        self._low, self._longest = self._rows.bfloat16(), float(W.norm(dim=0).max())
        self.n_failed = 0

    def __call__(self, x: Tensor) -> Codes:
        """Find the k largest of each row."""
        parts = [self._tile(tile) for tile in x.split(512)]
        return Codes.cat(parts)

    def _tile(self, x: Tensor) -> Codes:
        near = torch.nn.functional.linear(x.bfloat16(), self._low).float().add_(self._bias)
        lowest, indices = torch.topk(near, CANDIDATES, dim=1)
        exact = torch.einsum("nd,ncd->nc", x, self._rows[indices]) + self._bias[indices]
        values, places = torch.topk(exact, K, dim=1)
        error = ROUNDING * x.norm(dim=1) * self._longest
        # The result of the matmul is rounded to bfloat16 once more.
        others = lowest[:, -1] + lowest[:, -1].abs() * 2.0**-8 + error
        codes = Codes(values, indices.gather(1, places))
        failed = (values[:, -1] <= others).nonzero()[:, 0]
        self.n_failed += len(failed)
        if len(failed):
            again = plain(x[failed], self._W, self._bias)
            codes.values[failed], codes.indices[failed] = again.values, again.indices
        return codes


def disagreements(found: Codes, x: Tensor, W: Tensor, bias: Tensor) -> int:
    """Count the rows whose set is not float64's although the gap behind it is more than float32 may lose."""
    n = 0
    for rows, indices in zip(x.split(256), found.indices.split(256), strict=True):
        h = torch.addmm(bias.double(), rows.double(), W.double())
        best = torch.topk(h, K + 1, dim=1)
        clear = best.values[:, -2] - best.values[:, -1] > 1e-4
        same = (best.indices[:, :-1].sort(1).values == indices.sort(1).values).all(1)
        n += int((clear & ~same).sum())
    return n


def in_turns(ways: dict[str, Callable[[], object]], repeats: int) -> dict[str, dict[str, float]]:
    """Medians of seconds; each way warms up once."""
    for work in ways.values():
        work()
    times = {name: [] for name in ways}
    for turn in range(repeats):
        for name in list(ways) if turn % 2 == 0 else reversed(list(ways)):
            times[name].append(seconds(ways[name]))
    return {
        name: {clock: statistics.median(run[clock] for run in runs) for clock in ("cpu", "wall")}
        for name, runs in times.items()
    }


@torch.inference_mode()
def encoders(names: list[str], repeats: int) -> dict[str, object]:
    """Time the ways, and hold them to float64."""
    x = torch.randn(ROWS, D, generator=torch.Generator().manual_seed(5)).to(DEVICE)
    made, memory = dictionary("d", "transcoder", D, N_LATENTS, K, 0), Workspace()
    W, bias = made.W_enc, made.b_enc
    room, certified = torch.empty(ROWS, N_LATENTS, device=DEVICE), Certified(W, bias)
    compiled = torch.compile(plain)
    ways: dict[str, Callable[[], object]] = {
        "plain": lambda: plain(x, W, bias),
        "ours": lambda: made.encode(x, memory),
        "bf16": lambda: certified(x),
        "compiled": lambda: compiled(x, W, bias),
        "matmul": lambda: torch.addmm(bias, x, W, out=room),
    }
    ways = {name: ways[name] for name in names}
    wrong = {name: disagreements(work(), x, W, bias) for name, work in ways.items() if name != "matmul"}  # pyright: ignore[reportArgumentType]
    certified.n_failed = 0
    times = in_turns(ways, repeats)
    return {
        "seconds": times,
        "rows_that_differ": wrong,
        "rows_without_certificate": certified.n_failed / (repeats + 1) / ROWS if "bf16" in names else None,
    }


@torch.inference_mode()
def subject(repeats: int) -> dict[str, object]:
    """Time the first six blocks, as they are and compiled."""
    trunk = pythia().model.base_model
    trunk.layers = trunk.layers[:6]
    ids = torch.from_numpy(tokens_of(LENGTH * 8)).to(DEVICE)
    compiled = torch.compile(trunk)
    ways = {
        "as it is": lambda: trunk(input_ids=ids, use_cache=False),
        "compiled": lambda: compiled(input_ids=ids, use_cache=False),
    }
    return {"seconds": in_turns(ways, repeats)}


def padding(tokenizer: str, file: str, length: int, batch_tokens: int = 4096) -> dict[str, float]:
    """Count padding's share of slots in batches of a shard's contexts, in the text's order and sorted by length."""
    import transformers

    from autointerp.corpus import text
    from autointerp.corpus.base import token_ids

    documents = text.documents(text.Config(path=file))
    ids = token_ids(transformers.AutoTokenizer.from_pretrained(tokenizer), [document.text for document in documents])
    lengths = np.array([min(length, len(one) - at) + 1 for one in ids for at in range(0, len(one), length)])

    def share(order: np.ndarray) -> float:
        slots, begin = 0, 0
        while begin < len(order):
            n = 1
            while begin + n < len(order) and order[begin : begin + n + 1].max() * (n + 1) <= batch_tokens:
                n += 1
            slots += int(order[begin : begin + n].max()) * n
            begin += n
        return 1 - lengths.sum() / slots

    return {"contexts": len(lengths), "as_they_come": share(lengths), "sorted": share(np.sort(lengths)[::-1])}


def main() -> None:
    """Print what was asked for as JSON, and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ways", nargs="+", default=["plain", "ours", "bf16", "compiled", "matmul"])
    parser.add_argument("--subject", action="store_true")
    parser.add_argument("--padding", nargs=2, metavar=("TOKENIZER", "FILE"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="file for the JSON")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.padding:
        found = {str(length): padding(args.padding[0], args.padding[1], length) for length in (128, 256)}
    else:
        found = subject(args.repeats) if args.subject else encoders(args.ways, args.repeats)
        found = {**found, "hardware": hardware(args.threads)}
    print(json.dumps(found, indent=2))
    if args.out:
        args.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
