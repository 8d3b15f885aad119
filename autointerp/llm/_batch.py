"""The client of batch APIs: prompts are submitted together, polled for, and read; nothing is paid twice."""

import hashlib
import itertools
import json
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from autointerp.console import check_interrupt, note
from autointerp.errors import EngineError
from autointerp.llm import _chat as chat
from autointerp.llm._client import FIRST_WAIT_S, LONGEST_WAIT_S, PASSING, WAITING, Client, n_bytes
from autointerp.llm._failures import Outcome, from_error
from autointerp.llm._ledger import Batch, Ledger
from autointerp.llm._providers import Provider, entry
from autointerp.llm._settings import Hosted
from autointerp.records import Reply, Request, Usage

Waiting = dict[str, list[Request]]
# States of a batch, in OpenAI's words, in which nothing more happens.
ENDED = {"completed", "failed", "expired", "cancelled"}
# Seconds between two lines that say how far a batch is.
SAY_S = 600.0
# Batches that are looked through for one whose submission was interrupted, and seconds that clocks may differ.
RECENT, CLOCK_S = 50, 120.0


class BatchClient(Client):
    """A model of a provider with a batch API; few requests at a time go one by one, as do test prompts."""

    def __init__(self, config: Hosted, connect: Coroutine[Any, Any, Provider]) -> None:
        super().__init__(config, connect, "hosted")
        self._hosted = config
        self._ledger = Ledger(None)
        self._n_left = 0

    def keep(self, ledger: Path) -> None:
        """Read the open batches of earlier processes from a file, and write new ones there."""
        self._ledger = Ledger(ledger)

    def at_hand(self) -> int:
        """Count the replies that `generate` can yield without waiting."""
        return self._n_left + super().at_hand()

    def generate(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Answer every request once: up to `batch_size` at a time in a batch.

        Raises:
            EngineError: the provider is gone, refuses the key, does not know the model or refuses the batch.
        """
        source, self._gone = iter(requests), None
        while chunk := list(itertools.islice(source, self._hosted.batch_size)):
            waiting: Waiting = {}
            for request in chunk:
                waiting.setdefault(self._digest(request), []).append(request)
            if len(chunk) >= self._hosted.batch_from:
                yield from self._resumed(waiting)
            if len(waiting) >= self._hosted.batch_from:
                yield from self._replies(self._submitted(waiting), waiting)
            else:
                yield from super().generate(list(itertools.chain.from_iterable(waiting.values())))

    def _resumed(self, waiting: Waiting) -> Iterator[Reply]:
        """Answer what earlier batches hold, and take it out of `waiting`."""
        for batch in list(self._ledger.batches.values()):
            names = batch.names & waiting.keys()
            if names and self._known(batch):
                note(f"{self.name}: {len(names):,} prompts are in batch {batch.id}, which was submitted before")
                yield from self._replies(batch, {name: waiting.pop(name) for name in sorted(names)})

    def _known(self, batch: Batch) -> bool:
        """Whether the provider has a batch; one whose submission was interrupted is looked for in its list."""
        if batch.id:
            return True
        for one in self._call(lambda: self._provider.library.alist_batches(limit=RECENT)):
            told = (one.metadata or {}).get("autointerp")
            total = one.request_counts.total if one.request_counts else 0
            alike = told is None and total == batch.n and one.created_at >= batch.since - CLOCK_S
            taken = any(other.id == one.id for other in self._ledger.batches.values())
            if told == batch.key or (alike and not taken):
                self._ledger.submitted(batch, one.id)
                return True
        self._ledger.spend(batch, list(batch.names))
        return False

    def _submitted(self, waiting: Waiting) -> Batch:
        lines = [
            entry(name, {**self._body(requests[0]), "model": self._provider.model}, self._hosted.provider)
            for name, requests in waiting.items()
        ]
        batch = self._ledger.begin(waiting)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "batch.jsonl"
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
            library, metadata = self._provider.library, {"autointerp": batch.key}
            created = self._call(
                lambda: library.acreate_batch(str(path), "/v1/chat/completions", metadata=metadata), repeat=False
            )
        self._ledger.submitted(batch, created.id)
        note(f"{self.name}: submitted {len(waiting):,} prompts as batch {created.id}; Ctrl-C is safe, it stays open")
        return batch

    def _replies(self, batch: Batch, waiting: Waiting) -> Iterator[Reply]:
        """Wait for a batch and answer what of it is waiting; what it left unanswered is taken off the ledger."""
        state = self._awaited(batch)
        found: dict[str, Any] = {}
        if state == "completed":
            result = self._call(lambda: self._provider.library.aretrieve_batch_results(batch.id))
            found = {item.custom_id: item for item in result.results}
        answers = {name: self._answered(found.get(name), requests[0]) for name, requests in waiting.items()}
        self._ledger.spend(batch, [name for name, reply in answers.items() if reply.text is None])
        self._n_left = sum(map(len, waiting.values()))
        for name, requests in waiting.items():
            for number, request in enumerate(requests):
                self._n_left -= 1
                usage = answers[name].usage if number == 0 else Usage(calls=0)
                yield Reply(
                    key=request.key,
                    text=answers[name].text,
                    finish_reason=answers[name].finish_reason,
                    logprobs=answers[name].logprobs,
                    failure=answers[name].failure,
                    usage=usage,
                )

    def _answered(self, item: Any, request: Request) -> Reply:
        limit = request.sampling.max_tokens + self.config.thinking_tokens
        wrapped = self._form.structured == "wrapped" and request.schema is not None
        sent = chat.Sent(request.key, n_bytes(request), limit, wrapped, 1, 0.0)
        if item is not None and item.result is not None:
            outcome = chat.read_reply(json.loads(item.result.model_dump_json(warnings=False)), sent)
            if isinstance(outcome, Reply):
                return outcome
        elif item is not None and item.error is not None:
            outcome = from_error(400, {"error": {"code": item.error.code, "message": item.error.message}})
        else:
            outcome = Outcome("no_reply", {}, "the batch holds no result of this prompt")
        return self._failed(request, outcome, 1, 0.0)

    def _awaited(self, batch: Batch) -> str:
        """Poll until the batch has ended; return its state.

        Raises:
            EngineError: the provider rejected it.
        """
        said = time.monotonic()
        while True:
            found = self._call(lambda: self._provider.library.aretrieve_batch(batch.id))
            if found.status == "failed":
                self._ledger.spend(batch, list(batch.names))
                errors = getattr(found.errors, "data", None) or []
                reason = "; ".join(str(one.message) for one in errors[:3]) or "no reason given"
                raise EngineError(f"{self.name}: the provider rejected batch {batch.id}: {reason[:300]}")
            if found.status in ENDED:
                return found.status
            if time.monotonic() - said > SAY_S and found.request_counts:
                said = time.monotonic()
                counts = found.request_counts
                note(f"{self.name}: batch {batch.id}: {counts.completed:,} of {counts.total:,} prompts answered")
            _sleep(self._hosted.poll_s)

    def _call(self, send: Callable[[], Awaitable[Any]], *, repeat: bool = True) -> Any:
        """Return what one call of the batch API returns; trouble that passes is waited out.

        Raises:
            EngineError: it does not pass, or the call must not be repeated: it may have been carried out.
        """
        number = 0
        while (outcome := self._pump.call(self._provider.call(send))).kind != "ok":
            self._judged(outcome, 0)  # a refused key or an unknown model ends the run
            passes = outcome.kind in WAITING or (repeat and outcome.kind in PASSING)
            if not passes or number >= self.config.retries:
                raise EngineError(
                    f"{self.name}: the batch API failed ({outcome.kind}: {outcome.detail}); replies so far are kept: "
                    "run the same command again, which looks for the open batch first"
                )
            _sleep(min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**number))
            number += 1
        return outcome.value

    @property
    def _provider(self) -> Provider:
        assert isinstance(self._http, Provider), "made by `hosted.open`"
        return self._http

    def _digest(self, request: Request) -> str:
        """Name a request by all that its answer depends on, the same in every process."""
        messages = [[message.role, message.content] for message in request.messages]
        text = json.dumps([self.fingerprint, messages, asdict(request.sampling), request.schema])
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:48]


def _sleep(seconds: float) -> None:
    """Sleep, and look for Ctrl-C."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        check_interrupt()
        time.sleep(min(left, 0.1))
    check_interrupt()
