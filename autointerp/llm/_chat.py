"""Requests and replies in the form of OpenAI's chat API, and what a given server makes of it."""

import functools
import json
import math
from dataclasses import dataclass, field
from typing import Any

from autointerp.errors import StudyError
from autointerp.quickjson import loads, quoted
from autointerp.records import ExplainTask, Message, Reply, Request, Sampling, TokenLogprob, Usage

Json = dict[str, Any]
# Parameters that some server or model refuses and that an answer can do without.
OPTIONAL = ("seed", "temperature", "top_logprobs", "logprobs", "response_format")
REFUSING = ("unsupported", "not support", "unrecognized", "unknown", "not permitted", "not allowed", "invalid", "extra",
            "unexpected")  # fmt: skip
# The only list that the schema of the test prompt allows, and that nobody would say unasked.
SEVENS = [7, 7, 7]


@dataclass(frozen=True, slots=True)
class ServedModel:
    """What a server says of the model: its own name for it, its path, context length, where it counts tokens."""

    name: str
    root: str = ""
    context_length: int | None = None
    tokenize: str = ""


@dataclass(slots=True)
class Form:
    """How requests are written for one server; adapts to what it refuses."""

    structured: str = "json_schema"  # json_schema | wrapped | plain
    system_role: bool = True
    max_tokens: str = "max_tokens"
    left_out: set[str] = field(default_factory=set)

    def messages(self, request: Request) -> list[dict[str, str]]:
        """The messages; a system message leads the first user message where the template takes none."""
        return [{"role": one.role, "content": one.content} for one in self._arranged(request.messages)]

    def body(self, request: Request, model: str, thinking_tokens: int = 0, extra: str = "{}") -> bytes:
        """The body of the POST; `extra` is a JSON object of further fields, which win over those made here."""
        *before, last = self._arranged(request.messages)
        shape = (self.structured, self.max_tokens, frozenset(self.left_out))
        settings = _settings(*shape, model, thinking_tokens, extra, request.sampling, request.schema)
        return f'{{"messages": [{_told(tuple(before))}{_message(last)}], {settings}}}'.encode()

    def _arranged(self, messages: tuple[Message, ...]) -> tuple[Message, ...]:
        if self.system_role or messages[0].role != "system" or len(messages) < 2:
            return messages
        system, first, *rest = messages
        return (Message("user", f"{system.content}\n\n{first.content}"), *rest)

    def adapt(self, detail: str, sent: Json) -> bool:
        """Change the form by what a 400 says, for all requests from now on; False where it says nothing of use.

        Other requests in flight were sent in the old form, so what they are refused for may be mended already.
        """
        said = detail.lower()
        if "max_completion_tokens" in said and "max_tokens" in sent:
            self.max_tokens = "max_completion_tokens"
            return True
        roles = [message["role"] for message in sent["messages"]]
        if roles[0] == "system" and ("system role" in said or "system message" in said or "alternate" in said):
            self.system_role = False
            return True
        if any(words in said for words in REFUSING):
            for name in OPTIONAL:
                if name in sent and name in said:
                    self._leave_out(name, sent)
                    return True
        return False

    def _leave_out(self, name: str, sent: Json) -> None:
        if name == "response_format":
            properties = sent[name]["json_schema"]["schema"].get("properties", {})
            form = "wrapped" if list(properties) == ["answer"] else "json_schema"
            if form == self.structured:
                self.structured = "wrapped" if form == "json_schema" else "plain"
        else:
            self.left_out |= {"logprobs", "top_logprobs"} if "logprobs" in name else {name}

    def reply(self, key: str, value: Json, n_calls: int, latency_s: float) -> Reply | None:
        """Read the body of a 200; None where it holds no choice."""
        try:
            choice = value["choices"][0]
            message = choice["message"]
            text = _text(message.get("content"))
        except (KeyError, IndexError, TypeError, AttributeError):
            return None
        if text is None:
            return None
        finish = "content_filter" if message.get("refusal") else str(choice.get("finish_reason") or "")
        if self.structured == "wrapped":
            text = _unwrapped(text)
        # Some servers part thoughts from the answer: put back as models write them, they are raw text that none reads.
        thoughts = message.get("reasoning_content") or message.get("reasoning")
        if thoughts and isinstance(thoughts, str):
            text = f"<think>{_encodable(thoughts)}</think>{text}"
        return Reply(
            key=key, text=text, finish_reason=finish, logprobs=_logprobs(choice),
            usage=_usage(value.get("usage"), n_calls, latency_s),
        )  # fmt: skip


def served(listing: Json, wanted: str, url: str) -> ServedModel:
    """Find the wanted model in what `/models` lists; servers that list none are taken at the user's word.

    Raises:
        StudyError: no model is named and the server does not serve exactly one, or it lists others only.
    """
    data = listing.get("data")
    entries = [entry for entry in data if isinstance(entry, dict) and "id" in entry] if isinstance(data, list) else []
    names = [str(entry["id"]) for entry in entries]
    if not wanted and len(names) != 1:
        raise StudyError(f"{url}: name the `model`; the server lists: {', '.join(names) or 'none'}")
    if wanted and names and wanted not in names and len(names) < 50:  # hosted ones list many, and not all
        raise StudyError(f"{url}: model {wanted!r} is not served there; it lists: {', '.join(names)}")
    entry = next((entry for entry in entries if entry["id"] in {wanted, names[0]}), {}) if entries else {}
    length = entry.get("max_model_len") or entry.get("context_length")
    is_vllm = entry.get("owned_by") == "vllm"
    return ServedModel(
        name=wanted or names[0],
        root=_identity(entry),
        context_length=length if isinstance(length, int) else None,
        tokenize=f"{url.removesuffix('/v1')}/tokenize" if is_vllm else "",
    )


def _identity(entry: Json) -> str:
    """What a server tells of the weights behind a name: vLLM and SGLang their path, llama.cpp sizes of the model."""
    meta = entry.get("meta")
    sizes = (
        {name: meta[name] for name in ("n_params", "size", "n_vocab", "n_embd") if name in meta}
        if isinstance(meta, dict)
        else {}
    )
    return str(entry.get("root") or "") + (json.dumps(sizes, sort_keys=True) if sizes else "")


def probe(structured: str) -> Request:
    """The test prompt: a model left to itself greets, one held to the schema says [7, 7, 7]."""
    schema = {"type": "array", "items": {"type": "integer", "enum": [7]}, "minItems": 3, "maxItems": 3}
    system = Message("system", "You are a friendly assistant.")
    return Request(
        key=f"probe {structured}",
        messages=(system, Message("user", f"Greet the reader in one short sentence. ({structured})")),
        task=ExplainTask(examples=()),
        sampling=Sampling(max_tokens=32, top_logprobs=5),
        schema=json.dumps(schema),
    )


def obeyed(reply: Reply) -> str:
    """What became of the test prompt: refused | ignored | obeyed."""
    if reply.text is None:
        return "refused"
    try:
        return "obeyed" if json.loads(reply.text) == SEVENS else "ignored"
    except ValueError:
        return "ignored"


def best_form(tried: dict[str, str]) -> str:
    """The form to use: one that is obeyed, else the first that is at least taken, else none.

    >>> best_form({"json_schema": "refused", "wrapped": "obeyed"})
    'wrapped'
    >>> best_form({"json_schema": "ignored", "wrapped": "ignored"})
    'json_schema'
    >>> best_form({"json_schema": "refused", "wrapped": "refused"})
    'plain'
    """
    for result in ("obeyed", "ignored"):
        for structured, became in tried.items():
            if became == result:
                return structured
    return "plain"


@functools.lru_cache(maxsize=2)
def _tokenizer(source: str) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(source)


def count(source: str, messages: list[dict[str, str]]) -> int:
    """Count the tokens of chat messages by a tokenizer and its chat template."""
    tokenizer = _tokenizer(source)
    if tokenizer.chat_template:
        return len(
            tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False)
        )
    return sum(len(tokenizer.encode(message["content"])) for message in messages)


# What all prompts of a stage share is written once: few-shot messages, settings, schemas.
@functools.lru_cache(maxsize=256)
def _told(messages: tuple[Message, ...]) -> str:
    return "".join(f"{_message(message)}, " for message in messages)


def _message(message: Message) -> str:
    return f'{{"role": "{message.role}", "content": {quoted(message.content)}}}'


@functools.lru_cache(maxsize=4096)
def _settings(
    structured: str, max_tokens: str, left_out: frozenset[str], model: str, thinking_tokens: int, extra: str,
    sampling: Sampling, schema: str | None,
) -> str:  # fmt: skip
    """All fields of the body but the messages, as the inside of a JSON object."""
    body: Json = {
        "model": model, max_tokens: sampling.max_tokens + thinking_tokens, "temperature": sampling.temperature,
        "seed": sampling.seed,
    }  # fmt: skip
    if sampling.top_logprobs:
        body |= {"logprobs": True, "top_logprobs": sampling.top_logprobs}
    if schema is not None and structured != "plain":
        wanted = json.loads(schema)
        named = {"name": "answer", "strict": True, "schema": _wrapped(wanted) if structured == "wrapped" else wanted}
        body["response_format"] = {"type": "json_schema", "json_schema": named}
    body = {name: value for name, value in body.items() if name not in left_out} | json.loads(extra)
    return json.dumps(body)[1:-1]


def _wrapped(schema: Json) -> Json:
    return {"type": "object", "properties": {"answer": schema}, "required": ["answer"], "additionalProperties": False}


def _unwrapped(text: str) -> str:
    """The answer in `{"answer": ...}` as JSON; other text as it is."""
    try:
        value = loads(text)
    except ValueError:
        return text
    return json.dumps(value["answer"]) if isinstance(value, dict) and list(value) == ["answer"] else text


def _text(content: object) -> str | None:
    """The text of a message: words, nothing, or a list of parts; None for what is none of these."""
    if content is None or isinstance(content, str):
        return _encodable(content or "")
    if isinstance(content, list):
        told = [part.get("text") if isinstance(part, dict) else part for part in content]
        return _encodable("".join(part for part in told if isinstance(part, str)))
    return None


def _encodable(text: str) -> str:
    """The text; half a character (a lone surrogate), which no file can hold, as U+FFFD."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _logprobs(choice: Json) -> tuple[TokenLogprob, ...]:
    """The log-probabilities; () where there are none or they have another form."""
    try:
        return tuple(
            TokenLogprob(
                str(entry["token"]),
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


def _usage(usage: object, n_calls: int, latency_s: float) -> Usage:
    told: Json = usage if isinstance(usage, dict) else {}
    details = told.get("prompt_tokens_details")
    cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else 0
    tokens_in = _count(told.get("prompt_tokens"))
    return Usage(
        calls=n_calls, tokens_in=tokens_in, tokens_out=_count(told.get("completion_tokens")),
        tokens_cached=min(tokens_in, cached or _count(told.get("prompt_cache_hit_tokens"))), latency_s=latency_s,
    )  # fmt: skip


def _count(value: object) -> int:
    """A count as a server tells it; 0 for what is none."""
    return int(value) if isinstance(value, int | float) and math.isfinite(value) and value > 0 else 0
