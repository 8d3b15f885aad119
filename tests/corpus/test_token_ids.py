"""Pre-tokenised corpora: the ids of every form are read as they are, and give what their text would have given."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from autointerp import corpus, plugins
from autointerp.cli._study import corpus_of
from autointerp.corpus._tokens import TokenStore
from autointerp.corpus.base import Document, TokenDocument, WindowsConfig
from autointerp.errors import CorpusError
from tests.helpers import tiny

TEXTS = ["the cat sat on the mat. " * 7, "a dog ran after the café 😀 " * 3, "x", "the mat " * 40, "dog cat " * 9] * 3
TOKENIZER = tiny.tokenizer()
BOS: int = TOKENIZER.bos_token_id  # pyright: ignore[reportAssignmentType]
IDS: list[list[int]] = TOKENIZER(TEXTS, add_special_tokens=False)["input_ids"]  # pyright: ignore[reportAssignmentType]


def store(folder: Path, documents: Iterable[Document | TokenDocument], **changes: Any) -> TokenStore:
    config = WindowsConfig.model_validate({"context_length": 16, "window_length": 4, **changes})
    return corpus.read(documents, TOKENIZER, config, folder, seed=1)


def read(path: Path) -> Iterable[Document | TokenDocument]:
    section = corpus_of(str(path))
    member = plugins.load("corpus", section.pop("use"))
    return member.documents(member.Config(**section))


def alone(separators: bool) -> list[list[int]]:
    return [[BOS, *ids] if separators else ids for ids in IDS]


def packed(length: int) -> list[list[int]]:
    """One stream, a separator before each document, cut into rows of one length; the last one is shorter."""
    stream = [token for ids in IDS for token in [BOS, *ids]]
    return [stream[start : start + length] for start in range(0, len(stream), length)]


def padded(length: int) -> list[list[int]]:
    """A document per row, padded with the separator, which also ends it."""
    return [[*ids, *[BOS] * (length - len(ids))] for ids in IDS]


ROWS: dict[str, list[list[int]]] = {
    "a row per document": alone(separators=False),
    "each behind its BOS": alone(separators=True),
    "packed into short rows": packed(10),
    "packed into long rows": packed(100),
    "padded": padded(max(map(len, IDS))),
}


def saved(path: Path, rows: list[list[int]]) -> None:
    import datasets

    datasets.disable_progress_bars()
    table = datasets.Dataset.from_dict({"input_ids": rows, "attention_mask": [[1] * len(row) for row in rows]})
    table.with_format("torch").save_to_disk(path)


FORMS: dict[str, Callable[[Path, list[list[int]]], object]] = {
    "rows.jsonl": lambda path, rows: path.write_text("".join(json.dumps({"input_ids": row}) + "\n" for row in rows)),
    "rows.parquet": lambda path, rows: pq.write_table(pa.table({"tokens": pa.array(rows, pa.list_(pa.int32()))}), path),
    "saved in torch's format": saved,
}


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("form", FORMS)
def test_rows_of_ids_give_the_windows_of_their_text(form: str, rows: str, tmp_path: Path) -> None:
    FORMS[form](tmp_path / form, ROWS[rows])
    found = store(tmp_path / "ids", read(tmp_path / form))
    expected = store(tmp_path / "text", [Document(number, text) for number, text in enumerate(TEXTS)])
    ours, theirs = found.windows(), expected.windows()
    np.testing.assert_array_equal(ours.tokens, theirs.tokens)
    np.testing.assert_array_equal(ours.starts, theirs.starts)
    np.testing.assert_array_equal(ours.documents, theirs.documents)
    np.testing.assert_array_equal(ours.held_out, theirs.held_out)
    assert found.counts() == expected.counts()


def test_no_token_is_made_anew(tmp_path: Path) -> None:
    """Ids that the tokenizer would never write itself reach the subject unchanged: "the" letter by letter."""
    letters: list[int] = TOKENIZER.convert_tokens_to_ids(list("the"))  # pyright: ignore[reportAssignmentType]
    assert TOKENIZER("the", add_special_tokens=False)["input_ids"] != letters
    rows = [TokenDocument(number, tuple(letters * 8)) for number in range(8)]
    windows = store(tmp_path, rows).windows()
    np.testing.assert_array_equal(windows.tokens, letters * 64)
    assert "".join(windows.pieces(0)) == "thet"


def test_what_is_read_is_said_with_the_first_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store(tmp_path, [TokenDocument(number, tuple(ids)) for number, ids in enumerate(IDS)]).windows()
    said = " ".join(capsys.readouterr().err.split())
    assert "rows hold token ids, read as they are; documents end at row ends, BOS and EOS" in said
    assert "the first begins: 'the cat sat" in said


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        ((5, 50_256), r"row 3 holds token id 50256; the subject's vocabulary is 0 to \d+: .* another tokenizer"),
        ((5, -100), "row 3 holds token id -100"),
        ((5, 2**70), "holds token id 1180591620717411303424"),
    ],
)
def test_ids_that_do_not_fit_the_vocabulary_are_refused(ids: tuple[int, ...], said: str, tmp_path: Path) -> None:
    rows = [TokenDocument(number, tuple(IDS[number])) for number in range(3)]
    with pytest.raises(CorpusError, match=said) as caught:
        store(tmp_path, [*rows, TokenDocument(3, ids)]).windows()
    assert "\n" not in str(caught.value)


def test_text_among_ids_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="document 1 is text, those before it are token ids"):
        store(tmp_path, [TokenDocument(0, tuple(IDS[0])), Document(1, "text")]).windows()
    with pytest.raises(CorpusError, match="holds token ids, and this step needs text"):
        store(tmp_path / "b", [Document(0, TEXTS[0]), TokenDocument(1, tuple(IDS[0]))]).windows()


def test_a_long_document_of_ids_is_cut_and_counted(tmp_path: Path) -> None:
    """4,096 tokens are read of one document, as of text."""
    long = (IDS[0] * 100)[:5000]
    rows = [TokenDocument(0, tuple(long)), *[TokenDocument(1, tuple(ids)) for ids in IDS]]
    found = store(tmp_path, rows, n_tokens=40_000)
    rest = TOKENIZER.decode(long[4096:], clean_up_tokenization_spaces=False)
    assert found.counts()["cut_documents"] == 1
    assert found.counts()["cut_characters"] == len(rest)
