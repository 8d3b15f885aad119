"""Form of requests to one server: OpenAI's chat API, adapted to what the server and model accept."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from autointerp.llm._failures import Outcome
from autointerp.records import ExplainTask, Message, Reply, Request

Json = dict[str, Any]
Structured = Literal["json_schema", "wrapped", "plain"]
# Parameters that some server or model refuses and that an answer can do without.
OPTIONAL = ("seed", "temperature", "top_logprobs", "logprobs", "reasoning_effort", "response_format")
REFUSING = (
    "unsupported",
    "not support",
    "unrecognized",
    "unknown",
    "not permitted",
    "not allowed",
    "not enabled",
    "invalid",
    "extra",
    "unexpected",
    "not available",
    "cannot find field",
    "must be",
    "should be",
    "not accept",
)
# How servers state the largest top_logprobs: vLLM, Fireworks, OpenAI.
LIMIT = re.compile(r"(?:max(?:imum)?(?: (?:allowed|of|is))*|less than or equal to|at most|between 0 and|<=)[:\s]*(\d+)")
# The only number that the schema of the test prompt allows, and that nobody would say unasked.
SEVEN = 7
GREETING = "You are a friendly assistant."
# Shares of a test prompt that exceeds the context, tried in turn.
SHORTER = (0.5, 0.2)
Probed = tuple[Request, Reply]


@dataclass(slots=True)
class Form:
    """The form of requests to one server. `changes` lists in words what was given up since the start."""

    structured: Structured = "json_schema"
    system_role: bool = True
    max_tokens: str = "max_tokens"
    left_out: set[str] = field(default_factory=set)
    most_logprobs: int = 20
    changes: list[str] = field(default_factory=list)

    def messages(self, request: Request) -> list[dict[str, str]]:
        """The messages; a system message joins the first user message where the chat template has no system role."""
        messages = request.messages
        if not self.system_role and messages[0].role == "system" and len(messages) > 1:
            system, first, *rest = messages
            messages = (Message("user", f"{system.content}\n\n{first.content}"), *rest)
        return [{"role": message.role, "content": message.content} for message in messages]

    def body(self, request: Request, model: str, *, thinking_tokens: int = 0, effort: str = "", extra: Json) -> Json:
        """The body of the POST; `extra` holds further fields, which override these."""
        sampling = request.sampling
        body: Json = {
            "messages": self.messages(request),
            "model": model,
            self.max_tokens: sampling.max_tokens + thinking_tokens,
            "temperature": sampling.temperature,
            "seed": sampling.seed,
        }
        if sampling.top_logprobs:
            body |= {"logprobs": True, "top_logprobs": min(sampling.top_logprobs, self.most_logprobs)}
        if effort:
            body["reasoning_effort"] = effort
        if request.schema is not None and self.structured != "plain":
            schema = json.loads(request.schema)
            schema = _wrapped(schema) if self.structured == "wrapped" else schema
            named = {"name": "answer", "strict": True, "schema": schema}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
        return {name: value for name, value in body.items() if name not in self.left_out} | extra

    def adapt(self, error: Outcome, sent: Json) -> bool:
        """Change the form by what an error says, for all later requests; False where it says nothing of use.

        Requests in flight were sent in an older form: an error that the present form already answers counts as used.
        """
        said = f"{error.parameter} {error.detail}".lower()
        refused = any(words in said for words in REFUSING) or error.parameter != ""
        if "max_completion_tokens" in said and "max_tokens" in sent and (refused or "instead" in said):
            self.max_tokens = "max_completion_tokens"
            return True
        first_role = sent["messages"][0]["role"]
        if first_role == "system" and ("system role" in said or "system message" in said or "alternate" in said):
            self._change("system role", "system messages are sent as part of the first user message")
            self.system_role = False
            return True
        limit = LIMIT.search(said) if "logprobs" in said else None
        if limit and 0 < int(limit[1]) < sent.get("top_logprobs", 0):
            self.most_logprobs = min(self.most_logprobs, int(limit[1]))
            self._change("top_logprobs", f"at most {limit[1]} log-probabilities per token are requested")
            return True
        for name in OPTIONAL:
            if name in sent and re.search(rf"(?<![a-z]){name}", said) and (refused or limit):
                self._leave_out(name, sent)
                return True
        return False

    def leave_out_all(self) -> None:
        """Send only what every server knows: messages, model and the token limit."""
        for name in OPTIONAL[:-1]:
            if name not in self.left_out:
                self.left_out.add(name)
                self._change(name, f"requests go without `{name}`")

    def use(self, structured: Structured) -> None:
        """Set the form of structured output; giving up a JSON schema is recorded."""
        if structured == "plain" != self.structured:
            self._change("response_format", "replies are requested without a JSON schema")
        self.structured = structured

    def _leave_out(self, name: str, sent: Json) -> None:
        if name == "response_format":
            schema = sent[name]["json_schema"]["schema"]
            was_sent = "wrapped" if list(schema.get("properties", {})) == ["answer"] else "json_schema"
            if was_sent == self.structured:
                self.use("wrapped" if was_sent == "json_schema" else "plain")
            return
        names = {"logprobs", "top_logprobs"} if "logprobs" in name else {name}
        if names - self.left_out:
            self.left_out |= names
            self._change(name, f"requests go without {' and '.join(f'`{one}`' for one in sorted(names))}")

    def _change(self, name: str, words: str) -> None:
        if not any(change.startswith(f"{name}: ") for change in self.changes):
            self.changes.append(f"{name}: {words}")


def _wrapped(schema: Json) -> Json:
    return {"type": "object", "properties": {"answer": schema}, "required": ["answer"], "additionalProperties": False}


def probe(like: Request, structured: str = "json_schema", *, share: float = 1.0) -> Request:
    """A test prompt of the same shape as `like`: its length (or a share of it), sampling, and kind of schema.

    Left to itself a model greets; one held to the schema says only sevens.
    """
    text = "\n".join(message.content for message in like.messages)
    text = text[: round(share * len(text))]
    content = f"{text}\n\nIgnore the text above. Greet the reader in one short sentence. ({structured})"
    schema = None if like.schema is None else json.dumps(_sevens(json.loads(like.schema)))
    return replace(
        like,
        key=f"probe {structured} {share} {like.key}",
        task=ExplainTask(examples=()),
        schema=schema,
        messages=(Message("system", GREETING), Message("user", content)),
    )


def _sevens(schema: Json) -> Json:
    """The same schema, with 7 as the only value that any enumeration in it allows."""
    if schema.get("type") == "array":
        return {**schema, "items": _sevens(schema.get("items", {}))}
    if schema.get("type") == "object":
        return {**schema, "properties": {name: _sevens(one) for name, one in schema.get("properties", {}).items()}}
    return {"type": "integer", "enum": [SEVEN]}


def send_probe(put: Callable[[Request], Reply], like: Request, structured: str) -> Probed:
    """Send the test prompt, or a shorter one where it exceeds the model's context; return it and its reply."""
    request = probe(like, structured)
    reply = put(request)
    for share in SHORTER:
        if reply.failure != "too_long":
            break
        request = probe(like, structured, share=share)
        reply = put(request)
    return request, reply


def obedience(reply: Reply) -> Literal["refused", "ignored", "obeyed"]:
    """Outcome of the test prompt's schema."""
    if reply.text is None:
        return "refused"
    try:
        value = json.loads(reply.text)
    except ValueError:
        return "ignored"
    leaves = list(_leaves(value))
    return "obeyed" if leaves and set(leaves) == {SEVEN} else "ignored"


def _leaves(value: object) -> list[object]:
    if isinstance(value, dict | list):
        return [leaf for part in (value.values() if isinstance(value, dict) else value) for leaf in _leaves(part)]
    return [value] if isinstance(value, int | float | bool) else [str(value)]


def best_form(tried: dict[Structured, str]) -> Structured:
    """The form to use: one that is obeyed, else the first that is accepted at all, else none.

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
