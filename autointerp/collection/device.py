"""The unit of work of collection on the subject's device: one shard of tokens in, all dictionaries' activations out."""

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autointerp.collection.base import CollectConfig
from autointerp.collection.batches import Batch, Contexts
from autointerp.collection.memory import Workspace, give_back
from autointerp.collection.shards import Shard
from autointerp.collection.tally import Codes, Keep, Tally
from autointerp.console import note
from autointerp.corpus.base import ShardTokens
from autointerp.errors import DictionaryError, SubjectError
from autointerp.execution.base import Progress
from autointerp.records import Site
from autointerp.subject.base import Subject

# Of each dictionary the latents to keep, None for all of them.
Keeping = Mapping[str, NDArray[np.integer] | None]
BATCH_TOKENS_CPU, BATCH_TOKENS_GPU = 4096, 65536


class Encoder(Protocol):
    """Protocol of a dictionary for collection."""

    name: str
    architecture: Any

    @property
    def n_latents(self) -> int:
        """Number of latents."""
        ...

    @property
    def d_in(self) -> int:
        """Width of the activation that it reads."""
        ...

    def encode(self, x: Tensor, workspace: Workspace) -> Codes:
        """Sparse activations of rows x [n, d_in]; tiles lie in the workspace, the result does not."""
        ...

    def to(self, device: torch.device) -> Any:
        """Move it."""
        ...


@dataclass(frozen=True, slots=True)
class Placed:
    """A dictionary and the site of the subject that it reads."""

    dictionary: Any
    site: Site


@dataclass(slots=True)
class Clock:
    """Seconds of this process per part of the work: tokens (waiting for them), subject, encode, select, write.

    On a GPU work is asynchronous: its time shows up in the step that waits for it.
    """

    seconds: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("tokens", "subject", "encode", "select", "write"), 0.0)
    )

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """Count the block's time to a part."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[part] += time.perf_counter() - began


class Device:
    """Runs shards on the subject's device; after an out-of-memory error with half the batch."""

    def __init__(self, subject: Subject, placed: Sequence[Placed], config: CollectConfig, clock: Clock) -> None:
        self._subject, self._config, self._clock = subject, config, clock
        self._sites = list(dict.fromkeys(place.site for place in placed))
        self._encoders: list[tuple[Encoder, Site]] = [(p.dictionary.to(subject.device), p.site) for p in placed]
        on_cpu = subject.device.type == "cpu"
        self._workspace = Workspace()
        self._batch_tokens = config.batch_tokens or (BATCH_TOKENS_CPU if on_cpu else BATCH_TOKENS_GPU)

    def compute(self, tokens: ShardTokens, keep: Keeping, bar: Progress) -> Shard:
        """Collect one shard: for each dictionary the counts of all latents and the activations of those to keep.

        Args:
            tokens: the shard's contexts.
            keep: for each dictionary's name the latents to record activations of; None for all of them.
            bar: advances by tokens.

        Raises:
            SubjectError: not even one context fits into memory, or activations are not finite.
        """
        contexts, done = Contexts(tokens), bar.done
        while True:
            bar.advance(done - bar.done)  # back to the shard's begin, where it is done again
            try:
                return self._compute(contexts, keep, bar)
            except RuntimeError as error:
                if not _out_of_memory(error):
                    raise
                longest = int(contexts.lengths.max())
                if self._batch_tokens <= longest:
                    raise SubjectError(
                        f"out of memory with a single context of {longest} tokens; "
                        "use a smaller windows.context_length, subject.dtype or fewer dictionaries at once"
                    ) from error
            self._batch_tokens = max(longest, self._batch_tokens // 2)
            self._workspace = Workspace()
            torch.cuda.empty_cache()
            note(f"collect: out of memory; going on with batches of {self._batch_tokens:,} tokens")

    @torch.inference_mode()
    def _compute(self, contexts: Contexts, keep: Keeping, bar: Progress) -> Shard:
        device, tokens, clock = self._subject.device, contexts.shard, self._clock
        tallies = {
            encoder.name: Tally(Keep(encoder.n_latents, keep[encoder.name], device), device)
            for encoder, _ in self._encoders
        }
        for batch in contexts.batches(self._batch_tokens):
            with clock("subject"):
                rows = self._activations(batch, self._sites)
            with clock("select"):
                where = tuple(self._moved(part) for part in (batch.positions, batch.window_rows, batch.held_out))
            for encoder, site in self._encoders:
                with clock("encode"):
                    codes = encoder.encode(rows[site], self._workspace)
                with clock("select"):
                    tallies[encoder.name].add(codes, *where)
                del codes  # before the next encoder takes its tile
            bar.advance(len(batch.positions))
        with clock("select"):
            # One by one: what a tally gathered is let go before the next is sorted.
            kept = {name: tallies.pop(name).finish(tokens.offset, self._config.values, name) for name in list(tallies)}
        give_back()
        n_held_out = int(tokens.window_held_out.sum())
        return Shard(kept=kept, n=np.array([len(tokens.tokens), len(tokens.window_held_out) - n_held_out, n_held_out]))

    @torch.inference_mode()
    def rows(self, shards: Sequence[ShardTokens], site: Site, n: int, rng: np.random.Generator) -> Tensor:
        """Return activations [at most n, d] at a site on content tokens of contexts drawn from some shards.

        The same rng draws the same tokens for any subject.
        """
        each = [Contexts(tokens) for tokens in shards]
        numbered = [(which, number) for which, one in enumerate(each) for number in range(len(one.lengths))]
        found, n_found = [], 0
        for place in rng.permutation(len(numbered)):
            which, number = numbered[place]
            found.append(self._activations(each[which].batch(np.array([number])), [site])[site])
            n_found += len(found[-1])
            if n_found >= n:
                break
        return torch.cat(found)[:n].clone()

    def _activations(self, batch: Batch, sites: Sequence[Site]) -> dict[Site, Tensor]:
        """Return the activations [n, d] of the batch's content tokens at each site."""
        ids, slots = self._moved(batch.ids), self._moved(batch.slots)
        mask = None if batch.mask is None else self._moved(batch.mask)
        read = self._subject.capture(ids, mask, sites)
        return {site: x.flatten(0, 1).index_select(0, slots) for site, x in read.items()}

    def _moved(self, array: NDArray) -> Tensor:
        tensor = torch.from_numpy(array)
        if self._subject.device.type == "cuda":
            return tensor.pin_memory().to(self._subject.device, non_blocking=True)
        return tensor


def check(subject: Subject, placed: Sequence[Placed]) -> None:
    """Refuse dictionaries that do not fit their sites, before any heavy work.

    Raises:
        SiteError: a site does not exist or does not fire exactly once.
        DictionaryError: a width is not the site's, or two dictionaries have one name.
    """
    names = [place.dictionary.name for place in placed]
    if len(set(names)) < len(names):
        raise DictionaryError(f"dictionaries need names of their own; given: {', '.join(names)}")
    widths = subject.widths([place.site for place in placed])
    for place in placed:
        if place.dictionary.d_in != widths[place.site]:
            raise DictionaryError(
                f"dictionary {place.dictionary.name} reads {place.dictionary.d_in} numbers per token, but site "
                f"{place.site} has {widths[place.site]}; is it of another model, layer or site?"
            )


def encoder_hash(dictionary: Any) -> str:
    """Hash the weights and settings that activations depend on."""
    seen = hashlib.sha256()
    if hasattr(dictionary, "module"):  # an object, whose encoder is not in the record
        seen.update(dictionary.provenance.sha256.encode())
    for name, value in _leaves(dictionary):
        if name in {
            "W_dec",
            "b_dec",
            "W_skip",
            "name",
            "site_in",
            "site_out",
            "provenance",
            "remarks",
            "seed",
            "module",
        }:
            continue
        seen.update(name.encode())
        if isinstance(value, Tensor):
            seen.update(f"{value.dtype} {tuple(value.shape)}".encode())
            seen.update(value.detach().cpu().contiguous().view(torch.uint8).numpy().data)
        else:
            seen.update(repr(value).encode())
    return seen.hexdigest()


def _leaves(record: Any) -> Iterator[tuple[str, Any]]:
    for each in fields(record):
        value = getattr(record, each.name)
        if each.name == "activation":
            yield from _leaves(value)
        else:
            yield each.name, value


def _out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
