"""Documents as token ids: texts through the tokenizer, pre-tokenised rows as they are, cut at their separators."""

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autointerp.console import note
from autointerp.corpus._batches import batches, parts, readable
from autointerp.corpus._pieces import decoder
from autointerp.corpus.base import Document, TokenDocument, token_ids
from autointerp.errors import CorpusError
from autointerp.text import mend_surrogates, one_line

Ids = NDArray[np.int64]
# Documents and characters handed to the tokenizer at once: enough for its own threads; it takes about 160 bytes of
# memory per character.
BATCH_DOCUMENTS, BATCH_CHARACTERS = 64, 2**18
# Rows of token ids that are looked at to see whether documents run over row ends.
FIRST_ROWS = 64
# Tokens after which a document without a separator ends, so that memory stays bounded.
MOST_OPEN = 2**20
# Tokens of the first row that are shown as text.
N_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Encoded:
    """The ids of one document. `mended`: its text had unpaired surrogates; `n_cut`: characters left out at its end."""

    ids: Ids
    mended: bool = False
    n_cut: int = 0


@dataclass(frozen=True, slots=True)
class Encoder:
    """Turns documents of one corpus into ids, at most `most_tokens` of each."""

    tokenizer: Any
    most_tokens: int

    def batches(self, documents: Iterable[Document | TokenDocument]) -> Iterator[list[Encoded]]:
        """Yield the documents in batches, in order.

        Raises:
            CorpusError: the corpus cannot be read, or ids do not fit the tokenizer's vocabulary.
        """
        rest = readable(documents)
        first = next(rest, None)
        if first is None:
            return
        every = itertools.chain([first], rest)
        if isinstance(first, TokenDocument):
            cut = (self._whole(ids) for ids in _documents(every, self.tokenizer))
            yield from iter(lambda: list(itertools.islice(cut, BATCH_DOCUMENTS)), [])
        for batch in () if isinstance(first, TokenDocument) else batches(every, BATCH_DOCUMENTS, BATCH_CHARACTERS):
            yield [self._long(batch[0])] if len(batch) == 1 else self._short(batch)

    def each(self, documents: Iterable[Document | TokenDocument]) -> Iterator[Encoded]:
        """Yield the documents one by one; as `batches`."""
        return itertools.chain.from_iterable(self.batches(documents))

    def _whole(self, ids: Ids) -> Encoded:
        return Encoded(ids[: self.most_tokens], n_cut=self._n_characters(ids[self.most_tokens :]))

    def _short(self, texts: list[str]) -> list[Encoded]:
        """Tokenise short documents together."""
        return list(map(self._encoded, texts, token_ids(self.tokenizer, [mend_surrogates(text) for text in texts])))

    def _long(self, text: str) -> Encoded:
        """Tokenise one document of any length, part by part, as far as `most_tokens`."""
        found: list[int] = []
        for part in parts(text, BATCH_CHARACTERS):
            found += token_ids(self.tokenizer, [mend_surrogates(part)])[0]
            if len(found) > self.most_tokens:
                break
        return self._encoded(text, found)

    def _encoded(self, text: str, found: list[int]) -> Encoded:
        ids = np.array(found[: self.most_tokens], dtype=np.int64)
        n_cut = len(text) - self._n_characters(ids) if len(ids) == self.most_tokens else 0
        return Encoded(ids, mend_surrogates(text) is not text, max(0, n_cut))

    def _n_characters(self, ids: Ids) -> int:
        decode = _decoder(self.tokenizer)
        pieces = (ids[start : start + BATCH_CHARACTERS] for start in range(0, len(ids), BATCH_CHARACTERS))
        return sum(len(text) for piece in pieces for text in decode(piece))


@functools.lru_cache(maxsize=2)
def _decoder(tokenizer: Any) -> Callable[[NDArray[np.integer]], tuple[str, ...]]:
    return decoder(tokenizer)


def _documents(rows: Iterable[Document | TokenDocument], tokenizer: Any) -> Iterator[Ids]:
    """Yield the documents in rows of ids: cut at BOS, EOS and padding, which are left out, and at row ends.

    Packed rows (of equal length, some without a separator at their start) are read as one stream: a document may run
    over their ends.
    """
    separators = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id} - {None}
    ends = np.array(sorted(separators), dtype=np.int64)
    checked = (_checked(row, len(tokenizer)) for row in rows)
    first = list(itertools.islice(checked, FIRST_ROWS))
    packed = _packed(first, ends)
    _say(tokenizer, first[0], packed)
    open_: list[Ids] = []
    for row in itertools.chain(first, checked):
        at = np.flatnonzero(np.isin(row, ends))
        *whole, last = (piece[np.isin(piece, ends, invert=True)] for piece in np.split(row, at))
        for piece in whole:
            yield from _joined([*open_, piece])
            open_ = []
        open_.append(last)
        if not packed or sum(map(len, open_)) > MOST_OPEN:
            yield from _joined(open_)
            open_ = []
    yield from _joined(open_)


def _joined(pieces: list[Ids]) -> Iterator[Ids]:
    ids = np.concatenate([*pieces, np.empty(0, np.int64)])
    if len(ids):
        yield ids


def _packed(rows: list[Ids], ends: Ids) -> bool:
    """Return whether documents run over row ends. Separators at a row's end may be padding and prove nothing."""
    starts_inside = any(row[0] not in ends for row in rows)
    texts = (np.flatnonzero(~np.isin(row, ends)) for row in rows)
    separated = any(len(text) and np.ptp(text) >= len(text) for text in texts)
    return len(rows) > 1 and starts_inside and separated and len({len(row) for row in rows[:-1]}) == 1


def _checked(row: Document | TokenDocument, n_vocabulary: int) -> Ids:
    if not isinstance(row, TokenDocument):
        raise CorpusError(f"corpus: document {row.id} is text, those before it are token ids; give one or the other")
    low, high = min(row.ids), max(row.ids)
    if low < 0 or high >= n_vocabulary:
        raise CorpusError(
            f"corpus: row {row.id} holds token id {low if low < 0 else high}; the subject's vocabulary is 0 to "
            f"{n_vocabulary - 1}: the ids are another tokenizer's. Give ids of the subject's tokenizer, or text"
        )
    return np.array(row.ids, dtype=np.int64)


def _say(tokenizer: Any, ids: Ids, packed: bool) -> None:
    shown = one_line("".join(_decoder(tokenizer)(ids[:N_SHOWN])))
    ends = "BOS and EOS" if packed else "row ends, BOS and EOS"
    note(f"corpus: rows hold token ids, read as they are; documents end at {ends}; the first begins: {shown!r}")
