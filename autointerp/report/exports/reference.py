"""A reference run: a small copy of a run directory that can be committed, redrawn, compared with and gated against.

It keeps what scores, comparisons, controls and figures follow from, and leaves out what only a reader of single latents
needs: example windows, prompts, raw replies, logits, histograms, stored activations and responses. `figures`, `report`,
`compare`, `latents` and `gate --baseline` read it as any run.
"""

import shutil
from pathlib import Path

import pandas as pd
from pydantic import BaseModel, ConfigDict

from autointerp.errors import StudyError
from autointerp.report import markdown
from autointerp.report.exports.base import Export
from autointerp.report.run import ReportRun
from autointerp.run import integrity, tables
from autointerp.run.files import write_atomically
from autointerp.run.manifest import write_manifest

KEPT = (
    "dictionaries latents explanations judgements reconstruction estimates comparisons controls gate "
    "reconstruction_documents reconstruction_comparisons scores curves"
).split()
ALONGSIDE = ("manifest.json", "summary.json", "study.yaml")
# Read by no figure and no statistic of a finished run, but large.
EMPTIED = {"explanations": ["raw"]}


class Config(BaseModel):
    """A reference run has no settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def write(run: ReportRun, out: Path, config: Config) -> Export:
    """Write the reference's tables, the run's manifest, summary and study, and a README.md with its tables of numbers.

    Raises:
        StudyError: the folder is the run itself.
    """
    if out.resolve() == run.path.resolve():
        raise StudyError(f"--out {out} is the run itself; a reference run is a copy: name another folder")
    files, counts, left = [], {}, {}
    for name in KEPT:
        if run.files.has(name):
            table = _small(run.files.read(name), name)
            _write(table, out / f"{name}.parquet")
            files.append(str(out / f"{name}.parquet"))
            counts[f"rows of {name}"] = len(table)
        elif (out / f"{name}.parquet").is_file():
            (out / f"{name}.parquet").unlink()  # of an earlier export
    for name in ("examples", "questions", "logits"):
        if run.files.has(name):
            left[f"rows of {name}"] = len(run.files.read(name, columns=[tables.KEY[0]]))
    for name in ALONGSIDE:
        if run.files.includes(name):
            shutil.copyfile(run.files.verified(name), out / name)
            files.append(str(out / name))
    if run.manifest:
        _list_tables(run, out)
    text = markdown.page_of(run)
    write_atomically(out / "README.md", lambda partial: partial.write_text(text, encoding="utf-8"))
    return Export(files=[*files, str(out / "README.md")], counts=counts, left_out=left)


def _list_tables(run: ReportRun, out: Path) -> None:
    """Write the manifest with the export's list of tables instead of the stages' lists."""
    there = [name for name in (*(f"{name}.parquet" for name in KEPT), "summary.json") if (out / name).is_file()]
    stages = {
        stage: {key: value for key, value in marker.items() if key not in ("inputs", "outputs")}
        for stage, marker in run.manifest.get("stages", {}).items()
    }
    records = {name: integrity.record_of(out / name) for name in there}
    write_manifest(out, {**run.manifest, "stages": stages, "tables": records})


def _small(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Drop columns beyond the table's own, empty what nobody reads, and number the questions."""
    columns: dict[str, str] | None = getattr(tables, name.upper(), None)
    table = table if columns is None else table[[column for column in table.columns if column in columns]]
    table = table.assign(**dict.fromkeys(EMPTIED.get(name, []), ""))
    if "question_id" in table:
        table = table.assign(question_id=pd.factorize(table["question_id"])[0].astype(str))
    return table


def _write(table: pd.DataFrame, path: Path) -> None:
    write_atomically(
        path, lambda partial: table.to_parquet(partial, index=False, compression="zstd", compression_level=19)
    )
