"""Tables and markers appear whole or not at all, and are reused only for the same fingerprint."""

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from autointerp.errors import RunDirectoryError, TableError
from autointerp.run import tables
from autointerp.run.files import fingerprint, write_json
from autointerp.run.lock import claimed
from autointerp.run.store import Run, open_run

ROW = {
    "dictionary": "sae",
    "metric": "fvu",
    "value": 0.5,
    "low": 0.4,
    "high": 0.6,
    "level": 0.95,
    "n_documents": 3,
    "n_tokens": 10,
}


def test_rows_come_back_as_written(tmp_path: Path) -> None:
    """A table written row by row has the declared columns, types and rows."""
    run = Run(tmp_path)
    with run.writing("reconstruction", tables.RECONSTRUCTION) as writer:
        for n in range(3):
            writer.add({**ROW, "n_tokens": n})
    table = run.read("reconstruction")
    assert list(table.columns) == list(tables.RECONSTRUCTION)
    assert table["n_tokens"].tolist() == [0, 1, 2]


def test_a_table_that_failed_half_way_is_not_there(tmp_path: Path) -> None:
    """An error while rows are being written leaves no table and no rubbish."""
    run = Run(tmp_path)

    def fail_half_way() -> None:
        with run.writing("reconstruction", tables.RECONSTRUCTION) as writer:
            writer.add(ROW)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert not run.has("reconstruction")
    assert not list(tmp_path.iterdir())


def test_an_old_table_survives_a_failed_write(tmp_path: Path) -> None:
    """Replacing is atomic: a table with missing columns is refused and the old one stays."""
    run = Run(tmp_path)
    run.write("reconstruction", pd.DataFrame([ROW]), tables.RECONSTRUCTION)
    with pytest.raises(TableError, match="metric"):
        run.write("reconstruction", pd.DataFrame([ROW]).drop(columns="metric"), tables.RECONSTRUCTION)
    assert len(run.read("reconstruction")) == 1


def test_a_stage_counts_as_finished_only_under_its_own_fingerprint(tmp_path: Path) -> None:
    """A marker of other settings is no marker."""
    run = Run(tmp_path)
    run.finish("collect", "aaaa", seconds=1.0, counts={})
    assert run.finished("collect", "aaaa")
    assert not run.finished("collect", "bbbb")
    assert not run.finished("score", "aaaa")


def test_fingerprint_ignores_key_order_and_nothing_else() -> None:
    """{"a": 1, "b": 2} is {"b": 2, "a": 1} but not {"a": 1, "b": "2"}."""
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint({"a": 1, "b": 2}) != fingerprint({"a": 1, "b": "2"})


def test_nan_is_refused_in_json(tmp_path: Path) -> None:
    """NaN in a manifest would break its readers."""
    with pytest.raises(ValueError, match=r"NaN|Out of range"):
        write_json(tmp_path / "manifest.json", {"value": float("nan")})
    assert not list(tmp_path.iterdir())


def test_bad_directories_say_what_they_lack(tmp_path: Path) -> None:
    """Each refusal names the path and the way out."""
    with pytest.raises(RunDirectoryError, match="is not a run directory"):
        open_run(tmp_path)
    with pytest.raises(RunDirectoryError, match=r"has no latents\.parquet"):
        Run(tmp_path).read("latents")
    (tmp_path / "latents.parquet").write_text("not parquet")
    with pytest.raises(RunDirectoryError, match="cannot be read as parquet"):
        Run(tmp_path).read("latents")


def test_two_processes_cannot_work_in_one_directory(tmp_path: Path) -> None:
    """The second claim is refused while the first lasts, and granted after it."""
    with claimed(tmp_path / "run") as first:
        assert first.path.is_dir()
        with pytest.raises(RunDirectoryError, match="another process"), claimed(tmp_path / "run"):
            pass
    with claimed(tmp_path / "run") as run:
        assert run.path.is_dir()


def test_a_file_in_the_way_is_one_clear_line(tmp_path: Path) -> None:
    """A run directory below a file cannot be made."""
    (tmp_path / "file").write_text("")
    with pytest.raises(RunDirectoryError, match="cannot be written"), claimed(tmp_path / "file" / "run"):
        pass


def test_what_a_stage_no_longer_writes_is_removed(tmp_path: Path) -> None:
    """A setting that switches an output off leaves no file that readers would reject; files of other stages stay."""
    run = Run(tmp_path)
    run.begin()
    run.write_json("other.json", 1)
    run.finish("collect", "a", seconds=1.0, counts={})
    for name in ("qualification.json", "kept.json"):
        run.write_json(name, 1)
    run.finish("qualify", "a", seconds=1.0, counts={})
    run.write_json("kept.json", 2)
    run.finish("qualify", "b", seconds=1.0, counts={})
    assert {file.name for file in tmp_path.glob("*.json")} == {"kept.json", "manifest.json", "other.json"}
    run.write_json("half.json", 1)  # of an attempt that was interrupted
    run.write_json("kept.json", 3)
    Run(tmp_path).finish("qualify", "c", seconds=1.0, counts={})
    assert not (tmp_path / "half.json").exists()


def test_null_text_stays_null(tmp_path: Path) -> None:
    """pandas 3 reads a null text as NaN; rows that were read are written again as they were."""
    run = Run(tmp_path)
    row: dict[str, object] = {**dict.fromkeys(tables.EXPLANATIONS, "x"), "latent": 1, "n_retries": 0}
    with run.writing("explanations", tables.EXPLANATIONS) as writer:
        writer.add({**row, "text": None})
        writer.add(row)
    rows = run.read("explanations").to_dict("records")
    with run.writing("explanations", tables.EXPLANATIONS) as writer:
        for one in rows:
            writer.add({str(name): value for name, value in one.items()})
    assert pq.read_table(tmp_path / "explanations.parquet")["text"].to_pylist() == [None, "x"]
