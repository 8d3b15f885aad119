"""Figures and tables for print: vector files with embedded fonts, the same bytes for the same run, captions and CSV."""

import io
import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pandas as pd

from autointerp import plugins
from autointerp.errors import StudyError
from autointerp.report import escaping, findings, svg, tables, writers
from autointerp.report.figures.base import SCREEN, STYLES, FigureModule, Style
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
        "text.parse_math": False,
    }


def picture(module: FigureModule, table: pd.DataFrame, style: Style, form: str, mark: str = "") -> bytes:
    """Draw one figure in one format, under `mark` if there is one; equal tables give equal bytes."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    screen = style is SCREEN
    with mpl.rc_context({**settings(style), **({"svg.fonttype": "none"} if screen else {})}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # a name in another script
        size = (style.width(module.SIZE), module.height(table) * style.scale)
        figure = Figure(figsize=size, layout="constrained")
        figure.set_label("screen" if screen else "print")
        if mark:
            figure.suptitle(
                "\n".join(textwrap.wrap(mark, int(size[0] * 130 / style.font))),
                color="#B00020",
                weight="bold",
                fontsize=style.font,
            )
        buffer = io.BytesIO()
        if screen:  # straight to the SVG canvas: `savefig` lays everything out twice
            figure.patch.set_alpha(0)
            canvas = FigureCanvasSVG(figure)
            module.draw(table, figure)
            for axis in figure.axes:
                axis.patch.set_alpha(0)
            canvas.print_svg(buffer, metadata=METADATA[form])
        else:
            FigureCanvasAgg(figure)
            module.draw(table, figure)
            figure.savefig(buffer, format=form, metadata=METADATA[form])
    return buffer.getvalue()


def write_figures(
    run: ReportRun | Path | str,
    out: Path,
    *,
    formats: Sequence[str] = FORMATS,
    style: str = "paper",
    names: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Write every figure of a run with its caption (`.txt`) and data (`.csv`), and the tables as LaTeX and CSV.

    Returns:
        `written`: the files; `skipped`: the figures that the run has no data for, with the reason.

    Raises:
        StudyError: an unknown format, style or figure.
    """
    for form in formats:
        if form not in FORMATS:
            raise StudyError(f"--format {form!r} is unknown; use {', '.join(FORMATS)}")
    if style not in STYLES:
        raise StudyError(f"--style {style!r} is unknown; use {', '.join(STYLES)}")
    run = run if isinstance(run, ReportRun) else ReportRun(run)
    written: list[str] = []
    skipped: dict[str, str] = {}

    def keep(name: str, content: str | bytes) -> None:
        content = content.encode() if isinstance(content, str) else content
        write_atomically(out / name, lambda partial: partial.write_bytes(content))
        written.append(str(out / name))

    found = findings.findings_of(run)
    notes, mark = findings.warnings(found), validity.warning(found.control_status)
    for name, module in members(names).items():
        table = module.data(run)
        if table.empty:
            article = module.NEEDS.startswith(("a ", "at "))
            skipped[name] = f"needs {module.NEEDS}" if article else f"the run has no {module.NEEDS}"
            continue
        for form in formats:
            keep(f"{name}.{form}", picture(module, table, STYLES[style], form, mark))
        keep(f"{name}.txt", caption(module, table, notes) + "\n")
        keep(f"{name}.csv", escaping.csv(table, float_format="%.6g"))
    if names is None:
        for shown in tables.all_tables(found):
            keep(f"table_{shown.name}.tex", writers.latex(shown))
            keep(f"table_{shown.name}.csv", writers.csv(shown))
    return {"run": str(run.path), "style": style, "written": written, "skipped": skipped}


def caption(module: FigureModule, table: pd.DataFrame, notes: Sequence[str]) -> str:
    """Return a figure's caption, after the warnings that must stand with every number of the run."""
    return " ".join([*(note if note.endswith(".") else f"{note}." for note in notes), module.caption(table)])


def page_figures(run: ReportRun) -> list[dict[str, Any]]:
    """Collect the figures of the page: name, title, caption, and one inline SVG per panel."""
    order = ["scores", "layers", "pareto", "controls", "estimands", "deciles", "rates", "calibration", "gate", "ladder"]
    modules, notes, shown = members(), findings.warnings(findings.findings_of(run)), []
    for name in [*order, *(name for name in modules if name not in order)]:
        module = modules[name]
        table = module.data(run)
        if table.empty:
            continue
        shared = table[module.PANEL].isna() | (table[module.PANEL] == "")
        panels = [
            svg.inline(picture(module, table[shared | (table[module.PANEL] == value)], SCREEN, "svg"))
            for value in dict.fromkeys(table.loc[~shared, module.PANEL])
        ]
        words = caption(module, table, notes)
        shown.append({"name": name, "title": module.TITLE, "caption": words, "size": module.SIZE, "panels": panels})
    return shown
