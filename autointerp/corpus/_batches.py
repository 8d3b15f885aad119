"""Documents in batches for the tokenizer, and long documents in parts, so that memory stays flat."""

from collections.abc import Iterable, Iterator

from autointerp.corpus.base import Document, TokenDocument
from autointerp.errors import CorpusError


def batches(documents: Iterable[Document | TokenDocument], n_documents: int, n_characters: int) -> Iterator[list[str]]:
    """Yield the documents' texts in batches of at most so many documents and characters; a longer one comes alone."""
    batch: list[str] = []
    size = 0
    for text in (document.text for document in documents):
        if batch and (len(batch) == n_documents or size + len(text) > n_characters):
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += len(text)
    if batch:
        yield batch


def readable(documents: Iterable[Document | TokenDocument]) -> Iterator[Document | TokenDocument]:
    """Yield the documents.

    Raises:
        CorpusError: they cannot be read.
    """
    remaining = iter(documents)
    while True:
        try:
            yield next(remaining)
        except StopIteration:
            return
        except OSError as error:
            raise CorpusError(f"corpus: it cannot be read ({error})") from error


def parts(text: str, size: int) -> Iterator[str]:
    """Cut a text into parts of about `size` characters, before white space where there is any near.

    >>> list(parts("one two three", 5)), list(parts("short", 5))
    (['one', ' two', ' three'], ['short'])
    """
    start = 0
    while len(text) - start > size:
        end = max(text.rfind(" ", start + 1, start + size), text.rfind("\n", start + 1, start + size))
        end = start + size if end <= start else end
        yield text[start:end]
        start = end
    if start < len(text) or not text:
        yield text[start:]
