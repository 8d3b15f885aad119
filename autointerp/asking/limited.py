"""An LLM that stops at the run's limits: nothing new is sent, requests in flight finish, then LimitError."""

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
            LimitError: a limit was reached, and everything sent has been answered.
        """
        reached = ""
        expected: dict[str, int] = {}

        def allowed() -> Iterator[Request]:
            nonlocal reached
            for request in requests:
                reached = self.budget.reached(self.price)
                if reached:
                    return
                expected[request.key] = self.budget.sent(request)
                yield request

        try:
            for reply in self.inner.generate(allowed()):
                self.budget.received(reply, self.price, expected.pop(reply.key))
                yield reply
        finally:
            self.budget.withdraw(expected.values())
        if reached:
            raise self.budget.error(reached)
