"""Hashes of checkpoints kept from start to start: right where nothing changed, given up where anything did."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from autointerp.dictionaries import identity, loading
from autointerp.dictionaries.base import DictionaryConfig
from autointerp.errors import DictionaryError
from tests.helpers.checkpoints import CASES

CASE = next(case for case in CASES if case.name == "sparsify:sae")


@pytest.fixture
def config(tmp_path: Path) -> DictionaryConfig:
    folder = tmp_path / CASE.folder
    folder.mkdir()
    CASE.write(folder, torch.Generator().manual_seed(0))
    return DictionaryConfig(name="one", source=str(folder))


def remembered(config: DictionaryConfig, memory: Path, *, began: float) -> str:
    opened = loading.open_dictionary(config)
    identity.remember(config, opened, memory, began=began)
    return opened.provenance.sha256


def rewritten(folder: Path) -> None:
    """Other content of the same length, with the old time of change put back."""
    path = folder / "sae.safetensors"
    stat, content = path.stat(), path.read_bytes()
    path.write_bytes(content[:-4] + bytes(4))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert path.stat().st_mtime_ns == stat.st_mtime_ns


def replaced(folder: Path) -> None:
    """Another file under the old name, as `mv` leaves it."""
    (folder / "new").write_bytes((folder / "sae.safetensors").read_bytes())
    (folder / "new").replace(folder / "sae.safetensors")


def test_an_unchanged_checkpoint_is_recalled(config: DictionaryConfig, tmp_path: Path) -> None:
    memory = tmp_path / "memory.json"
    assert identity.recall(config, memory) is None
    sha256 = remembered(config, memory, began=time.time() + 60)
    assert identity.recall(config, memory) == sha256


@pytest.mark.parametrize(
    "change",
    [
        rewritten,
        replaced,
        lambda folder: (folder / "cfg.json").write_text((folder / "cfg.json").read_text() + " "),
        lambda folder: (folder / "sae.safetensors").unlink(),
        lambda folder: (folder / "ae.pt").write_bytes(b"new"),
    ],
    ids=["rewritten", "replaced", "settings", "gone", "another file beside"],
)
def test_a_changed_checkpoint_is_not(
    config: DictionaryConfig, tmp_path: Path, change: Callable[[Path], object]
) -> None:
    """Even where size and time of change are as before."""
    memory = tmp_path / "memory.json"
    remembered(config, memory, began=time.time() + 60)
    change(Path(config.source))
    assert identity.recall(config, memory) is None


def test_another_reading_of_the_same_files_is_another_dictionary(config: DictionaryConfig, tmp_path: Path) -> None:
    memory = tmp_path / "memory.json"
    remembered(config, memory, began=time.time() + 60)
    assert identity.recall(config.model_copy(update={"dtype": "bfloat16"}), memory) is None


def test_a_file_that_just_changed_is_not_remembered(config: DictionaryConfig, tmp_path: Path) -> None:
    """A second change could follow within its clock's tick."""
    memory = tmp_path / "memory.json"
    remembered(config, memory, began=time.time())
    assert identity.recall(config, memory) is None


def test_a_damaged_memory_remembers_nothing(config: DictionaryConfig, tmp_path: Path) -> None:
    memory = tmp_path / "memory.json"
    memory.write_text("[1, 2")
    assert identity.recall(config, memory) is None
    remembered(config, memory, began=time.time() + 60)
    assert identity.recall(config, memory) is not None


def test_a_folder_that_is_gone_is_said_so(config: DictionaryConfig, tmp_path: Path) -> None:
    memory = tmp_path / "memory.json"
    remembered(config, memory, began=time.time() + 60)
    Path(config.source).rename(tmp_path / "elsewhere")
    with pytest.raises(DictionaryError, match="no such folder"):
        identity.recall(config, memory)
