"""An LLM that stops at the run's limits: nothing new goes out, what is in flight comes back, then LimitError."""

from collections.abc import Callable, Iterable, Iterator

from autointerp.llm.base import LLM, Price, Served, at_hand
from autointerp.records import Reply, Request
from autointerp.spending import Meter


class Limited:
    """`llm` under the limits of `meter`, which several LLMs of one run share."""

    def __init__(self, llm: LLM, meter: Meter, price: Price) -> None:
        self.inner, self.meter, self.price = llm, meter, price
        self.name, self.fingerprint = llm.name, llm.fingerprint
        self._served = llm if isinstance(llm, Served) else None  # seen once: looking takes long

    @property
    def context_length(self) -> int | None:
        """Tokens the model takes, prompt and reply together."""
        return self._served.context_length if self._served else None

    def at_hand(self) -> int:
        """As `llm`."""
        return at_hand(self.inner)

    def generate(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Answer as `llm` does, until a limit is reached.

        Raises:
            LimitError: one was, and everything sent has come back.
        """
        stopped = ""

        def allowed() -> Iterator[Request]:
            nonlocal stopped
            for request in requests:
                stopped = self.meter.reached()
                if stopped:
                    return
                self.meter.sent()
                yield request

        for reply in self.inner.generate(allowed()):
            self.meter.back(reply, self.price)
            yield reply
        if stopped:
            raise self.meter.error(stopped)

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
        """As `llm`."""
        self.inner.close()
