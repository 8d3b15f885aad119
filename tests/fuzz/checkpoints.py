"""Damaged checkpoints of every format. What loads holds the file's own numbers, as an independent reader sees them."""

import json
import random
import shutil
import tempfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from autointerp.dictionaries.spec import Dictionary
from tests.dictionaries.test_formats import opened, written
from tests.fuzz import Found, main, tried
from tests.helpers.checkpoints import CASES, Case, D

DTYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "I64": np.int64, "I32": np.int32, "BF16": np.uint16}
ODD: tuple[Any, ...] = (None, True, 0, -1, 7, 10**30, 1.5, float("nan"), "", "x", "topk", "relu", [], [1], {}, {"k": 3})
LACKS = "lacks"
Numbers = dict[str, NDArray[np.float64]]


def read(path: Path) -> Numbers:
    """Read a safetensors or npz file without the product's reader or the format's library; {} for other files."""
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            return {name: np.asarray(file[name], dtype=np.float64) for name in file.files}
    if path.suffix != ".safetensors":
        return {}
    data = path.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    found = {}
    for name, entry in json.loads(data[8:end]).items():
        if name == "__metadata__" or entry["dtype"] not in DTYPES:
            continue
        low, high = entry["data_offsets"]
        values = np.frombuffer(data[end + low : end + high], dtype=DTYPES[entry["dtype"]])
        if entry["dtype"] == "BF16":
            values = (values.astype(np.uint32) << 16).view(np.float32)
        found[name] = values.astype(np.float64).reshape(entry["shape"])
    return found


def loaded(dictionary: Dictionary) -> list[NDArray[np.float64]]:
    """The parameters that a dictionary computes with, as sorted numbers."""
    values = [getattr(holder, one.name) for holder in (dictionary, dictionary.activation) for one in fields(holder)]
    tensors = [value for value in values if isinstance(value, torch.Tensor)]
    return [np.sort(one.double().numpy().ravel()) for one in tensors if one.numel() > 1]


def shared(dictionary: Dictionary, files: list[Path]) -> int:
    """How many parameters hold exactly the numbers of some tensor in the files."""
    stored = [
        np.sort(one.astype(np.float32).astype(np.float64).ravel()) for path in files for one in read(path).values()
    ]
    return sum(any(np.array_equal(one, other, equal_nan=True) for other in stored) for one in loaded(dictionary))


def flip(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 1, 3, 30])):
        data[rng.randrange(min(len(data), rng.choice([200, 10**9])))] ^= 1 << rng.randrange(8)
    path.write_bytes(bytes(data))


def cut(path: Path, rng: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: rng.randrange(len(data))] if rng.random() < 0.7 else data + data[:64])


def change_key(path: Path, rng: random.Random) -> str:
    """Drop, rename or replace a key of a JSON or YAML file, however deep; return what was done."""
    text = path.read_text()
    value = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    node, done = value, ""
    while isinstance(node, dict) and node:
        key = rng.choice(list(node))
        if isinstance(node[key], dict) and rng.random() < 0.7:
            node = node[key]
            continue
        old = node.pop(key)
        how = rng.randrange(3)
        done = f"{LACKS} {key}"
        if how == 1:
            node[f"{key}_"] = old
        elif how == 2:
            node[key] = rng.choice(ODD)
            done = f"{key} = {node[key]!r}"
        break
    path.write_text(json.dumps(value) if path.suffix == ".json" else yaml.safe_dump(value))
    return done


def mutate(folder: Path, rng: random.Random) -> str:
    """Damage one file of a checkpoint; return what was done."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    path = rng.choice(files)
    ways = [flip, cut, *([change_key] * 3 if path.suffix in {".json", ".yaml", ".yml"} else [])]
    way = rng.choice(ways)
    if rng.random() < 0.05:
        path.unlink()
        return f"{path.name} deleted"
    return f"{path.name} {way.__name__}: {way(path, rng) or ''}"


def fuzz(n: int, seed: int) -> Found:
    """Load n damaged checkpoints: each is refused in a message, or holds the numbers of its file."""
    rng, found = random.Random(seed), Found()
    x = torch.randn(8, D, generator=torch.Generator().manual_seed(1))
    with tempfile.TemporaryDirectory() as name:
        whole: list[tuple[Case, Path, Path, int, torch.Tensor]] = []
        for number, case in enumerate(CASES):
            source, _, _ = written(case, Path(name) / f"c{number}")
            dictionary = opened(case, source)
            root = Path(name) / f"c{number}"
            whole.append((case, root, source, shared(dictionary, _files(root)), dictionary.reconstruct(x)))
        for number in range(n):
            case, root, source, n_shared, before = rng.choice(whole)
            copy = Path(shutil.copytree(root, Path(name) / "mutant"))
            what = mutate(copy, rng)

            def check(
                case: Case = case, copy: Path = copy, source: Path = source, root: Path = root, what: str = what,
                n_shared: int = n_shared, before: torch.Tensor = before,
            ) -> str:  # fmt: skip
                dictionary = opened(case, copy / source.relative_to(root))
                y = dictionary.reconstruct(x)
                known = "change_key" in what and not torch.equal(y, before)
                if known and LACKS not in what:
                    return "loaded, another function stated"
                if shared(dictionary, _files(copy)) < n_shared:
                    return "fault: a parameter holds other numbers than the file"
                if known and not dictionary.remarks:
                    return "fault: another function without a key, and no remark"
                return "loaded"

            tried(found, f"{number} {case.name}: {what}", check)
            shutil.rmtree(copy)
    return found


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


if __name__ == "__main__":
    main(fuzz)
