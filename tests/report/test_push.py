"""`export --push` against a hub and a Neuronpedia on the loopback."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub.constants as constants
import pytest

from autointerp.__main__ import main
from tests.helpers.runs import RunSpec, write_run


class Receiver(ThreadingHTTPServer):
    """Takes what both services take; `refuses` is the status of every upload batch, if any."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.batches: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        self.files: dict[str, bytes] = {}
        self.created: list[dict[str, Any]] = []
        self.refuses = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Receiver  # pyright: ignore[reportIncompatibleVariableOverride]

    def log_message(self, format: str, *args: object) -> None:
        pass

    def answer(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.answer(200, {"id": "org/run", "sha": "0" * 40, "siblings": []})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        server, path = self.server, self.path.split("?")[0]
        if path.endswith("/upload-batch"):
            if server.refuses:
                return self.answer(server.refuses, {"message": "unknown model"})
            server.keys.add(self.headers["x-api-key"])
            server.batches.append(json.loads(body))
            return self.answer(200, {})
        if path.endswith("/repos/create"):
            server.created.append(json.loads(body))
            return self.answer(200, {"url": f"{server.url}/datasets/org/run"})
        if path.endswith("/preupload/main"):
            files = [
                {"path": one["path"], "uploadMode": "regular", "shouldIgnore": False}
                for one in json.loads(body)["files"]
            ]
            return self.answer(200, {"files": files})
        if path.endswith("/validate-yaml"):
            return self.answer(200, {"errors": [], "warnings": []})
        for line in body.splitlines():
            entry = json.loads(line)
            if entry["key"] == "file":
                server.files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
        url = f"{server.url}/datasets/org/run/commit/{'0' * 40}"
        return self.answer(200, {"commitUrl": url, "commitOid": "0" * 40, "success": True})


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "pushed", RunSpec(n_latents=40, n_sampled=8))


def test_neuronpedia_gets_every_batch_with_the_key(
    run: Path, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["export", str(run), "--to", "neuronpedia", "--out", str(tmp_path), "--push", receiver.url]
    monkeypatch.delenv("NEURONPEDIA_API_KEY", raising=False)
    assert main(words) == 2
    assert "NEURONPEDIA_API_KEY" in capsys.readouterr().err
    monkeypatch.setenv("NEURONPEDIA_API_KEY", "secret")
    assert main(words) == 0
    written = [file for file in tmp_path.glob("*.jsonl") if not file.name.endswith(".scores.jsonl")]
    lines = [json.loads(line) for file in written for line in file.read_text(encoding="utf-8").splitlines()]
    assert sorted(map(json.dumps, receiver.batches)) == sorted(map(json.dumps, lines))
    assert receiver.keys == {"secret"}
    receiver.refuses = 422
    assert main(words) == 2
    said = capsys.readouterr().err.replace("\n", " ")
    assert "422 unknown model" in said
    assert "secret" not in said


def test_the_hub_gets_the_folder_as_a_private_dataset(
    run: Path, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", receiver.url)
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    words = ["export", str(run), "--to", "huggingface", "--out", str(tmp_path / "out"), "--push"]
    assert main([*words, "org/run"]) == 0
    (created,) = receiver.created
    assert created["type"] == "dataset"
    assert created.get("private") or created.get("visibility") == "private"  # by version of the client
    for name in ("README.md", "data/judgements.parquet"):
        assert receiver.files[name] == (tmp_path / "out" / name).read_bytes()
    assert b"| dictionary | scorer |" in receiver.files["README.md"]
    assert main([*words, "run"]) == 2
    assert main(["export", str(run), "--to", "saebench", "--out", str(tmp_path / "s"), "--push"]) == 2
