"""Any OpenAI-compatible server: vLLM, SGLang, llama.cpp, Ollama, hosted ones.

    llm: {use: openai, base_url: "http://127.0.0.1:8000/v1", model: Qwen/Qwen3-8B}

The key comes from the environment variable named by `api_key_env`, never from a file. What the server can do is found
out once, by test prompts: whether it obeys a JSON schema (a 200 alone proves nothing), whether it gives
log-probabilities; parameters it refuses by name are left out from then on. All of it is recorded in the manifest.

Stored replies belong to the server's host, the model's name, what the server tells of its weights (vLLM: their path,
llama.cpp: their size) and `revision`. Other weights under the same name and path cannot be told from here: set
`revision` anew, and everything is asked anew.
"""

import asyncio
import ipaddress
import json
import math
import os
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from autointerp.errors import EngineError, StudyError
from autointerp.llm import _chat as chat
from autointerp.llm._http import Http, Outcome
from autointerp.llm._pump import Pump
from autointerp.llm.base import Price
from autointerp.records import Reply, Request, Usage

# Trouble that passes on its own; each costs one of a request's retries.
PASSING = {"dropped", "timeout", "bad_response", "server_error", "redirected"}
# Trouble of the server rather than of one request: waited out, as long as `patience_s` allows.
WAITING = {"unreachable", "rate_limited"}
# Back-off in seconds: first, and at most.
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
# Requests in a row that end without any reply, after all retries, before the server counts as gone.
DEAD_AFTER = 50
# Changes of form one request may bring about.
MOST_ADAPTED = 8


class Config(BaseModel):
    """A server that speaks OpenAI's chat API."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())

    base_url: str = Field(description="address up to and with /v1, such as http://127.0.0.1:8000/v1")
    model: str = Field(default="", description="name the server knows the model by; empty: the only one it serves")
    revision: str = Field(default="", description="the model's revision or quantisation, where the name does not tell")
    api_key_env: str = Field(default="OPENAI_API_KEY", description="environment variable that holds the key, if any")
    concurrency: int = Field(default=64, ge=1, le=4096, description="requests in flight at once")
    timeout_s: float = Field(default=300.0, gt=0, description="longest wait for one reply, in seconds")
    retries: int = Field(default=6, ge=0, description="repeats of a call that was dropped, timed out or failed (5xx)")
    patience_s: float = Field(
        default=120.0, gt=0, description="seconds without any reply, server down or rate limit reached, before stopping"
    )
    context_length: int | None = Field(default=None, gt=0, description="tokens, prompt and reply; asked of the server")
    tokenizer: str = Field(default="", description="folder or hub id of the model's tokenizer, to count prompt tokens")
    structured: Literal["auto", "json_schema", "wrapped", "plain"] = Field(
        default="auto", description="how a reply's form is enforced; wrapped: as an object's only field"
    )
    thinking_tokens: int = Field(default=0, ge=0, description="tokens a reasoning model may think before its reply")
    extra_body: dict[str, object] = Field(default_factory=dict, description="further fields of every request's body")
    price: Price = Field(default=Price(), description="US dollars per million tokens")

    @field_validator("base_url")
    @classmethod
    def _plain_address(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("base_url must be an http:// or https:// address, such as http://127.0.0.1:8000/v1")
        if parts.port == 0 or re.search(r"[^!-~]", parts.path + parts.netloc.partition(":")[2]):
            raise ValueError("base_url must hold a port from 1 to 65535, if any, and no spaces or accents in its path")
        if "@" in parts.netloc or "?" in url or "#" in url:
            raise ValueError("base_url must hold no user, password or ?query: put the key into the environment")
        return url.rstrip("/")


class OpenAI:
    """The client of one server and model."""

    def __init__(self, config: Config, key: str) -> None:
        self.config = config
        self._pump = Pump("openai", config.concurrency)
        parts = urlsplit(config.base_url)
        self._path, self._extra = parts.path, json.dumps(config.extra_body)
        self._http = self._pump.call(_http(config, key))
        self._form = chat.Form(structured="json_schema" if config.structured == "auto" else config.structured)
        self._learned = config.structured != "auto"
        self._facts: dict[str, str | int | float | bool] = {}
        self._last_reply = time.monotonic()
        self._failed_in_a_row = 0
        self._last_failure = ""
        self._gone: EngineError | None = None
        self._jitter = random.Random()
        try:
            served = self._look()
        except (StudyError, EngineError):
            self.close()
            raise
        self.model = config.model or served.name
        self.context_length = config.context_length or served.context_length
        self._tokenize = urlsplit(served.tokenize).path
        host = urlsplit(config.base_url).hostname
        self.name = f"openai:{self.model}"
        self.fingerprint = json.dumps([host, self.model, served.root, config.revision, config.thinking_tokens,
                                       config.extra_body], sort_keys=True)  # fmt: skip

    def generate(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Answer every request once, `concurrency` at a time.

        Raises:
            EngineError: the server is gone, refuses the key or knows no such model.
        """
        self._gone, self._last_reply = None, time.monotonic()
        for reply in self._pump.replies(requests, self._answer):
            yield reply
            self._last_reply = time.monotonic()  # what the caller took is no silence of the server's

    def at_hand(self) -> int:
        """Count the replies that came and were not yielded yet."""
        return self._pump.at_hand()

    def count_tokens(self, request: Request) -> int | None:
        """Count by the tokenizer named in the settings, or the server's own (vLLM); None where there is neither."""
        if self.config.tokenizer:
            return chat.count(self.config.tokenizer, self._form.messages(request))
        if not self._tokenize:
            return None
        body = json.dumps({"model": self.model, "messages": self._form.messages(request)}).encode()
        outcome = self._pump.call(self._http.post(self._tokenize, body))
        found = outcome.value.get("count")
        return found if isinstance(found, int) else None

    def learn(self, put: Callable[[Request], Reply]) -> None:
        """Find out, once, how the server takes a JSON schema and whether it tells log-probabilities.

        Raises:
            EngineError: it answers not even the test prompt in the plainest form.
        """
        if self._learned:
            return
        self._learned = True
        tried: dict[str, str] = {}
        answered = False
        for structured in ("json_schema", "wrapped"):
            reply = self._test(structured, put)
            answered = answered or reply.text is not None
            # What the server refused by name, the form has left out by now.
            tried[self._form.structured] = chat.obeyed(reply)
            if "obeyed" in tried.values() or self._form.structured == "plain":
                break
        if not answered and self._test("plain", put).text is None:
            self._learned = False
            raise EngineError(
                f"{self.config.base_url} answers not even a test prompt ({self._last_failure}): mend the server, or "
                "settings that it does not take (extra_body?), and run the same command again"
            )
        self._form.structured = chat.best_form(tried)
        self._facts["structured_obeyed"] = "obeyed" in tried.values()

    def _test(self, structured: str, put: Callable[[Request], Reply]) -> Reply:
        """Put the test prompt in one form."""
        self._form.structured = structured
        reply = put(chat.probe(structured))
        if reply.text is not None:
            self._facts["logprobs"] = bool(reply.logprobs)
        return reply

    def facts(self) -> dict[str, str | int | float | bool]:
        """Model, form of structured output, abilities, parameters left out, what was last said of a failed call."""
        known = {"model": self.model, "revision": self.config.revision, "structured": self._form.structured,
                 "system_role": self._form.system_role, "left_out": " ".join(sorted(self._form.left_out)),
                 "context_length": self.context_length or 0}  # fmt: skip
        failed = {"last_failure": self._last_failure} if self._last_failure else {}
        return {**known, **self._facts, **failed}

    def close(self) -> None:
        """Close the connections."""
        self._pump.call(self._http.close())
        self._pump.close()

    def _look(self) -> chat.ServedModel:
        """Ask the server what it serves: costs nothing, and tells at once that it is down or the key is wrong."""
        url, config = self.config.base_url, self.config
        outcome = self._pump.call(self._http.get(f"{self._path}/models"))
        if outcome.kind in {"unreachable", "timeout", "dropped"}:
            raise StudyError(f"no server answers at {url} ({outcome.detail}): start it, or mend base_url")
        if outcome.kind == "refused_key":
            raise self._refused_key(outcome)
        if outcome.kind == "redirected":
            raise StudyError(f"{url} {outcome.detail}, which is not followed: give base_url as it is after that")
        return chat.served(outcome.value, config.model, url)

    async def _answer(self, request: Request) -> Reply:
        """Ask until there is a reply, a failure of this request, or no hope of the server."""
        began, n_calls, n_retries, n_waits, n_adapted = time.monotonic(), 0, 0, 0, 0
        path = f"{self._path}/chat/completions"
        while True:
            if self._gone is not None:
                raise self._gone
            body = self._form.body(request, self.model, self.config.thinking_tokens, self._extra)
            outcome = await self._http.post(path, body)
            n_calls += outcome.kind != "unreachable"
            if outcome.kind == "ok":
                reply = self._form.reply(request.key, outcome.value, n_calls, time.monotonic() - began)
                if reply is not None:
                    self._last_reply, self._failed_in_a_row = time.monotonic(), 0
                    return reply
                outcome = Outcome("bad_response", {}, "no choices")
            if outcome.kind in {"refused_key", "unknown_path"}:
                self._gone = self._refused_key(outcome) if outcome.kind == "refused_key" else self._unknown(outcome)
                continue
            if outcome.kind == "bad_request" and n_adapted < MOST_ADAPTED:
                n_adapted += 1
                if self._form.adapt(outcome.detail, json.loads(body)):
                    continue
            n_retries += outcome.kind in PASSING
            n_waits += outcome.kind in WAITING
            if outcome.kind not in PASSING | WAITING or n_retries > self.config.retries:
                return self._failed(request, outcome, n_calls, time.monotonic() - began)
            await self._wait(outcome, n_retries + n_waits, began)

    async def _wait(self, outcome: Outcome, n_tries: int, began: float) -> None:
        """Back off: as long as the server asks, else exponentially with jitter; give up when patience ends."""
        patience = self.config.patience_s + (0 if outcome.kind in WAITING else self.config.timeout_s)
        longest = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** min(n_tries - 1, 16))
        wait = self._jitter.uniform(longest / 4, longest)
        if not math.isnan(outcome.retry_after):
            # A little jitter, so that not all who were told the same moment come at once.
            wait = max(wait / 4, outcome.retry_after) + self._jitter.uniform(0, 0.1 * outcome.retry_after + 0.01)
        silent = time.monotonic() - max(self._last_reply, began)
        if max(silent, wait) > patience:
            self._gone = EngineError(
                f"{self.config.base_url}: no reply for {silent:.0f} s ({outcome.kind}: {outcome.detail}; next try in "
                f"{wait:.0f} s); replies so far are kept: run the same command again when the server is back"
            )
        until = time.monotonic() + wait
        while self._gone is None and (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 0.5))

    def _failed(self, request: Request, outcome: Outcome, n_calls: int, latency_s: float) -> Reply:
        status = f", HTTP {outcome.status}" if outcome.status else ""
        self._last_failure = f"{outcome.kind}{status}: {outcome.detail}"
        if outcome.kind not in {"too_long", "refused"}:
            self._failed_in_a_row += 1
        if self._failed_in_a_row >= DEAD_AFTER:
            self._gone = EngineError(
                f"{self.config.base_url}: {DEAD_AFTER} requests in a row failed, the last with {outcome.kind} "
                f"({outcome.detail}); replies so far are kept: mend the server, run the same command again"
            )
            raise self._gone
        usage = Usage(calls=n_calls, latency_s=latency_s)
        return Reply(key=request.key, text=None, failure=outcome.kind, usage=usage)

    def _refused_key(self, outcome: Outcome) -> EngineError:
        return EngineError(
            f"{self.config.base_url} refuses the key in ${self.config.api_key_env} (HTTP {outcome.status}: "
            f"{outcome.detail}); replies so far are kept: set a valid key, run the same command again"
        )

    def _unknown(self, outcome: Outcome) -> EngineError:
        return EngineError(
            f"{self.config.base_url}/chat/completions with model {self.model!r}: HTTP {outcome.status} "
            f"({outcome.detail}); base_url must end where the server mounts its API (often /v1), model be one it has"
        )


def open(config: Config) -> OpenAI:
    """Connect.

    Raises:
        StudyError: no server answers there, it serves several models and none is named, or the key is none.
        EngineError: it refuses the key.
    """
    key = os.environ.get(config.api_key_env, "").strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise StudyError(
            f"${config.api_key_env} holds characters that no key has (spaces, line ends, accents): set it anew"
        )
    return OpenAI(config, key)


async def _http(config: Config, key: str) -> Http:
    parts = urlsplit(config.base_url)
    return Http(
        key, f"{parts.scheme}://{parts.netloc}", connections=config.concurrency, timeout_s=config.timeout_s,
        direct=_is_local(parts.hostname or ""),
    )  # fmt: skip


def _is_local(host: str) -> bool:
    """Whether a host is this machine or a private network: no proxy stands between."""
    if host == "localhost" or re.fullmatch(r"[^.:]+", host):
        return True
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return False
