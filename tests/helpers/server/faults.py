"""What goes wrong, by seed: a fault depends on the prompt and how often it was asked, never on the order of arrival."""

import hashlib
from dataclasses import dataclass
from typing import Any

Body = dict[str, Any]
TRANSPORT = (
    "delay",
    "drop",
    "429",
    "429-after",
    "500",
    "503",
    "503-after",
    "cut-json",
    "cut-body",
    "not-json",
    "twice",
    "503-date",
    "error-200",
    "no-choices",
    "redirect",
)
CONTENT = ("truncated", "short", "long", "garbage", "empty", "nan-logprobs", "null", "tool-call", "thoughts-only")
# Replies that are whole, in forms that some server or other sends.
_FORMS = (
    "parts thoughts chunked until-close close no-type inf-logprobs odd-logprobs odd-usage no-usage no-logprobs "
    "null-logprobs"
)
FORMS = tuple(_FORMS.split())


@dataclass(frozen=True)
class Faults:
    """What goes wrong: a share `rate` of the calls, each with one of `kinds`; `worst` faults in a row per prompt."""

    seed: int = 0
    rate: float = 0.2
    kinds: tuple[str, ...] = TRANSPORT + CONTENT
    worst: int = 10**9

    def draw(self, prompt: str, attempt: int) -> str:
        """The fault of this call, or ""."""
        kind = self.kinds[number(self.seed, prompt, "kind") % len(self.kinds)]
        # What a model says depends on what it is asked; how a call fares, on when.
        share = number(self.seed, prompt, "share", 0 if kind in CONTENT else attempt) / 2**64
        return kind if share < self.rate and attempt < self.worst else ""


def number(*keys: object) -> int:
    return int.from_bytes(hashlib.blake2b(repr(keys).encode(), digest_size=8).digest(), "big")


def odd(fault: str, value: Body, text: str) -> None:
    """Bring a completion into the form that `fault` names."""
    (choice,) = value["choices"]
    message = choice["message"]
    if fault == "parts":
        message["content"] = [{"type": "text", "text": text[:3]}, {"type": "text", "text": text[3:]}]
    elif fault in {"thoughts", "thoughts-only"}:
        message["reasoning_content"] = "is it [1, 1, 1, 1, 1]?"
        message["content"] = text if fault == "thoughts" else None
    elif fault in {"null", "tool-call"}:
        message["content"] = None
        calls = [{"id": "1", "type": "function", "function": {"name": "answer", "arguments": text}}]
        message |= {"tool_calls": calls} if fault == "tool-call" else {}
    elif fault == "inf-logprobs" and choice.get("logprobs"):
        for one in choice["logprobs"]["content"]:
            one["top_logprobs"][1]["logprob"] = float("-inf")
    elif fault == "odd-logprobs":
        choice["logprobs"] = ["none"]
    elif fault == "odd-usage":
        value["usage"] = {"prompt_tokens": "many", "completion_tokens": -1, "prompt_tokens_details": [3]}
    elif fault == "no-usage":
        del value["usage"]
    elif fault == "no-logprobs":
        choice.pop("logprobs", None)
    elif fault == "null-logprobs":
        choice["logprobs"] = None
    elif fault == "no-choices":
        value["choices"] = []
