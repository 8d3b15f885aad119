"""Concurrent replies as a plain iterator: one event loop in a separate thread."""

import asyncio
import itertools
import queue
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from autointerp.console import check_interrupt
from autointerp.errors import EngineError
from autointerp.records import Reply, Request

T = TypeVar("T")
# Requests read ahead, as a share of those in flight: a free slot is filled before the caller has seen the reply.
AHEAD_SHARE = 0.25
# Seconds between two looks whether Ctrl-C was pressed.
POLL_S = 0.1


class Pump:
    """Runs coroutines of one back end, at most `concurrency` requests at once, a few more read ahead."""

    def __init__(self, name: str, concurrency: int) -> None:
        self.most_pulled = concurrency + int(concurrency * AHEAD_SHARE)
        self.loop = asyncio.new_event_loop()
        self._slots = asyncio.Semaphore(concurrency)
        self._finished: queue.SimpleQueue[Future[Reply]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self.loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run one coroutine to its end and return its result."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        while not wait([future], POLL_S).done:
            check_interrupt()
        return future.result()

    def at_hand(self) -> int:
        """Count the replies that `replies` can yield without waiting."""
        return self._finished.qsize()

    def replies(self, requests: Iterable[Request], answer: Callable[[Request], Awaitable[Reply]]) -> Iterator[Reply]:
        """Yield `answer(request)` of each request as it finishes.

        The first EngineError ends the pulling; requests in flight finish, then it is raised. After Ctrl-C requests in
        flight are cancelled and finished replies are yielded, then KeyboardInterrupt is raised.
        """
        source, pending = iter(requests), set[Future[Reply]]()
        finished = self._finished = queue.SimpleQueue()
        failure: BaseException | None = None

        async def work(request: Request) -> Reply:
            async with self._slots:
                return await answer(request)

        try:
            while True:
                try:
                    room = self.most_pulled - len(pending) if failure is None else 0
                    for request in itertools.islice(source, room):
                        future = asyncio.run_coroutine_threadsafe(work(request), self.loop)
                        pending.add(future)
                        future.add_done_callback(finished.put)
                    if not pending:
                        break
                    future = _next(finished)
                except KeyboardInterrupt as interrupt:
                    if isinstance(failure, KeyboardInterrupt):
                        raise
                    failure = interrupt
                    _cancel(pending)
                    continue
                pending.discard(future)
                error = None if future.cancelled() else future.exception()
                if error is not None:
                    failure = failure if failure is not None and isinstance(error, EngineError) else error
                elif not future.cancelled():
                    yield future.result()
        finally:
            _cancel(pending)
        if failure is not None:
            raise failure

    def close(self) -> None:
        """Cancel everything that still runs, and end the thread."""
        if self.loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(_cancel_tasks(), self.loop).result(5)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


def _next(finished: "queue.SimpleQueue[Future[Reply]]") -> Future[Reply]:
    while True:
        try:
            return finished.get(timeout=POLL_S)
        except queue.Empty:
            check_interrupt()


def _cancel(pending: set[Future[Reply]]) -> None:
    for future in tuple(pending):
        future.cancel()


async def _cancel_tasks() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
