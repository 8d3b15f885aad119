"""Figures and tables for print: vector files with embedded fonts, the same bytes for the same run, captions and CSV."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pandas as pd

from autointerp import plugins
from autointerp.errors import StudyError
from autointerp.report import latex
from autointerp.report.figures.base import STYLES, FigureModule, Style
from autointerp.report.run import ReportRun
from autointerp.run.store import write_atomically
from autointerp.statistics import validity

FORMATS = ("pdf", "svg", "png")
FAMILY = "report.figures"
# Metadata that would make two files of the same figure differ.
METADATA: dict[str, dict[str, Any]] = {
    "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
}


def members(names: Sequence[str] | None = None) -> dict[str, FigureModule]:
    """Load the figures of these names, or all.

    Raises:
        StudyError: a name is unknown.
    """
    wanted = plugins.names(FAMILY) if names is None else list(names)
    return {name: cast("FigureModule", plugins.load(FAMILY, name)) for name in wanted}


def settings(style: Style) -> Any:
    """Matplotlib's settings for a medium; the font ships with matplotlib, so that every machine draws the same."""
    scale = style.scale
    return {
        "font.family": "DejaVu Sans",
        "font.size": style.font,
        "axes.titlesize": style.font,
        "axes.labelsize": style.font,
        "legend.fontsize": style.font * 0.93,
        "xtick.labelsize": style.font * 0.93,
        "ytick.labelsize": style.font * 0.93,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.6 * scale,
        "xtick.major.width": 0.6 * scale,
        "ytick.major.width": 0.6 * scale,
        "lines.linewidth": 1.0 * scale,
        "pdf.fonttype": 42,
        "ps.fonttype": 42,
        "svg.hashsalt": "autointerp",
        "svg.fonttype": "path",
        "savefig.dpi": 300,
        "figure.dpi": 100,
        "path.simplify": False,
        "axes.unicode_minus": True,
    }


def warning(run: ReportRun) -> str:
    """Return what every figure and table of this run must carry: a text if a control failed, else nothing."""
    return validity.warning(run.summary.get("controls", {}))


def picture(module: FigureModule, table: pd.DataFrame, style: Style, form: str, mark: str = "") -> bytes:
    """Draw one figure in one format, under `mark` if there is one; equal tables give equal bytes."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(settings(style)):
        size = (style.width(module.SIZE), module.height(table) * style.scale)
        figure = Figure(figsize=size, layout="constrained")
        if mark:
            figure.suptitle(mark, color="#B00020", weight="bold", fontsize=style.font)
        FigureCanvasAgg(figure)
        module.draw(table, figure)
        buffer = io.BytesIO()
        figure.savefig(buffer, format=form, metadata=METADATA[form])
    return buffer.getvalue()


def write_figures(
    run: ReportRun | Path | str, out: Path, *, formats: Sequence[str] = FORMATS, style: str = "paper",
    names: Sequence[str] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Write every figure of a run with its caption (`.txt`) and data (`.csv`), and the LaTeX tables.

    Returns:
        `written`: the files; `skipped`: the figures that the run has no data for, with the reason.

    Raises:
        StudyError: an unknown format, style or figure.
    """
    for form in formats:
        if form not in FORMATS:
            raise StudyError(f"--format {form!r} is unknown; there are: {', '.join(FORMATS)}")
    if style not in STYLES:
        raise StudyError(f"--style {style!r} is unknown; there are: {', '.join(STYLES)}")
    run = run if isinstance(run, ReportRun) else ReportRun(run)
    written: list[str] = []
    skipped: dict[str, str] = {}

    def keep(name: str, content: bytes) -> None:
        write_atomically(out / name, lambda partial: partial.write_bytes(content))
        written.append(str(out / name))

    mark = warning(run)
    for name, module in members(names).items():
        table = module.data(run)
        if table.empty:
            skipped[name] = (
                f"the run has no {module.NEEDS}"
                if not module.NEEDS.startswith(("a ", "at "))
                else f"needs {module.NEEDS}"
            )
            continue
        for form in formats:
            keep(f"{name}.{form}", picture(module, table, STYLES[style], form, mark))
        keep(f"{name}.txt", (f"{mark}. " * bool(mark) + module.caption(table) + "\n").encode())
        keep(f"{name}.csv", table.to_csv(index=False, float_format="%.6g", lineterminator="\n").encode())
    if names is None:
        for name, text in latex.tables_of(run, mark).items():
            keep(f"{name}.tex", text.encode())
    return {"run": str(run.path), "style": style, "written": written, "skipped": skipped}


def page_figures(run: ReportRun) -> dict[str, Any]:
    """Collect the figures of the page: what stands around each (`shown`), and its Plotly figure (`specs`)."""
    order = ["scores", "layers", "pareto", "controls", "estimands", "deciles", "rates", "calibration", "gate", "ladder"]
    modules = members()
    shown, specs = [], {}
    for name in [*order, *(name for name in modules if name not in order)]:
        module = modules[name]
        table = module.data(run)
        if table.empty:
            continue
        shown.append({"name": name, "title": module.TITLE, "caption": module.caption(table), "size": module.SIZE})
        specs[name] = json.loads(json.dumps(module.interactive(table), default=float, allow_nan=False))
    return {"shown": shown, "specs": specs}
