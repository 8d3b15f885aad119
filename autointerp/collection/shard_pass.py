"""All shards of a corpus, each taken from its file, thinned from the survey's, or computed by an execution engine."""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch

from autointerp.collection import sample, shards
from autointerp.collection.base import CollectConfig
from autointerp.collection.batches import Contexts
from autointerp.collection.device import Clock, Placed
from autointerp.collection.worker import ShardItem, ShardWorker, key, setup
from autointerp.console import Bar
from autointerp.corpus.base import ShardTokens, Tokens
from autointerp.errors import StudyError
from autointerp.execution import local
from autointerp.execution.base import Item, Job, Receipt
from autointerp.run.files import fingerprint
from autointerp.subject.base import Subject, SubjectConfig

Sample = Mapping[str, sample.Drawn]
Run = Callable[[Job, Iterable[Item]], Iterator[Receipt]]


LOCAL: Run = partial(local.run, local.Config())


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """Settings of where shards are computed.

    Attributes:
        run: an execution member's `run` with its settings.
        subject: what workers in other processes load.
        redrawn: seed of the subject's redrawn weights; None for its own.
    """

    run: Run = LOCAL
    subject: SubjectConfig | None = None
    redrawn: int | None = None


@dataclass(slots=True)
class _Placed:
    """A shard's file, the hash of all it depends on, and the shard once it is read."""

    path: Path
    key: str
    shard: shards.Shard | None


@dataclass(slots=True)
class ShardPass:
    """The shards of one subject and its dictionaries; counts what this process and its workers computed."""

    subject: Subject
    placed: Sequence[Placed]
    tokens: Tokens
    config: CollectConfig
    folder: Path
    engine: Engine
    clock: Clock = field(default_factory=Clock)
    n_tokens: int = 0
    n_bytes: int = 0
    peak_memory: int = 0
    _local: ShardWorker | None = None
    _key: str = ""

    @property
    def key(self) -> str:
        """Hash of what shards depend on besides their tokens and the sample."""
        self._key = self._key or key(self.subject, self.placed, self.config)
        return self._key

    def shards(self, numbers: Iterable[int], drawn: Sample | None, bar: Bar) -> list[shards.Shard]:
        """Return the shards of these numbers that the corpus has, with the sample kept; all latents without one.

        Raises:
            SubjectError: contexts are longer than the subject can read, or a worker ran out of memory.
            RunDirectoryError: a shard cannot be written.
            StoppedError: workers ended again and again.
        """
        places: list[_Placed] = []
        job = Job(
            opener="autointerp.collection.worker:open_worker",
            setup=self._setup,
            local=self._local_worker,
            folder=self.folder / "job",
            bar=bar,
            device=self.subject.device.type,
        )
        began, first, counted = time.monotonic(), bar.done, 0
        with self._parked():
            for receipt in self.engine.run(job, self._missing(numbers, drawn, places)):
                counted += receipt.n_tokens
                self._count(receipt)
                words = partial(_words, job, counted, began) if job.n_workers > 1 or job.n_failures else ""
                bar.advance(first + counted - bar.done, words)
        return [place.shard or _read(place) for place in places]

    @contextmanager
    def _parked(self) -> Iterator[None]:
        """Free the GPU of the driver's subject for workers in other processes."""
        model, device = self.subject.model, self.subject.device
        if device.type == "cpu" or getattr(self.engine.run, "func", None) is local.run:
            yield
            return
        model.to("cpu")
        torch.cuda.empty_cache()
        try:
            yield
        finally:
            model.to(device)

    def tokens_of(self, numbers: Iterable[int]) -> Iterator[ShardTokens]:
        """Yield the tokens of these shards, as far as the corpus has them."""
        for number in numbers:
            with self.clock("tokens"):
                tokens = self.tokens.shard(number, self.config.shard_tokens)
            if tokens is None:
                return
            yield tokens

    def _missing(self, numbers: Iterable[int], drawn: Sample | None, places: list[_Placed]) -> Iterator[ShardItem]:
        """Place every shard; yield those that must be computed."""
        kept = {name: None if part.kept is None else part.kept.tolist() for name, part in (drawn or {}).items()}
        keep = {one.dictionary.name: drawn[one.dictionary.name].kept if drawn else None for one in self.placed}
        kind = "survey" if drawn is None else "shards"
        for number, tokens in enumerate(self.tokens_of(numbers)):
            name, mark = f"{number:06d}.safetensors", hash_tokens(tokens)
            place = _Placed(self.folder / kind / name, fingerprint(self.key, mark, kept), None)
            place.shard = shards.read(place.path, place.key)
            places.append(place)
            if place.shard is not None:
                continue
            survey = shards.read(self.folder / "survey" / name, fingerprint(self.key, mark, {})) if drawn else None
            if survey is not None and drawn is not None:
                with self.clock("write"):
                    self.n_bytes += shards.write(place.path, _thinned(survey, drawn), place.key)
                continue
            self._check_length(tokens)
            yield ShardItem(number=number, path=place.path.absolute(), key=place.key, tokens=tokens, keep=keep)

    def _check_length(self, tokens: ShardTokens) -> None:
        limit = getattr(self.subject.model.config, "max_position_embeddings", None)
        longest = int(Contexts(tokens).lengths.max())
        if limit is not None and longest > limit:
            raise StudyError(
                f"windows.context_length: a context of {longest} tokens with BOS is longer than the subject's {limit} "
                f"positions; set it to {limit - 1} or less"
            )

    def _count(self, receipt: Receipt) -> None:
        self.n_tokens += receipt.n_tokens
        self.n_bytes += receipt.n_bytes
        self.peak_memory = max(self.peak_memory, receipt.peak_memory)
        for part, seconds in receipt.seconds.items():
            self.clock.seconds[part] += seconds

    def _local_worker(self) -> ShardWorker:
        self._local = self._local or ShardWorker(self.subject, self.placed, self.config)
        return self._local

    def _setup(self) -> object:
        assert self.engine.subject is not None, "an engine with other processes is given the subject's settings"
        return setup(self.engine.subject, self.engine.redrawn, self.subject, self.placed, self.config)


def _words(job: Job, n_tokens: int, began: float) -> str:
    failed = f", {job.n_failures} failed and given to another" if job.n_failures else ""
    rate = n_tokens / max(1e-9, time.monotonic() - began)
    return f"{job.n_workers} workers, {rate:,.0f} tokens/s{failed}"


def _read(place: _Placed) -> shards.Shard:
    found = shards.read(place.path, place.key)
    if found is None:
        raise StudyError(
            f"{place.path} was computed by a worker and cannot be read here: all workers must reach the run directory "
            "by one path"
        )
    return found


def _thinned(survey: shards.Shard, drawn: Sample) -> shards.Shard:
    """Keep of a survey's shard the sample only."""
    kept = {}
    for name, part in survey.kept.items():
        latents = drawn[name].kept
        kept[name] = part if latents is None else part.only(latents)
    return shards.Shard(kept=kept, n=survey.n)


def hash_tokens(tokens: ShardTokens) -> str:
    """Hash what a shard's activations depend on."""
    seen = hashlib.sha256(f"{tokens.bos} {tokens.window_length}".encode())
    for name in ("tokens", "segment_starts", "segment_contexts", "window_starts", "window_held_out"):
        seen.update(np.ascontiguousarray(getattr(tokens, name)).data)
    return seen.hexdigest()
