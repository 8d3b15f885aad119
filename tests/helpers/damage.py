"""Ways in which a run directory is damaged, and every verb that reads one."""

import contextlib
import io
import json
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from autointerp.__main__ import main

Damage = Callable[[Path, random.Random], object]


def _flip(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 1, 5, 50])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(bytes(data))


def _truncate(path: Path, rng: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: rng.choice([0, 1, 4, len(data) // 2, len(data) - 1])])


def _cut_rows(path: Path, rng: random.Random) -> None:
    table = pd.read_parquet(path)
    kept = table.sample(frac=rng.choice([0.0, 0.5, 0.9]), random_state=rng.randrange(10**6))
    (table.iloc[:-1] if len(kept) == len(table) else kept).to_parquet(path, index=False)


def _change_column(path: Path, rng: random.Random) -> None:
    table = pd.read_parquet(path)
    column = rng.choice(list(table.columns))
    how = rng.randrange(4)
    if how == 0:
        table = table.drop(columns=column)
    elif how == 1:
        table = table.rename(columns={column: f"{column}_"})
    elif how == 2:
        table = table.assign(**{column: ["x"] * len(table)})
    else:
        table = table.assign(**{column: table[column].iloc[::-1].to_numpy()}, extra=1)
    table.to_parquet(path, index=False)


def _rewrite(path: Path, rng: random.Random) -> None:
    """The same rows in another file: other bytes, which only a hash can tell."""
    pq.write_table(pq.read_table(path), path, compression=rng.choice(["snappy", "gzip"]))


TABLE: dict[str, Damage] = {
    "deleted": lambda path, rng: path.unlink(),
    "truncated": _truncate,
    "bytes flipped": _flip,
    "rows cut": _cut_rows,
    "column changed": _change_column,
    "rewritten": _rewrite,
    "text": lambda path, rng: path.write_text("not parquet"),
    "a folder": lambda path, rng: (path.unlink(), path.mkdir()),
}
TEXT: dict[str, Damage] = {
    "deleted": lambda path, rng: path.unlink(),
    "truncated": _truncate,
    "bytes flipped": _flip,
    "another kind": lambda path, rng: path.write_text(rng.choice(["", "{", "[]", "null", "7", '{"a": NaN}'])),
    "nested": lambda path, rng: path.write_text("[" * 100_000),
    "a value": lambda path, rng: path.write_text(_other_value(path.read_text(), rng)),
}


def _other_value(text: str, rng: random.Random) -> str:
    """Replace a random value of a JSON object, however deep."""
    try:
        value = json.loads(text)
    except ValueError:
        return text + "\nx: y\n"
    node = value
    while isinstance(node, dict) and node:
        key = rng.choice(list(node))
        if not isinstance(node[key], dict) or rng.random() < 0.3:
            node[key] = rng.choice([None, 7, "x", [], {}, -1.5, True])
            break
        node = node[key]
    return json.dumps(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A damaged run: what was done to which file."""

    path: Path
    what: str
    file: str


def mutants(run: Path, other: Path, folder: Path, n: int, seed: int) -> Iterator[Mutant]:
    """Yield damaged copies of a run; some files come from another run."""
    rng = random.Random(seed)
    names = sorted(
        str(file.relative_to(run)) for pattern in ("*.parquet", "*.json", "stages/*.json") for file in run.glob(pattern)
    )
    names.append("study.yaml")
    for number in range(n):
        path = folder / f"m{number}" / "run"
        shutil.copytree(run, path, ignore=shutil.ignore_patterns("activations*", "tokens", "*.sqlite*", ".lock"))
        name = rng.choice(names)
        file, damages = path / name, TABLE if name.endswith(".parquet") else TEXT
        what = rng.choice([*damages, "of another run"])
        if what == "of another run":
            source = other / name
            if not source.exists() or source.read_bytes() == file.read_bytes():
                what = "deleted"
            else:
                shutil.copyfile(source, file)
        if what in damages:
            damages[what](file, rng)
        yield Mutant(path=path, what=what, file=name)
        shutil.rmtree(path.parent)


def readers(run: Path, base: Path, out: Path) -> dict[str, list[str]]:
    """Every command that reads a run directory."""
    return {
        "compare": ["compare", str(run), "--json"],
        "compare two": ["compare", str(run), str(base), "--json"],
        "plan": ["plan", "--pilot", str(run), "--json"],
        "gate": ["gate", str(run), "--baseline", str(base), "--json"],
        "gate as baseline": ["gate", str(base), "--baseline", str(run), "--json"],
        "latents": ["latents", str(run), "--json"],
        "show": ["show", str(run), "sae/0", "--json"],
        "report": ["report", str(run), "--out", str(out / "page.html")],
        "figures": ["figures", str(run), "--out", str(out / "figs"), "--format", "svg", "--only", "scores,controls"],
        **{
            f"export {to}": ["export", str(run), "--to", to, "--out", str(out / to)]
            for to in ("reference", "huggingface", "neuronpedia", "saebench")
        },
    }


def called(argv: list[str]) -> tuple[int, str, str]:
    """Run a verb in this process: exit code, stdout, stderr. A traceback is an exception here."""
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(argv)
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 2
    return code, out.getvalue(), err.getvalue()
