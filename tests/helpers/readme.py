"""README.md's table of results, written from the reference run: `python -m tests.helpers.readme`."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
REFERENCE = ROOT / "results" / "reference" / "embedded"
BEGIN, END = "<!-- results: results/reference/embedded -->", "<!-- end of results -->"


def block() -> str:
    """The tables and caveats of the reference run, as README.md must quote them."""
    from autointerp.report import markdown
    from autointerp.report.run import ReportRun

    return markdown.block_of(ReportRun(REFERENCE))


def quoted(text: str) -> str:
    """What stands between the marks in README.md."""
    return text.partition(BEGIN)[2].partition(END)[0].strip()


def blocks(text: str) -> list[tuple[str, str, str]]:
    """Fenced blocks as (language, content, what the HTML comment before it says of it, or nothing)."""
    found = re.findall(r"(?:<!-- ([^\n]*) -->\n)?```(\w+)\n(.*?)```", text, flags=re.DOTALL)
    return [(language, content, remark) for remark, language, content in found]


def main() -> None:
    """Replace the block in README.md."""
    text = README.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(f"{before}{BEGIN}\n{block().strip()}\n{END}{after}", encoding="utf-8")
    print(f"{README}: {'unchanged' if README.read_text(encoding='utf-8') == text else 'brought up to date'}")


if __name__ == "__main__":
    main()
