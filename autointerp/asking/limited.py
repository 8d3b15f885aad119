"""An LLM that stops at the run's limits: nothing new goes out, what is in flight comes back, then LimitError."""

from collections.abc import Iterable, Iterator

from autointerp.asking.budget import Budget
from autointerp.asking.wrapped import Wrapped
from autointerp.llm.base import LLM, Price
from autointerp.records import Reply, Request


class Limited(Wrapped):
    """`llm` under the limits of `budget`, which several LLMs of one run share."""

    def __init__(self, llm: LLM, budget: Budget, price: Price) -> None:
        super().__init__(llm)
        self.budget, self.price = budget, price

    def generate(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Answer as `llm` does, until a limit is reached.

        Raises:
            LimitError: one was, and everything sent has come back.
        """
        stopped = ""

        def allowed() -> Iterator[Request]:
            nonlocal stopped
            for request in requests:
                stopped = self.budget.reached()
                if stopped:
                    return
                self.budget.sent()
                yield request

        for reply in self.inner.generate(allowed()):
            self.budget.back(reply, self.price)
            yield reply
        if stopped:
            raise self.budget.error(stopped)
