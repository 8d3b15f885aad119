"""Replies in the form of OpenAI's chat API: text, thoughts, log-probabilities and usage."""

import functools
import json
import math
from dataclasses import dataclass
from typing import Any

from autointerp.llm._failures import Outcome, from_error
from autointerp.records import Reply, TokenLogprob, Usage
from autointerp.text import mend_surrogates

Json = dict[str, Any]
# Bytes of English prompt text per token where nobody counts tokens; 4 is the usual rule of thumb, marks cost more.
BYTES_PER_TOKEN = 3.5
# Tokens that a chat template and a gateway's own system prompt may add to a prompt.
ADDED_TOKENS = 4096
# Generated tokens, as a multiple of the limit that was sent, up to which a server's count is believed.
MOST_OUT = 8


@dataclass(frozen=True, slots=True)
class Sent:
    """Context of a request, needed to parse its reply. `limit` is the largest number of tokens to generate."""

    key: str
    n_bytes: int
    limit: int
    wrapped: bool
    n_calls: int
    latency_s: float


def read_reply(value: Json, sent: Sent) -> Reply | Outcome:
    """Parse the body of a 200 response: a reply, or a provider's error in its place."""
    try:
        choice = value["choices"][0]
        message = choice["message"]
        text, thoughts = _content(message.get("content"))
    except (KeyError, IndexError, TypeError, AttributeError):
        return Outcome("bad_response", {}, "no choices")
    if text is None:
        return Outcome("bad_response", {}, "no text in the reply's choice")
    if isinstance(choice.get("error"), dict) or choice.get("finish_reason") == "error":
        error = choice.get("error")
        return from_error(200, {"error": error if isinstance(error, dict) else "the provider failed"})
    finish = "content_filter" if message.get("refusal") else str(choice.get("finish_reason") or "")
    if sent.wrapped:
        text = _unwrapped(text)
    separate = message.get("reasoning_content") or message.get("reasoning")
    thoughts += separate if isinstance(separate, str) else ""
    usage = _usage(value.get("usage"), sent, text, thoughts)
    # Thoughts that a server separates from the answer are put where models write them.
    text = f"<think>{thoughts}</think>{text}" if thoughts else text
    return Reply(
        key=sent.key, text=mend_surrogates(text), finish_reason=finish, logprobs=_logprobs(choice), usage=usage
    )


def _content(content: object) -> tuple[str | None, str]:
    """Text and thoughts of a message: a string, nothing, or a list of parts; None for anything else."""
    if content is None or isinstance(content, str):
        return content or "", ""
    if not isinstance(content, list):
        return None, ""
    text, thoughts = "", ""
    for part in content:
        if isinstance(part, str):
            text += part
        elif isinstance(part, dict) and part.get("type") in {"thinking", "reasoning"}:  # Mistral, Anthropic
            inner = part.get("thinking", part.get("text"))
            thoughts += inner if isinstance(inner, str) else (_content(inner)[0] or "")
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            text += part["text"]
    return text, thoughts


def _unwrapped(text: str) -> str:
    """The answer in `{"answer": ...}` as JSON; other text as it is."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return json.dumps(value["answer"]) if isinstance(value, dict) and list(value) == ["answer"] else text


def _logprobs(choice: Json) -> tuple[TokenLogprob, ...]:
    """The log-probabilities; () if missing or of another form."""
    try:
        return tuple(
            TokenLogprob(
                mend_surrogates(str(entry["token"])),
                _number(entry.get("logprob")),
                tuple([(str(top["token"]), _number(top.get("logprob"))) for top in entry.get("top_logprobs") or ()]),
            )
            for entry in (choice.get("logprobs") or {}).get("content") or ()
        )
    except (KeyError, TypeError, AttributeError):
        return ()


def _number(value: object) -> float:
    if type(value) is float:
        return value
    return float(value) if isinstance(value, int | float) else math.nan


def _usage(usage: object, sent: Sent, text: str, thoughts: str) -> Usage:
    """The tokens that the server counts; estimated from the texts' lengths where it does not, or counts absurdly."""
    counts: Json = usage if isinstance(usage, dict) else {}
    n_text, n_thoughts = len(text.encode("utf-8", "replace")), len(thoughts.encode("utf-8", "replace"))
    tokens_in, tokens_out = _count(counts.get("prompt_tokens")), _count(counts.get("completion_tokens"))
    known = 0 < tokens_in <= sent.n_bytes + ADDED_TOKENS
    # No tokenizer makes more tokens than bytes; thoughts may be hidden, so the limit that was sent bounds them.
    known = known and 0 <= tokens_out <= max(MOST_OUT * sent.limit, n_text + n_thoughts) + ADDED_TOKENS
    if not known:
        tokens_in = math.ceil(sent.n_bytes / BYTES_PER_TOKEN)
        tokens_out = math.ceil((n_text + n_thoughts) / BYTES_PER_TOKEN)
    thinking = _count(_inner(counts, "completion_tokens_details").get("reasoning_tokens"))
    if not thinking and thoughts:
        thinking = round(tokens_out * n_thoughts / (n_text + n_thoughts))
    cached = _count(_inner(counts, "prompt_tokens_details").get("cached_tokens"))
    cached = cached or _count(counts.get("prompt_cache_hit_tokens"))
    return Usage(
        calls=sent.n_calls,
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        tokens_cached=min(tokens_in, cached),
        tokens_thinking=min(tokens_out, thinking),
        latency_s=sent.latency_s,
        estimated=not known,
    )


def _inner(usage: Json, name: str) -> Json:
    value = usage.get(name)
    return value if isinstance(value, dict) else {}


def _count(value: object) -> int:
    """A count as a server reports it; 0 for anything else."""
    return int(value) if isinstance(value, int | float) and math.isfinite(value) and value > 0 else 0


@functools.lru_cache(maxsize=2)
def _tokenizer(source: str) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(source)


def count_tokens(source: str, messages: list[dict[str, str]]) -> int:
    """Count the tokens of chat messages by a tokenizer and its chat template."""
    tokenizer = _tokenizer(source)
    if tokenizer.chat_template:
        return len(
            tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False)
        )
    return sum(len(tokenizer.encode(message["content"])) for message in messages)
