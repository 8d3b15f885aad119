"""HTTP by aiohttp, where there is TLS or a proxy on the way: hosted servers."""

import ssl
import urllib.request
from collections.abc import Callable
from contextvars import ContextVar
from urllib.parse import urlsplit

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from autointerp.llm._wire import CONNECT_TIMEOUT_S, MOST_BYTES, Answer, DroppedError, UnreachableError, reason

# The connection that the running task's last request went over.
USED: ContextVar[ResponseHandler | None] = ContextVar("USED", default=None)


class Connector(aiohttp.TCPConnector):
    """Reuses no connection on which something came unasked: it would be read as the next question's answer."""

    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout) -> Connection:
        """Hand out a connection with nothing on it."""
        while True:
            connection = await super().connect(req, traces, timeout)
            USED.set(connection.protocol)
            if connection.protocol is None or not connection.protocol.should_close:
                return connection
            connection.close()


class Session:
    """The same as `_wire.Wire`, over TLS and the environment's proxies."""

    def __init__(
        self, address: str, headers: dict[str, str], *, connections: int, timeout_s: float, direct: bool
    ) -> None:
        self._address = address
        self._proxy = None if direct else proxy_for(address)
        self._session = aiohttp.ClientSession(
            connector=Connector(limit=connections, keepalive_timeout=30),
            timeout=aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_TIMEOUT_S),
            headers=headers, cookie_jar=aiohttp.DummyCookieJar(),
        )  # fmt: skip

    async def send(self, method: str, path: str, body: bytes) -> tuple[Answer, Callable[[], None]]:
        """Send one request; return its response, and what to call should it be none (it closes the connection).

        Raises:
            TimeoutError: no whole response in time.
            DroppedError: the connection broke on the way.
            UnreachableError: no connection could be made.
        """
        url = self._address + path
        try:
            async with self._session.request(
                method, url, data=body or None, allow_redirects=False, proxy=self._proxy
            ) as response:
                parts, size = [], 0
                async for part in response.content.iter_any():
                    parts.append(part)
                    size += len(part)
                    if size > MOST_BYTES:
                        raise DroppedError(f"a reply of more than {MOST_BYTES >> 20} MiB")
                headers = {name.lower(): value for name, value in response.headers.items()}
                return Answer(response.status, headers, b"".join(parts)), _drop_connection
        except (aiohttp.ClientSSLError, ssl.SSLError) as error:
            raise UnreachableError(f"no TLS with it: {_of_tls(error)}") from error
        except aiohttp.ClientConnectorError as error:
            raise UnreachableError(reason(error)) from error
        except ValueError as error:  # its text may show the proxy's password
            raise UnreachableError("no such address; look at base_url and the proxy in the environment") from error
        except aiohttp.ClientResponseError as error:  # its text shows the proxy's password
            raise UnreachableError(f"the proxy answers HTTP {error.status}") from error
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise DroppedError(f"{type(error).__name__} {error}") from error

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()


def proxy_for(address: str) -> str | None:
    """The proxy that the environment names for an address (http_proxy, https_proxy, no_proxy); None for none.

    Not left to aiohttp: it would take a password for the host from ~/.netrc as well, in the place of the key.
    """
    parts = urlsplit(address)
    if urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    return urllib.request.getproxies().get(parts.scheme)


def _of_tls(error: Exception) -> str:
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    return getattr(cause, "verify_message", "") or getattr(cause, "reason", None) or str(cause)


def _drop_connection() -> None:
    used = USED.get()
    if used is not None:
        used.close()
