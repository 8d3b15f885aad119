"""Finished runs as the statistics need them: their tables, compact, and whether they may be compared at all."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from autointerp.errors import TableError
from autointerp.records import PLANTED
from autointerp.run import integrity, store, tables

# Columns of the judgements that no statistic reads.
UNREAD = {"explanation_id", "status", "n_retries", "position"}
# Columns read at once.
READERS = 2
# Entries of a manifest that must agree for two runs to be compared, and the settings behind each.
COMPARABLE = {"protocol_hash": "protocol", "context_pool_hash": "context_pool"}
# What to say where hashes differ and the settings under them do not.
UNTOLD = {
    "protocol_hash": "protocols",
    "context_pool_hash": "held-out windows (another text, seed or number of tokens?)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTables:
    """The tables of one or several runs. `allowed` names the differences that a person chose to overlook.

    `origins` maps dictionaries of several runs to their run and their name there; `references` maps the planted latents
    of a run to those of the first run that the same judge answered.
    """

    judgements: pd.DataFrame
    latents: pd.DataFrame
    dictionaries: pd.DataFrame
    reconstruction: pd.DataFrame | None = None
    names: tuple[str, ...] = ()
    documents: pd.DataFrame | None = None
    manifests: tuple[dict[str, Any], ...] = ()
    allowed: tuple[str, ...] = field(default=())
    origins: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    explanations: pd.DataFrame | None = None
    references: Mapping[str, str] = field(default_factory=dict)

    @property
    def asked(self) -> Mapping[str, int]:
        """Latents that the runs' studies ask for, by control; empty where no manifest tells."""
        settings = [(one.get("protocol") or {}).get("controls") or {} for one in self.manifests]
        names = ("shuffled", "empty", "planted")
        return {name: max((int(one.get(f"n_{name}") or 0) for one in settings), default=0) for name in names}

    @property
    def calls_per_latent(self) -> float:
        """LLM calls per latent asked about, with cached replies and controls; 0 where manifests lack it."""
        usage = [manifest.get("usage") or {} for manifest in self.manifests]
        stages = [one.get(stage) or {} for one in usage for stage in ("explain", "judge")]
        calls = sum(int(stage.get(name) or 0) for stage in stages for name in ("calls", "cached_calls"))
        asked = self.latents["sampled"] & (self.latents["status"].astype("str") != "sampled")
        return calls / max(1, int(asked.sum()))


def read_tables(path: Path | str, *, questions: bool = False, judged: bool = True) -> RunTables:
    """Read one run directory; text columns come as categories, so that millions of rows stay small.

    Args:
        path: the run directory.
        questions: read the question ids as well, which are many (needed for what answers in one prompt share).
        judged: False for a run that has not judged anything yet: its judgements are then empty.

    Raises:
        RunDirectoryError: not a run directory, or a table is missing.
        TableError: a table lacks columns.
    """
    run = store.open_run(path)
    return RunTables(
        names=(run.path.name,),
        judgements=read_judgements(run, questions=questions)
        if judged
        else pd.DataFrame(columns=list(tables.JUDGEMENTS)),
        latents=run.table("latents", tables.LATENTS),
        dictionaries=run.table("dictionaries", tables.DICTIONARIES),
        reconstruction=run.table("reconstruction", tables.RECONSTRUCTION) if run.has("reconstruction") else None,
        documents=run.table("reconstruction_documents", tables.RECONSTRUCTION_DOCUMENTS)
        if run.has("reconstruction_documents")
        else None,
        manifests=(run.manifest,),
        explanations=run.read("explanations", ["dictionary", "text"]) if run.has("explanations") else None,
    )


def read_judgements(run: store.Run, *, questions: bool = False) -> pd.DataFrame:
    """Read the columns of a judgements table that statistics need, text as categories.

    Raises:
        RunDirectoryError: the file is missing, was changed, or is not parquet.
        TableError: columns are missing or of another type.
    """
    path = run.verified("judgements.parquet")
    text = [name for name, kind in tables.JUDGEMENTS.items() if kind == "str"]
    try:
        file = pq.ParquetFile(path, read_dictionary=text)
        there = file.schema_arrow.names
        missing = [column for column in tables.JUDGEMENTS if column not in there]
        if missing:
            raise TableError(f"{path}: columns missing: {', '.join(missing)}; it has: {', '.join(there)}")
        wanted = [column for column in tables.JUDGEMENTS if column not in UNREAD]
        if not questions and not _chooses(file):
            wanted.remove("question_id")
        # Column by column: the whole table at once takes twice the memory on the way, and four times as long.
        with ThreadPoolExecutor(READERS) as pool:
            columns = dict(zip(wanted, pool.map(lambda name: _column(path, name), wanted), strict=True))
    except TableError:
        raise
    except integrity.UNREADABLE as error:
        raise integrity.read_parquet_error(path, error) from error
    found = pd.DataFrame(columns, copy=False)
    tables.check(found, {name: tables.JUDGEMENTS[name] for name in columns}, "judgements")
    return found


def _column(path: Path, name: str) -> pd.Series:
    table = pq.ParquetFile(path, read_dictionary=[name]).read(columns=[name], use_threads=False)
    return table.to_pandas(strings_to_categorical=True)[name]


def _chooses(file: pq.ParquetFile) -> bool:
    """Return whether a scorer may show a context in several questions."""
    return "intruder" in file.read(columns=["scorer"])["scorer"].unique().to_pylist()


def check_splits(path: Path | str) -> None:
    """Reject a run  in which a document was both shown to an explainer and judged, for the same latent.

    Raises:
        TableError: a document is in both splits; the message names the first.
    """
    run = store.open_run(path)
    if not run.has("examples"):
        return
    frame = run.read("examples", columns=[*tables.KEY, "split", "document_id"]).drop_duplicates()
    sides = {split: part.drop(columns="split") for split, part in frame.groupby("split", observed=True)}
    if {"explain", "held_out"} <= set(sides):
        both = sides["explain"].merge(sides["held_out"])
        if len(both):
            row = both.iloc[0]
            raise TableError(
                f"{path}: {len(both)} documents are in both splits, first document {row['document_id']} of "
                f"{row['dictionary']} latent {row['latent']}; its scores are of examples the explainer saw"
            )


def refuse_empty(run: RunTables, path: Path | str) -> None:
    """Reject a run  that judged nothing.

    Raises:
        TableError: it has no judgements.
    """
    if run.judgements.empty:
        raise TableError(f"{path} has no judgements: nothing was scored; finish it with `autointerp score`")


def differences(manifests: Sequence[dict[str, Any]]) -> list[str]:
    """Name the settings in which runs differ that must agree for their scores to be compared."""
    found: list[str] = []
    first = manifests[0]
    for other in manifests[1:]:
        for key, detail in COMPARABLE.items():
            if first.get(key) == other.get(key):
                continue
            found += changed(first.get(detail) or {}, other.get(detail) or {}) or [
                f"{UNTOLD[key]}, {key} {str(first.get(key))[:8]} against {str(other.get(key))[:8]}"
            ]
    return list(dict.fromkeys(found))


def changed(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Name the settings that differ, with both values."""
    return [
        f"{name}: {one.get(name)!r} against {other.get(name)!r}"
        for name in sorted({*one, *other})
        if one.get(name) != other.get(name)
    ]


def same_judge(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Return whether one judge, with the same prompts, answered both runs: its answers must agree."""
    judges = [((manifest.get("llms") or {}).get("judge"), manifest.get("prompts")) for manifest in (one, other)]
    hashes = [manifest.get("protocol_hash") for manifest in (one, other)]  # a run under way has none yet
    return judges[0] == judges[1] and (hashes[0] == hashes[1] or None in hashes)


def _references(manifests: Sequence[dict[str, Any]], labels: Sequence[str]) -> dict[str, str]:
    """Map each run's planted latents to those of the first run that the same judge answered."""
    found = {}
    for place, manifest in enumerate(manifests):
        first = next(i for i in range(place + 1) if same_judge(manifests[i], manifest))
        if first < place:
            found[f"{labels[place]}:{PLANTED}"] = f"{labels[first]}:{PLANTED}"
    return found


def read_runs(paths: Sequence[Path | str], *, allow: bool = False) -> RunTables:
    """Read several runs into one set of tables; dictionaries of one name get their run's name as a prefix.

    Args:
        paths: run directories.
        allow: put runs of different protocols or context pools side by side all the same; the result names them.

    Raises:
        TableError: the runs have different protocols or context pools, or leak between splits.
    """
    for path in paths:
        check_splits(path)
    runs = [read_tables(path) for path in paths]
    for path, run in zip(paths, runs, strict=True):
        refuse_empty(run, path)
    apart = differences([run.manifests[0] for run in runs])
    if apart and not allow:
        raise TableError(
            f"the runs differ in {'; '.join(apart)}: their scores are not comparable (a change of protocol alone has "
            "moved real scores by .05 to .06); run both under one protocol, or say --allow to compare all the same"
        )
    if len(runs) == 1:
        return runs[0]
    names = [name for run in runs for name in run.dictionaries["dictionary"]]
    clash = {name for name in names if names.count(name) > 1}
    labels = [run.names[0] for run in runs]
    labels = [name if labels.count(name) == 1 else f"{name}#{place}" for place, name in enumerate(labels, 1)]
    renamed = [_renamed(run, clash, label) for run, label in zip(runs, labels, strict=True)]
    measured = [run.reconstruction for run in renamed if run.reconstruction is not None]
    documents = [run.documents for run in renamed if run.documents is not None]
    texts = [run.explanations for run in renamed if run.explanations is not None]
    return RunTables(
        names=tuple(labels),
        judgements=_together([run.judgements for run in renamed]),
        latents=pd.concat([run.latents for run in renamed], ignore_index=True),
        dictionaries=pd.concat([run.dictionaries for run in renamed], ignore_index=True),
        reconstruction=pd.concat(measured, ignore_index=True) if measured else None,
        documents=pd.concat(documents, ignore_index=True) if documents else None,
        manifests=tuple(run.manifests[0] for run in runs),
        allowed=tuple(apart),
        origins=_origins(runs, clash, labels),
        explanations=pd.concat(texts, ignore_index=True) if texts else None,
        references=_references([run.manifests[0] for run in runs], labels),
    )


def _origins(runs: Sequence[RunTables], clash: set[str], labels: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Map each dictionary's new name to its run and its name there."""
    return {
        f"{label}:{name}" if name in clash else name: (label, name)
        for run, label in zip(runs, labels, strict=True)
        for name in map(str, run.dictionaries["dictionary"])
    }


def _together(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Stack judgements; categories, which differ between runs, are unified first, so that text stays coded."""
    coded = [name for name in parts[0] if all(part[name].dtype == "category" for part in parts if name in part)]
    alike = {
        name: pd.CategoricalDtype(list(dict.fromkeys(v for part in parts for v in part[name].cat.categories)))
        for name in coded
        if all(name in part for part in parts)
    }
    return pd.concat([part.astype(alike) for part in parts], ignore_index=True)


def _renamed(run: RunTables, clash: set[str], label: str) -> RunTables:
    """Put the run's name in front of dictionaries that another run also has, and of its planted latents."""
    names = {name: f"{label}:{name}" for name in clash | {PLANTED}}

    def rename(table: pd.DataFrame) -> pd.DataFrame:
        column = table["dictionary"]
        if isinstance(column.dtype, pd.CategoricalDtype):
            return table.assign(dictionary=column.cat.rename_categories(names))
        return table.assign(dictionary=column.astype("str").replace(names))

    return RunTables(
        names=run.names,
        judgements=rename(run.judgements),
        latents=rename(run.latents),
        dictionaries=rename(run.dictionaries),
        reconstruction=None if run.reconstruction is None else rename(run.reconstruction),
        documents=None if run.documents is None else rename(run.documents),
        manifests=run.manifests,
        explanations=None if run.explanations is None else rename(run.explanations),
    )
