"""Text files in every form that people have: the same documents out of each, or a reason."""

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from autointerp import plugins
from autointerp.cli._study import corpus_of, named
from autointerp.errors import CorpusError

TEXTS = [f"document {n} has é and words" + "\nand a second line" * (n % 2) for n in range(40)]
ROWS = [{"text": text} for text in TEXTS]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def zstd(path: Path) -> None:
    with pa.output_stream(str(path), compression="zstd") as file:
        file.write(LINES)


def saved(path: Path, split: bool) -> None:
    import datasets

    datasets.disable_progress_bars()
    table = datasets.Dataset.from_dict({"text": TEXTS})
    (datasets.DatasetDict({"train": table}) if split else table).save_to_disk(path)


def nested(path: Path) -> None:
    (path / "a" / "b").mkdir(parents=True)
    (path / "a" / "b" / "x=1 é.jsonl").write_bytes(LINES)


def linked(path: Path) -> None:
    nested(path.parent / "real")
    path.symlink_to(path.parent / "real")
    (path.parent / "real" / "a" / "loop").symlink_to(path.parent / "real")


FORMS: dict[str, Callable[[Path], object]] = {
    "plain.jsonl": lambda path: path.write_bytes(LINES),
    "packed.jsonl.gz": lambda path: path.write_bytes(gzip.compress(LINES, mtime=0)),
    "c4.json.gz": lambda path: path.write_bytes(gzip.compress(LINES, mtime=0)),
    "packed.jsonl.bz2": lambda path: path.write_bytes(bz2.compress(LINES)),
    "packed.jsonl.xz": lambda path: path.write_bytes(lzma.compress(LINES)),
    "pile.jsonl.zst": zstd,
    "array.json": lambda path: path.write_text(json.dumps(ROWS, indent=1)),
    "mark.jsonl": lambda path: path.write_bytes(b"\xef\xbb\xbf" + LINES),
    "table.csv": lambda path: pd.DataFrame(ROWS).to_csv(path),
    "table.tsv.gz": lambda path: pd.DataFrame(ROWS).to_csv(path, sep="\t"),
    "rows.parquet": lambda path: pq.write_table(pa.table({"text": pa.array(TEXTS)}), path),
    "coded.parquet": lambda path: pq.write_table(pa.table({"text": pa.array(TEXTS).dictionary_encode()}), path),
    "file with [brackets] = é.jsonl": lambda path: path.write_bytes(LINES),
    "nested folder": nested,
    "linked": linked,
    "one data set": lambda path: saved(path, split=False),
    "data sets by split": lambda path: saved(path, split=True),
}


def read(path: Path | str, **settings: Any) -> list[str]:
    section = corpus_of(str(path))
    member = plugins.load("corpus", section.pop("use"))
    return [one.text for one in member.documents(member.Config(**section, **settings))]


@pytest.mark.parametrize("name", FORMS)
def test_every_form_gives_the_same_documents(name: str, tmp_path: Path) -> None:
    FORMS[name](tmp_path / name)
    assert read(tmp_path / name) == TEXTS


def test_what_is_read_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.jsonl").write_bytes(LINES)
    for _ in range(2):
        read(tmp_path)
    assert capsys.readouterr().err.replace("\n", "").count("corpus: 1 jsonl file of") == 1


def test_chat_messages_are_their_contents(tmp_path: Path) -> None:
    rows = [
        {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "yes"}]} for text in TEXTS
    ]
    (tmp_path / "chat.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert read(tmp_path / "chat.jsonl", column="messages") == [f"{text}\n\nyes" for text in TEXTS]
    with pytest.raises(CorpusError, match="it has: messages"):
        read(tmp_path / "chat.jsonl")


def test_a_folder_of_several_kinds_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(LINES)
    (tmp_path / "README.md").write_text("about")
    with pytest.raises(CorpusError, match=r"several kinds \(1 .*, 1 .*\); which are meant"):
        corpus_of(str(tmp_path))
    assert read(tmp_path / "*.jsonl") == TEXTS


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl.gz", gzip.compress(LINES, mtime=0)[:100], "cannot be read after line"),
        ("a.jsonl.zst", b"\x28\xb5\x2f\xfd\x00", "cannot be read after line"),
        ("a.json", b'[{"text": "a"}, {"te', "item 2 is not JSON"),
        ("a.json", b"[" * 100_000, "JSON|cannot be read"),
        ("a.jsonl", b'{"input_ids": [1, 2, 3]}\n', "holds token ids, and this step needs text"),
        ("a.jsonl", b'{"input_ids": [1, null, 3]}\n', "holds list, neither text nor token ids"),
        ("a.jsonl", b'{"text": [true, false]}\n', "holds list, neither text nor token ids"),
        ("a.csv", b'text\n"a', "cannot be read after row"),
        ("a.parquet", b"PAR1", "not a parquet file"),
        ("a.txt.gz", b"text", "cannot be read"),
    ],
)
def test_what_cannot_be_read_says_where(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CorpusError, match=said):
        read(tmp_path / name)


def test_an_equals_sign_of_a_path_is_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`runs/k=16,lr=0.001/layers.2.mlp` is a path; `k=16` is one where a folder of that name is there."""
    monkeypatch.chdir(tmp_path)
    path = "runs/k=16,lr=0.001/layers.2.mlp"
    assert named([path]) == [{"name": "layers.2.mlp", "source": path}]
    assert named([f"mine={path}"]) == [{"name": "mine", "source": path}]
    assert named(["my run é/saé 1"]) == [{"name": "sa-1", "source": "my run é/saé 1"}]
    assert named(["k=16"]) == [{"name": "k", "source": "16"}]
    (tmp_path / "k=16").mkdir()
    assert named(["k=16"]) == [{"name": "k-16", "source": "k=16"}]
