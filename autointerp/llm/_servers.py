"""Several servers of one model: the one with the fewest requests in flight is next; a dead one leaves for a while."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from autointerp.llm._failures import Outcome

# Seconds after which one request is sent to a dead server again, to see whether it is back.
RETRY_DEAD_S = 30.0


class Transport(Protocol):
    """Sends one request in the form of OpenAI's chat API, once."""

    async def get(self, url: str) -> Outcome:
        """GET once."""
        ...

    async def post(self, url: str, body: bytes) -> Outcome:
        """POST once."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


@dataclass(slots=True)
class Server:
    """One address. Until `rests_until` (monotonic clock) it gets no request if another server can take it."""

    url: str
    in_flight: int = 0
    rests_until: float = 0.0
    dead: bool = False


class Servers:
    """Chooses the server of each request. `say` prints a line when a server leaves or is back."""

    def __init__(self, urls: tuple[str, ...], say: Callable[[str], None]) -> None:
        self.all = [Server(url) for url in urls]
        self._say = say

    @contextmanager
    def next(self) -> Iterator[Server]:
        """Choose a server for one request, which counts as in flight inside the block."""
        now = time.monotonic()
        ready = [server for server in self.all if server.rests_until <= now]
        server = min(ready or self.all, key=lambda one: (one.in_flight, one.rests_until))
        if server.dead and ready:
            server.rests_until = now + RETRY_DEAD_S  # only one request tries whether it is back
        server.in_flight += 1
        try:
            yield server
        finally:
            server.in_flight -= 1

    def answered(self, server: Server) -> None:
        """Note that a server replied."""
        server.rests_until = 0.0
        if server.dead:
            server.dead = False
            self._say(f"{server.url} is back")

    def failed(self, server: Server, outcome: Outcome, wait: float) -> bool:
        """Let a server rest after a failure for `wait` seconds; return whether another one is ready at once."""
        if len(self.all) == 1:
            return False
        if outcome.kind == "unreachable":
            server.rests_until = time.monotonic() + RETRY_DEAD_S
            if not server.dead:
                server.dead = True
                left = sum(not one.dead for one in self.all)
                self._say(f"{server.url} does not answer ({outcome.detail}); {left} of {len(self.all)} servers go on")
        else:
            server.rests_until = max(server.rests_until, time.monotonic() + wait)
        return any(one.rests_until <= time.monotonic() for one in self.all)
