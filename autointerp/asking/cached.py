"""An LLM in front of which the response store stands: nothing that was answered is asked again."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

from autointerp.asking.responses import CachedReply, Store, key
from autointerp.asking.wrapped import Wrapped
from autointerp.llm.base import LLM
from autointerp.records import Reply, Request

# Replies found in a row that are handed on before the back end is asked again; bounds memory, not speed.
MOST_FOUND = 1000
# Replies committed together, where so many are at hand.
MOST_TOGETHER = 256


class Cached(Wrapped):
    """`llm`, asked only for what `store` does not hold yet."""

    def __init__(self, llm: LLM, store: Store) -> None:
        super().__init__(llm)
        self.store = store

    def generate(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Answer from the store, else by `llm`, whose replies are committed before they are yielded."""
        source = iter(requests)
        found: deque[Reply] = deque()
        asked: dict[str, tuple[bytes, Request]] = {}
        twins: dict[bytes, list[str]] = {}  # what is in flight -> keys of requests that ask the same
        ended = False

        def missing() -> Iterator[Request]:
            # Ends early on a long run of found replies, so that they do not pile up; `generate` then comes back.
            nonlocal ended
            while len(found) < MOST_FOUND:
                request = next(source, None)
                if request is None:
                    ended = True
                    return
                name = key(self.fingerprint, request)
                if name in twins:
                    twins[name].append(request.key)
                elif (reply := self.store.get(name)) is not None:
                    found.append(replace(reply, key=request.key))
                else:
                    asked[request.key], twins[name] = (name, request), []
                    yield request

        replies: list[CachedReply] = []  # came, and is not yet stored

        def keep() -> Iterator[Reply]:
            # One commit for all that came: it costs as much as ten replies.
            batch = replies.copy()
            replies.clear()
            worth = [one for one in batch if one.reply.text is not None]
            stored = dict(zip((one.name for one in worth), self.store.put(self.fingerprint, worth), strict=True))
            for one in batch:
                reply = stored.get(one.name, one.reply)
                found.append(reply)
                found.extend(replace(reply, key=twin, from_cache=True) for twin in twins.pop(one.name))
            while found:
                yield found.popleft()

        try:
            while not ended:
                for reply in self.inner.generate(missing()):
                    replies.append(CachedReply(*asked.pop(reply.key), reply))
                    if len(replies) >= MOST_TOGETHER or not self.at_hand():
                        yield from keep()
                yield from keep()
        finally:
            next(keep(), None)  # the back end may have died with replies at hand

    def close(self) -> None:
        """Close the model and the store."""
        self.inner.close()
        self.store.close()
