"""Text to token windows: `read` puts any member's documents into a token store."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from autointerp.corpus._encode import Encoder
from autointerp.corpus._files import kind_of, section
from autointerp.corpus._tokens import TokenStore, bos_id
from autointerp.corpus.base import Document, TokenDocument, WindowsConfig

__all__ = ["Encoder", "bos_id", "kind_of", "read", "section"]


def read(
    documents: Iterable[Document | TokenDocument],
    tokenizer: Any,
    config: WindowsConfig,
    folder: Path,
    *,
    seed: int,
    source: str = "",
    both_splits: bool = False,
) -> TokenStore:
    """Tokenise documents into `folder` as shards are read, or open what is already there.

    Args:
        documents: the corpus, in order; read only as far as `config.n_tokens` needs.
        tokenizer: a Hugging Face tokenizer.
        config: how documents become contexts and windows.
        folder: where the tokens are stored.
        seed: the study's, for the split of documents into explain and held-out.
        source: the corpus's settings as text; a store with other settings is not reused.
        both_splits: refuse a corpus without windows of both splits as soon as all of it is read, not only in
            `windows()`: reading a shard then raises the error.

    Raises:
        CorpusError: the tokenizer has no BOS, and the settings do not say what to do about it.
    """
    return TokenStore(documents, tokenizer, config, folder, seed=seed, source=source, both_splits=both_splits)
