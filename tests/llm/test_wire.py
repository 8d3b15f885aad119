"""HTTP as servers, gateways and attackers send it: each response is read right or the connection is given up."""

import asyncio
import itertools
import random
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from unittest import mock

import pytest
from pydantic import ValidationError

from autointerp.errors import StudyError
from autointerp.llm import _wire, openai
from autointerp.llm._http import Http
from autointerp.llm._wire import Answer, DroppedError, Wire
from tests.helpers import asking
from tests.helpers.server import Answer as Scripted
from tests.helpers.server import Server

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


class Peer:
    """Sends what it is told, one script per request over all connections; `None` closes, a number waits."""

    def __init__(self, *scripts: list[bytes | float | None]) -> None:
        self.asked: list[bytes] = []
        self.n_connections = 0
        self.n_open = 0
        self._scripts: Iterator[list[bytes | float | None]] = itertools.cycle(scripts)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.n_connections += 1
        self.n_open += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                size = re.search(rb"Content-Length: (\d+)", head)
                await reader.readexactly(int(size[1]) if size else 0)
                self.asked.append(head)
                for step in next(self._scripts):
                    if step is None:
                        return
                    if isinstance(step, bytes):
                        writer.write(step)
                    else:
                        await asyncio.sleep(step)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            self.n_open -= 1
            writer.close()


async def exchange(peer: Peer, n: int, *, pause: float = 0.02, timeout_s: float = 5.0) -> list[Answer | Exception]:
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    wire = Wire("127.0.0.1", server.sockets[0].getsockname()[1], {}, timeout_s=timeout_s)
    came: list[Answer | Exception] = []
    for _ in range(n):
        try:
            came.append((await wire.send("POST", "/v1/x", b"{}"))[0])
        except (DroppedError, TimeoutError) as error:
            came.append(error)
        await asyncio.sleep(pause)
    await wire.close()
    server.close()
    return came


@pytest.mark.parametrize(
    "script",
    [
        [b"HTTP/1.1 100 Continue\r\n\r\n", OK], [b"HTTP/1.1 103 Early Hints\r\nRetry-After: 9\r\n\r\n", 0.02, OK],
        [b"HTTP/1.1 102 Processing\r\n\r\n" * 50 + OK], [b"\r\n" + OK], [OK + b"garbage"], [OK + OK],
        [CHUNKED + b"1;a=b\r\n{\r\n1\r\n}\r\n0\r\nRetry-After: 9\r\n\r\n"],
        [CHUNKED + b"2\r\n{}\r\n0", 0.02, b"\r\n\r\n"],
        [HEAD + b"\r\n{", 0.02, b"}", None], [b"HTTP/1.0 200 OK\r\n\r\n{}", None],
        [b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", None],
        [*(bytes([byte]) for byte in OK)],
    ],
)  # fmt: skip
def test_a_response_is_read_in_every_form_that_http_allows(script: list[bytes | float | None]) -> None:
    for answer in asyncio.run(exchange(Peer(script), 3)):
        assert isinstance(answer, Answer)
        assert (answer.status, answer.body) == (200, b"{}")
        assert "retry-after" not in answer.headers  # of an interim response or a trailer


@pytest.mark.parametrize(
    "script",
    [
        [HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"],
        [HEAD + b"Content-Length: 2\r\nContent-Length: 5\r\n\r\n{}"], [HEAD + b"Content-Length: -2\r\n\r\n{}"],
        [HEAD + b"Content-Length: 9\r\n\r\n{}", None], [CHUNKED + b"9\r\n{}", None], [HEAD + b"Content-", None],
        [b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n"],
        [b"HTTP/1.1 100 Continue\r\n\r\n", None],
        [b"HTTP/1.1 099 Odd\r\nContent-Length: 2\r\n\r\n{}"], [b"\0\0\0\4\0\0\0\0\0"], [None],
        [HEAD + b"X: " + b"a" * (_wire.MOST_HEAD // 2) + b"\r\n"] * 3,
    ],
)  # fmt: skip
def test_what_is_no_whole_response_is_dropped_with_its_connection(
    script: list[bytes | float | None], capfd: pytest.CaptureFixture[str]
) -> None:
    peer = Peer(script)
    came = asyncio.run(exchange(peer, 2))
    assert [type(one) for one in came] == [DroppedError, DroppedError]
    assert peer.n_connections == len(peer.asked) == 2
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_a_body_keeps_the_connection(status: int) -> None:
    peer = Peer([b"HTTP/1.1 %d None\r\nContent-Length: 5\r\n\r\n" % status], [OK])
    first, second = asyncio.run(exchange(peer, 2))
    assert isinstance(first, Answer)
    assert isinstance(second, Answer)
    assert (first.status, first.body, second.status, second.body) == (status, b"", 200, b"{}")
    assert peer.n_connections == 1


@pytest.mark.parametrize(("idle_s", "n_connections"), [(30.0, 1), (0.01, 3)])
def test_a_connection_idle_for_long_is_not_used_again(
    idle_s: float, n_connections: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_wire, "IDLE_S", idle_s)
    peer = Peer([OK])
    assert all(isinstance(one, Answer) for one in asyncio.run(exchange(peer, 3, pause=0.05)))
    assert peer.n_connections == n_connections


def test_a_connection_closed_while_idle_costs_nothing_and_one_closed_at_the_request_is_told() -> None:
    """What was sent and not answered may have been read: it is never sent again unsaid."""
    idle = Peer([OK, None])
    assert all(isinstance(one, Answer) for one in asyncio.run(exchange(idle, 3)))
    assert len(idle.asked) == 3
    stale = Peer([OK], [None])
    assert [type(one) for one in asyncio.run(exchange(stale, 4))] == [Answer, DroppedError] * 2
    assert len(stale.asked) == 4


def test_a_reply_that_drips_is_out_of_time_and_calling_off_closes_the_connection() -> None:
    drip: list[bytes | float | None] = [HEAD + b"Content-Length: 99\r\n\r\n", *([b"a", 0.1] * 40)]
    (came,) = asyncio.run(exchange(Peer(drip), 1, timeout_s=0.4))
    assert isinstance(came, TimeoutError)

    async def call_off() -> list[int]:
        peer = Peer([])
        server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
        wire = Wire("127.0.0.1", server.sockets[0].getsockname()[1], {}, timeout_s=60)
        call = asyncio.ensure_future(wire.send("POST", "/", b"{}"))
        await asyncio.sleep(0.1)
        before = peer.n_open
        call.cancel()
        await asyncio.wait([call])
        await asyncio.sleep(0.1)
        seen = [before, peer.n_open]
        await wire.close()
        server.close()
        return seen

    assert asyncio.run(call_off()) == [1, 0]


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (201, b'{"id": "1"}', "ok"), (204, b"", "bad_response"), (200, b"[" * 200_000, "bad_response"),
        (200, b'{"error": {"message": "x", "code": "%s"}}' % (b"9" * 5000), "server_error"),
        (200, b'{"error": {"message": "x", "code": 429}}', "rate_limited"), (304, b"", "redirected"),
    ],
)  # fmt: skip
def test_odd_statuses_and_bodies_are_outcomes(status: int, body: bytes, kind: str) -> None:
    async def read() -> str:
        http = Http("", "http://127.0.0.1:9", connections=1, timeout_s=1, direct=True)
        outcome = http._read(Answer(status, {"retry-after": "Thu, 1 Jan 99999999999999999999 00:00:00 GMT"}, body))
        await http.close()
        return outcome.kind

    assert asyncio.run(read()) == kind


def test_bytes_broken_at_random_never_end_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every response has bytes changed, cut or doubled: each request ends with a reply or a counted failure."""
    monkeypatch.setattr(openai, "FIRST_WAIT_S", 0.001)
    dice = random.Random(5)

    def broken(answer: Scripted) -> bytes:
        raw = bytearray(whole(answer))
        for _ in range(dice.randrange(3)):
            place = dice.randrange(len(raw))
            raw[place : place + dice.randrange(3)] = dice.randbytes(dice.randrange(3))
        return bytes(raw)

    with Server() as server:
        settings = openai.Config(base_url=server.url, structured="plain", retries=3, timeout_s=1, concurrency=8)
        with closing(openai.open(settings)) as llm:
            whole = Scripted.wire
            monkeypatch.setattr(Scripted, "wire", broken)
            replies = list(llm.generate(asking.requests(60)))
    assert sorted(reply.key for reply in replies) == sorted(one.key for one in asking.requests(60))
    assert all((reply.text is None) == bool(reply.failure) for reply in replies)


def test_half_a_character_in_a_reply_can_be_written() -> None:
    with Server(lambda _: "a\ud83db") as server:
        settings = openai.Config(base_url=server.url, structured="plain")
        with closing(openai.open(settings)) as llm:
            (reply,) = llm.generate(asking.requests(1))
    assert reply.text == "a\N{REPLACEMENT CHARACTER}b"


def test_the_key_goes_through_a_proxy_whatever_the_netrc_says_and_the_proxys_own_stays_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine example.test login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with Server() as proxy:
        address = proxy.url.removesuffix("/v1").replace("//", "//me:hidden@")
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, address)
        with closing(openai.open(openai.Config(base_url="http://example.test/v1", structured="plain"))) as llm:
            (reply,) = llm.generate(asking.requests(1))
        assert reply.text
        assert proxy.log[0].headers["authorization"] == "Bearer sk-0123456789"
        assert proxy.log[0].headers["host"] == "example.test"
        with pytest.raises(StudyError, match="the proxy answers HTTP 404") as caught:
            openai.open(openai.Config(base_url="https://example.test/v1", model="m"))
        assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://h:abc/v1", "http://h:0/v1", "http://h:99999/v1", "http://h/a b/v1", "http://h/v1 HTTP/1.1\r\nX: y",
            "http://h/\u00fc", "http://@h/v1", "http://h/v1?", "http://[::1/v1"],
)  # fmt: skip
def test_addresses_that_no_request_line_can_carry_are_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        openai.Config(base_url=url)


@pytest.mark.parametrize(
    ("host", "named"),
    [("::1", b"Host: [::1]:81"), ("h", b"Host: h:81"), ("b\u00fccher.x", b"Host: xn--bcher-kva.x:81")],
)
def test_the_host_is_named_as_http_writes_it(host: str, named: bytes) -> None:
    async def head() -> bytes:
        wire = Wire(host, 81, {}, timeout_s=1)
        await wire.close()
        return wire._head

    assert asyncio.run(head()).split(b"\r\n")[0] == named


def test_a_server_that_hangs_up_at_once_is_told_at_once() -> None:
    """Although the connection is lost before the request is written to it."""

    async def ask() -> str:
        loop = asyncio.get_running_loop()
        connect = loop.create_connection

        async def slowly(*given: object) -> object:
            made = await connect(*given)  # pyright: ignore[reportArgumentType, reportCallIssue]
            await asyncio.sleep(0.2)
            return made

        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        wire = Wire("127.0.0.1", server.sockets[0].getsockname()[1], {}, timeout_s=60)
        with mock.patch.object(loop, "create_connection", slowly):
            call = loop.create_task(wire.send("POST", "/v1/x", b"{}"))
            await asyncio.wait([call], timeout=5)
        seen = type(call.exception()).__name__ if call.done() else "silence"
        await wire.close()
        server.close()
        return seen

    assert asyncio.run(ask()) == "UnreachableError"
