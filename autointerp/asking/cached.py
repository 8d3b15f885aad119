"""An LLM with a response store: nothing that was answered is requested again."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

from autointerp.asking.responses import CachedReply, Store, key
from autointerp.asking.wrapped import Wrapped
from autointerp.llm.base import LLM
from autointerp.records import Reply, Request

# Stored replies in a row that are yielded before the back end is asked again; bounds memory, not speed.
MOST_STORED = 1000
# Replies committed together, if so many have arrived.
BATCH = 256


class Cached(Wrapped):
    """`llm`, asked only for what `store` does not hold yet."""

    def __init__(self, llm: LLM, store: Store) -> None:
        super().__init__(llm)
        self.store = store

    def generate(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Reply from the store, else from `llm`; new replies are committed before they are yielded."""
        source = iter(requests)
        ready: deque[Reply] = deque()
        sent: dict[str, tuple[bytes, Request]] = {}
        twins: dict[bytes, list[str]] = {}  # name of a request in flight -> keys of equal requests
        ended = False

        def missing() -> Iterator[Request]:
            # Ends early on a long run of stored replies, so that they do not pile up; `generate` then comes back.
            nonlocal ended
            while len(ready) < MOST_STORED:
                request = next(source, None)
                if request is None:
                    ended = True
                    return
                name = key(self.fingerprint, request)
                if name in twins:
                    twins[name].append(request.key)
                elif (reply := self.store.get(name)) is not None:
                    ready.append(replace(reply, key=request.key))
                else:
                    sent[request.key], twins[name] = (name, request), []
                    yield request

        arrived: list[CachedReply] = []  # and not yet stored

        def commit() -> Iterator[Reply]:
            # One commit for all that arrived: it costs as much as ten replies.
            batch = arrived.copy()
            arrived.clear()
            answered = [one for one in batch if one.reply.text is not None]
            stored = dict(zip((one.name for one in answered), self.store.put(self.fingerprint, answered), strict=True))
            for one in batch:
                reply = stored.get(one.name, one.reply)
                ready.append(reply)
                ready.extend(replace(reply, key=twin, from_cache=True) for twin in twins.pop(one.name))
            while ready:
                yield ready.popleft()

        try:
            while not ended:
                for reply in self.inner.generate(missing()):
                    arrived.append(CachedReply(*sent.pop(reply.key), reply))
                    if len(arrived) >= BATCH or not self.at_hand():
                        yield from commit()
                yield from commit()
        finally:
            next(commit(), None)  # the back end may have died before replies that had arrived were stored

    def close(self) -> None:
        """Close the model and the store."""
        self.inner.close()
        self.store.close()
