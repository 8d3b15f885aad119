"""Escape text of a run (corpus, replies, names) for each output: terminal, LaTeX, Markdown, CSV."""

import unicodedata

import pandas as pd

# Terminal control characters and marks that reorder text are shown as signs, never sent.
SIGNS = {"\n": "↵", "\r": "␍", "\t": "→", "\u2028": "␤", "\u2029": "␤", "\u007f": "␡", "\ufeff": "␣"}
BIDI = {*map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A)), "\u200e", "\u200f", "\u061c"}
LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
}  # fmt: skip
# Spreadsheets run a cell that starts with one of these as a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def visible(text: str) -> str:
    """Replace control, reordering and unpaired surrogate characters by visible signs.

    >>> visible("a\\x1b[31mb\\n")
    'a␛[31mb↵'
    """
    return "".join(SIGNS.get(char) or _sign(char) for char in text)


def _sign(char: str) -> str:
    if ord(char) < 32:
        return chr(0x2400 + ord(char))
    if char in BIDI:
        return "⇄"
    return "·" if unicodedata.category(char) in ("Cc", "Cs") else char


def visible_lines(text: str) -> str:
    """As `visible`, but line ends stay line ends."""
    return "\n".join(visible(line) for line in text.split("\n"))


def latex(text: object) -> str:
    """Escape text so that LaTeX prints it and runs none of it.

    >>> print(latex("50% of \\\\input{x}_1"))
    50\\% of \\textbackslash{}input\\{x\\}\\_1
    """
    return "".join(LATEX.get(char, char) for char in str(text) if char.isprintable())


def markdown(text: object) -> str:
    """Escape text so that it is neither Markdown nor HTML and stays on one line.

    >>> print(markdown("a|b <script> *c*"))
    a\\|b \\<script\\> \\*c\\*
    """
    return "".join(f"\\{char}" if char in "\\`*_{}[]<>#|!" else visible(char) for char in str(text).replace("\n", " "))


def csv_cell(value: object) -> object:
    """Put an apostrophe before text that a spreadsheet would run as a formula; other values pass unchanged.

    >>> csv_cell("=HYPERLINK(1)"), csv_cell(-0.5)
    ("'=HYPERLINK(1)", -0.5)
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def csv(table: pd.DataFrame, float_format: str | None = None) -> str:
    """Write a table as CSV with text cells that no spreadsheet evaluates."""
    text = {
        name: column.map(csv_cell)
        for name, column in table.items()
        if not pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    }
    named = table.assign(**{str(name): column for name, column in text.items()})
    named.columns = [str(csv_cell(name)) for name in named.columns]
    return named.to_csv(index=False, float_format=float_format, lineterminator="\n")
