"""A proxy between client and server that counts for itself what passes: an independent check of a run's own report.

    with Proxy(server.url) as proxy:
        proxy.url                  # what the client is given
        proxy.passed               # one Passed per POST, in the order of the replies

It reads HTTP by the standard library's parser and knows nothing of the client's or the server's code.
"""

import asyncio
import hashlib
import http.client
import io
import json
import threading
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Passed:
    """One POST: what was asked (hash of its body), and the tokens of the answer that came back; None for no answer."""

    asked: str
    tokens_in: int | None
    tokens_out: int | None

    @property
    def answered(self) -> bool:
        """Whether a whole answer was sent back: it was paid for."""
        return self.tokens_in is not None


class Proxy:
    """Passes everything on, bytes as they are; a context manager."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port_behind, self._path = parts.hostname, parts.port, parts.path
        self.passed: list[Passed] = []
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()

    @property
    def url(self) -> str:
        """What the client is given."""
        return f"http://127.0.0.1:{self._port}{self._path}"

    def __enter__(self) -> "Proxy":
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(10), "proxy did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        listening = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024))
        self._port = listening.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        listening.close()
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, to_behind = await asyncio.open_connection(self._host, self._port_behind)
        try:
            while True:
                head, body = await _message(reader)
                to_behind.write(head + body)
                try:
                    said, answer = await _message(behind)
                except (asyncio.IncompleteReadError, ConnectionError):  # the server dropped it
                    self._count(head, body, b"", b"")
                    return
                self._count(head, body, said, answer)
                writer.write(said + answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            to_behind.close()

    def _count(self, head: bytes, body: bytes, said: bytes, answer: bytes) -> None:
        if not head.startswith(b"POST"):
            return
        used = _usage(answer) if b" 200 " in said[:20] else {}
        self.passed.append(
            Passed(hashlib.sha256(body).hexdigest(), used.get("prompt_tokens"), used.get("completion_tokens"))
        )


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Head and body of one request or response."""
    head = await reader.readuntil(b"\r\n\r\n")
    fields = http.client.parse_headers(io.BytesIO(head.split(b"\r\n", 1)[1]))
    return head, await reader.readexactly(int(fields.get("content-length", "0")))


def _usage(answer: bytes) -> dict[str, Any]:
    """The tokens that an answer tells of; nothing where it is none."""
    try:
        value = json.loads(answer)
    except ValueError:
        return {}
    return value.get("usage", {}) if value.get("choices") else {}
