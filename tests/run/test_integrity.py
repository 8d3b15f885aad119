"""A run's files are what the run wrote, or every reader rejects them in one line; no damage passes in silence."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from autointerp.errors import RunDirectoryError, TableError
from autointerp.run import integrity, tables
from autointerp.run.manifest import write_manifest
from autointerp.run.store import Run, open_run
from tests.helpers.damage import called, mutants, readers
from tests.helpers.runs import RunSpec, write_run

SMALL = RunSpec(n_latents=12, n_sampled=4, n_explain=3, n_positive=4, n_negative=4, n_planted=2, architectures=("sae",))


def sealed(path: Path, seed: int = 0) -> Path:
    """A synthetic run whose manifest lists its tables, as an export's does."""
    write_run(path, replace(SMALL, seed=seed))
    manifest = json.loads((path / "manifest.json").read_text())
    write_manifest(path, {**manifest, "tables": {f.name: integrity.record_of(f) for f in path.glob("*.parquet")}})
    return path


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("sealed")
    return sealed(folder / "run"), sealed(folder / "other", seed=7)


def test_no_damage_passes_in_silence(runs: tuple[Path, Path], tmp_path: Path) -> None:
    """Damaged runs through every reader: the undamaged run's output, or exit 2 and one line; never a traceback."""
    run, other = runs
    base = Path(shutil.copytree(run, tmp_path / "base"))
    clean = Path(shutil.copytree(run, tmp_path / "clean" / "run"))

    def answer(argv: list[str], path: Path) -> tuple[int, str, str]:
        code, out, err = called(argv)
        return code, out.replace(str(path.parent), ""), err

    expected: dict[str, tuple[int, str, str]] = {}
    n_rejected = 0
    for number, mutant in enumerate(mutants(run, other, tmp_path, 14, seed=0)):
        commands = readers(mutant.path, base, tmp_path / "o")
        name = list(commands)[number % len(commands)]
        if name not in expected:
            expected[name] = answer(readers(clean, base, tmp_path / "o")[name], clean)
            assert expected[name][0] in (0, 2, 3)
        code, out, err = answer(commands[name], mutant.path)
        if (code, out) != expected[name][:2]:
            assert code == 2, (mutant, name, out[:200], err)
            assert len(err.strip().splitlines()) == 1, (mutant, name, err)
            n_rejected += 1
    assert n_rejected > 3


def test_a_cut_table_is_rejected_and_its_copy_under_another_name_too(runs: tuple[Path, Path], tmp_path: Path) -> None:
    """Wrong answers cut out of judgements.parquet would raise a score; the file's hash tells."""
    path = Path(shutil.copytree(runs[0], tmp_path / "run"))
    rows = pd.read_parquet(path / "judgements.parquet")
    right = rows["truth"] == (rows["answer"] == "yes")
    rows[right].to_parquet(path / "judgements.parquet")
    with pytest.raises(RunDirectoryError, match=r"judgements\.parquet is not the file this run wrote"):
        Run(path).read("judgements")
    shutil.copyfile(path / "latents.parquet", path / "logits.parquet")
    with pytest.raises(RunDirectoryError, match="not listed by this run"):
        Run(path).read("logits")


def test_tampering_with_size_and_time_kept_is_noticed(runs: tuple[Path, Path], tmp_path: Path) -> None:
    """One flipped byte, the file's size and time of change as before: the hash is of what is there."""
    import os

    path = Path(shutil.copytree(runs[0], tmp_path / "run"))
    file = path / "judgements.parquet"
    Run(path).read("judgements")
    before, data = file.stat(), bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(RunDirectoryError, match="not the file"):
        Run(path).read("judgements")


def test_a_later_schema_is_rejected_and_an_earlier_one_named(runs: tuple[Path, Path], tmp_path: Path) -> None:
    """Tables of a later version are not read; those of an earlier one are, and what they lack names both versions."""
    path = Path(shutil.copytree(runs[0], tmp_path / "run"))
    manifest = Run(path).manifest
    (path / "manifest.json").write_text(json.dumps({**manifest, "schema": integrity.SCHEMA + 1, "autointerp": "9.1"}))
    later = rf"schema version {integrity.SCHEMA + 1} \(written by autointerp 9\.1\)"
    with pytest.raises(RunDirectoryError, match=later):
        open_run(path)
    old = {key: value for key, value in manifest.items() if key not in ("schema", "checksum", "tables")}
    (path / "manifest.json").write_text(json.dumps({**old, "autointerp": "0.0.3"}))
    assert len(open_run(path).table("judgements", tables.JUDGEMENTS))
    pd.read_parquet(path / "latents.parquet").drop(columns="look_order").to_parquet(path / "latents.parquet")
    with pytest.raises(TableError, match=r"missing: look_order.*schema version 0, written by autointerp 0\.0\.3"):
        open_run(path).table("latents", tables.LATENTS)


def test_a_changed_manifest_is_rejected(runs: tuple[Path, Path], tmp_path: Path) -> None:
    path = Path(shutil.copytree(runs[0], tmp_path / "run"))
    text = (path / "manifest.json").read_text()
    (path / "manifest.json").write_text(text.replace('"seed"', '"sead"', 1).replace("2025", "2024", 1))
    if (path / "manifest.json").read_text() != text:
        with pytest.raises(RunDirectoryError, match="was changed after the run wrote it"):
            open_run(path)


def test_a_column_of_another_type_is_rejected() -> None:
    """Numbers given as text would be compared as text."""
    row = {
        "dictionary": "a",
        "metric": "fvu",
        "value": 0.5,
        "low": 0,
        "high": 1.0,
        "level": 0.95,
        "n_documents": 3,
        "n_tokens": 10,
    }
    assert len(tables.check(pd.DataFrame([row]), tables.RECONSTRUCTION, "t"))
    with pytest.raises(TableError, match="column value holds"):
        tables.check(pd.DataFrame([{**row, "value": "0.5"}]), tables.RECONSTRUCTION, "t")
