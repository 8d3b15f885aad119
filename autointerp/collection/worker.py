"""A worker of the collection: computes a shard and writes its file, in this process or in another."""

import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from autointerp.collection import shards
from autointerp.collection.base import CollectConfig
from autointerp.collection.device import Clock, Device, Keeping, Placed, encoder_hash
from autointerp.collection.memory import peak_memory
from autointerp.corpus.base import ShardTokens
from autointerp.errors import StudyError
from autointerp.execution.base import Progress, Receipt, here
from autointerp.run.files import fingerprint
from autointerp.subject import model, redraw, skeleton
from autointerp.subject.base import Subject, SubjectConfig

# Packages whose other versions may compute other numbers.
PACKAGES = ("torch", "transformers")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardItem:
    """One shard to compute.

    Attributes:
        number: of the shard.
        path: the file to write.
        key: hash of all that the file depends on.
        tokens: what the subject reads.
        keep: the latents whose activations are kept, by dictionary; None for all.
    """

    number: int
    path: Path
    key: str
    tokens: ShardTokens
    keep: Keeping


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """Everything a worker process needs to compute shards as this process does.

    Attributes:
        subject: the model.
        redrawn: seed of the subject's redrawn weights; None for its own.
        placed: encoders, settled by the driver's load check.
        collection: how activations are computed.
        key: hash of subject and encoders that the worker must reach too.
        versions: of packages in the driver.
        first_blocks: load only this many of the subject's blocks; None for all.
    """

    subject: SubjectConfig
    redrawn: int | None
    placed: tuple[Placed, ...]
    collection: CollectConfig
    key: str
    versions: dict[str, str]
    first_blocks: int | None


class ShardWorker:
    """Computes one shard per call."""

    def __init__(self, subject: Subject, placed: Sequence[Placed], config: CollectConfig) -> None:
        self._clock = Clock()
        self.device = Device(subject, placed, config, self._clock)

    def __call__(self, item: ShardItem, bar: Progress) -> Receipt:
        """Compute a shard and write it, unless its file exists.

        Raises:
            SubjectError: not even one context fits into memory, or activations are not finite.
            RunDirectoryError: the file cannot be written.
        """
        before, n_bytes, n_tokens = dict(self._clock.seconds), 0, 0
        if shards.read(item.path, item.key) is None:
            shard = self.device.compute(item.tokens, item.keep, bar)
            with self._clock("write"):
                n_bytes, n_tokens = shards.write(item.path, shard, item.key), len(item.tokens.tokens)
        return Receipt(
            number=item.number,
            n_tokens=n_tokens,
            n_bytes=n_bytes,
            seconds={part: seconds - before[part] for part, seconds in self._clock.seconds.items()},
            peak_memory=peak_memory(),
            worker=here(),
        )


def setup(
    config: SubjectConfig, redrawn: int | None, subject: Subject, placed: Sequence[Placed], collection: CollectConfig
) -> Setup:
    """Return what a worker in another process needs; decoders stay here."""
    return Setup(
        subject=config.model_copy(update={"device": subject.device.type}),
        redrawn=redrawn,
        placed=tuple(replace(one, dictionary=_encoder(one.dictionary)) for one in placed),
        collection=collection,
        key=key(subject, placed, collection),
        versions=versions(),
        first_blocks=skeleton.blocks_needed(subject.model, [one.site for one in placed]),
    )


def open_worker(given: Setup) -> ShardWorker:
    """Load the subject and make a worker.

    Raises:
        StudyError: the worker's packages, model files or encoders are not the driver's.
    """
    if versions() != given.versions:
        pairs = [f"{name} {given.versions[name]} / {version}" for name, version in versions().items()]
        raise StudyError(
            f"worker {here()}: other package versions than the driver's (driver / worker: {', '.join(pairs)}); install "
            "the same versions everywhere"
        )
    subject = model.load(given.subject, given.first_blocks)
    if given.redrawn is not None:
        subject = redraw.redrawn(subject, given.redrawn)
    if key(subject, given.placed, given.collection) != given.key:
        raise StudyError(
            f"worker {here()}: {given.subject.model} holds other files or settings than in the driver; give every "
            "worker the same model files, dtype and attention implementation"
        )
    return ShardWorker(subject, given.placed, given.collection)


def key(subject: Subject, placed: Sequence[Placed], collection: CollectConfig) -> str:
    """Hash what activations depend on besides the tokens."""
    encoders = [(one.dictionary.name, str(one.site), encoder_hash(one.dictionary)) for one in placed]
    return fingerprint(subject.fingerprint, encoders, collection.values, collection.shard_tokens)


def versions() -> dict[str, str]:
    """Return the versions of packages that compute activations."""
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def _encoder(dictionary: Any) -> Any:
    """Return a dictionary on the CPU without its decoder, which collection does not read."""
    names = [name for name in ("W_dec", "b_dec") if isinstance(getattr(dictionary, name, None), torch.Tensor)]
    empty: dict[str, Any] = {name: torch.empty(0) for name in names}
    return replace(dictionary, **empty, **({"W_skip": None} if names else {})).to("cpu")
