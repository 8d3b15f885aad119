"""A hub of one's own on the loopback: enough of Hugging Face's HTTP interface to run its client's real code."""

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import huggingface_hub.constants as constants
import pytest


@dataclass(kw_only=True)
class Hub:
    """Repositories by name: their commits by revision, and each commit's folder on disk.

    `refuses` maps a repository to (status, error code) that every request for it gets. `fetched` are the paths of files
    whose content was sent; `asked` every request.
    """

    revisions: dict[str, dict[str, str]] = field(default_factory=dict)
    folders: dict[str, Path] = field(default_factory=dict)
    refuses: dict[str, tuple[int, str]] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def publish(self, repo: str, folder: Path, commit: str, *revisions: str) -> str:
        """Put a folder on the hub as a commit that these branches or tags point to; returns the whole commit."""
        commit = commit * (40 // len(commit))
        self.folders[commit] = folder
        self.revisions.setdefault(repo, {}).update(dict.fromkeys((*revisions, commit), commit))
        return commit


def handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = self.path.split("?")[0].strip("/")
            hub.asked.append(f"{self.command} {path}")
            parts = path.removeprefix("api/models/").split("/")
            repo, rest = "/".join(parts[:2]), parts[2:]
            if repo in hub.refuses:
                status, code = hub.refuses[repo]
                return self.answer(status, b"{}", X_Error_Code=code)
            if repo not in hub.revisions:
                return self.answer(404, b"{}", X_Error_Code="RepoNotFound")
            if path.startswith("api/") and rest[:1] == ["tree"]:
                return self.tree(repo, unquote(rest[1]), "/".join(rest[2:]))
            if path.startswith("api/"):
                return self.info(repo, unquote("/".join(rest[1:])) or "main")
            return self.file(repo, unquote(rest[1]), unquote("/".join(rest[2:])))

        def info(self, repo: str, revision: str) -> None:
            commit = hub.revisions[repo].get(revision)
            if commit is None:
                return self.answer(404, b"{}", X_Error_Code="RevisionNotFound")
            folder = hub.folders[commit]
            names = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file()]
            about = {"id": repo, "modelId": repo, "sha": commit, "siblings": [{"rfilename": name} for name in names]}
            return self.answer(200, json.dumps(about).encode(), Content_Type="application/json")

        def tree(self, repo: str, revision: str, below: str) -> None:
            folder = hub.folders.get(hub.revisions[repo].get(revision, ""), Path("/nowhere")) / below
            if not folder.is_dir():
                return self.answer(404, b"{}", X_Error_Code="EntryNotFound")
            found = [
                {"type": "file", "path": path.name, "size": path.stat().st_size, "oid": "0" * 40}
                for path in sorted(folder.iterdir())
                if path.is_file()
            ]
            return self.answer(200, json.dumps(found).encode(), Content_Type="application/json")

        def file(self, repo: str, revision: str, name: str) -> None:
            commit = hub.revisions[repo].get(revision, "")
            path = hub.folders.get(commit, Path("/nowhere")) / name
            if not path.is_file():
                return self.answer(404, X_Error_Code="EntryNotFound")
            body = path.read_bytes()
            if self.command == "GET":
                hub.fetched.append(name)
            tag = hashlib.sha256(body).hexdigest()
            return self.answer(200, body, ETag=f'"{tag}"', X_Repo_Commit=commit)

    return Handler


@contextlib.contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """Serve the hub for the time of a block."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler(hub)) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        hub.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()


def pointed(monkeypatch: pytest.MonkeyPatch, url: str, cache: Path) -> None:
    """Let this process's hub client talk to `url`, with a cache of its own: what HF_ENDPOINT does at its import."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}", raising=False
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
