"""A qualification in words: a table of plain lines, and one line that says why a run stops."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from autointerp.qualification import keep
from autointerp.qualification.base import Qualification, QualityRow

COLUMNS = {
    "informedness": "sens+spec-1",
    "low": "low",
    "high": "high",
    "sensitivity": "sens",
    "specificity": "spec",
    "auroc": "AUROC",
    "calibration_error": "calib.",
    "yes_share": "yes",
    "constant_lists": "const.",
    "position_effect": "pos.",
    "unreadable": "unread.",
}


def lines(found: Qualification) -> Iterator[str]:
    """Yield the verdicts, the table of quality and what asking took."""
    yield summary(found)
    if found.rows:
        yield from table(found.rows)
    if found.explanations:
        n = len(found.explanations)
        copies = sum(bool(row["copies_example"]) for row in found.explanations)
        failed = sum(row["status"] != "ok" for row in found.explanations)
        yield f"explanations of {n} rules: {failed} failed, {copies} copy an example of the prompt"
    for role, usage in found.usage.items():
        yield f"{role}: {spent(usage)}"
    yield from found.causes
    yield from (f"what to do: {one}" for one in found.advice)


def summary(found: Qualification) -> str:
    """Describe a qualification in one line: both verdicts and the judge's quality per scorer."""
    quality = [
        f"{row.scorer} {_number(row.informedness)}" for row in found.rows if (row.words, row.grade) == ("true", "all")
    ]
    measured = f" (sensitivity + specificity - 1: {', '.join(quality)})" if quality else ""
    form = f", form {found.form}" if found.form else ""
    return f"qualify: judge {found.judge}{measured}, explainer {found.explainer}{form}"


def of_run(run: Path) -> list[str]:
    """Return the summary of a run directory's qualification, as its file holds it; nothing where there is none."""
    try:
        return [summary(keep.parsed((run / keep.FILE).read_text(encoding="utf-8")))]
    except (OSError, ValueError):
        return []


def table(rows: Sequence[QualityRow]) -> Iterator[str]:
    """Yield a table: one line per scorer, source of explanations, and grade."""
    heads = ["scorer", "explanations", "grade", "rules", "n", *COLUMNS.values()]
    cells = [heads]
    for row in rows:
        values = [_number(getattr(row, name)) for name in COLUMNS]
        cells.append([row.scorer, row.words, row.grade, str(row.n_rules), str(row.n), *values])
    widths = [max(len(line[i]) for line in cells) for i in range(len(heads))]
    for line in cells:
        parts = [
            cell.ljust(w) if i < 3 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        ]
        yield "  ".join(parts).rstrip()


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def spent(usage: object) -> str:
    """Say what was asked of a role, and how fast it answered."""
    assert isinstance(usage, dict)
    seconds = max(float(usage["seconds"]), 1e-3)
    parts = [f"{usage['calls']:,} calls in {seconds:.1f} s"]
    if tokens := usage["tokens_in"] + usage["tokens_out"]:
        parts.append(f"{tokens:,} tokens ({tokens / seconds:,.0f}/s, {usage['tokens_cached']:,} cached)")
    if usage["usd"]:
        parts.append(f"${usage['usd']:.4f}")
    if usage["cached_calls"]:
        parts.append(f"{usage['cached_calls']:,} from the store")
    return ", ".join(parts)


def refusal(found: Qualification) -> str:
    """Say in one line why the run stops and what to do."""
    return (
        f"not qualified, no latent was paid for: {' | '.join(found.causes)}. What to do: {'; or '.join(found.advice)}"
    )
