"""Plain HTTP/1.1 to one server over connections that stay open: what carries the calls to a server of one's own.

From the outside in: `openai` decides what to ask and what to do about trouble; `_chat` writes the JSON that is sent and
reads the JSON that comes; `_http` says what an HTTP response means (a reply, a reason to try again, the end); this file
and `_session` carry the bytes. `_pump` runs all of it, many calls at once, behind a plain iterator.

Nothing is sent twice in here. A connection that the server closed while idle is not used; should it close in the very
moment of a request, nobody can know whether that was read: it is a `DroppedError`, which `openai` repeats and counts as
a call, as a proxy between the two would.

Replies are parsed by httptools (llhttp, the parser of Node.js and uvicorn). A call takes far less CPU time than one by
aiohttp (`python -m tests.benchmarks.llm_client` measures both); TLS and proxies are left to aiohttp (`_session`), since
servers behind them are far slower than any client.
"""

import asyncio
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import httptools

# Bytes of a reply beyond which it is no reply; the largest seen, with log-probabilities, have some 100 kB.
MOST_BYTES = 64 << 20
# Bytes in which the headers of a reply must end.
MOST_HEAD = 1 << 20
# Seconds after which an unused connection is not trusted: gateways forget idle ones without a word.
IDLE_S = 30.0
CONNECT_TIMEOUT_S = 10.0
# How often calls are looked through for those out of time, in seconds.
LOOK_S = 0.25


@dataclass(slots=True)
class Answer:
    """One HTTP response; names of headers in lower case."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class DroppedError(Exception):
    """The connection broke, or what came on it is no HTTP."""


class UnreachableError(Exception):
    """No connection could be made; the message says why."""


def reason(error: OSError) -> str:
    """Say in words of the system why a connection failed."""
    if error.errno and error.errno > 0:
        return os.strerror(error.errno).lower()
    return error.strerror or str(error) or type(error).__name__


class Connection(asyncio.Protocol):
    """One connection, one call at a time. Anything that comes unasked closes it: it would answer the next question."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.used_at = 0.0
        self.looks_left = 0
        self._waiter: asyncio.Future[Answer] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._answer = Answer()
        self._parts: list[bytes] = []
        self._size = self._received = 0

    @property
    def usable(self) -> bool:
        """Whether another call may go over it."""
        return self.transport is not None and not self.transport.is_closing()

    def ask(self, raw: bytes, looks: int) -> asyncio.Future[Answer]:
        """Send one request; its response comes before `Wire` has looked at it that often, or an error does."""
        assert self.transport is not None
        assert self._waiter is None, "a connection carries one call at a time"
        self._answer, self._received = Answer(), 0
        self._waiter = waiter = asyncio.get_running_loop().create_future()
        self.looks_left = looks
        self.transport.write(raw)
        return waiter

    def fail(self, error: Exception) -> None:
        """End the call, if one is on, and the connection."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
        self.drop()

    def drop(self) -> None:
        """Close the connection."""
        if self.transport is not None:
            self.transport.abort()

    # -- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.fail(DroppedError("the server changes to another protocol, unasked"))
        except httptools.HttpParserError as error:
            self.fail(DroppedError(f"what came is no HTTP ({error})"))
        if self._received > MOST_HEAD and not self._answer.status and self._waiter is not None:
            self.fail(DroppedError(f"headers of more than {MOST_HEAD >> 20} MiB"))
        elif self._received > 2 * MOST_BYTES:  # pieces of a byte, or headers behind the body, without end
            self.fail(DroppedError(f"a reply of more than {2 * MOST_BYTES >> 20} MiB"))

    def eof_received(self) -> None:
        """A reply without a stated length ends with the connection."""
        if self._answer.status >= 200 and not {"content-length", "transfer-encoding"} & set(self._answer.headers):
            self._finish()

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever waits learns of it."""
        self.fail(DroppedError(str(exc or "the server closed the connection before its reply was whole")))

    # -- the parser's side

    def on_message_begin(self) -> None:
        """Start afresh; what nobody waits for is not read."""
        self._answer, self._parts, self._size = Answer(), [], 0
        if self._waiter is None and self.transport is not None:
            self.transport.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; those behind the body (trailers) say nothing about the reply."""
        if self._answer.status:
            return
        self._answer.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Keep the status."""
        self._answer.status = self._parser.get_status_code()
        if self._answer.status < 100:
            self.fail(DroppedError(f"what came is no HTTP (status {self._answer.status})"))

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body."""
        self._size += len(body)
        if self._size > MOST_BYTES:
            self.fail(DroppedError(f"a reply of more than {MOST_BYTES >> 20} MiB"))
        else:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        """Hand the response over; an interim one (100 Continue) is none."""
        if self._answer.status >= 200:
            self._finish()

    def _finish(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is None or waiter.done() or not self._parser.should_keep_alive():
            assert self.transport is not None
            self.transport.close()
        if waiter is not None and not waiter.done():
            self._answer.body = b"".join(self._parts)
            waiter.set_result(self._answer)


class Wire:
    """Connections to one `http://` address, as many as calls are under way; made when needed, then kept."""

    def __init__(self, host: str, port: int, headers: dict[str, str], *, timeout_s: float) -> None:
        self._host, self._port = host, port
        self._look_s = min(LOOK_S, timeout_s / 4)
        self._looks = math.ceil(timeout_s / self._look_s) + 1
        address = f"[{host}]" if ":" in host else host.encode("idna").decode()
        lines = [f"Host: {address}:{port}", *(f"{name}: {value}" for name, value in headers.items())]
        self._head = ("\r\n".join(lines) + "\r\nContent-Length: ").encode("latin-1")
        self._loop = asyncio.get_running_loop()
        self._free: list[Connection] = []
        self._busy: set[Connection] = set()
        self._sweeper = self._loop.create_task(self._sweep())

    async def send(self, method: str, path: str, body: bytes) -> tuple[Answer, Callable[[], None]]:
        """Send one request; return its response, and what to call should it be none (it closes the connection).

        Raises:
            TimeoutError: no whole response in time.
            DroppedError: the connection broke on the way.
            UnreachableError: no connection could be made.
        """
        connection = await self._connection()
        raw = b"%s %s HTTP/1.1\r\n%s%d\r\n\r\n%s" % (method.encode(), path.encode(), self._head, len(body), body)
        self._busy.add(connection)
        try:
            answer = await connection.ask(raw, self._looks)
        except asyncio.CancelledError:
            connection.fail(DroppedError("called off"))
            raise
        finally:
            self._busy.discard(connection)
        if connection.usable:
            connection.used_at = self._loop.time()
            self._free.append(connection)
        return answer, connection.drop

    async def close(self) -> None:
        """Close all connections."""
        self._sweeper.cancel()
        for connection in (*self._free, *self._busy):
            connection.fail(DroppedError("closed"))
        self._free.clear()

    async def _connection(self) -> Connection:
        while self._free:
            connection = self._free.pop()
            if connection.usable and self._loop.time() - connection.used_at < IDLE_S:
                return connection
            connection.drop()
        made = self._loop.create_connection(Connection, self._host, self._port)
        try:
            _, connection = await asyncio.wait_for(made, CONNECT_TIMEOUT_S)
        except TimeoutError as error:
            raise UnreachableError(f"no connection within {CONNECT_TIMEOUT_S:.0f} s") from error
        except OSError as error:
            raise UnreachableError(reason(error)) from error
        if not connection.usable:
            raise UnreachableError("the server closes connections at once")
        return connection

    async def _sweep(self) -> None:
        """One task looks after all calls in time: a timer for each costs as much as the call.

        Looks are counted, not seconds: while the loop stands still, nobody could have read what came.
        """
        while True:
            await asyncio.sleep(self._look_s)
            for connection in tuple(self._busy):
                connection.looks_left -= 1
                if connection.looks_left < 0:
                    connection.fail(TimeoutError("no whole reply in time"))
