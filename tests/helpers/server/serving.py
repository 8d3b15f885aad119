"""The server itself, in a thread."""

import asyncio
import email.utils
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.helpers.server.faults import Body, Faults, odd
from tests.helpers.server.wire import Answer
from tests.helpers.server.words import even, listed, logprob, n_tokens, obey, schema_of


@dataclass(frozen=True)
class Call:
    """One POST: what came in, what went wrong, the tokens that the reply told of (0 where none got through)."""

    body: Body
    headers: dict[str, str]
    fault: str
    tokens_in: int = 0
    tokens_out: int = 0


@dataclass
class Model:
    """What the served model is and can do; each ability can be taken away."""

    name: str = "scripted"
    context_length: int | None = 8192
    system_role: bool = True
    json_schema: str = "any"  # any | object (the root must be one) | ignored | refused
    logprobs: bool = True
    key: str = ""
    lists_models: bool = True
    refused_field: str = ""  # a field of the body that it knows nothing of, as transformers' server refuses it
    latency_s: float = 0.0
    echo_key: bool = False  # say the key in every error, with slashes escaped as some JSON writers do


class Server:
    """Answers chat completions by `answer`; a context manager."""

    def __init__(
        self,
        answer: Callable[[Body], str] = even,
        *,
        model: Model | None = None,
        faults: Faults | None = None,
        port: int = 0,
        keep_log: bool = True,
        keep_count: bool = True,
    ) -> None:
        self.answer, self.model, self.faults = answer, model or Model(), faults
        self.log: list[Call] = []
        self.in_flight = self.most_in_flight = self.n_calls = 0
        self.down = False  # refuse every call with 503
        self.retry_after = "0.05"
        self._asked: Counter[str] = Counter()
        self._port, self._keep_log, self._keep_count = port, keep_log, keep_count
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._open: set[asyncio.Transport] = set()

    @property
    def url(self) -> str:
        """What a client is given."""
        return f"http://127.0.0.1:{self._port}/v1"

    def __enter__(self) -> "Server":
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        assert self._ready.wait(10), "server did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop listening and cut all connections."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        coroutine = self._loop.create_server(lambda: _Connection(self), "127.0.0.1", self._port, backlog=1024)
        listening = self._loop.run_until_complete(coroutine)
        self._port = listening.sockets[0].getsockname()[1]
        self._ready.set()
        try:
            self._loop.run_forever()
        finally:
            # A connection just accepted has no transport yet: accept no more, let it have one, then cut all.
            for sock in listening.sockets:
                self._loop.remove_reader(sock.fileno())
            self._loop.run_until_complete(asyncio.sleep(0.02))
            listening.close()
            for transport in tuple(self._open):
                transport.abort()
            self._loop.run_until_complete(asyncio.sleep(0))
            self._loop.close()

    def respond(self, path: str, headers: dict[str, str], raw: bytes) -> "Answer":
        """What to send for one request."""
        model = self.model
        if model.key and headers.get("authorization") != f"Bearer {model.key}":
            return Answer.error(401, "Incorrect API key provided")
        if path.endswith("/models") and model.lists_models:
            entry = {"id": model.name, "object": "model", "max_model_len": model.context_length}
            return Answer(200, {"object": "list", "data": [entry]})
        if not path.endswith("/chat/completions"):
            return Answer.error(404, f"no such path: {path}")
        body = json.loads(raw)
        prompt = json.dumps([body["messages"], body.get("seed")])
        attempt = self._asked[prompt]
        if self._keep_count:
            self._asked[prompt] += 1
        self.n_calls += 1
        fault = self.faults.draw(prompt, attempt) if self.faults else ""
        answer = Answer.error(503, "down") if self.down else (self._refusal(body) or self._faulty(fault, body))
        answer.escape = model.echo_key
        if self._keep_log:
            usage = answer.value.get("usage", {}) if answer.whole else {}
            self.log.append(
                Call(body, headers, fault, usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0))
            )
        return answer

    def _refusal(self, body: Body) -> "Answer | None":
        if body["model"] != self.model.name:
            return Answer.error(404, f"The model `{body['model']}` does not exist", "model_not_found")
        if self.model.refused_field in body:
            return Answer(422, {"detail": f"Unexpected fields in the request: {{'{self.model.refused_field}'}}"})
        model, asked = self.model, sum(n_tokens(message["content"]) for message in body["messages"])
        if not model.system_role and any(message["role"] == "system" for message in body["messages"]):
            return Answer.error(400, "System role not supported")
        if not model.logprobs and body.get("logprobs"):
            return Answer.error(400, "logprobs are not supported by this model")
        if model.context_length and asked + body.get("max_tokens", 0) > model.context_length:
            return Answer.error(400, f"This model's maximum context length is {model.context_length} tokens", "context")
        schema = schema_of(body)
        if schema is not None and model.json_schema == "refused":
            return Answer.error(400, "response_format json_schema is not supported")
        if schema is not None and model.json_schema == "object" and schema.get("type") != "object":
            return Answer.error(400, "Invalid schema for response_format: root must be an object")
        return None

    def _faulty(self, fault: str, body: Body) -> "Answer":
        if fault[:3] in {"429", "500", "503"}:
            said = f"scripted {fault}" + (f", key {self.model.key}" if self.model.echo_key else "")
            answer = Answer.error(int(fault[:3]), said)
            answer.headers = {"Retry-After": self.retry_after} if fault.endswith("after") else {}
            if fault.endswith("date"):  # whole seconds, so at most one from now
                answer.headers = {"Retry-After": email.utils.formatdate(time.time() + 0.9, usegmt=True)}
            return answer
        if fault == "error-200":
            return Answer(200, {"error": {"message": "upstream is busy", "code": 503}}, fault=fault)
        if fault == "redirect":
            return Answer(307, {}, headers={"Location": "http://127.0.0.1:9/elsewhere"}, fault=fault)
        text = obey(self.answer, body) if self.model.json_schema != "ignored" else self.answer(body)
        changed = {
            "truncated": text[: len(text) // 2],
            "short": listed(text, -1),
            "long": listed(text, 1),
            "garbage": "I am not sure what you mean.",
            "empty": "",
        }.get(fault, text)
        value = self._completion(body, changed, nan=fault == "nan-logprobs")
        odd(fault, value, changed)
        return Answer(200, value, fault=fault)

    def _completion(self, body: Body, text: str, *, nan: bool) -> Body:
        parts = re.findall(r"\w+|[^\w]", text)
        choice: Body = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        if body.get("logprobs"):
            choice["logprobs"] = {"content": [logprob(part, nan=nan) for part in parts]}
        tokens_in = sum(n_tokens(message["content"]) for message in body["messages"])
        usage = {
            "prompt_tokens": tokens_in,
            "completion_tokens": len(parts),
            "total_tokens": tokens_in + len(parts),
            "prompt_tokens_details": {"cached_tokens": tokens_in // 2},
        }
        name = f"chatcmpl-{self.n_calls}"
        return {"id": name, "object": "chat.completion", "model": self.model.name, "choices": [choice], "usage": usage}


class _Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, as little of it as clients need."""

    def __init__(self, server: Server) -> None:
        self.server, self.buffer = server, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.server._open.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.server._open.discard(self.transport)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            first, *lines = self.buffer[:end].decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            size = int(headers.get("content-length", "0"))
            if len(self.buffer) < end + 4 + size:
                return
            body, self.buffer = self.buffer[end + 4 : end + 4 + size], self.buffer[end + 4 + size :]
            self._answer(first.split(" ")[1], headers, body)

    def _answer(self, path: str, headers: dict[str, str], body: bytes) -> None:
        server, began = self.server, time.monotonic()
        server.in_flight += 1
        server.most_in_flight = max(server.most_in_flight, server.in_flight)
        answer = server.respond(path, headers, body)
        slow = 0.3 if answer.fault == "delay" else 0.0
        wait = server.model.latency_s + slow - (time.monotonic() - began) if path.endswith("completions") else 0.0
        if wait > 0:
            server._loop.call_later(wait, self._send, answer)
        else:
            self._send(answer)

    def _send(self, answer: Answer) -> None:
        self.server.in_flight -= 1
        if not self.transport.is_closing():
            self.transport.write(answer.wire())
            if answer.fault in {"drop", "cut-body", "close", "until-close"}:
                self.transport.close()


@contextmanager
def scripted(**settings: Any) -> Iterator[Server]:
    """`Server` with the settings of a `Model` given as keywords."""
    with Server(model=Model(**settings)) as server:
        yield server
