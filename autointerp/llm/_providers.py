"""Requests to providers through the any-llm library, and what its errors mean."""

import importlib
import json
import math
import os
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from autointerp.errors import StudyError
from autointerp.llm._failures import Outcome, from_body, from_error, printable, retry_after

# Providers whose batches any-llm submits and reads without a storage bucket. It passes no JSON schema to those marked.
BATCHES = {"openai": True, "anthropic": False, "mistral": True, "together": True}
# What errors without a status mean, by the name of their class.
KINDS = {
    "RateLimitError": "rate_limited",
    "AuthenticationError": "refused_key",
    "MissingApiKeyError": "refused_key",
    "InsufficientFundsError": "refused_key",
    "ModelNotFoundError": "unknown_path",
    "ContextLengthExceededError": "too_long",
    "ContentFilterError": "refused",
    "InvalidRequestError": "bad_request",
    "UnsupportedParameterError": "bad_request",
}
# Kinds of trouble on the way, by words in the names of the errors behind it; the first that fits counts.
ON_THE_WAY = {
    "unreachable": ("ConnectError", "ConnectTimeout", "EndpointConnection", "ClientConnector"),
    "timeout": ("Timeout",),
    "dropped": ("Connection", "Protocol", "ReadError", "WriteError"),
    "bad_response": ("JSONDecodeError", "ResponseValidation"),
}


class Provider:
    """One model of one provider, as a transport of the client; `key` is removed from what it says."""

    def __init__(self, provider: Any, model: str, key: str, timeout_s: float) -> None:
        self.library, self.model = provider, model
        self._secret, self._timeout_s = key, timeout_s
        self._takes_timeout = True

    async def get(self, url: str) -> Outcome:
        """List nothing: whether a model is served, a call decides."""
        return Outcome("ok", {})

    async def post(self, url: str, body: bytes) -> Outcome:
        """Send one chat request."""
        values = {**json.loads(body), "model": self.model}
        if self._takes_timeout:
            outcome = await self.call(lambda: self.library.acompletion(**values, timeout=self._timeout_s))
            if outcome.parameter != "timeout":
                return self._read(outcome)
            self._takes_timeout = False
        return self._read(await self.call(lambda: self.library.acompletion(**values)))

    def _read(self, outcome: Outcome) -> Outcome:
        if outcome.kind != "ok":
            return outcome
        text = self._clean(outcome.value.model_dump_json(warnings=False))
        return from_body(200, json.loads(text), text, math.nan)

    async def call(self, send: Callable[[], Awaitable[Any]]) -> Outcome:
        """Await one call of the library; `value` is what it returns, or the failure is classified."""
        try:
            return Outcome("ok", await send())
        except Exception as error:  # each provider's library raises its own
            return self._failed(error)

    def _failed(self, error: Exception) -> Outcome:
        status = getattr(error, "status_code", None) or 0
        message = self._clean(printable(str(getattr(error, "message", "") or error) or type(error).__name__))
        parameter = getattr(error, "param", None) or getattr(error, "parameter_name", None) or ""
        wait = retry_after(None, getattr(error, "retry_after", None))
        if status >= 400:
            code, type_ = getattr(error, "code", None), getattr(error, "error_type", None)
            fields = {"message": message, "code": code, "type": type_, "param": parameter}
            return from_error(status, {"error": fields}, wait)
        kind = KINDS.get(type(error).__name__) or _without_status(error)
        return Outcome(kind, {}, message, 400 if kind == "bad_request" else 0, wait, parameter=parameter)

    def _clean(self, text: str) -> str:
        return text.replace(self._secret, "[key]") if len(self._secret) >= 8 else text

    async def close(self) -> None:
        """Close the provider's connections, where its library has any to close."""
        client = getattr(self.library, "client", None)
        close = getattr(client, "close", None)
        if close is not None and (closing := close()) is not None:
            await closing


def _without_status(error: BaseException) -> str:
    """What an error is that no server sent, by its causes."""
    names = " ".join(type(cause).__name__ for cause in _causes(error))
    for kind, words in ON_THE_WAY.items():
        if any(word in names for word in words):
            return kind
    # The library itself refuses what it cannot translate for a provider, such as a form of schema.
    refused = any(isinstance(cause, TypeError | ValueError | NotImplementedError) for cause in _causes(error))
    return "bad_request" if refused else "bad_response"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = getattr(error, "original_exception", None) or error.__cause__ or error.__context__


async def connect(
    provider: str, model: str, key: str, api_base: str, options: dict[str, str], *, timeout_s: float
) -> Provider:
    """Open a provider.

    Raises:
        StudyError: any-llm does not know it, or lacks its library or key.
    """
    any_llm = importlib.import_module("any_llm")
    errors = importlib.import_module("any_llm.exceptions")
    settings = {"api_key": key or None, "api_base": api_base or None, "unified_exceptions": True, **options}
    try:
        try:
            opened = any_llm.AnyLLM.create(provider, max_retries=0, **settings)
        except errors.UnsupportedParameterError:  # its library cannot be kept from repeating calls by itself
            opened = any_llm.AnyLLM.create(provider, **settings)
    except errors.MissingApiKeyError as error:
        raise StudyError(
            f"{provider}: set ${error.env_var_name} to the key, or name its variable: api_key_env"
        ) from error
    except (errors.AnyLLMError, ImportError, TypeError, ValueError) as error:
        reason = printable(str(error)).replace(key or "\0", "[key]")[:300]
        raise StudyError(f"{provider}/{model} cannot be opened through any-llm: {reason}") from error
    secret = key or os.environ.get(str(getattr(opened, "ENV_API_KEY_NAME", "")), "").strip()
    return Provider(opened, model, secret, timeout_s)


def entry(name: str, body: dict[str, Any], provider: str) -> str:
    """One line of a batch's file; Anthropic takes the system message as a field of its own."""
    if provider == "anthropic" and body["messages"][0]["role"] == "system":
        system, *messages = body["messages"]
        body = {**body, "system": system["content"], "messages": messages}
    return json.dumps({"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": body})
