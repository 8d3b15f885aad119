"""An LLM in front of which the response store stands: nothing that was answered is asked again."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from autointerp.llm.base import LLM, Served, at_hand
from autointerp.records import Reply, Request
from autointerp.responses import Paid, Store, key

# Replies found in a row that are handed on before the back end is asked again; bounds memory, not speed.
MOST_FOUND = 1000
# Replies committed together, where so many are at hand.
MOST_TOGETHER = 64


class Cached:
    """`llm`, asked only for what `store` does not hold yet."""

    def __init__(self, llm: LLM, store: Store) -> None:
        self.inner, self.store = llm, store
        self.name, self.fingerprint = llm.name, llm.fingerprint
        self._served = llm if isinstance(llm, Served) else None  # seen once: looking takes long

    @property
    def context_length(self) -> int | None:
        """Tokens the model takes, prompt and reply together."""
        return self._served.context_length if self._served else None

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

        paid: list[Paid] = []  # came, and is not yet stored

        def keep() -> Iterator[Reply]:
            # One commit for all that came: it costs as much as ten replies.
            batch = paid.copy()
            paid.clear()
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
                    paid.append(Paid(*asked.pop(reply.key), reply))
                    if len(paid) >= MOST_TOGETHER or not at_hand(self.inner):
                        yield from keep()
                yield from keep()
        finally:
            next(keep(), None)  # the back end may have died with replies at hand

    def count_tokens(self, request: Request) -> int | None:
        """As `llm`."""
        return self.inner.count_tokens(request)

    def learn(self, put: Callable[[Request], Reply]) -> None:
        """As `llm`."""
        if self._served:
            self._served.learn(put)

    def facts(self) -> dict[str, str | int | float | bool]:
        """As `llm`."""
        return self._served.facts() if self._served else {}

    def close(self) -> None:
        """Close the model and the store."""
        self.inner.close()
        self.store.close()
