"""The client of LLM servers: sends requests, repeats them, and adapts to what servers refuse."""

import asyncio
import json
import math
import random
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import replace
from typing import Any

from autointerp.console import note
from autointerp.errors import EngineError, StudyError
from autointerp.llm import _chat as chat
from autointerp.llm import _stops as stops
from autointerp.llm._failures import REFUSING_STATUS, Outcome
from autointerp.llm._form import SHORTER, Form, Probed, Structured, best_form, obedience, probe, send_probe
from autointerp.llm._models import ServedModel, served_model
from autointerp.llm._pump import Pump
from autointerp.llm._servers import Server, Servers, Transport
from autointerp.llm._settings import Settings
from autointerp.records import Reply, Request, Usage

# Trouble that passes on its own; each costs one of a request's retries.
PASSING = {"dropped", "timeout", "bad_response", "server_error", "redirected"}
# Trouble of the server rather than of one request: waited out, as long as `patience_s` allows.
WAITING = {"unreachable", "rate_limited"}
# Back-off in seconds: first, and at most.
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
# Changes of form one request may bring about.
MOST_ADAPTED = 8
# A prompt this many times longer than any that was answered, refused without a known reason, counts as too long.
MUCH_LONGER = 1.5
# Bytes of prompt per reported token from which on a server may be cutting prompts; usual are 3 to 5.
SUSPICIOUS_BYTES = 6.0
# A long prompt of which the server counts less than this share of the tokens expected from a short one was cut.
CUT_SHARE = 0.6
# Replies in a row that report so few prompt tokens, after which the run stops.
MOST_CUT = 5


class Client:
    """One model on one or several servers; `connect` makes their transport, in the client's event loop."""

    def __init__(self, config: Settings, connect: Coroutine[Any, Any, Transport], family: str = "openai") -> None:
        self.config, self.name = config, f"{family}:{config.model}"
        self._pump = Pump(family, config.concurrency)
        try:
            self._http = self._pump.call(connect)
        except BaseException:
            self._pump.close()
            raise
        self._servers = Servers(config.urls, lambda text: note(f"{self.name}: {text}"))
        self._form = Form(structured="json_schema" if config.structured == "auto" else config.structured)
        self._n_said = 0
        self._learned = False
        self._facts: dict[str, str | int | float | bool] = {}
        self._last_reply = time.monotonic()
        self._last_failure = ""
        self._longest_answered = self._n_answered = self._n_cut = 0
        self._most_bytes_per_token = math.inf
        self._gone: EngineError | None = None
        self._jitter = random.Random()
        try:
            listed = self._look()
            self.model = config.model or listed.name
            if not self.model:
                raise StudyError(
                    f"{config.urls[0]}: name the `model`; the server lists: {', '.join(listed.names) or 'none'}"
                )
        except BaseException:
            self.close()
            raise
        self.name = f"{family}:{self.model}"
        self.context_length = config.context_length or listed.context_length
        self._listed, self._tokenize = listed, listed.tokenize
        who = [config.identity] if config.identity else [self.model, listed.weights, config.revision]
        how = [config.thinking_tokens, config.extra_body] + [config.reasoning_effort] * bool(config.reasoning_effort)
        self.fingerprint = json.dumps([*who, *how], sort_keys=True)

    def generate(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Answer every request once, `concurrency` at a time.

        Raises:
            EngineError: the server is gone, refuses the key or does not know the model.
        """
        self._gone, self._last_reply = None, time.monotonic()
        yield from self._pump.replies(requests, self._answer)

    def at_hand(self) -> int:
        """Count the replies that have arrived and were not yielded yet."""
        return self._pump.at_hand()

    def count_tokens(self, request: Request) -> int | None:
        """Count by the tokenizer named in the settings, or the server's own (vLLM); None where there is neither."""
        if self.config.tokenizer:
            return chat.count_tokens(self.config.tokenizer, self._form.messages(request))
        if not self._tokenize:
            return None
        body = json.dumps({"model": self.model, "messages": self._form.messages(request)}).encode()
        outcome = self._pump.call(self._http.post(self._tokenize, body))
        count = outcome.value.get("count") if isinstance(outcome.value, dict) else None
        return count if isinstance(count, int) else None

    def learn(self, put: Callable[[Request], Reply], like: Request) -> None:
        """Find out, once, whether requests of the shape of `like` are answered, and how a JSON schema is taken.

        Raises:
            EngineError: not even the plainest test prompt is answered, or the server cuts prompts.
        """
        if self._learned:
            return
        forms: tuple[Structured, ...] = ("json_schema", "wrapped")
        if self.config.structured != "auto" or like.schema is None:
            forms = (self._form.structured,)
        tried: dict[Structured, str] = {}
        answered: Probed | None = None
        failure: str | None = None
        for structured in forms:
            self._form.structured = structured
            request, reply = send_probe(put, like, structured)
            failure = reply.failure
            answered = (request, reply) if reply.text is not None else answered
            # What the server refused by name, the form has left out by now.
            tried[self._form.structured] = obedience(reply)
            if "obeyed" in tried.values() or self._form.structured == "plain" or reply.failure in PASSING:
                break
        if answered is None and failure in {"refused", "too_long"}:
            # This prompt is not answered in any form, which says nothing of the others.
            self._form.structured, self._learned = forms[0], True
            return
        answered = answered or self._plainest(put, like)
        if like.schema is not None and self.config.structured == "auto":
            self._form.structured = "json_schema"
            self._form.use(best_form(tried))
            self._facts["structured_obeyed"] = "obeyed" in tried.values()
        self._check_cut(put, like, *answered)
        if like.sampling.top_logprobs:
            self._facts["logprobs"] = bool(answered[1].logprobs)
        self._learned = True
        self._say_changes()

    def _plainest(self, put: Callable[[Request], Reply], like: Request) -> Probed:
        """Put the test prompt without a schema, then without every parameter that can be left out."""
        self._form.structured = "plain"
        request, reply = send_probe(put, like, "plain")
        if reply.text is None and reply.failure not in PASSING:
            self._form.leave_out_all()
            request, reply = send_probe(put, like, "bare")
        if reply.text is not None:
            return request, reply
        raise EngineError(
            f"{self.config.urls[0]} failed a test prompt ({self._last_failure}): fix the server, or settings that it "
            "does not accept (extra_body?), and run the same command again"
        )

    def _check_cut(self, put: Callable[[Request], Reply], like: Request, long: Request, reply: Reply) -> None:
        """Compare the tokens reported for a long prompt with those for its first quarter, if they look too few."""
        self._facts["usage"] = "estimated" if reply.usage.estimated else "reported"
        if reply.usage.estimated:
            self._note("the server reports no usable token counts; they are estimated from the lengths of texts")
            return
        ratio = n_bytes(long) / max(reply.usage.tokens_in, 1)
        if ratio > SUSPICIOUS_BYTES:
            short = probe(like, share=SHORTER[-1])
            usage = put(short).usage
            if usage.tokens_in and not usage.estimated:
                expected = n_bytes(long) * usage.tokens_in / n_bytes(short)
                if reply.usage.tokens_in < CUT_SHARE * expected:
                    raise stops.cut(self.config, reply.usage.tokens_in)
                ratio = max(ratio, n_bytes(short) / usage.tokens_in)
        self._most_bytes_per_token = max(SUSPICIOUS_BYTES, ratio / CUT_SHARE)

    def facts(self) -> dict[str, str | int | float | bool]:
        """Model, form of structured output, abilities, what was given up, the last failed call."""
        form = self._form
        known = {
            "model": self.model,
            "revision": self.config.revision,
            "structured": form.structured,
            "system_role": form.system_role,
            "left_out": " ".join(sorted(form.left_out)),
            "given_up": "; ".join(form.changes),
            "context_length": self.context_length or 0,
        }
        failed = {"last_failure": self._last_failure} if self._last_failure else {}
        return {**known, **self._facts, **failed}

    def close(self) -> None:
        """Close the connections."""
        if not self._pump.loop.is_closed():
            self._pump.call(self._http.close())
            self._pump.close()

    def _look(self) -> ServedModel:
        """Read the servers' `/models`: a courtesy, except that no server may be down and that weights must be equal."""
        found: list[ServedModel] = []
        down: list[tuple[Server, Outcome]] = []
        for server in self._servers.all:
            outcome = self._pump.call(self._http.get(f"{server.url}/models"))
            if outcome.kind in {"unreachable", "timeout", "dropped"}:
                down.append((server, outcome))
            elif outcome.kind == "refused_key" and not self.config.model:
                raise stops.refused_key(self.config, outcome)
            elif outcome.kind == "redirected":
                raise StudyError(f"{server.url} {outcome.detail}, which is not followed: set base_url to that address")
            else:
                value = outcome.value if outcome.kind == "ok" else {}
                found.append(served_model(value, self.config.model, server.url))
        if not found:
            url, detail = down[0][0].url, down[0][1].detail
            raise StudyError(f"no server answers at {url} ({detail}): start it, or correct base_url")
        if len({(listed.name, listed.weights) for listed in found if listed.name}) > 1:
            listing = ", ".join(sorted({f"{listed.name} {listed.weights}".strip() for listed in found}))
            raise StudyError(f"base_url: the servers do not serve the same model: {listing}")
        for server, outcome in down:
            self._servers.failed(server, replace(outcome, kind="unreachable"), 0)
        return next((listed for listed in found if listed.name), found[0])

    def _body(self, request: Request) -> dict[str, Any]:
        config = self.config
        return self._form.body(
            request,
            self.model,
            thinking_tokens=config.thinking_tokens,
            effort=config.reasoning_effort,
            extra=config.extra_body,
        )

    async def _answer(self, request: Request) -> Reply:
        """Send until there is a reply, a failure of this request, or no hope of the server."""
        began, n_calls, n_retries, n_waits, n_adapted = time.monotonic(), 0, 0, 0, 0
        config, size = self.config, n_bytes(request)
        while True:
            if self._gone is not None:
                raise self._gone
            body = self._body(request)
            raw, wrapped = json.dumps(body).encode(), self._form.structured == "wrapped" and request.schema is not None
            with self._servers.next() as server:
                outcome = await self._http.post(f"{server.url}/chat/completions", raw)
            n_calls += outcome.kind != "unreachable"
            if outcome.kind == "ok":
                limit = request.sampling.max_tokens + config.thinking_tokens
                sent = chat.Sent(request.key, size, limit, wrapped, n_calls, time.monotonic() - began)
                reply = chat.read_reply(outcome.value, sent)
                if isinstance(reply, Reply):
                    self._succeeded(server, reply, size)
                    return reply
                outcome = reply
            if self._adapted(outcome, body, n_adapted):
                n_adapted += 1
                continue
            outcome = self._judged(outcome, size)
            n_retries += outcome.kind in PASSING
            n_waits += outcome.kind in WAITING
            if outcome.kind not in PASSING | WAITING or n_retries > config.retries:
                return self._failed(request, outcome, n_calls, time.monotonic() - began)
            await self._wait(server, outcome, n_retries + n_waits, began)

    def _adapted(self, outcome: Outcome, sent: dict[str, object], n_adapted: int) -> bool:
        """Whether an error without a telling code has changed the form of requests."""
        if outcome.certain or outcome.status not in REFUSING_STATUS or n_adapted >= MOST_ADAPTED:
            return False
        adapted = self._form.adapt(outcome, sent)
        if adapted and self._learned:  # while learning, forms are only tried
            self._say_changes()
        return adapted

    def _judged(self, outcome: Outcome, size: int) -> Outcome:
        """The outcome in the light of earlier ones: which prompts were answered so far."""
        unknown = outcome.kind == "bad_request" and outcome.status in {400, 422}
        if unknown and 0 < MUCH_LONGER * self._longest_answered < size:
            return replace(outcome, kind="too_long")
        if outcome.kind == "refused_key" and outcome.status == 403 and not outcome.certain and self._n_answered:
            return replace(outcome, kind="refused")  # the key is good: this prompt is not
        if outcome.kind == "refused_key":
            self._gone = stops.refused_key(self.config, outcome)
        if outcome.kind == "unknown_path":
            self._gone = stops.unknown(self.config, self.model, self._listed.names, outcome)
        if self._gone is not None:
            raise self._gone
        return outcome

    def _succeeded(self, server: Server, reply: Reply, size: int) -> None:
        self._last_reply = time.monotonic()
        self._n_answered += 1
        self._longest_answered = max(self._longest_answered, size)
        self._servers.answered(server)
        usage = reply.usage
        cut = not usage.estimated and size > self._most_bytes_per_token * usage.tokens_in
        self._n_cut = self._n_cut + 1 if cut else 0
        if self._n_cut >= MOST_CUT:
            self._gone = stops.cut(self.config, usage.tokens_in)

    async def _wait(self, server: Server, outcome: Outcome, n_tries: int, began: float) -> None:
        """Back off: as long as the server asks, else exponentially with jitter; give up when patience ends."""
        patience = self.config.patience_s + (0 if outcome.kind in WAITING else self.config.timeout_s)
        longest = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** min(n_tries - 1, 16))
        wait = self._jitter.uniform(longest / 4, longest)
        if not math.isnan(outcome.retry_after):
            # A little jitter, so that clients with the same retry time do not all retry at once.
            wait = max(wait / 4, outcome.retry_after) + self._jitter.uniform(0, 0.1 * outcome.retry_after + 0.01)
        if self._servers.failed(server, outcome, wait):
            return  # another server takes the request at once
        silent = time.monotonic() - max(self._last_reply, began)
        if max(silent, wait) > patience:
            self._gone = EngineError(
                f"{server.url}: no reply for {silent:.0f} s ({outcome.kind}: {outcome.detail}; next try in "
                f"{wait:.0f} s); replies so far are kept: run the same command again when the server is back"
            )
        until = time.monotonic() + wait
        while self._gone is None and (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 0.5))

    def _failed(self, request: Request, outcome: Outcome, n_calls: int, latency_s: float) -> Reply:
        status = f", HTTP {outcome.status}" if outcome.status else ""
        self._last_failure = f"{outcome.kind}{status}: {outcome.detail}"
        usage = Usage(calls=n_calls, latency_s=latency_s)
        return Reply(key=request.key, text=None, failure=outcome.kind, usage=usage)

    def _say_changes(self) -> None:
        """Print each change of form once."""
        for change in self._form.changes[self._n_said :]:
            self._note(f"the server does not accept {change}")
        self._n_said = len(self._form.changes)

    def _note(self, text: str) -> None:
        note(f"{self.name}: {text}")


def n_bytes(request: Request) -> int:
    return sum(len(message.content.encode("utf-8", "replace")) for message in request.messages)
