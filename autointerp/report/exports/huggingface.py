"""A Hugging Face dataset folder: each table a configuration, and a card; `datasets.load_dataset(folder, table)`."""

import shutil
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field

from autointerp._version import __version__
from autointerp.report.exports.base import Export
from autointerp.report.run import ReportRun
from autointerp.run import tables
from autointerp.run.store import write_atomically
from autointerp.statistics import validity

ORDER = [
    "estimates", "comparisons", "latents", "explanations", "judgements", "examples", "questions", "reconstruction",
    "dictionaries", "logits", "histograms",
]  # fmt: skip
ALONGSIDE = ("manifest.json", "summary.json", "study.yaml")


class Config(BaseModel):
    """What the card says beyond the run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    license: str = Field("other", description="licence of the corpus text that the tables quote")
    title: str = Field("", description="title of the card; default: the study's name")


def write(run: ReportRun, out: Path, config: Config) -> Export:
    """Write `data/<table>.parquet`, the card `README.md`, and the run's manifest, summary and study beside them."""
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
    return Export(files=[*files, str(out / "README.md")], counts={"tables": len(there)})


def card(run: ReportRun, names: list[str], config: Config) -> str:
    """Write the dataset card: what was measured, the verdicts in the words their tests allow, the tables' columns."""
    front = {
        "license": config.license,
        "pretty_name": config.title or run.name,
        "tags": ["interpretability", "sparse-autoencoders"],
        "configs": [
            {"config_name": name, "data_files": f"data/{name}.parquet", **({"default": True} if at == 0 else {})}
            for at, name in enumerate(names)
        ],
    }
    verdicts = [f"* {_plain(str(row['words']))}" for row in run.summary.get("headlines", [])]
    status = run.summary.get("controls", {})
    parts = [
        f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---\n",
        f"# {_plain(config.title or run.name)}\n",
        f"How interpretable the latents of {len(run.dictionaries)} dictionaries are, measured with autointerp "
        f"{__version__}. "
        "Every score can be computed again from `judgements` and `latents`.\n",
        f"Controls: {validity.in_words(status)}. Protocol `{run.manifest.get('protocol_hash', '')}`; "
        "compare only with "
        "runs of the same protocol.\n",
        "## Verdicts\n",
        "\n".join(verdicts) or "Nothing was compared.",
        "\n## Tables\n",
    ]
    for name in names:
        columns: dict[str, str] = getattr(tables, name.upper(), {})
        parts.append(f"### {name}\n\n" + ", ".join(f"`{column}`" for column in columns) + "\n")
    return "\n".join(parts)


def _plain(text: str) -> str:
    """Keep text from acting as Markdown or HTML."""
    return "".join(f"\\{char}" if char in "\\`*_{}[]<>#|!" else " " if char in "\n\r" else char for char in text)
