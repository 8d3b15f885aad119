"""Text as token contexts on disk: documents packed into rows of equal length, read in a seeded order."""

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from autointerp.corpus.base import token_ids
from autointerp.errors import CorpusError
from autointerp.seeds import generator
from autointerp.text import mend_surrogates
from autointerp.train.base import TrainConfig

BATCH = 256


@dataclass(frozen=True, slots=True)
class Contexts:
    """Rows of token ids [n, context_length], memory-mapped, with a hash of their content; `special` ids carry no text.

    Every row begins with the tokenizer's BOS where it has one, and BOS stands between two documents in a row.
    `n_mended` texts had halves of UTF-16 pairs, which no tokenizer reads, and got the replacement character there.
    """

    rows: NDArray[np.uint32]
    special: frozenset[int]
    fingerprint: str
    n_mended: int = 0

    def n_steps(self, config: TrainConfig) -> int:
        """Number of batches that the token budget makes.

        Raises:
            CorpusError: the text is too short for it.
        """
        n_steps = max(1, config.n_tokens // (config.contexts_per_step * config.context_length))
        needed, had = n_steps * config.contexts_per_step, len(self.rows) * config.epochs
        if needed > had:
            tokens = len(self.rows) * config.context_length
            raise CorpusError(
                f"the text has {tokens:,} tokens, {config.epochs} x that is less than the budget n_tokens = "
                f"{config.n_tokens:,}: give more text, raise epochs to {-(-needed // max(1, len(self.rows)))}, "
                f"or lower n_tokens to {had * config.context_length:,}"
            )
        return n_steps

    def batch(self, config: TrainConfig, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids of one step [contexts_per_step, context_length], and which of them are text (bool, same shape)."""
        rows = []
        for index in range(step * config.contexts_per_step, (step + 1) * config.contexts_per_step):
            epoch, place = divmod(index, len(self.rows))
            rows.append(int(self._order(config.batch_seed, epoch)[place]))
        ids = torch.from_numpy(self.rows[rows].astype(np.int64))
        special = torch.tensor(sorted(self.special), dtype=torch.int64)
        return ids, ~torch.isin(ids, special)

    def _order(self, seed: int, epoch: int) -> NDArray[np.int64]:
        return generator(seed, "contexts", epoch).permutation(len(self.rows))


def write_contexts(
    texts: Iterable[str], tokenizer: Any, config: TrainConfig, path: Path, advance: Callable[[int], None]
) -> Contexts:
    """Tokenise texts into rows at `path`, no more of them than the budget needs; `advance` hears of tokens written.

    Raises:
        CorpusError: not one row's worth of text.
    """
    bos = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    length, content = config.context_length, config.context_length - len(bos)
    wanted = max(1, config.n_tokens // (config.contexts_per_step * length)) * config.contexts_per_step
    digest, n_rows, n_mended, rest = hashlib.sha256(), 0, 0, []
    with path.open("wb") as file:
        for ids, was_mended in _tokens(texts, tokenizer):
            n_mended += was_mended
            rest += (bos if rest else []) + ids
            while len(rest) >= content and n_rows < wanted:
                row = np.array(bos + rest[:content], dtype=np.uint32).tobytes()
                rest, n_rows = rest[content:], n_rows + 1
                file.write(row)
                digest.update(row)
                advance(length)
            if n_rows == wanted:
                break
    if not n_rows:
        raise CorpusError(f"the text has {len(rest)} tokens, less than one context of {length}: give more text")
    rows = np.memmap(path, dtype=np.uint32, mode="r", shape=(n_rows, length))
    return Contexts(rows, frozenset(tokenizer.all_special_ids), digest.hexdigest()[:32], n_mended)


def _tokens(texts: Iterable[str], tokenizer: Any) -> Iterator[tuple[list[int], bool]]:
    """Yield each text's ids, and whether it had unpaired surrogates."""
    rest = iter(texts)
    while batch := list(itertools.islice(rest, BATCH)):
        readable = [mend_surrogates(text) for text in batch]
        ids = token_ids(tokenizer, readable)
        yield from zip(ids, (text is not new for text, new in zip(batch, readable, strict=True)), strict=True)
