"""Classification of failed calls, by the error's code and type first and by its text second.

Codes are those of OpenAI, Azure, Anthropic, Groq, Gemini, Mistral, OpenRouter, llama.cpp and vLLM.
"""

import email.utils
import math
import re
import time
from dataclasses import dataclass
from typing import Any

from autointerp.text import mend_surrogates, one_line

Json = dict[str, Any]
TRANSIENT_STATUS = {408, 409, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529}
# Statuses under which a server refuses a parameter or a prompt.
REFUSING_STATUS = {400, 403, 404, 422, 500, 501}
CODES = {
    "too_long": {"context_length_exceeded", "string_above_max_length", "request_too_large",
                 "exceed_context_size_error", "prompt_too_long", "max_tokens_exceeded"},
    "refused": {"content_filter", "content_policy_violation", "responsibleaipolicyviolation", "moderation_blocked",
                "sensitive_words_detected", "data_inspection_failed", "prompt_blocked"},
    "rate_limited": {"rate_limit_exceeded", "rate_limit_error", "too_many_requests", "resource_exhausted",
                     "throttlingexception", "throttling"},
    "refused_key": {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "insufficient_credits",
                    "invalid_api_key", "authentication_error", "unauthenticated", "invalid_authentication"},
    "unknown_path": {"model_not_found", "deploymentnotfound", "model_not_available"},
    "server_error": {"overloaded_error", "server_error", "internal_error", "internal_server_error", "api_error",
                     "engine_overloaded", "unavailable", "service_unavailable"},
}  # fmt: skip
KIND_OF = {code: kind for kind, codes in CODES.items() for code in codes}
TOO_LONG = (
    "maximum context length", "context size", "context length", "too many tokens", "context window",
    "longer than the model", "exceeds the model", "prompt is too long", "max_model_len", "input is too long",
    "maximum input length", "input token count", "too many input tokens",
)  # fmt: skip
POLICY = ("content_filter", "content filter", "content policy", "content_policy", "content management policy",
          "moderation", "flagged", "safety", "usage policies")  # fmt: skip
UNKNOWN_MODEL = re.compile(r"\bmodel\b.*\b(not found|does not exist|not exist)\b", re.DOTALL)
NO_CREDIT = ("insufficient_quota", "exceeded your current quota", "billing", "credit balance", "insufficient credits")


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of one call.

    `kind`: ok | unreachable | dropped | timeout | bad_response | redirected, or for an error that the server reports:
    rate_limited | server_error | refused_key | unknown_path | refused | too_long | bad_request.
    `certain` says that `kind` follows from a code rather than from words. `retry_after` is in seconds, NaN if absent.
    """

    kind: str
    value: Any
    detail: str = ""
    status: int = 0
    retry_after: float = math.nan
    certain: bool = False
    parameter: str = ""


def from_body(status: int, value: Any, text: str, wait: float) -> Outcome:
    """Interpret a response by its status and parsed body (None where it is not JSON).

    Errors inside a 200, as some gateways send them, count by the code in the body.
    """
    fine = 200 <= status < 300
    if isinstance(value, list) and value and isinstance(value[0], dict) and "error" in value[0]:
        value = value[0]  # Gemini
    if not isinstance(value, dict):
        if fine and not isinstance(value, list):
            return Outcome("bad_response", {}, printable(text[:600])[:300], status, wait)
        return Outcome("ok" if fine else by_words(status, text), value or {}, printable(text[:600])[:300], status, wait)
    error = value.get("error")
    if fine and not error:
        return Outcome("ok", value, "", status, wait)
    return from_error(status, value, wait)


def from_error(status: int, value: Json, wait: float = math.nan) -> Outcome:
    """Interpret an error object: `{"error": {...}}`, or the error itself."""
    error = value.get("error", value)
    fields: Json = error if isinstance(error, dict) else {}
    code, inner = fields.get("code"), fields.get("innererror")
    if status < 300:
        status = int(str(code)) if re.fullmatch(r"[45]\d\d", str(code), re.ASCII) else 500
    codes = [code, fields.get("type"), fields.get("status"), inner.get("code") if isinstance(inner, dict) else None]
    known = [KIND_OF[str(name).lower()] for name in codes if str(name).lower() in KIND_OF]
    detail, parameter = _detail(value), fields.get("param")
    kind = known[0] if known else by_words(status, detail, waits=not math.isnan(wait))
    if status == 413:
        kind, known = "too_long", ["too_long"]
    return Outcome(
        kind,
        value,
        printable(detail),
        status,
        wait,
        certain=bool(known),
        parameter=parameter if isinstance(parameter, str) else "",
    )


def by_words(status: int, detail: str, *, waits: bool = False) -> str:
    """Return the kind of an error without a known code; `waits`: the server names a time to try again."""
    said = detail.lower()
    no_credit = any(words in said for words in NO_CREDIT) and not (status == 429 and waits)
    if status in {401, 402} or no_credit:
        return "refused_key"
    if status == 413 or (status in {400, 403, 422, 500} and any(words in said for words in TOO_LONG)):
        return "too_long"
    if status in {400, 403, 422} and any(words in said for words in POLICY):
        return "refused"
    if status == 403:
        return "refused_key"
    if status == 404 or (status in {400, 422} and UNKNOWN_MODEL.search(said)):
        return "unknown_path"
    if status == 429:
        return "rate_limited"
    return "server_error" if status in TRANSIENT_STATUS or status >= 500 else "bad_request"


def _detail(value: Json) -> str:
    error = value.get("error", value)
    message = error.get("message") if isinstance(error, dict) else error
    return str(message if message is not None else value.get("detail", value))[:1000]


def printable(text: str) -> str:
    """A server's text on one line, without control characters that a terminal would obey."""
    return one_line(mend_surrogates(" ".join(text.split())))[:500]


def retry_after(milliseconds: str | None, seconds: str | None, now: float | None = None) -> float:
    """Seconds to wait as the server asks: `Retry-After-Ms`, or `Retry-After` as a number or an HTTP date; else NaN.

    >>> retry_after(None, "2"), retry_after("250", "9"), retry_after(None, "soon"), retry_after(None, "-1")
    (2.0, 0.25, nan, 0.0)
    >>> retry_after(None, "Thu, 01 Jan 1970 00:01:00 GMT", now=50.0)
    10.0
    """
    for given, unit in ((milliseconds, 1000.0), (seconds, 1.0)):
        try:
            wait = float(given or "") / unit
        except ValueError:
            continue
        if math.isfinite(wait):
            return max(0.0, wait)
    try:
        date = email.utils.parsedate_to_datetime(seconds or "")
    except (ValueError, OverflowError):
        return math.nan
    return max(0.0, date.timestamp() - (time.time() if now is None else now))
