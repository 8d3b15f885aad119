"""A Hugging Face dataset folder: each table a configuration, and a card; `datasets.load_dataset(folder, table)`."""

import shutil
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from autointerp._version import __version__
from autointerp.report import findings, writers
from autointerp.report import tables as tables_
from autointerp.report.escaping import markdown
from autointerp.report.exports.base import Export
from autointerp.report.run import ReportRun
from autointerp.run import tables, yaml_files
from autointerp.run.store import write_atomically
from autointerp.statistics import validity

ORDER = (
    "estimates comparisons latents explanations judgements examples questions reconstruction dictionaries logits "
    "histograms neighbours contexts scores curves controls reconstruction_comparisons"
).split()
ALONGSIDE = ("manifest.json", "summary.json", "study.yaml")


class Config(BaseModel):
    """Settings of the card beyond the run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    license: str = Field("other", description="licence of the corpus text that the tables quote")
    title: str = Field("", description="title of the card; default: the study's name")


def write(run: ReportRun, out: Path, config: Config) -> Export:
    """Write `data/<table>.parquet`, the card `README.md`, and the run's manifest, summary and study."""
    (out / "data").mkdir(parents=True, exist_ok=True)
    there = [name for name in ORDER if run.files.has(name)]
    files = []
    for name in there:
        shutil.copyfile(run.files.verified(f"{name}.parquet"), out / "data" / f"{name}.parquet")
        files.append(str(out / "data" / f"{name}.parquet"))
    for name in ALONGSIDE:
        if run.files.includes(name):
            shutil.copyfile(run.files.verified(name), out / name)
            files.append(str(out / name))
    text = card(run, there, config)
    write_atomically(out / "README.md", lambda partial: partial.write_text(text, encoding="utf-8"))
    return Export(
        files=[*files, str(out / "README.md")],
        counts={"tables": len(there)},
        notes=findings.warnings(findings.findings_of(run)),
    )


def card(run: ReportRun, names: list[str], config: Config) -> str:
    """Write the dataset card: headline, warnings, scores, comparisons, and the columns of the tables."""
    front = {
        "license": config.license,
        "pretty_name": config.title or run.name,
        "tags": ["interpretability", "sparse-autoencoders"],
        "configs": [
            {"config_name": name, "data_files": f"data/{name}.parquet", **({"default": True} if at == 0 else {})}
            for at, name in enumerate(names)
        ],
    }
    found = findings.findings_of(run)
    shown = [tables_.scores(found), tables_.comparisons(found, tables_.NARROW, tests=True)]
    parts = [
        f"---\n{yaml_files.dump(front)}---\n",
        f"# {markdown(config.title or run.name)}\n",
        f"{markdown(findings.headline(found))}\n",
        *(f"**{markdown(line)}**\n" for line in findings.warnings(found)),
        f"Measured with autointerp {__version__}; every score can be computed again from `judgements` and `latents`. "
        f"Controls: {validity.in_words(found.control_status)}. Protocol `{run.manifest.get('protocol_hash', '')}`; "
        "compare only with runs of the same protocol.\n",
        *(f"## {markdown(table.title)}\n\n{writers.markdown(table)}" for table in shown if table),
        *(f"* {markdown(line)}" for line in findings.not_compared(found)),
        "\n## Tables\n",
    ]
    for name in names:
        columns: dict[str, str] = getattr(tables, name.upper(), {})
        parts.append(f"### {name}\n\n" + ", ".join(f"`{column}`" for column in columns) + "\n")
    return "\n".join(parts)
