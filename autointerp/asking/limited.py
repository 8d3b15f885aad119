"""An LLM that stops at the run's limits: nothing new goes out, what is in flight comes back, then LimitError."""

from collections.abc import Iterable, Iterator

from autointerp.asking.budget import Meter
from autointerp.asking.wrapped import Wrapped
from autointerp.llm.base import LLM, Price
from autointerp.records import Reply, Request


class Limited(Wrapped):
    """`llm` under the limits of `meter`, which several LLMs of one run share."""

    def __init__(self, llm: LLM, meter: Meter, price: Price) -> None:
        super().__init__(llm)
        self.meter, self.price = meter, price

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
