"""Many replies at once behind a plain iterator: an event loop in a thread, requests pulled only as room frees."""

import asyncio
import itertools
import queue
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import suppress
from typing import Any, TypeVar

from autointerp.errors import EngineError
from autointerp.records import Reply, Request

T = TypeVar("T")


class Pump:
    """Runs coroutines of one back end; `concurrency` requests are in flight, no more are pulled."""

    def __init__(self, name: str, concurrency: int) -> None:
        self.concurrency = concurrency
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run one coroutine to its end."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    def replies(self, requests: Iterable[Request], answer: Callable[[Request], Awaitable[Reply]]) -> Iterator[Reply]:
        """Yield `answer(request)` of each request as it finishes.

        The first EngineError ends the pulling; what is in flight comes back, then it is raised.
        """
        done: queue.SimpleQueue[Reply | BaseException] = queue.SimpleQueue()
        tasks: set[asyncio.Task[None]] = set()
        source, flying, ended = iter(requests), 0, False
        failure: BaseException | None = None

        async def one(request: Request) -> None:
            try:
                done.put(await answer(request))
            except Exception as error:
                done.put(error)

        def start(batch: list[Request]) -> None:
            for request in batch:
                task = self.loop.create_task(one(request))
                tasks.add(task)
                task.add_done_callback(tasks.discard)

        try:
            while True:
                if not ended and failure is None:
                    batch = _take(source, self.concurrency - flying)
                    ended = flying + len(batch) < self.concurrency
                    flying += len(batch)
                    self.loop.call_soon_threadsafe(start, batch)
                if flying == 0:
                    break
                for finished in _finished(done):
                    flying -= 1
                    if isinstance(finished, Reply):
                        yield finished
                    elif failure is None or not isinstance(finished, EngineError):
                        failure = finished
        finally:
            self.loop.call_soon_threadsafe(lambda: [task.cancel() for task in tuple(tasks)])
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


def _finished(done: queue.SimpleQueue[T]) -> list[T]:
    """Wait for one, take all there are: under load, few hand-overs between the threads carry many replies."""
    finished = [done.get()]
    while not done.empty():
        finished.append(done.get())
    return finished


def _take(source: Iterator[Request], n: int) -> list[Request]:
    return list(itertools.islice(source, n))
