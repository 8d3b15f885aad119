"""Collection on a tiny model with dictionaries of every architecture."""

import functools
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from autointerp import corpus
from autointerp.collection import collect as collecting
from autointerp.collection.base import CollectConfig, SamplingConfig
from autointerp.collection.collect import Collection
from autointerp.collection.device import Placed
from autointerp.console import Bar
from autointerp.corpus._tokens import TokenStore
from autointerp.corpus.base import Document, WindowsConfig
from autointerp.examples.base import ExamplesConfig
from autointerp.records import Site
from autointerp.subject.model import HookedSubject
from tests.helpers import tiny
from tests.helpers.dictionaries import dictionary

MLP = "model.layers.1.mlp"
WORDS = ["the", "cat", "sat", "on", "mat", "dog", "ran", "after", "café", "😀", "and", "x1", "zebra."]
LENIENT = ExamplesConfig(min_windows=1, n_explain=1, n_positives=1, n_negatives=1)


def texts(n: int, seed: int = 0, longest: int = 60) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randint(0, longest))) for _ in range(n)]


@functools.cache
def subject(dtype: torch.dtype = torch.float64) -> HookedSubject:
    return HookedSubject(tiny.model("llama").to(dtype), tiny.tokenizer(), fingerprint=f"llama {dtype}")


def arms() -> list[Placed]:
    """Every architecture and activation (BatchTopK is read as jumprelu), on both sides of one MLP and on another."""
    before, after, other = Site(MLP, "input"), Site(MLP, "output"), Site("model.layers.0.mlp", "output")
    return [
        Placed(dictionary("sae", "sae"), after),
        Placed(dictionary("transcoder", "transcoder", k=3, seed=1), before),
        Placed(dictionary("skip", "skip-transcoder", seed=2), before),
        Placed(dictionary("relu", "sae", "relu", seed=3), after),
        Placed(dictionary("jump", "transcoder", "jumprelu", seed=4), before),
        Placed(dictionary("groups", "sae", "groupmax", seed=5), other),
        Placed(dictionary("gated", "sae", "gated", seed=6), other),
        Placed(dictionary("abs", "sae", "abstopk", seed=7), after),
    ]


def read(folder: Path, documents: Sequence[str], windows: dict | None = None, under: Any = None) -> TokenStore:
    """The documents as tokens, in contexts of 16 and windows of 4."""
    config = WindowsConfig.model_validate({"context_length": 16, "window_length": 4} | (windows or {}))
    listed = (Document(i, text) for i, text in enumerate(documents))
    return corpus.read(listed, (under or subject()).tokenizer, config, folder / "tokens", seed=3)


def silent_bar() -> Bar:
    return Bar("test", total=None, unit="tokens")


def run(
    folder: Path,
    documents: Sequence[str],
    placed: list[Placed],
    windows: dict | None = None,
    under: Any = None,
    **changes: object,
) -> Collection:
    under = under or subject()
    arguments = {
        "collection": CollectConfig(batch_tokens=64, shard_tokens=128),
        "sampling": SamplingConfig(n_latents="all"),
        "examples": LENIENT,
    } | changes
    tokens = read(folder, documents, windows, under)
    return collecting.collect(under, placed, tokens, folder=folder, seed=3, **arguments)  # type: ignore[arg-type]
