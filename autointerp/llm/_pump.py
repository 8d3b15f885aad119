"""Many replies at once behind a plain iterator: an event loop in a thread, requests pulled only as room frees."""

import asyncio
import itertools
import queue
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import suppress
from typing import Any, TypeVar

from autointerp.errors import EngineError
from autointerp.records import Reply, Request

T = TypeVar("T")
# Requests read ahead, as a share of those in flight, so that a freed place is taken before the caller has looked.
AHEAD_SHARE = 0.25


class Pump:
    """Runs coroutines of one back end; at most `concurrency` requests are in flight, a few more are read ahead."""

    def __init__(self, name: str, concurrency: int) -> None:
        self.concurrency = concurrency
        self.most_pulled = concurrency + int(concurrency * AHEAD_SHARE)
        self.loop = asyncio.new_event_loop()
        self._current: _Flow | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run one coroutine to its end."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    def at_hand(self) -> int:
        """Count the replies that `replies` can yield without waiting."""
        return self._current.at_hand() if self._current is not None else 0

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
                for finished in flow.take():
                    flying -= 1
                    if isinstance(finished, Reply):
                        yield finished
                    elif failure is None or not isinstance(finished, EngineError):
                        failure = finished
        finally:
            self._current = None
            flow.stop()
        if failure is not None:
            raise failure

    def close(self) -> None:
        """Stop the loop and its thread."""
        if self.loop.is_running():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(10)
        if not self.loop.is_running() and not self.loop.is_closed():
            self.loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        with suppress(asyncio.CancelledError):
            self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))


class _Flow:
    """The requests of one `Pump.replies`, answered by workers in the loop: one task per place, not per request."""

    def __init__(self, loop: asyncio.AbstractEventLoop, n_workers: int, answer: Callable[[Request], Any]) -> None:
        self._loop, self._most, self._answer = loop, n_workers, answer
        self._waiting: deque[Request] = deque()
        self._done: queue.SimpleQueue[Reply | BaseException] = queue.SimpleQueue()
        self._taken: deque[Reply | BaseException] = deque()
        self._idle: list[asyncio.Future[None]] = []
        self._workers: list[asyncio.Task[None]] = []

    # -- in the caller's thread

    def put(self, batch: list[Request]) -> None:
        """Hand requests over."""
        if batch:
            self._loop.call_soon_threadsafe(self._start, batch)

    def take(self) -> Iterator[Reply | BaseException]:
        """Wait for one, yield all there are: under load, few hand-overs between the threads carry many replies."""
        self._taken.append(self._done.get())
        while not self._done.empty():
            self._taken.append(self._done.get())
        while self._taken:
            yield self._taken.popleft()

    def at_hand(self) -> int:
        """Count what came and was not yielded yet."""
        return len(self._taken) + self._done.qsize()

    def stop(self) -> None:
        """Call off what is in flight."""
        with suppress(RuntimeError):  # the loop may be closed by now
            self._loop.call_soon_threadsafe(lambda: [task.cancel() for task in self._workers])

    # -- in the loop

    def _start(self, batch: list[Request]) -> None:
        self._waiting.extend(batch)
        n_awake = min(len(self._idle), len(batch))
        for _ in range(n_awake):
            self._idle.pop().set_result(None)
        for _ in range(min(len(batch) - n_awake, self._most - len(self._workers))):
            self._workers.append(self._loop.create_task(self._work()))

    async def _work(self) -> None:
        while True:
            while not self._waiting:
                awake = self._loop.create_future()
                self._idle.append(awake)
                await awake
            request = self._waiting.popleft()
            try:
                self._done.put(await self._answer(request))
            except Exception as error:
                self._done.put(error)
