"""An LLM that stops at the run's limits: nothing new goes out, what is in flight comes back, then LimitError."""

from collections.abc import Callable, Iterable, Iterator

from autointerp.llm.base import LLM, Price, Served
from autointerp.records import Reply, Request
from autointerp.spending import Meter


class Limited:
    """`llm` under the limits of `meter`, which several LLMs of one run share."""

    def __init__(self, llm: LLM, meter: Meter, price: Price) -> None:
        self.inner, self.meter, self.price = llm, meter, price
        self.name, self.fingerprint = llm.name, llm.fingerprint

    @property
    def context_length(self) -> int | None:
        """Tokens the model takes, prompt and reply together."""
        return self.inner.context_length if isinstance(self.inner, Served) else None

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
        if isinstance(self.inner, Served):
            self.inner.learn(put)

    def facts(self) -> dict[str, str | int | float | bool]:
        """As `llm`."""
        return self.inner.facts() if isinstance(self.inner, Served) else {}

    def close(self) -> None:
        """As `llm`."""
        self.inner.close()
