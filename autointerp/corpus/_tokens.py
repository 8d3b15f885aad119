"""The corpus's tokens on disk, once: documents are tokenised when the first shard that needs them is read."""

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from autointerp.corpus._encode import Encoder
from autointerp.corpus._layout import Layout, Segments
from autointerp.corpus._pieces import decoder
from autointerp.corpus.base import Document, ShardTokens, TokenDocument, Windows, WindowsConfig
from autointerp.errors import CorpusError, RunDirectoryError
from autointerp.seeds import generator

# Of uint32, the type of stored positions.
MAX_TOKENS = 2**32 - 1


class TokenStore:
    """A corpus as tokens: contexts for the subject, windows for judges, each token stored once.

    `shard(i, n)` tokenises as far as shard i needs. A process that writes a store holds a lock on it: a second one is
    rejected. Of a document at most `config.most_tokens` tokens are read; what is cut off is counted.
    """

    def __init__(
        self,
        documents: Iterable[Document | TokenDocument],
        tokenizer: Any,
        config: WindowsConfig,
        folder: Path,
        *,
        seed: int,
        source: str,
        both_splits: bool = False,
    ) -> None:
        self.config, self.folder, self._both_splits = config, folder, both_splits
        self.n_wanted = config.n_tokens
        self.bos = bos_id(tokenizer, config.bos)
        self.decode = decoder(tokenizer)
        self._encoder, self._documents = Encoder(tokenizer, config.most_tokens), documents
        self._dtype = np.dtype(np.uint16 if len(tokenizer) <= 2**16 else np.uint32)
        self._layout = Layout(config.context_length, packed=config.packing == "packed", separated=self.bos is not None)
        self._draws = generator(seed, "split")
        self._held_out: list[NDArray[np.bool_]] = []
        self._finished, self._error = False, None
        self.n_mended = self.n_cut = self.n_cut_characters = 0
        folder.mkdir(parents=True, exist_ok=True)
        key = f"{config.model_dump_json()} {self.bos} {seed} {source} {sorted(tokenizer.get_vocab().items())}"
        self._key = hashlib.sha256(key.encode()).hexdigest()
        self.fingerprint = ""
        self._file = folder / "tokens.bin"
        self._writing = iter(()) if self._open_finished() else self._tokenise()

    # ------------------------------------------------------------------ reading

    def shard(self, number: int, shard_tokens: int) -> ShardTokens | None:
        """Return the contexts that begin in tokens [number, number + 1) * shard_tokens; None after the last one.

        Tokenises as far as it needs. What a shard holds depends on nothing but the corpus and the settings.

        Raises:
            CorpusError: the corpus cannot be read, or a shard is shorter than a context.
        """
        if shard_tokens < self.config.context_length:
            raise CorpusError(
                f"collection.shard_tokens {shard_tokens} is less than windows.context_length "
                f"{self.config.context_length}; a shard holds whole contexts: set it higher"
            )
        low, high = number * shard_tokens, (number + 1) * shard_tokens
        self._read_beyond(high + self.config.context_length)
        if self._layout.n_tokens <= low:
            return None
        return self._cut(self._layout.segments(), np.concatenate(self._held_out), low, high)

    def close(self) -> None:
        """Discard an unfinished store, so that another can replace it."""
        if not self._finished and isinstance(self._writing, Generator):
            self._writing.close()

    def windows(self) -> Windows:
        """Return all windows, once everything is tokenised.

        Raises:
            CorpusError: the corpus cannot be read or gives not one window of some split.
        """
        segments, held_out = self._whole()
        starts, segment = segments.window_starts(self.config.window_length)
        documents = segments.documents[segment]
        windows = Windows(
            tokens=self._tokens(),
            starts=starts,
            length=self.config.window_length,
            documents=documents,
            held_out=held_out[documents],
            decode=self.decode,
            fingerprint=self.fingerprint,
        )
        self._check_split(segments, held_out)
        return windows

    def _check_split(self, segments: Segments, held_out: NDArray[np.bool_]) -> None:
        """Refuse a corpus without a window to explain from, or without one to judge on."""
        n_windows = np.diff(segments.starts) // self.config.window_length
        n_held_out, n_all = int(n_windows[held_out[segments.documents]].sum()), int(n_windows.sum())
        if not 0 < n_held_out < n_all:
            raise CorpusError(
                f"corpus: {len(held_out):,} documents with {segments.starts[-1]:,} tokens give "
                f"{n_held_out:,} held-out and {n_all - n_held_out:,} explain windows of {self.config.window_length} "
                "tokens; both are needed: give more or longer documents, or shorter windows"
            )

    def counts(self) -> dict[str, int]:
        """Count what went in and what came out, once everything is tokenised."""
        segments, held_out = self._whole()
        n_windows = int((np.diff(segments.starts) // self.config.window_length).sum())
        n_tokens = int(segments.starts[-1])
        n_empty = len(held_out) - len(np.unique(segments.documents))
        return {
            "documents": len(held_out),
            "empty_documents": n_empty,
            "mended_documents": self.n_mended,
            "cut_documents": self.n_cut,
            "cut_characters": self.n_cut_characters,
            "tokens": n_tokens,
            "contexts": int(segments.contexts[-1]) + 1,
            "windows": n_windows,
            "tokens_outside_windows": n_tokens - n_windows * self.config.window_length,
        }

    def _cut(self, segments: Segments, held_out: NDArray[np.bool_], low: int, high: int) -> ShardTokens | None:
        first_of_context = np.flatnonzero(np.diff(segments.contexts, prepend=-1))
        begins = segments.starts[first_of_context]
        edges = np.append(first_of_context, len(segments.contexts))
        a, b = edges[np.searchsorted(begins, [low, high])]
        if a == b:  # the last context began before and ends here
            return None
        starts = segments.starts[a : b + 1]
        part = Segments(starts=starts, contexts=segments.contexts[a:b], documents=segments.documents[a:b])
        window_starts, window_segment = part.window_starts(self.config.window_length)
        return ShardTokens(
            tokens=self._tokens(int(starts[0]), int(starts[-1])),
            offset=int(starts[0]),
            segment_starts=starts,
            segment_contexts=part.contexts - part.contexts[0],
            window_starts=window_starts,
            window_held_out=held_out[part.documents[window_segment]],
            window_length=self.config.window_length,
            bos=self.bos,
        )

    def _tokens(self, start: int = 0, end: int | None = None) -> NDArray[np.integer]:
        n = (self._layout.n_tokens if end is None else end) - start
        return np.memmap(self._file, dtype=self._dtype, mode="r", offset=start * self._dtype.itemsize, shape=(n,)).view(
            np.ndarray
        )

    def _whole(self) -> tuple[Segments, NDArray[np.bool_]]:
        self._read_beyond(MAX_TOKENS)
        return self._layout.segments(), np.concatenate(self._held_out)

    # ------------------------------------------------------------------ writing

    def _read_beyond(self, n_tokens: int) -> None:
        """Tokenise until there are more than `n_tokens` tokens, or the whole corpus is done."""
        try:
            while self._error is None and not self._finished and self._layout.n_tokens <= n_tokens:
                next(self._writing)
        except OSError as error:  # of writing: those of reading are errors of the corpus
            self._error = RunDirectoryError(
                f"{self.folder} cannot be written ({error}); free some space and run the same command again"
            )
        except Exception as error:
            self._error = error
        if self._error is not None:
            raise self._error

    def _tokenise(self) -> Iterator[None]:
        """Write the tokens into a new file, one batch of documents per step; it replaces the old one when complete."""
        seen = hashlib.sha256(self._key.encode())
        lengths: list[int] = []
        self._file = self.folder / "tokens.bin.partial"
        with self._file.open("ab") as file:
            _lock(file, self.folder)
            file.truncate(0)
            for batch in self._encoder.batches(self._documents):
                read = batch[: self._n_wanted([len(one.ids) for one in batch])]
                self.n_mended += sum(one.mended for one in read)
                self.n_cut += sum(one.n_cut > 0 for one in read)
                self.n_cut_characters += sum(one.n_cut for one in read)
                flat = np.concatenate([one.ids for one in read]).astype(self._dtype)
                file.write(flat.data)
                file.flush()
                seen.update(flat.data)
                lengths += [len(one.ids) for one in read]
                self._grow([len(one.ids) for one in read])
                if self._layout.n_tokens >= self.config.n_tokens:
                    break
                yield
            os.fsync(file.fileno())
            if not any(lengths):
                raise CorpusError("corpus: it holds no document with any text")
            if self._both_splits:
                self._check_split(self._layout.segments(), np.concatenate(self._held_out))
            self.fingerprint = _of(seen.hexdigest(), lengths)
            meta = {
                "key": self._key,
                "fingerprint": self.fingerprint,
                "lengths": lengths,
                "mended": self.n_mended,
                "cut": self.n_cut,
                "cut_characters": self.n_cut_characters,
            }
            (self.folder / "tokens.json").unlink(missing_ok=True)
            self._file = self._file.rename(self.folder / "tokens.bin")
            partial = self.folder / "tokens.json.partial"
            partial.write_text(json.dumps(meta))
            partial.replace(self.folder / "tokens.json")
        self._finished = True
        yield

    def _n_wanted(self, lengths: list[int]) -> int:
        """Return the number of next documents needed to reach `n_tokens`."""
        reached = self._layout.n_tokens + np.cumsum(lengths)
        return min(len(lengths), int(np.searchsorted(reached, self.config.n_tokens)) + 1)

    def _grow(self, lengths: list[int]) -> None:
        number = sum(len(part) for part in self._held_out)
        for document, n_tokens in enumerate(lengths, start=number):
            self._layout.add(document, n_tokens)
        self._held_out.append(self._draws.random(len(lengths)) < self.config.held_out_share)
        if self._layout.n_tokens > MAX_TOKENS:
            raise CorpusError(f"corpus: more than {MAX_TOKENS:,} tokens; set windows.n_tokens lower")

    def _open_finished(self) -> bool:
        """Take up a store that an earlier run finished with the same settings."""
        try:
            meta = json.loads((self.folder / "tokens.json").read_text())
            if meta["key"] != self._key or meta["fingerprint"] != self._fingerprint_of(meta["lengths"]):
                return False
            self.n_mended, self.n_cut = int(meta["mended"]), int(meta["cut"])
            self.n_cut_characters = int(meta["cut_characters"])
        except (OSError, ValueError, KeyError, TypeError):
            return False
        self.fingerprint = meta["fingerprint"]
        self._grow(meta["lengths"])
        self._finished = True
        return True

    def _fingerprint_of(self, lengths: list[int]) -> str:
        """Hash the files on disk, so that damaged tokens are detected and rewritten."""
        seen = hashlib.sha256(self._key.encode())
        with (self.folder / "tokens.bin").open("rb") as file:
            while chunk := file.read(1 << 20):
                seen.update(chunk)
        return _of(seen.hexdigest(), lengths)


def _lock(file: BinaryIO, folder: Path) -> None:
    """Hold a file for this process; file systems without locks are used without.

    Raises:
        RunDirectoryError: another process writes it.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise RunDirectoryError(f"another process is writing {folder}; wait for it to finish") from error
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP):
            raise


def _of(digest: str, lengths: list[int]) -> str:
    return hashlib.sha256(f"{digest} {lengths}".encode()).hexdigest()[:32]


def bos_id(tokenizer: Any, setting: str) -> int | None:
    """Return the id that starts each context, or None for none.

    Raises:
        CorpusError: the tokenizer has no such token.
    """
    if setting == "none":
        return None
    if setting == "auto":
        if tokenizer.bos_token_id is None:
            raise CorpusError(
                "the tokenizer has no BOS token; set windows.bos to `none` (contexts then begin with text) "
                "or to the text of another token"
            )
        return int(tokenizer.bos_token_id)
    vocabulary = tokenizer.get_vocab()
    if setting not in vocabulary:
        special = ", ".join(tokenizer.all_special_tokens) or "none"
        raise CorpusError(f"windows.bos: {setting!r} is not a token of the vocabulary; special tokens: {special}")
    return int(vocabulary[setting])
