"""Read results of other tools: scores as one table, and settings as a study.

    autointerp convert results/NAME --csv scores.csv --study study.yaml     a folder of EleutherAI's delphi
    autointerp convert eval_results/autointerp --csv scores.csv             SAEBench's result files
    autointerp convert explanations/8-res-jb --csv explanations.csv         Neuronpedia's exports

Prints each dictionary's mean score with a 95 % interval over its latents, and what the scores are.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from autointerp.report.imports.base import Imported
    from autointerp.report.tables import Cell

FAMILY = "report.imports"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("folder", type=Path, help="folder of the other tool's results")
    parser.add_argument("--format", default="auto", help="delphi, saebench or neuronpedia (default: looks)")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write one row per latent and scorer")
    parser.add_argument("--study", type=Path, metavar="FILE", help="write a study with the same settings (delphi)")


def run(args: argparse.Namespace) -> int:
    """Read, print, write."""
    from autointerp.cli import _tables
    from autointerp.console import note
    from autointerp.errors import StudyError
    from autointerp.report import escaping

    found = _read(args.folder, args.format)
    _tables.show(_tables.grid("mean score", ("dictionary", "scorer", "latents", "mean"), means(found.table)))
    for line in found.notes:
        note(line)
    for reason, n in found.left_out.items():
        note(f"left out: {n:,} {reason}")
    if args.csv:
        args.csv.write_text(escaping.csv(found.table), encoding="utf-8")
        note(f"wrote {args.csv}: {len(found.table):,} rows")
    if args.study:
        if not found.study:
            raise StudyError(f"{args.folder} does not hold the settings of a run; `autointerp init` writes a study")
        _write_study(found, args.study)
    return 0


def means(table: "pd.DataFrame") -> "list[tuple[Cell, ...]]":
    """Return dictionary, scorer, scored latents and their mean score with a t interval over latents."""
    import math

    from scipy import stats

    from autointerp.report.tables import Number

    rows: list[tuple[Cell, ...]] = []
    for (dictionary, scorer), part in table.groupby(["dictionary", "scorer"], sort=False):
        whole = part.loc[part["latent"] < 0, "score"].dropna()
        scores = part.loc[part["latent"] >= 0, "score"].dropna()
        value = float(whole.iloc[0]) if len(whole) else float(scores.mean()) if len(scores) else math.nan
        half = math.nan
        if len(scores) > 1:
            half = float(stats.t.ppf(0.975, len(scores) - 1)) * float(scores.std(ddof=1)) / math.sqrt(len(scores))
        rows.append(
            (str(dictionary), str(scorer) or "-", len(scores), Number(value=value, low=value - half, high=value + half))
        )
    return rows


def _read(folder: Path, name: str) -> "Imported":
    from autointerp import plugins
    from autointerp.errors import StudyError

    if not folder.exists():
        raise StudyError(f"{folder}: no such folder")
    members = plugins.names(FAMILY)
    if name != "auto":
        return plugins.load(FAMILY, name).read(folder)
    for member in members:
        if plugins.load(FAMILY, member).recognises(folder):
            return plugins.load(FAMILY, member).read(folder)
    raise StudyError(f"{folder}: results of no known tool; known: {', '.join(members)}")


def _write_study(found: "Imported", path: Path) -> None:
    """Write the study after a check, so that a wrong setting is reported here and not by `score`."""
    from autointerp.console import note
    from autointerp.errors import StudyError
    from autointerp.experiment.study import validate_study
    from autointerp.run import yaml_files

    validate_study(found.study, source=str(path))
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(yaml_files.dump(found.study))
    except OSError as error:
        raise StudyError(f"{path} cannot be written: {error.strerror}") from error
    note(f"wrote {path}; cost: autointerp score {path} --dry-run")
