"""HTTP as servers, gateways and attackers send it: each response is read correctly or the connection is given up."""

import asyncio
import random
import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from autointerp.errors import StudyError
from autointerp.llm import _client, _failures, _http, openai
from autointerp.llm._failures import Outcome
from autointerp.records import Reply
from tests.helpers import asking
from tests.helpers.server import Answer, Server

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


async def exchange(script: list[bytes | None], n: int, *, timeout_s: float = 5.0) -> list[Outcome]:
    """Send n requests to a peer that answers each with the script's bytes; None closes the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                size = re.search(rb"Content-Length: (\d+)", head)
                await reader.readexactly(int(size[1]) if size else 0)
                for step in script:
                    if step is None:
                        return
                    writer.write(step)
                    await asyncio.sleep(0.01)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    http = _http.Http("", {}, {}, connections=4, timeout_s=timeout_s)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/x"
    outcomes = [await http.post(url, b"{}") for _ in range(n)]
    await http.close()
    server.close()
    return outcomes


@pytest.mark.parametrize(
    "script",
    [
        [b"HTTP/1.1 100 Continue\r\n\r\n", OK],
        [OK + OK],
        [CHUNKED + b"1;a=b\r\n{\r\n1\r\n}\r\n0\r\n\r\n"],
        [CHUNKED + b"2\r\n{}\r\n0", b"\r\n\r\n"],
        [HEAD + b"\r\n{", b"}", None],
        [b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", None],
        [OK[:9], OK[9:20], OK[20:]],
    ],
)
def test_a_response_is_read_in_every_form_that_http_allows(script: list[bytes | None]) -> None:
    assert [(one.kind, one.value) for one in asyncio.run(exchange(script, 3))] == [("ok", {})] * 3


@pytest.mark.parametrize(
    "script",
    [
        [HEAD + b"Content-Length: 9\r\n\r\n{}", None],
        [CHUNKED + b"9\r\n{}", None],
        [HEAD + b"Content-", None],
        [HEAD + b"Content-Length: -2\r\n\r\n{}"],
        [b"\0\0\0\4\0\0\0\0\0", None],
        [None],
    ],
)
def test_an_incomplete_response_is_dropped(script: list[bytes | None]) -> None:
    assert [one.kind for one in asyncio.run(exchange(script, 2))] == ["dropped", "dropped"]


def test_an_endless_body_is_dropped_and_a_silent_server_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_http, "MOST_BYTES", 1000)
    (outcome,) = asyncio.run(exchange([HEAD + b"\r\n", b"x" * 3000], 1))
    assert outcome.kind == "dropped"
    assert "a reply of more than" in outcome.detail
    (outcome,) = asyncio.run(exchange([HEAD + b"Content-Length: 99\r\n\r\n{"], 1, timeout_s=0.3))
    assert outcome.kind == "timeout"


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (201, '{"id": "1"}', "ok"),
        (204, "", "bad_response"),
        (200, "[" * 200_000, "bad_response"),
        (200, '{"error": {"message": "x", "code": "%s"}}' % ("9" * 5000), "server_error"),
        (200, '{"error": {"message": "x", "code": 429}}', "rate_limited"),
        (200, '{"error": "overloaded"}', "server_error"),
        (400, "<html>", "bad_request"),
        (400, '[{"error": {"code": 400, "message": "too many tokens", "status": "INVALID_ARGUMENT"}}]', "too_long"),
    ],
)
def test_odd_statuses_and_bodies_are_outcomes(status: int, text: str, kind: str) -> None:
    response = SimpleNamespace(status=status, headers={"retry-after": "Thu, 1 Jan 99999999999999999999 00:00:00 GMT"})

    async def read() -> Outcome:
        http = _http.Http("", {}, {}, connections=1, timeout_s=1)
        outcome = http._read(response, text.encode())  # pyright: ignore[reportArgumentType]
        await http.close()
        return outcome

    assert asyncio.run(read()).kind == kind


def test_a_servers_words_cannot_drive_a_terminal() -> None:
    outcome = _failures.from_body(418, {"error": {"message": "\x1b]0;title\x07 a\nb \u202e\ud800"}}, "", 0.0)
    assert outcome.detail == "\\x1b]0;title\\x07 a b \\u202e\ufffd"


def test_bytes_broken_at_random_never_end_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every response has bytes changed, cut or doubled: each request ends with a reply or a counted failure."""
    monkeypatch.setattr(_client, "FIRST_WAIT_S", 0.001)
    dice = random.Random(5)

    def broken(answer: Answer) -> bytes:
        raw = bytearray(whole(answer))
        for _ in range(dice.randrange(3)):
            place = dice.randrange(len(raw))
            raw[place : place + dice.randrange(3)] = dice.randbytes(dice.randrange(3))
        return bytes(raw)

    with Server() as server:
        settings = openai.Config(base_url=server.url, structured="plain", retries=3, timeout_s=1, concurrency=8)
        with closing(openai.open(settings)) as llm:
            whole: Callable[[Answer], bytes] = Answer.wire
            monkeypatch.setattr(Answer, "wire", broken)
            replies = list(llm.generate(asking.requests(60)))
    assert sorted(reply.key for reply in replies) == sorted(one.key for one in asking.requests(60))
    assert all((reply.text is None) == bool(reply.failure) for reply in replies)


def _reply(server: Server, **settings: object) -> Reply:
    config = openai.Config(**{"base_url": server.url, "structured": "plain", **settings})  # pyright: ignore[reportArgumentType]
    with closing(openai.open(config)) as llm:
        (reply,) = llm.generate(asking.requests(1))
    return reply


def test_half_a_character_in_a_reply_can_be_written() -> None:
    with Server(lambda _: "a\ud83db") as server:
        assert _reply(server).text == "a\N{REPLACEMENT CHARACTER}b"


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
        assert _reply(proxy, base_url="http://example.test/v1").text
        assert proxy.log[0].headers["authorization"] == "Bearer sk-0123456789"
        assert proxy.log[0].headers["host"] == "example.test"
        with pytest.raises(StudyError, match="the proxy answers HTTP 404") as caught:
            openai.open(openai.Config(base_url="https://example.test/v1", model="m"))
        assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://h:abc/v1",
        "http://h:0/v1",
        "http://h:99999/v1",
        "http://h/a b/v1",
        "http://h/v1 HTTP/1.1\r\nX: y",
        "http://h/\u00fc",
        "http://@h/v1",
        "http://h/v1?",
        "http://[::1/v1",
        [],
        ["http://h/v1", "http://h/v1/"],
    ],
)
def test_addresses_that_no_request_line_can_carry_are_refused(url: object) -> None:
    with pytest.raises(ValidationError):
        openai.Config(base_url=url)  # pyright: ignore[reportArgumentType]
