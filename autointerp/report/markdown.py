"""A run's numbers as Markdown: the block of a README, and the README of a reference run."""

from autointerp.report import findings, tables, writers
from autointerp.report.escaping import markdown as escape
from autointerp.report.run import ReportRun
from autointerp.statistics import validity


def block_of(run: ReportRun) -> str:
    """Make the block that a README quotes: scores, reconstruction, comparisons, and the controls' verdict."""
    found = findings.findings_of(run)
    compared = tables.comparisons(found, ("eligible",), secondary=False)
    shown = [tables.scores(found), tables.reconstruction(found, ("fvu", "ce_increase")), compared]
    parts = [f"{escape(table.title)}\n\n{writers.markdown(table)}" for table in shown if table]
    sampled = int(run.latents["sampled"].sum())
    closing = (
        f"{sampled:,} latents of {len(found.names)} dictionaries; controls: {validity.in_words(found.control_status)}."
    )
    return "\n".join([*parts, " ".join([closing, *findings.warnings(found)])])


def page_of(run: ReportRun) -> str:
    """Make the README.md of a reference run."""
    manifest = run.manifest
    commit = manifest.get("git", {}).get("commit", "")
    lines = [
        f"# {escape(run.name)}\n",
        f"A reference run of autointerp {manifest.get('autointerp', '')}, {str(manifest.get('created', ''))[:10]}"
        + (f", commit {str(commit)[:12]}" if commit else "")
        + ". It holds no example windows, prompts or replies; all scores follow from `judgements.parquet`.\n",
        block_of(run),
        "\n    autointerp score study.yaml --out results/again        # measure it again"
        "\n    autointerp export results/again --to reference --out .  # write this folder"
        "\n    autointerp figures . --out figs                         # draw its figures",
    ]
    return "\n".join(lines) + "\n"
