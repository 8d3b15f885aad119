"""Writes the reference of the project's own gate: a fixed text, a study of it, and a baseline run.

    python -m tests.helpers.gate_reference             the baseline again, after a change that moves numbers
    python -m tests.helpers.gate_reference --text      the text too: docstrings of this package, README and CONTRIBUTING

Run it from the repository root; `.ci/run` scores the same study and gates it against the baseline.
"""

import argparse
import gzip
import json
import shutil
import tempfile
from pathlib import Path

from autointerp.__main__ import main
from autointerp.corpus import docstrings

FOLDER = Path("results/reference/ci")
TEXT = FOLDER / "text.jsonl.gz"
STUDY = FOLDER / "study.yaml"
BASELINE = FOLDER / "baseline"
PAGES = ("README.md", "CONTRIBUTING.md")


def write_text() -> None:
    """Freeze the text, byte for byte the same from the same sources."""
    found = [one.text for one in docstrings.documents(docstrings.Config(packages=("autointerp",)))]
    found += [Path(name).read_text(encoding="utf-8") for name in PAGES]
    lines = "".join(json.dumps({"text": text}) + "\n" for text in found)
    TEXT.write_bytes(gzip.compress(lines.encode(), 9, mtime=0))


def write_baseline() -> int:
    """Score the study from nothing and keep the small copy that a gate needs."""
    with tempfile.TemporaryDirectory() as folder:
        run = str(Path(folder) / "run")
        code = main(["score", str(STUDY), "--out", run])
        if code == 0:
            shutil.rmtree(BASELINE, ignore_errors=True)
            code = main(["export", run, "--to", "reference", "--out", str(BASELINE)])
    return code


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--text", action="store_true", help="freeze the text again")
    if parser.parse_args().text:
        write_text()
    raise SystemExit(write_baseline())
