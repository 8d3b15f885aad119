"""One HTTP POST to a model server and what its outcome means: a reply, a reason to try again, or the end.

`_wire` carries it to plain `http://` addresses, aiohttp (`_session`) where TLS or a proxy is needed.
"""

import email.utils
import json
import math
import re
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from autointerp.llm._session import Session, proxy_for
from autointerp.llm._wire import Answer, DroppedError, UnreachableError, Wire
from autointerp.quickjson import loads

Json = dict[str, Any]
# Reply identifiers remembered, to tell a response that was sent twice from a new one.
REMEMBERED = 4096
# Least share of distinct ones at which they are taken to tell; some servers give every reply the same.
TELLING_SHARE = 0.7
# Ways in which JSON writers escape what need not be: \/ (PHP), \u002B (.NET), \u003c (Go).
ESCAPED = re.compile(r"\\(?:/|u00([2-7][0-9a-fA-F]))")
TRY_AGAIN = {408, 409, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one POST brought.

    `kind`: ok | unreachable | dropped | timeout | bad_response | rate_limited | server_error | redirected |
    refused_key | unknown_path | refused | too_long | bad_request.
    `retry_after` is in seconds, NaN where the server named none.
    """

    kind: str
    value: Json
    detail: str = ""
    status: int = 0
    retry_after: float = math.nan


class Http:
    """Sends JSON. The key is in the headers of its requests and nowhere else; replies and errors come without it.

    `address` is the server's, such as http://127.0.0.1:8000; `direct` says that no proxy of the environment is used.
    """

    def __init__(self, key: str, address: str, *, connections: int, timeout_s: float, direct: bool) -> None:
        self._key = key
        headers = {"Content-Type": "application/json", "Accept": "application/json", "Accept-Encoding": "identity"}
        headers |= {"Authorization": f"Bearer {key}"} if key else {}
        parts = urlsplit(address)
        assert parts.hostname is not None
        if is_plain(address, direct=direct):
            self._way = Wire(parts.hostname, parts.port or 80, headers, timeout_s=timeout_s)
        else:
            self._way = Session(address, headers, connections=connections, timeout_s=timeout_s, direct=direct)
        self._seen: OrderedDict[str, int] = OrderedDict()
        self._n_read = self._n_distinct = 0

    async def post(self, path: str, body: bytes) -> Outcome:
        """POST once."""
        return await self._send("POST", path, body)

    async def get(self, path: str) -> Outcome:
        """GET once."""
        return await self._send("GET", path, b"")

    async def close(self) -> None:
        """Close all connections."""
        await self._way.close()

    async def _send(self, method: str, path: str, body: bytes) -> Outcome:
        try:
            answer, drop = await self._way.send(method, path, body)
        except TimeoutError:
            return Outcome("timeout", {}, "no whole reply in time")
        except UnreachableError as error:
            return Outcome("unreachable", {}, self._clean(str(error)))
        except DroppedError as error:
            return Outcome("dropped", {}, self._clean(str(error)))
        outcome = self._read(answer)
        if outcome.kind == "bad_response":
            drop()  # whatever else comes on it would answer the wrong question
        return outcome

    def _read(self, answer: Answer) -> Outcome:
        status, wait = answer.status, math.nan
        if status != 200:
            wait = retry_after(answer.headers.get("retry-after-ms"), answer.headers.get("retry-after"))
        said = answer.body.decode("utf-8", "replace")
        text = self._clean(said)
        try:
            # Where the key was said, its pieces stand among the log-probabilities too.
            value = loads(text) if text == said else json.loads(text, object_hook=_without_logprobs)
        except (ValueError, RecursionError):
            value = None
        fine = 200 <= status < 300
        if 300 <= status < 400:  # not followed: the key is for this server only
            return Outcome(
                "redirected", {}, f"redirects to {self._clean(answer.headers.get('location', '?'))[:300]}", status
            )
        if not isinstance(value, dict):
            kind = "bad_response" if fine else _kind(status, text)
            return Outcome(kind, {}, " ".join(text[:600].split())[:300], status, wait)
        error = value.get("error")
        if fine and not error:
            if self._repeated(value, hash(text)):
                return Outcome("bad_response", {}, "the same response twice", status, wait)
            return Outcome("ok", value, "", status, wait)
        code = error.get("code") if isinstance(error, dict) else None
        if fine:  # some gateways put the status into the body
            status = int(str(code)) if re.fullmatch(r"[1-5]\d\d", str(code), re.ASCII) else 500
        detail = _detail(value)
        return Outcome(_kind(status, detail), value, detail, status, wait)

    def _repeated(self, value: Json, content: int) -> bool:
        """Whether this very response was read before; holds only for servers that give each reply its own id."""
        name = value.get("id")
        if not isinstance(name, str):
            return False
        again = self._seen.get(name) == content
        self._n_read += 1
        self._n_distinct += name not in self._seen
        self._seen[name] = content
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return again and self._n_distinct >= max(2, TELLING_SHARE * self._n_read)

    def _clean(self, text: str) -> str:
        """The text without the key, should a server echo it."""
        if len(self._key) < 8:
            return text
        plain = ESCAPED.sub(_unescaped, text) if "\\" in text else text
        return plain.replace(self._key, "[key]") if self._key in plain else text


def _unescaped(found: re.Match[str]) -> str:
    """The character that an escape stands for; those stay escaped that JSON must have so."""
    character = chr(int(found[1], 16)) if found[1] else "/"
    return found[0] if character in '"\\' else character


def _without_logprobs(value: Json) -> Json:
    return {name: part for name, part in value.items() if name != "logprobs"}


def is_plain(address: str, *, direct: bool) -> bool:
    """Whether neither TLS nor a proxy is on the way to this address."""
    parts = urlsplit(address)
    return parts.scheme == "http" and (direct or proxy_for(address) is None)


def retry_after(milliseconds: str | None, seconds: str | None, now: float | None = None) -> float:
    """Seconds to wait as the server asks: `Retry-After-Ms`, or `Retry-After` as a number or an HTTP date; else NaN.

    >>> retry_after(None, "2"), retry_after("250", "9"), retry_after(None, "soon"), retry_after(None, "-1")
    (2.0, 0.25, nan, 0.0)
    >>> retry_after(None, "Thu, 01 Jan 1970 00:01:00 GMT", now=50.0)
    10.0
    """
    for given, unit in ((milliseconds, 1000.0), (seconds, 1.0)):
        try:
            wait = float(given or "") / unit
        except ValueError:
            continue
        if math.isfinite(wait):
            return max(0.0, wait)
    try:
        date = email.utils.parsedate_to_datetime(seconds or "")
    except (ValueError, OverflowError):
        return math.nan
    return max(0.0, date.timestamp() - (time.time() if now is None else now))


def _detail(value: Json) -> str:
    error = value.get("error", value)
    message = error.get("message") if isinstance(error, dict) else error
    return " ".join(str(message if message is not None else value.get("detail", value))[:1000].split())[:500]


# What servers say of a prompt that exceeds the context: OpenAI, vLLM, llama.cpp, SGLang, TGI.
TOO_LONG = (
    "context_length_exceeded", "maximum context length", "context size", "context length", "too many tokens",
    "context window", "longer than the model", "exceeds the model", "prompt is too long", "max_model_len",
    "input is too long",
)  # fmt: skip
POLICY = ("content_filter", "content_policy", "content policy", "moderation", "flagged", "safety")
UNKNOWN_MODEL = re.compile(r"\bmodel\b.*\b(not found|does not exist|not exist)\b", re.DOTALL)
SPENT = ("insufficient_quota", "exceeded your current quota", "billing", "credit balance", "insufficient credits")


def _kind(status: int, detail: str) -> str:
    said = detail.lower()
    if status == 401 or status == 402 or any(words in said for words in SPENT):
        return "refused_key"
    if status == 413 or (status in {400, 403, 422, 500} and any(words in said for words in TOO_LONG)):
        return "too_long"
    if status in {400, 403, 422} and any(words in said for words in POLICY):
        return "refused"
    if status == 403:
        return "refused_key"
    if status == 404 or (status in {400, 422} and UNKNOWN_MODEL.search(said)):
        return "unknown_path"
    if status == 429:
        return "rate_limited"
    return "server_error" if status in TRY_AGAIN or status >= 500 else "bad_request"
