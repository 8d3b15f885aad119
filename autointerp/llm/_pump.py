"""Many replies at once behind a plain iterator: an event loop that runs in the caller's thread, between two replies."""

import asyncio
import itertools
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from autointerp.errors import EngineError
from autointerp.records import Reply, Request

T = TypeVar("T")
# Requests read ahead, as a share of those in flight: a place that frees is taken in the loop's same turn, before the
# caller has looked.
AHEAD_SHARE = 0.25


class Pump:
    """Runs coroutines of one back end, at most `concurrency` requests at once, a few more read ahead.

    The loop stands still while the caller works on a reply; what comes meanwhile waits in the sockets. A thread for the
    loop would wait for the interpreter's lock just as long, and cost more than it takes over.
    """

    def __init__(self, name: str, concurrency: int) -> None:
        self.concurrency = concurrency
        self.most_pulled = concurrency + int(concurrency * AHEAD_SHARE)
        self.loop = asyncio.new_event_loop()
        self._name = name
        self._current: _Flow | None = None
        self._elsewhere: ThreadPoolExecutor | None = None

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run one coroutine to its end."""
        return self._in_turn(lambda: self.loop.run_until_complete(coroutine))

    def at_hand(self) -> int:
        """Count the replies that `replies` can yield without waiting."""
        return len(self._current.done) if self._current is not None else 0

    def replies(self, requests: Iterable[Request], answer: Callable[[Request], Awaitable[Reply]]) -> Iterator[Reply]:
        """Yield `answer(request)` of each request as it finishes.

        The first EngineError ends the pulling; what is in flight comes back, then it is raised.
        """
        source, flying, ended = iter(requests), 0, False
        failure: BaseException | None = None
        self._current = flow = _Flow(self.loop, self.concurrency, answer)
        try:
            while True:
                if not ended and failure is None:
                    room = self.most_pulled - flying
                    batch = list(itertools.islice(source, room))
                    ended = len(batch) < room
                    flying += len(batch)
                    flow.put(batch)
                if flying == 0:
                    break
                while not flow.done:
                    self._in_turn(self.loop.run_forever)
                while flow.done:
                    finished = flow.done.popleft()
                    flying -= 1
                    if isinstance(finished, Reply):
                        yield finished
                    elif failure is None or not isinstance(finished, EngineError):
                        failure = finished
        finally:
            self._current = None
            if not self.loop.is_closed():
                self.call(_called_off(flow.workers))
        if failure is not None:
            raise failure

    def close(self) -> None:
        """End what still runs in the loop, and close it."""
        if self.loop.is_closed():
            return
        self.call(_called_off(asyncio.all_tasks(self.loop)))
        self.loop.close()
        if self._elsewhere is not None:
            self._elsewhere.shutdown()

    def _in_turn(self, run: Callable[[], T]) -> T:
        """Let the loop run: here, or in another thread where this one runs a loop already, as notebooks do."""
        if asyncio._get_running_loop() is None:
            return run()
        if self._elsewhere is None:
            self._elsewhere = ThreadPoolExecutor(1, self._name)
        return self._elsewhere.submit(run).result()


class _Flow:
    """The requests of one `Pump.replies`, answered by workers in the loop: one task per place, not per request."""

    def __init__(self, loop: asyncio.AbstractEventLoop, n_workers: int, answer: Callable[[Request], Any]) -> None:
        self._loop, self._most, self._answer = loop, n_workers, answer
        self.done: deque[Reply | BaseException] = deque()
        self.workers: list[asyncio.Task[None]] = []
        self._waiting: deque[Request] = deque()
        self._idle: list[asyncio.Future[None]] = []

    def put(self, batch: list[Request]) -> None:
        """Hand requests over. What came meanwhile is read first, so that none goes over a connection closed by then."""
        self._loop.call_soon(self._start, batch)

    def _start(self, batch: list[Request]) -> None:
        self._waiting.extend(batch)
        n_awake = min(len(self._idle), len(batch))
        for _ in range(n_awake):
            self._idle.pop().set_result(None)
        for _ in range(min(len(batch) - n_awake, self._most - len(self.workers))):
            self.workers.append(self._loop.create_task(self._work()))

    async def _work(self) -> None:
        while True:
            while not self._waiting:
                awake = self._loop.create_future()
                self._idle.append(awake)
                await awake
            request = self._waiting.popleft()
            finished: Reply | BaseException
            try:
                finished = await self._answer(request)
            except Exception as error:
                finished = error
            if not self.done:
                self._loop.stop()  # at the end of this turn, in which more may finish
            self.done.append(finished)


async def _called_off(tasks: Iterable[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
