"""A local server for a folder of runs: an index with live progress, and each run's report. Read only."""

import errno
import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import jinja2

from autointerp.errors import AutointerpError, RunDirectoryError
from autointerp.run import store

# The stages of a run in order, and the page at the end.
STAGES = ("qualify", "collect", "reconstruct", "select", "describe", "explain", "judge", "estimate", "report")
# Runs lie at most so deep below the folder.
DEPTH = 3
# What is served of a run besides its report: everything else (replies, tokens) stays where it is.
ENDINGS = {".html", ".js", ".png", ".svg", ".css"}
LOCAL = {"127.0.0.1", "localhost", "[::1]"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One run of the index. `state` is finished, running or stopped; `stage` the one it is in or stopped at."""

    name: str
    place: str
    state: str
    stage: str
    done: int
    n_stages: int
    replies: int
    result: str
    created: str
    page: str


def entries(folder: Path) -> list[Entry]:
    """List the runs in a folder, newest first; a damaged run is listed with what is wrong."""
    found = [_entry(path, folder) for path in _runs(folder, DEPTH)]
    return sorted(found, key=lambda one: one.created, reverse=True)


def _runs(folder: Path, depth: int) -> Iterator[Path]:
    if (folder / "manifest.json").is_file() or (folder / "study.yaml").is_file():
        yield folder
    elif depth and folder.is_dir():
        for path in sorted(folder.iterdir()):
            if path.is_dir() and not path.name.startswith("."):
                yield from _runs(path, depth - 1)


def _entry(path: Path, folder: Path) -> Entry:
    run, place = store.Run(path), path.relative_to(folder).as_posix()
    try:
        manifest, markers = run.manifest, run.stages()
    except (AutointerpError, OSError) as error:
        manifest, markers, broken = {}, {}, str(error)
    else:
        broken = ""
    there = (path / "report.html").is_file()
    done = [name for name in STAGES[:-1] if name in markers] + (["report"] if there and "estimate" in markers else [])
    finished = len(done) == len(STAGES) or ("tables" in manifest and bool(manifest))
    running = not finished and _is_held(path / ".lock")
    left = [name for name in STAGES if name not in done]
    return Entry(
        name=str(manifest.get("name") or path.name),
        place=place,
        state="finished" if finished else "running" if running else "stopped",
        stage=left[0] if left else "",
        done=len(done),
        n_stages=len(STAGES),
        replies=0 if finished else _replies(path / "responses.sqlite"),
        result=broken or _result(run),
        created=str(manifest.get("created", ""))[:19].replace("T", " "),
        page=quote(f"{place}/report.html" if place != "." else "report.html") if there else "",
    )


def _is_held(lock: Path) -> bool:
    """Return whether a process holds the lock of a run directory."""
    try:
        with lock.open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES}
    return False


def _replies(path: Path) -> int:
    """Count the stored replies of a run that is not finished; 0 where the store cannot be read."""
    if not path.is_file():
        return 0
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=0.2)) as database:
            return int(database.execute("select count(*) from responses").fetchone()[0])
    except sqlite3.Error:
        return 0


def _result(run: store.Run) -> str:
    """Return the controls' verdict and the verdicts of a finished run, counted."""
    try:
        summary = store.read_json(run / "summary.json")
    except (RunDirectoryError, OSError):
        return ""
    counts: dict[str, int] = {}
    for row in summary.get("headlines", []):
        counts[str(row.get("verdict"))] = counts.get(str(row.get("verdict")), 0) + 1
    said = [f"controls {summary.get('controls', {}).get('verdict', 'not checked')}"]
    return ", ".join([*said, *(f"{n} {verdict.replace('_', ' ')}" for verdict, n in counts.items())])


def index(folder: Path) -> str:
    """Write the index as HTML."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    text = files("autointerp.report").joinpath("_page", "index.html.j2").read_text(encoding="utf-8")
    return environment.from_string(text).render(folder=str(folder), runs=entries(folder))


def server(folder: Path, port: int) -> ThreadingHTTPServer:
    """Make the server, on the loopback only; port 0 takes a free one.

    Raises:
        RunDirectoryError: no such folder, or the port is taken.
    """
    if not folder.is_dir():
        raise RunDirectoryError(f"{folder}: no such folder")
    root = folder.resolve()

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(root))

        def log_message(self, format: str, *arguments: Any) -> None:
            """Print nothing."""

        def do_GET(self) -> None:
            """Serve the index or a file of a report."""
            if self.headers.get("Host", "").rpartition(":")[0] not in LOCAL:
                return self.send_error(403, "only on this machine")
            name = unquote(urlsplit(self.path).path).lstrip("/")
            if not name:
                return self._send(index(root))
            path = (root / name).resolve()
            if not path.is_relative_to(root) or path.suffix not in ENDINGS or not path.is_file():
                return self.send_error(404)
            return super().do_GET() if self.command == "GET" else super().do_HEAD()

        def do_HEAD(self) -> None:
            """Answer as GET does, without the body."""
            self.do_GET()

        def _send(self, text: str) -> None:
            data = text.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

    try:
        return ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        raise RunDirectoryError(f"port {port} cannot be used ({error.strerror}); choose another --port") from error
