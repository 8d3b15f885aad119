"""A run's numbers as Markdown: the tables of a README, every value with its interval."""

from collections.abc import Mapping, Sequence
from typing import Any

from autointerp.report.run import ReportRun
from autointerp.statistics import validity

POPULATIONS = {"eligible": "eligible latents", "iti": "all latents (ITI)"}
METRICS = {"fvu": "FVU", "ce_increase": "CE increase (nats)"}
PATTERN = "Explained and judged by `pattern`, a literal-pattern baseline: baseline scores, not a language model's."


def escape(text: object) -> str:
    """Keep text from acting as Markdown or HTML, and on one line.

    >>> print(escape("a|b <script> *c*"))
    a\\|b \\<script\\> \\*c\\*
    """
    return "".join(f"\\{char}" if char in "\\`*_{}[]<>#|!" else " " if char in "\n\r" else char for char in str(text))


def number(row: Mapping[Any, Any] | None, digits: int = 3) -> str:
    """Write a value with its interval; a dash where there is none.

    >>> number({"value": 0.5, "low": 0.25, "high": 0.75})
    '.500 [.250, .750]'
    """
    if row is None or row["value"] != row["value"]:
        return "–"
    value, low, high = (_short(float(row[name]), digits) for name in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _short(value: float, digits: int) -> str:
    text = f"{abs(value):.{digits}f}"
    return ("−" if value < 0 and float(text) else "") + (text[1:] if text.startswith("0.") else text)


def signed(value: float, digits: int = 3) -> str:
    """Write a difference with its sign: +.012, −.004."""
    short = _short(value, digits)
    return short if short.startswith("−") else f"+{short}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Set cells that are already Markdown as a pipe table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def dictionaries_of(run: ReportRun) -> str:
    """Make one row per dictionary: its scores by scorer and population, and what it reconstructs."""
    estimates, measured = run.estimates, run.reconstruction
    metrics = {name: label for name, label in METRICS.items() if name in set(measured["metric"])}
    scorers = run.scorers if len(estimates) else []
    shown = [validity.marked(scorer, run.summary.get("controls", {})) for scorer in scorers]
    head = ["", *(f"{scorer}, {words}" for scorer in shown for words in POPULATIONS.values()), *metrics.values()]
    rows = []
    for name in run.dictionaries["dictionary"]:
        cells = [f"**{escape(name)}**"]
        for scorer in scorers:
            mine = estimates[(estimates["dictionary"] == name) & (estimates["scorer"] == scorer)]
            means = mine[mine["statistic"] == "score"].set_index("population").to_dict("index")
            cells += [number(means.get(population)) for population in POPULATIONS]
        mine = measured[measured["dictionary"] == name].set_index("metric").to_dict("index")
        rows.append(cells + [number(mine.get(metric)) for metric in metrics])
    return table(head, rows)


def comparisons_of(run: ReportRun) -> str:
    """Make one row per headline comparison: difference, interval, verdict."""
    rows = [
        [
            f"{escape(line['b'] or second)} against {escape(line['a'] or first)}", escape(line["scorer"]),
            f"{signed(line['diff'])} [{signed(line['ci95_lo'])}, {signed(line['ci95_hi'])}]",
            str(line["verdict"]).replace("_", " "),
        ]
        for line in run.summary.get("headlines", [])
        for second, _, first in [str(line["contrast"]).partition(" - ")]
    ]  # fmt: skip
    return table(["comparison", "scorer", "difference [95 %]", "verdict"], rows) if rows else ""


def caveats_of(run: ReportRun) -> str:
    """Say what a reader must know before the numbers: the judge, the latents, the controls."""
    judges = run.manifest.get("llms", {})
    uses = {str(role.get("use")) for role in judges.values()} if isinstance(judges, Mapping) else set()
    n = int(run.latents["sampled"].sum())
    status = validity.in_words(run.summary.get("controls", {}))
    words = (
        f"{n:,} latents of {len(run.dictionaries)} dictionaries; 95 % intervals over latents (FVU and CE: over "
        f"documents); controls: {status}."
    )
    return f"{words} {PATTERN}" if "pattern" in uses else words


def block_of(run: ReportRun) -> str:
    """Make the block that a README quotes: both tables and the caveats."""
    return "\n".join(part for part in (dictionaries_of(run), comparisons_of(run), caveats_of(run)) if part)


def page_of(run: ReportRun) -> str:
    """Make the README.md of a reference run."""
    manifest = run.manifest
    commit = manifest.get("git", {}).get("commit", "")
    lines = [
        f"# {escape(run.name)}\n",
        f"A reference run of autointerp {manifest.get('autointerp', '')}, made {str(manifest.get('created', ''))[:10]}"
        + (f" at commit {str(commit)[:12]}" if commit else "")
        + ". Example windows, prompts and replies are left out; all scores follow from `judgements.parquet`.\n",
        block_of(run),
        "\n    autointerp score study.yaml --out results/again        # measures it again"
        "\n    autointerp export results/again --to reference --out .  # writes this folder"
        "\n    autointerp figures . --out figs                         # draws its figures",
    ]
    return "\n".join(lines) + "\n"
