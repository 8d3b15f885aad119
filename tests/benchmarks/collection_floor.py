"""Collection against its floor, on a random model of Pythia-160M's shape: 32,768 latents, k = 32, at the sixth MLP.

The floor is what no collection can do without, in plain torch and the same process, on the same contexts in the same
batches: a forward pass that a hook ends at the last site, each encoder's matmul, ReLU, top-k; nothing is kept. It is
run in three ways, and the fastest counts:

    plain     `addmm`, `relu`, `topk` per dictionary
    stacked   the same, encoders that read one site as one matmul
    reused    the dictionaries' own `encode`, with memory for its tiles that is taken once
"""

import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from autointerp.collection.base import CollectConfig, SamplingConfig
from autointerp.collection.collect import Collection, collect
from autointerp.collection.device import Placed
from autointerp.collection.memory import Workspace
from autointerp.corpus.base import ShardTokens, Windows
from autointerp.dictionaries.activations import Activation
from autointerp.dictionaries.spec import Dictionary, Provenance
from autointerp.examples.base import ExamplesConfig
from autointerp.records import Site
from autointerp.subject.model import HookedSubject
from tests.helpers import tiny

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SITE = "gpt_neox.layers.5.mlp"
D, N_LATENTS, K = 768, 32768, 32
LENGTH, BATCH = 256, 8
LENIENT = ExamplesConfig(min_windows=1, n_explain=1, n_positives=1, n_negatives=1)


@dataclass(frozen=True)
class Given:
    """Tokens in contexts of equal length, one document each, as `autointerp.corpus.read` would give them."""

    tokens: NDArray[np.int64]
    fingerprint: str = "given"

    @property
    def n_wanted(self) -> int:
        """All of them."""
        return self.tokens.size

    def shard(self, number: int, shard_tokens: int) -> ShardTokens | None:
        """Contexts that begin in that stretch of tokens."""
        first, end = (-(-n * shard_tokens // LENGTH) for n in (number, number + 1))
        part = self.tokens[first:end]
        if not len(part):
            return None
        starts = (first + np.arange(len(part) + 1)) * LENGTH
        windows = starts[0] + np.arange(part.size // 32) * 32
        return ShardTokens(
            tokens=part.ravel(),
            offset=int(starts[0]),
            segment_starts=starts,
            segment_contexts=np.arange(len(part)),
            window_starts=windows,
            window_held_out=windows // LENGTH % 2 == 1,
            window_length=32,
            bos=None,
        )

    def windows(self) -> Windows:
        """All windows."""
        starts = np.arange(self.tokens.size // 32) * 32
        return Windows(
            tokens=self.tokens.ravel(),
            starts=starts,
            length=32,
            documents=starts // LENGTH,
            held_out=starts // LENGTH % 2 == 1,
            decode=lambda ids: ("",) * len(ids),
            fingerprint="given",
        )

    def close(self) -> None:
        """Nothing is open."""

    def counts(self) -> dict[str, int]:
        """Its size."""
        return {"tokens": self.tokens.size}


def tokens_of(n_tokens: int) -> NDArray[np.int64]:
    """Random tokens in contexts, a whole number of batches of them."""
    n_contexts = -(-n_tokens // (LENGTH * BATCH)) * BATCH
    return np.random.default_rng(1).integers(5, 50_000, (n_contexts, LENGTH))


def dictionary(name: str, architecture: Any, d: int, n_latents: int, k: int, seed: int) -> Dictionary:
    """A random TopK dictionary."""
    rng = torch.Generator().manual_seed(seed)
    W_enc = torch.randn(d, n_latents, generator=rng) / d**0.5
    b_dec = torch.zeros(d)
    made = Dictionary(
        name=name,
        architecture=architecture,
        site_in="",
        site_out="",
        W_enc=W_enc,
        b_enc=torch.zeros(n_latents),
        activation=Activation(kind="topk", k=k),
        W_dec=torch.zeros(1, d).expand(n_latents, d),
        b_dec=b_dec,
        W_skip=torch.zeros(d, d) if architecture == "skip-transcoder" else None,
        pre_bias=b_dec if architecture == "sae" else None,
        provenance=Provenance(format="none", source="random"),
    )
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
        vocab_size=50304,
        hidden_size=D,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=3072,
        max_position_embeddings=2048,
    )
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(settings, dtype=torch.float32).to(DEVICE)
    return HookedSubject(model, tiny.tokenizer(), fingerprint="random Pythia-160M")


class _StopError(Exception):
    """Ends the floor's forward pass."""


def floor(under: HookedSubject, placed: Sequence[Placed], tokens: NDArray[np.int64], how: str) -> None:
    """Forward up to the last site, encoder matmuls and top-k: nothing is kept."""
    read: dict[str, torch.Tensor] = {}
    last = max(place.site.side for place in placed)  # "output" is behind "input"

    def before(_: Any, inputs: Any) -> None:
        read["input"] = inputs[0]
        if last == "input":
            raise _StopError

    def behind(_: Any, __: Any, output: Any) -> None:
        read["output"] = output
        raise _StopError

    module, encode = under.model.get_submodule(SITE), _encoders(placed, how)
    hooks = [module.register_forward_pre_hook(before), module.register_forward_hook(behind)]
    with torch.inference_mode():
        for ids in torch.from_numpy(tokens).to(DEVICE).split(BATCH):
            try:
                under.model.base_model(input_ids=ids, use_cache=False)
            except _StopError:
                encode({side: x.flatten(0, 1) for side, x in read.items()})
    for hook in hooks:
        hook.remove()


def _encoders(placed: Sequence[Placed], how: str) -> Callable[[dict[str, torch.Tensor]], None]:
    if how == "reused":
        memory = Workspace()

        def own(read: dict[str, torch.Tensor]) -> None:
            for place in placed:
                place.dictionary.encode(read[place.site.side], memory)

        return own
    one_by_one = [(place.site.side, [place.dictionary]) for place in placed]
    by_side = itertools.groupby(sorted(placed, key=lambda p: p.site.side), key=lambda p: p.site.side)
    together = [(side, [place.dictionary for place in group]) for side, group in by_side]
    stacks = [
        (side, torch.cat([one.W_enc for one in group], 1), torch.cat([one.b_enc for one in group]), len(group))
        for side, group in (together if how == "stacked" else one_by_one)
    ]

    def encode(read: dict[str, torch.Tensor]) -> None:
        for side, weights, bias, n in stacks:
            for h in torch.addmm(bias, read[side], weights).relu_().chunk(n, 1):
                torch.topk(h, K, dim=1, sorted=False)

    return encode


def ours(under: HookedSubject, placed: Sequence[Placed], tokens: NDArray[np.int64]) -> Collection:
    """Collection of 100 latents each into a fresh folder."""
    with tempfile.TemporaryDirectory() as folder:
        return collect(
            under,
            placed,
            Given(tokens),
            collection=CollectConfig(batch_tokens=LENGTH * BATCH, shard_tokens=2**17),
            sampling=SamplingConfig(n_latents=100),
            examples=LENIENT,
            folder=Path(folder),
            seed=0,
        )


def seconds(work: Callable[[], object]) -> dict[str, float]:
    """Time one piece of work: CPU seconds of this process, and wall seconds."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    return {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}


def against_floor(n_tokens: int, repeats: int) -> dict[str, Any]:
    """Let floors and collection take turns; medians of seconds, of CPU and of the wall's clock."""
    under, placed, tokens = pythia(), three(SITE, D, N_LATENTS, K), tokens_of(n_tokens)
    one = placed[:1]
    contestants: dict[str, Callable[[], object]] = {
        "floor_1_plain": lambda: floor(under, one, tokens, "plain"),
        "floor_1_reused": lambda: floor(under, one, tokens, "reused"),
        "ours_1": lambda: ours(under, one, tokens),
        "floor_3_plain": lambda: floor(under, placed, tokens, "plain"),
        "floor_3_stacked": lambda: floor(under, placed, tokens, "stacked"),
        "floor_3_reused": lambda: floor(under, placed, tokens, "reused"),
        "ours_3": lambda: ours(under, placed, tokens),
        "ours_3_passes": lambda: [ours(under, [place], tokens) for place in placed],
    }
    times: dict[str, list[dict[str, float]]] = {name: [] for name in contestants}
    floor(under, one, tokens[:BATCH], "plain")  # warm up
    ours(under, one, tokens[:BATCH])
    for turn in range(repeats):
        order = list(contestants)
        for name in order if turn % 2 == 0 else reversed(order):
            times[name].append(seconds(contestants[name]))
    return {"n_tokens": tokens.size, "repeats": repeats} | {clock: _ratios(times, clock) for clock in ("cpu", "wall")}


def _ratios(times: dict[str, list[dict[str, float]]], clock: str) -> dict[str, Any]:
    """Medians, and medians of the ratios of one turn; a floor is the variant with the smallest median."""
    middle = {name: statistics.median(run[clock] for run in runs) for name, runs in times.items()}
    best = {n: min((name for name in middle if name.startswith(f"floor_{n}")), key=middle.__getitem__) for n in (1, 3)}

    def ratio(a: str, b: str) -> float:
        return statistics.median(x[clock] / y[clock] for x, y in zip(times[a], times[b], strict=True))

    return {
        "seconds": middle,
        "fastest_floor_1": best[1],
        "fastest_floor_3": best[3],
        "ours_over_floor_1": ratio("ours_1", best[1]),
        "ours_over_floor_3": ratio("ours_3", best[3]),
        "ours_over_plain_floor_1": ratio("ours_1", "floor_1_plain"),
        "ours_over_plain_floor_3": ratio("ours_3", "floor_3_plain"),
        "three_passes_over_one": ratio("ours_3_passes", "ours_3"),
    }
