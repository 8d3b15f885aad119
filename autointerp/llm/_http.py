"""One HTTP request to a model server, by aiohttp, and its result."""

import ipaddress
import json
import math
import re
import ssl
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp.connector import Connection
from yarl import URL

from autointerp.llm._failures import Outcome, from_body, retry_after

CONNECT_TIMEOUT_S = 10.0
# Seconds after which an idle connection is closed; common servers close theirs after 5 to 75.
IDLE_S = 30.0
# Largest response read, in bytes: eight requests in flight hold at most eight of them.
MOST_BYTES = 16 << 20


class _Connector(aiohttp.TCPConnector):
    """Reuses no connection on which data arrived unasked: it would be read as the next question's answer."""

    async def connect(self, *arguments: Any, **settings: Any) -> Connection:
        """Return a connection without unread data."""
        while True:
            connection = await super().connect(*arguments, **settings)
            if connection.protocol is None or not connection.protocol.should_close:
                return connection
            connection.close()


class Http:
    """Sends JSON. The key is sent in a header; it is removed from replies and errors that echo it."""

    def __init__(
        self, key: str, headers: Mapping[str, str], query: Mapping[str, str], *, connections: int, timeout_s: float
    ) -> None:
        self._secrets = [text for text in (key, *headers.values()) if len(text) >= 8]
        # The part of each that no JSON writer escapes: text without it cannot hold the secret.
        self._signs = [max(re.findall(r"[A-Za-z0-9]*", secret), key=len) for secret in self._secrets]
        own = {"Content-Type": "application/json", "Accept": "application/json", "Accept-Encoding": "identity"}
        # A key in another header, as Azure takes it, replaces the bearer token.
        elsewhere = {name.lower() for name in headers} & {"authorization", "api-key", "x-api-key", "x-goog-api-key"}
        own |= {"Authorization": f"Bearer {key}"} if key and not elsewhere else {}
        self._query = dict(query)
        self._urls: dict[str, tuple[URL, str | None]] = {}
        self._session = aiohttp.ClientSession(
            connector=_Connector(limit=connections, keepalive_timeout=IDLE_S),
            timeout=aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_TIMEOUT_S),
            headers={**own, **headers},
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def get(self, url: str) -> Outcome:
        """GET once."""
        return await self._send("GET", url, None)

    async def post(self, url: str, body: bytes) -> Outcome:
        """POST once."""
        return await self._send("POST", url, body)

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def _send(self, method: str, address: str, body: bytes | None) -> Outcome:
        if address not in self._urls:
            url = URL(address)
            self._urls[address] = (url.update_query(self._query) if self._query else url, proxy_for(address))
        url, proxy = self._urls[address]
        try:
            async with self._session.request(method, url, data=body, allow_redirects=False, proxy=proxy) as response:
                outcome = self._read(response, await _body(response))
                if outcome.kind == "bad_response":
                    response.close()  # whatever else arrives on this connection would answer the wrong question
                return outcome
        except TimeoutError:
            return Outcome("timeout", {}, "no whole reply in time")
        except (aiohttp.ClientSSLError, ssl.SSLError) as error:
            return Outcome("unreachable", {}, f"TLS failed: {_tls_reason(error)}")
        except aiohttp.ClientConnectorError as error:
            return Outcome("unreachable", {}, error.os_error.strerror or type(error.os_error).__name__)
        except ValueError:  # its text may show the proxy's password
            return Outcome("unreachable", {}, "invalid address; check base_url and the proxy in the environment")
        except aiohttp.ClientHttpProxyError as error:  # its text shows the proxy's password
            return Outcome("unreachable", {}, f"the proxy answers HTTP {error.status}")
        except (aiohttp.ClientError, OSError) as error:
            return Outcome("dropped", {}, self._clean(f"{type(error).__name__} {error}")[:300])

    def _read(self, response: aiohttp.ClientResponse, body: bytes) -> Outcome:
        if 300 <= response.status < 400:  # not followed: the key is for this server only
            target = self._clean(response.headers.get("location", "?"))[:300]
            return Outcome("redirected", {}, f"redirects to {target}", response.status)
        wait = math.nan
        if response.status != 200:
            wait = retry_after(response.headers.get("retry-after-ms"), response.headers.get("retry-after"))
        text = body.decode("utf-8", "replace")
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = None
        if any(sign in text for sign in self._signs):
            value, text = self._without_key(value), self._clean(text)
        return from_body(response.status, value, text, wait)

    def _clean(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "[key]")
        return text

    def _without_key(self, value: Any) -> Any:
        """Parsed JSON without the key; log-probabilities are dropped, since their tokens may contain it."""
        if isinstance(value, str):
            return self._clean(value)
        if isinstance(value, list):
            return [self._without_key(part) for part in value]
        if isinstance(value, dict):
            return {name: self._without_key(part) for name, part in value.items() if name != "logprobs"}
        return value


async def _body(response: aiohttp.ClientResponse) -> bytes:
    parts, size = [], 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > MOST_BYTES:
            response.close()
            raise aiohttp.ClientPayloadError(f"a reply of more than {MOST_BYTES >> 20} MiB")
    return b"".join(parts)


def proxy_for(address: str) -> str | None:
    """Return the proxy that the environment names for an address (http_proxy, https_proxy, no_proxy), or None.

    Not left to aiohttp, which would also take a password for the host from ~/.netrc and send it instead of the key.
    """
    parts = urlsplit(address)
    host = parts.hostname or ""
    if _is_local(host) or urllib.request.proxy_bypass(host):
        return None
    return urllib.request.getproxies().get(parts.scheme)


def _is_local(host: str) -> bool:
    """Whether a host is this machine or in a private network, which no proxy is needed for."""
    if host == "localhost" or re.fullmatch(r"[^.:]+", host):
        return True
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return False


def _tls_reason(error: Exception) -> str:
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    reason = getattr(cause, "verify_message", "") or getattr(cause, "reason", None) or str(cause)
    hint = " (to trust a private certificate, name its file in $SSL_CERT_FILE)" if "certificate" in reason else ""
    return f"{reason}{hint}"
