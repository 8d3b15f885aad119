"""One shard's contexts as padded batches, with what is needed to read the content tokens back out of them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autointerp.corpus.base import ShardTokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Contexts of similar length, padded on the right.

    Attributes:
        ids: [batch, sequence] with BOS; padding has id 0.
        mask: [batch, sequence] 1 for tokens, 0 for padding; None where nothing is padded.
        slots: [n] index of each content token in the flattened batch, context after context.
        positions: [n] position of each content token in the shard.
        window_rows: [n_windows, window_length] which of the n content tokens make up each window.
        held_out: [n_windows] the split of each window.
    """

    ids: NDArray[np.int64]
    mask: NDArray[np.int64] | None
    slots: NDArray[np.int64]
    positions: NDArray[np.int64]
    window_rows: NDArray[np.int64]
    held_out: NDArray[np.bool_]


class Contexts:
    """The contexts of a shard, laid out in slots: a slot is a content token or a BOS."""

    def __init__(self, shard: ShardTokens) -> None:
        self.shard = shard
        lengths = np.diff(shard.segment_starts)
        bos = int(shard.bos is not None)
        n_contexts = int(shard.segment_contexts[-1]) + 1
        first = np.searchsorted(shard.segment_contexts, np.arange(n_contexts + 1))
        slot_ends = np.cumsum(lengths + bos)
        slot_starts = slot_ends - lengths - bos
        self.lengths: NDArray[np.int64] = np.diff(np.append(slot_starts[first[:-1]], slot_ends[-1]))
        # [n_segments] slot of each segment's first content token in its context.
        self._segment_slots = slot_starts - slot_starts[first[:-1]][shard.segment_contexts] + bos
        self._first_segment = first
        self._starts = shard.segment_starts[first] - shard.offset  # [n_contexts + 1] in the shard's tokens
        window_segments = np.searchsorted(shard.segment_starts, shard.window_starts, side="right") - 1
        self._window_contexts = shard.segment_contexts[window_segments]

    def batches(self, batch_tokens: int) -> Iterator[Batch]:
        """Yield all contexts in batches of at most `batch_tokens` slots with padding, the longest contexts first."""
        order = np.argsort(-self.lengths, kind="stable")
        begin = 0
        while begin < len(order):
            n_rows = max(1, batch_tokens // int(self.lengths[order[begin]]))
            yield self.batch(np.sort(order[begin : begin + n_rows]))
            begin += n_rows

    def batch(self, contexts: NDArray[np.int64]) -> Batch:
        """Lay some contexts, ascending, out as one batch."""
        shard, lengths = self.shard, self.lengths[contexts]
        width = int(lengths.max())
        ids = np.zeros((len(contexts), width), dtype=np.int64)
        mask = (np.arange(width) < lengths[:, None]).astype(np.int64)
        segments = _ranges(self._first_segment[contexts], self._first_segment[contexts + 1])
        row = np.searchsorted(contexts, shard.segment_contexts[segments])
        first_slots = row * width + self._segment_slots[segments]
        starts, ends = shard.segment_starts[segments] - shard.offset, shard.segment_starts[segments + 1] - shard.offset
        positions = _ranges(starts, ends)
        slots = positions + np.repeat(first_slots - starts, ends - starts)
        ids.reshape(-1)[slots] = shard.tokens[positions]
        if shard.bos is not None:
            ids.reshape(-1)[first_slots - 1] = shard.bos
        return Batch(
            ids=ids, mask=None if mask.all() else mask, slots=slots, positions=positions, **self._windows(contexts)
        )

    def _windows(self, contexts: NDArray[np.int64]) -> dict[str, NDArray]:
        """Find the windows of the batch and which rows of its content tokens they cover."""
        sizes = self._starts[contexts + 1] - self._starts[contexts]
        first_row = np.cumsum(sizes) - sizes
        low, high = (np.searchsorted(self._window_contexts, contexts, side=side) for side in ("left", "right"))
        windows = _ranges(low, high)
        place = np.searchsorted(contexts, self._window_contexts[windows])
        begin = self.shard.window_starts[windows] - self.shard.offset - self._starts[contexts][place] + first_row[place]
        rows = begin[:, None] + np.arange(self.shard.window_length)
        return {"window_rows": rows, "held_out": self.shard.window_held_out[windows]}


def _ranges(starts: NDArray[np.integer], ends: NDArray[np.integer]) -> NDArray[np.int64]:
    """Concatenate the ranges [start, end)."""
    sizes = ends - starts
    first = np.cumsum(sizes) - sizes
    return np.repeat(starts - first, sizes) + np.arange(int(sizes.sum()))
