"""`report.html`: one self-contained page of a run. No network, no template of the user's text, nothing but the file.

Corpus text, explanations and replies travel as gzip in base64 and are set as `textContent`; a content security policy
allows only the page's own scripts, by their hash, and forbids every request.
"""

import base64
import hashlib
import json
import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from autointerp._version import __version__
from autointerp.report import findings
from autointerp.report._facts import facts
from autointerp.report._payload import Payload, payload
from autointerp.report.drawing import page_figures
from autointerp.report.plain import plain
from autointerp.report.run import ReportRun
from autointerp.report.words import GLOSSARY
from autointerp.run.store import write_atomically

# A page that would be larger leaves out the prompts of controls; if that is not enough, its latents go into a folder.
LIMIT_BYTES = 15_000_000
FOLDER = "report_data"
SCRIPTS = ("core.js", "latent.js", "browser.js")
SECTIONS = [
    ("verdicts", "Results"),
    ("coverage", "Coverage"),
    ("controls", "Controls"),
    ("figures", "Figures"),
    ("latents", "Latents"),
    ("protocol", "Protocol and cost"),
    ("glossary", "Glossary"),
]


def write_report(run: ReportRun | Path | str, out: Path | None = None) -> Path:
    """Write the page of a run, `report.html` in the run directory unless `out` names another file.

    A run too large for one file of 15 MB gets a folder `report_data` next to the page; move both together.

    Raises:
        RunDirectoryError: the run lacks a table that a report needs.
    """
    run = run if isinstance(run, ReportRun) else ReportRun(run)
    out = run.path / "report.html" if out is None else out
    figures = page_figures(run)
    drawn = sum(len(panel) for figure in figures for panel in figure["panels"])
    data = payload(run, LIMIT_BYTES - drawn - 200_000)
    folder = out.with_name(FOLDER)
    if data.paged:
        _write_folder(folder, data.chunks)
    elif folder.exists():
        shutil.rmtree(folder)
    text = render(run, data, figures)
    write_atomically(out, lambda partial: partial.write_text(text, encoding="utf-8", newline="\n"))
    return out


def _write_folder(folder: Path, chunks: list[str]) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir()
    for number, text in enumerate(chunks):
        (folder / f"{number}.js").write_text(f'autointerpChunk({number},"{text}");\n', encoding="ascii")


def _asset(name: str) -> str:
    return files("autointerp.report").joinpath("_page", name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def policy(scripts: list[str], *, paged: bool) -> str:
    """Write the content security policy: these scripts alone, and with a data folder the scripts in it."""
    allowed = " ".join([_hash(script) for script in scripts] + (["file:", "'self'"] if paged else []))
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "connect-src 'none'; base-uri 'none'; form-action 'none'"
    )


def render(run: ReportRun, data: Payload, figures: list[dict[str, Any]]) -> str:
    """Fill the template."""
    script = '(() => {\n"use strict";\n' + "\n".join(_asset(name) for name in SCRIPTS) + "})();\n"
    blobs = [("index", data.index)]
    if not data.paged:
        blobs += [(f"chunk-{number}", text) for number, text in enumerate(data.chunks)]
    found = findings.findings_of(run)
    judged = " and ".join(findings.judges(found.manifests)) or "an unnamed judge"
    meta = {
        "shared": data.shared,
        "folder": FOLDER,
        "trivial": 0.9,
        "glossary": GLOSSARY,
        "run": run.name,
        "version": __version__,
        "protocol": str(run.manifest.get("protocol_hash", ""))[:12],
        "year": str(run.manifest.get("created", ""))[:4],
        "judged": " ".join([f"Judged by {judged}.", *findings.warnings(found)]),
    }
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_asset),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    note = f"Its latents are in the folder {FOLDER} next to it." if data.paged else ""
    if data.left_out:
        counts = " and ".join(f"{n:,} {name}" for name, n in data.left_out.items())
        note = f"For size this page leaves out {counts}; `autointerp show` prints them."
    shown = [{**figure, "panels": [Markup(panel) for panel in figure["panels"]]} for figure in figures]
    return environment.get_template("page.html.j2").render(
        **facts(run),
        version=__version__,
        css=Markup(_asset("page.css")),
        script=Markup(script),
        policy=policy([script], paged=data.paged),
        meta=Markup(_json(meta)),
        figures=shown,
        blobs=[(name, Markup(text)) for name, text in blobs],
        data_note=note,
        sections=[section for section in SECTIONS if section[0] != "figures" or shown],
    )


def _json(value: object) -> str:
    """Write JSON that may stand inside a script element."""
    text = json.dumps(plain(value), ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
