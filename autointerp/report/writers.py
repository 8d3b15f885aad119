"""Write a neutral table for the terminal, Markdown, LaTeX, CSV; `report.html`'s template writes it as HTML."""

from typing import TYPE_CHECKING

import pandas as pd
from markupsafe import Markup

from autointerp.report import escaping
from autointerp.report.tables import Badge, Cell, Number, PValue, Table
from autointerp.report.words import explain

if TYPE_CHECKING:
    from rich.table import Table as RichTable

MINUS = "\N{MINUS SIGN}"


def terminal(table: Table) -> "RichTable":
    """Make a rich table that also reads well in a log; control characters in names are shown as signs."""
    from rich.table import Table as RichTable
    from rich.text import Text

    made = RichTable(
        title=Text(table.title), title_justify="left", box=None, pad_edge=False, header_style="bold", title_style="bold"
    )
    for place, head in enumerate(table.columns):
        badge = place == _badges(table)
        left = place < table.n_names or badge
        made.add_column(head, justify="left" if left else "right", overflow="fold", no_wrap=not left or badge)
    for row in table.rows:
        made.add_row(*(Text(escaping.visible(_plain(cell))) for cell in row))
    return made


def _plain(cell: Cell) -> str:
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


def markdown(table: Table) -> str:
    """Write a pipe table without its notes, which a document states once."""

    def cell(value: Cell) -> str:
        if isinstance(value, Number | PValue):
            return str(value).replace("<", "\\<").replace("-", MINUS) if str(value) != "-" else "\N{EN DASH}"
        return escaping.markdown(_plain(value))

    places = range(len(table.columns))
    aligned = ["---:" if table.n_names <= place < _badges(table) else "---" for place in places]
    lines = [[escaping.markdown(head) for head in table.columns], aligned, *([*map(cell, row)] for row in table.rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def latex(table: Table) -> str:
    """Write a booktabs tabular (needs only the booktabs package), its notes in the last rows."""

    def cell(value: Cell) -> str:
        if isinstance(value, PValue):
            return _math(str(value).replace("<", "$<$"))
        if not isinstance(value, Number):
            return escaping.latex(_plain(value))
        interval = f" {{\\footnotesize {value.interval}}}" if value.interval else ""
        return _math(f"{value.main}{interval}")

    n = len(table.columns)
    lines = [" & ".join(escaping.latex(head) for head in table.columns) + r" \\", r"\midrule"]
    lines += [" & ".join(map(cell, row)) + r" \\" for row in table.rows]
    if table.notes:
        lines += [
            r"\midrule",
            *(f"\\multicolumn{{{n}}}{{l}}{{\\footnotesize {escaping.latex(note)}}} \\\\" for note in table.notes),
        ]
    form = "l" * table.n_names + "r" * (_badges(table) - table.n_names) + "l" * (n - _badges(table))
    title = escaping.latex(table.title.replace("\n", "; "))
    body = "\n".join(lines)
    return f"% {title}\n\\begin{{tabular}}{{{form}}}\n\\toprule\n{body}\n\\bottomrule\n\\end{{tabular}}\n"


def _math(text: str) -> str:
    return "--" if text == "-" else text.replace("-", "$-$")


def html(table: Table) -> Markup:
    """Write a table element in a region that scrolls; words of the glossary carry their explanation."""

    def cell(value: Cell, place: int, row: int) -> Markup:
        if isinstance(value, Number):
            span = Markup(' <span class="ci">{}</span>').format(value.interval.replace("-", MINUS))
            main = value.main.replace("-", MINUS) if value.known else "\N{EN DASH}"
            return Markup('<td class="num">{}{}</td>').format(main, span if value.interval else "")
        if isinstance(value, Badge):
            reason = Markup('<span class="reason">{}</span>').format(value.reason) if value.reason else ""
            word = Markup('<span class="badge {}"{}>{}</span>').format(value.kind, _tip(value.text), value.text)
            return Markup("<td>{}{}</td>").format(word, reason)
        text = escaping.visible(_plain(value))
        if place >= table.n_names:
            return Markup('<td class="num">{}</td>').format("\N{EN DASH}" if text == "-" else text)
        if place:
            return Markup("<td{}>{}</td>").format(_tip(text), text)
        dot = Markup('<span class="dot {}"></span>').format(table.architectures[row]) if table.architectures else ""
        return Markup('<th scope="row"{}>{}{}</th>').format(_tip(text), dot, text)

    head = Markup("").join(
        Markup('<th scope="col"{}{}>{}</th>').format(
            Markup(' class="num"') if table.n_names <= place < _badges(table) else "", _tip(name), name
        )
        for place, name in enumerate(table.columns)
    )
    body = Markup("\n").join(
        Markup("<tr>{}</tr>").format(Markup("").join(cell(value, place, at) for place, value in enumerate(row)))
        for at, row in enumerate(table.rows)
    )
    return Markup(
        '<div class="scroll" tabindex="0" role="region" aria-label="{}"><table><thead><tr>{}</tr></thead>'
        "<tbody>{}</tbody></table></div>"
    ).format(table.title, head, body)


def _badges(table: Table) -> int:
    """Return the index of the column of verdicts, or the number of columns if it has none."""
    last = len(table.columns) - 1
    return last if table.rows and isinstance(table.rows[0][last], Badge) else last + 1


def _tip(term: str) -> Markup:
    """Write a glossary line as the attributes of an element, or nothing."""
    words = explain(term.removeprefix("difference, "))
    return Markup(' data-tip="{}" tabindex="0"').format(words) if words else Markup("")


def csv(table: Table) -> str:
    """Write full values: a number with an interval takes three columns, `x`, `x low`, `x high`."""
    rows = [
        {name: value for head, cell in zip(table.columns, row, strict=True) for name, value in _cells(head, cell)}
        for row in table.rows
    ]
    frame = pd.DataFrame(rows, columns=None if rows else list(table.columns))
    notes = "".join(f"# {escaping.visible(note)}\n" for note in table.notes)
    return notes + escaping.csv(frame)


def _cells(head: str, cell: Cell) -> list[tuple[str, object]]:
    if isinstance(cell, Number):
        bounds = [(f"{head} low", cell.low), (f"{head} high", cell.high)] if cell.interval else []
        return [(head, cell.value), *bounds]
    return [(head, cell.value if isinstance(cell, PValue) else cell if isinstance(cell, int) else str(cell))]
