"""A data set of the `datasets` library, streamed: a hub name, or a local folder that `load_dataset` reads."""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from autointerp.corpus._files import column_of, document
from autointerp.corpus.base import Document, TokenDocument
from autointerp.errors import CorpusError


class Config(BaseModel):
    """Dataset, subset and split, and the column that holds the text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="a hub name such as EleutherAI/the_pile_deduplicated, or a local folder")
    subset: str | None = Field(default=None, description="the data set's configuration, where it has several")
    split: str = Field(default="train", description="train, validation, test, ...")
    column: str = Field(default="text", description="the column that holds text, chat messages or token ids")
    revision: str | None = Field(default=None, description="branch, tag or commit on the hub")


def documents(config: Config) -> Iterator[Document | TokenDocument]:
    """Yield one document per row, in the data set's order, without downloading it whole; blank texts are passed over.

    Raises:
        CorpusError: the data set or its column cannot be had.
    """
    ids = itertools.count()
    column = ""
    for row in _rows(config):
        column = column or column_of(list(row), config.column, config.name)
        yield from document(ids, row[column], column, config.name)


def _rows(config: Config) -> Iterator[dict[str, Any]]:
    """Yield the rows; they are fetched as they are asked for, so errors may come late."""
    from datasets.exceptions import DatasetsError

    try:
        yield from _opened(config)
    except (OSError, ValueError, KeyError, RuntimeError, DatasetsError) as error:
        reason = " ".join(str(error).split())[:300]
        raise CorpusError(
            f"corpus: data set {config.name!r} (subset {config.subset!r}, split {config.split!r}) "
            f"cannot be opened or read: {reason}"
        ) from error


def _opened(config: Config) -> Iterable[dict[str, Any]]:
    import datasets

    datasets.disable_progress_bars()
    if (Path(config.name) / "state.json").is_file() or (Path(config.name) / "dataset_dict.json").is_file():
        saved = datasets.load_from_disk(config.name)
        chosen = saved[config.split] if isinstance(saved, datasets.DatasetDict) else saved
        return chosen.with_format(None)  # pyright: ignore[reportReturnType] (rows as Python values)
    return datasets.load_dataset(
        config.name, config.subset, split=config.split, revision=config.revision, streaming=True
    )  # pyright: ignore[reportReturnType]
