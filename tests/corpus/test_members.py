"""Every corpus member: documents in order, ids from 0, and one clear line for what is missing."""

import gzip
import itertools
import json
from pathlib import Path

import datasets
import pandas as pd
import pytest

from autointerp import plugins
from autointerp.corpus import huggingface, jsonl, parquet, text
from autointerp.corpus.base import Document
from autointerp.errors import CorpusError
from tests.helpers.shared import SHARED, needs_shared

TEXTS = ["The cat sat.", "A second\nline: café 😀", "Third."]
EXPECTED = [Document(number, words) for number, words in enumerate(TEXTS)]


@pytest.mark.parametrize("name", plugins.names("corpus"))
def test_members_have_settings_and_documents(name: str) -> None:
    module = plugins.load("corpus", name)
    assert module.Config.model_config["frozen"]
    assert module.Config.model_config["extra"] == "forbid"
    assert callable(module.documents)


@pytest.mark.parametrize(
    "split, between, more",
    [
        ("blank_lines", "\n \n\n", {}),
        ("separator", "<|end|>", {"separator": "<|end|>"}),
        ("heading", "\n", {"heading": "^(The|A |Third)"}),
        ("auto", "\n \n\n", {}),
        ("auto", "\n<|endoftext|>\n", {}),
    ],
)
def test_text_is_split_as_set(tmp_path: Path, split: str, between: str, more: dict[str, str]) -> None:
    path = tmp_path / "texts.txt"
    path.write_text(between.join(TEXTS) + between, encoding="utf-8")
    assert list(text.documents(text.Config(path=str(path), split=split, **more))) == EXPECTED  # type: ignore[arg-type]


def test_text_without_blank_lines_or_separators_is_a_document_a_line(tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("one\ntwo\n", encoding="utf-8")
    found = text.documents(text.Config(path=str(tmp_path / "texts.txt")))
    assert [document.text for document in found] == ["one", "two"]


def test_a_separator_may_lie_across_two_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "CHUNK_CHARACTERS", 5)
    path = tmp_path / "texts.txt"
    path.write_text("<|end|>".join(TEXTS), encoding="utf-8")
    assert list(text.documents(text.Config(path=str(path), split="separator", separator="<|end|>"))) == EXPECTED


def test_a_folder_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    for number in (2, 0, 1):
        (tmp_path / f"{number}.txt").write_text(TEXTS[number], encoding="utf-8")
    assert list(text.documents(text.Config(path=str(tmp_path), split="file"))) == EXPECTED
    assert list(text.documents(text.Config(path=str(tmp_path / "*.txt"), split="file"))) == EXPECTED


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_json_lines(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"texts{suffix}"
    lines = "\n".join(json.dumps({"body": words}) for words in [*TEXTS, "  ", None])
    path.write_bytes(gzip.compress(lines.encode(), mtime=0) if suffix.endswith("gz") else lines.encode())
    assert list(jsonl.documents(jsonl.Config(path=str(path), column="body"))) == EXPECTED


def test_parquet(tmp_path: Path) -> None:
    pd.DataFrame({"text": [*TEXTS, None, ""]}).to_parquet(tmp_path / "texts.parquet")
    assert list(parquet.documents(parquet.Config(path=str(tmp_path)))) == EXPECTED


def test_datasets_by_folder_and_as_saved(tmp_path: Path) -> None:
    """`load_dataset` on a folder of files, and a folder `save_to_disk` wrote."""
    (tmp_path / "files").mkdir()
    pd.DataFrame({"text": TEXTS}).to_parquet(tmp_path / "files" / "train.parquet")
    assert list(huggingface.documents(huggingface.Config(name=str(tmp_path / "files")))) == EXPECTED
    datasets.Dataset.from_dict({"text": TEXTS}).save_to_disk(tmp_path / "saved")
    assert list(huggingface.documents(huggingface.Config(name=str(tmp_path / "saved")))) == EXPECTED


@pytest.mark.parametrize(
    "content, message",
    [
        ("{not json", "line 1 is not JSON"),
        ("[1]", "list, not an object"),
        ('{"a": 1}', "no column 'text'; it has: a"),
        ('{"text": 1}', "holds int, neither text nor token ids"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text(content)
    with pytest.raises(CorpusError, match=message):
        list(jsonl.documents(jsonl.Config(path=str(path))))


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="does not exist"):
        list(text.documents(text.Config(path=str(tmp_path / "absent.txt"))))
    with pytest.raises(CorpusError, match=r"holds no file ending in \.parquet"):
        list(parquet.documents(parquet.Config(path=str(tmp_path))))
    (tmp_path / "bad.txt").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(CorpusError, match="not UTF-8"):
        list(text.documents(text.Config(path=str(tmp_path / "bad.txt"))))
    with pytest.raises(CorpusError, match="cannot be opened or read"):
        list(huggingface.documents(huggingface.Config(name=str(tmp_path / "nowhere"))))
    pd.DataFrame({"body": TEXTS}).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(CorpusError, match="no column 'text'; it has: body"):
        list(parquet.documents(parquet.Config(path=str(tmp_path / "x.parquet"))))


def test_a_data_set_is_streamed(tmp_path: Path) -> None:
    """Rows are fetched as they are asked for: a second file that is no parquet is met only when the first is read."""
    pd.DataFrame({"text": [*TEXTS, None, " "]}).to_parquet(tmp_path / "train-0.parquet")
    (tmp_path / "train-1.parquet").write_bytes(b"no parquet at all")
    found = huggingface.documents(huggingface.Config(name=str(tmp_path)))
    assert list(itertools.islice(found, len(EXPECTED))) == EXPECTED
    with pytest.raises(CorpusError, match="cannot be opened or read") as caught:
        next(found)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_bytes_that_are_no_text_and_files_cut_short_are_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"texts{suffix}"
    good = json.dumps({"text": "the cat"}).encode() + b"\n"
    zipped = suffix.endswith("gz")
    for content, message in ((good + b'{"text": "\xff\xfe"}', "is not UTF-8"), (good * 3, "cannot be read")):
        data = gzip.compress(content, mtime=0) if zipped else content
        path.write_bytes(data[:-9] if message == "cannot be read" else data)
        if message == "cannot be read" and not zipped:
            message = "is not JSON"
        with pytest.raises(CorpusError, match=message) as caught:
            list(jsonl.documents(jsonl.Config(path=str(path))))
        assert "\n" not in str(caught.value)


@needs_shared
def test_real_texts_fall_into_their_documents() -> None:
    """755 stories, as their README says."""
    stories = text.Config(path=str(SHARED / "text/tinystories.txt"), split="separator")
    assert len(list(text.documents(stories))) == 755
