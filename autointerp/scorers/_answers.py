"""Parsing judges' replies: yes/no lists from JSON or plain text, and P(yes) from log-probabilities. Pure.

Parsing fails closed: text that is not surely the list of answers is unreadable, whatever digits it holds.
"""

import json
import math
import re
from dataclasses import replace

from autointerp.records import Reply, TokenLogprob

YES = frozenset({"1", "yes", "true"})
NO = frozenset({"0", "no", "false"})
# What may stand around an answer in the token that holds it: tokenizers glue brackets, commas and spaces to it.
AROUND = " \t\r\n\"'`[](){},:;.*-ĠĊ▁"
_ANSWER = r"(?:1|0|yes|no|true|false)"
WORD = re.compile(rf"(?<![A-Za-z0-9_.]){_ANSWER}(?![A-Za-z0-9_]|\.\d)", re.IGNORECASE)
LIST = re.compile(r"\[[^\[\]]*\]")
FENCE = re.compile(r"^\s*```\w*\s*$", re.MULTILINE)
# A run such as "10110", as some models write a list.
DIGITS = re.compile(r"[01]+")
# "Answer:", "My final answers are", "Output =" before the answers.
_LEAD = re.compile(
    r"^\W*(?:(?:the|my|final|correct)\s+)*(?:answers?|outputs?|results?|labels?)\b\s*(?:is|are)?\s*[:=]?\s*",
    re.IGNORECASE,
)
_SEQUENCE = re.compile(rf"{_ANSWER}(?:[\s,;|/]+{_ANSWER})*[\s.]*", re.IGNORECASE)
# "1. yes", "[2]: no", "Item 3 - 1"
_NUMBERED = re.compile(
    rf"\W*(?:(?:item|context|example|passage|text|line)\s*)?(\d+)[\s\]).:=-]+({_ANSWER})[\s.,;]*", re.IGNORECASE
)
_ONE = re.compile(r"(yes|no|true|false)(?:\W*$|[.,;:!]|\s*[\n—–]|\s+-\s)", re.IGNORECASE)
# Words that say that a list is not the answer: a refusal, an example of the form, a doubt.
_HEDGE = re.compile(
    r"\b(?:cannot|can.?t|unable|not|won.?t|example|e\.g|such as|like|format|instead|would|should|could|"
    r"if|need|sorry)\b",
    re.IGNORECASE,
)
# Marks of thoughts: <think> and its kin in any case, Mistral's [THINK] in capitals only (plays have [thinking]).
_NAMES = r"think|thinking|thought|reasoning|seed:think|\|begin_of_thought\||\|START_THINKING\|"
_ENDS = r"/(?:think|thinking|thought|reasoning|seed:think)|\|end_of_thought\||\|END_THINKING\|"
OPENED = re.compile(rf"(?i:<(?:{_NAMES})>)|\[THINK\]|◁think▷")
CLOSED = re.compile(rf"(?i:<(?:{_ENDS})>)|\[/THINK\]|◁/think▷")
THOUGHT = re.compile(rf"(?is:<({_NAMES})>.*?<(?:/\1|{_ENDS})>)|(?s:\[THINK\].*?\[/THINK\])|(?s:◁think▷.*?◁/think▷)")
# Harmony (gpt-oss): channels, of which `final` is the answer; without its special tokens, "analysis...assistantfinal".
CHANNEL = re.compile(
    r"<\|channel\|>(\w+)[^<]*(?:<\|constrain\|>\w*)?<\|message\|>|\A\s*analysis(?=.*assistantfinal)|"
    r"assistantfinal(?!\w)|assistantfinal(?=json|yes|no|Explanation)",
    re.DOTALL,
)
SPECIAL = re.compile(
    r"<\|(?:start|end|return|call|channel|message|START_RESPONSE|END_RESPONSE|begin_of_solution|"
    r"end_of_solution)\|>(?:assistant)?"
)


def yes_no_schema(n: int) -> str:
    """JSON schema, as text, of a list of exactly `n` zeros and ones."""
    items = {"type": "integer", "enum": [0, 1]}
    return json.dumps({"type": "array", "items": items, "minItems": n, "maxItems": n})


# JSON schema, as text, of the word yes or no.
WORD_SCHEMA = json.dumps({"type": "string", "enum": ["yes", "no"]})


def choice_schema(n: int) -> str:
    """JSON schema, as text, of one number 1..n."""
    return json.dumps({"type": "integer", "enum": list(range(1, n + 1))})


def without_thoughts(text: str) -> str:
    """Cut a reasoning model's thoughts; a block that never closes hides everything after it.

    A closing mark without its opening mark (chat templates may write that into the prompt) hides all before it. Of
    channels only `final` is read.

    >>> without_thoughts("<think>1 or 0? [1]</think>\\n[0, 1]")
    '[0, 1]'
    >>> without_thoughts("<think>it never ends [1, 1]")
    ''
    >>> without_thoughts("<|channel|>analysis<|message|>[1]<|end|><|start|>assistant<|channel|>final<|message|>[0]")
    '[0]'
    """
    text = THOUGHT.sub("", text)
    *_, text = CLOSED.split(text)
    opened = OPENED.search(text)
    text = text[: opened.start()] if opened else text
    channels = list(CHANNEL.finditer(text))
    if channels:
        last = channels[-1]
        text = text[last.end() :] if last[1] in {"final", None} else ""
    return SPECIAL.sub("", text).strip()


def visible(reply: Reply) -> Reply:
    """The reply without its thoughts, in text and in log-probabilities."""
    text = reply.text
    if text is None or not any(mark.search(text) for mark in (OPENED, CLOSED, CHANNEL, SPECIAL)):
        return reply
    said, kept = "", 0
    for place, token in enumerate(reply.logprobs):
        said = (said + token.token)[-60:]
        if CLOSED.search(said) or any(match[1] in {"final", None} for match in CHANNEL.finditer(said)):
            said, kept = "", place + 1
    return replace(reply, text=without_thoughts(text), logprobs=reply.logprobs[kept:])


def yes_no(text: str, n: int) -> list[bool] | None:
    """Parse exactly `n` yes/no answers, or None: other lengths are invalid.

    Accepted: a JSON list of 0/1, yes/no or true/false (bare, fenced, on a separate line, at the end of the text, or
    the only list of a JSON object), numbered answers, or the answers alone.

    >>> yes_no("[1, 0, 0]", 3), yes_no('{"answers": ["yes", "no"]}', 2), yes_no("1. yes\\n2. no", 2)
    ([True, False, False], [True, False], [True, False])
    >>> yes_no("[1, 0]", 3) is None, yes_no("[1, 2]", 2) is None, yes_no("I see 1 cat and 0 dogs", 2) is None
    (True, True, True)
    """
    text = FENCE.sub("", text).strip()
    words = _numbered(text) or _listed(text, n)
    if words is None and "[" not in text:
        words = _alone(_LEAD.sub("", re.sub(r"[*`\"'_]", "", text)).strip(), n)
    if words is None or len(words) != n or not all(word in YES | NO for word in words):
        return None
    return [word in YES for word in words]


def _listed(text: str, n: int) -> list[str] | None:
    """The entries of the one list of `n` answers in a text, if it stands where answers stand."""
    matches = [match for match in LIST.finditer(text) if len(_entries(match[0])) == n]
    if len({tuple(_entries(match[0])) for match in matches}) != 1:
        return None
    last = matches[-1]
    line = text[: last.start()].rpartition("\n")[2], text[last.end() :].partition("\n")[0]
    alone = not re.search(r"\w", line[0] + line[1])
    at_end = not re.search(r"\w", text[last.end() :])
    if not (alone or at_end or _is_json(text)):
        return None
    sentence = re.split(r"[.!?\n]", text[: last.start()].rstrip())[-1]
    return None if _HEDGE.search(sentence) else _entries(last[0])


def _numbered(text: str) -> list[str] | None:
    """The answers of lines numbered 1, 2, ..., one answer each; of a JSON object with these keys."""
    lines = [line for line in re.sub(r"[*`\"'_]", "", text).strip("{} \n").splitlines() if line.strip()]
    if len(lines) == 1 and _is_json(text):
        lines = lines[0].split(",")
    found = [_NUMBERED.fullmatch(line) for line in lines]
    if not found or not all(found):
        return None
    numbers = [int(match[1]) for match in found if match]
    return [match[2].lower() for match in found if match] if numbers == list(range(1, len(found) + 1)) else None


def _alone(text: str, n: int) -> list[str] | None:
    """The answers of a text that holds nothing else; with one answer, an explanation may follow it."""
    if DIGITS.fullmatch(text):
        return list(text)
    words = [word.lower() for word in WORD.findall(text)]
    if _SEQUENCE.fullmatch(text):
        return words
    first = _ONE.match(text) if n == 1 else None
    return [first[1].lower()] if first and not _HEDGE.search(re.split(r"[.!?\n]", text)[0]) else None


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def choice(text: str, n: int) -> int | None:
    """Parse one number 1..n, or None if there is none, several different ones, or more than a number and its name.

    >>> choice("3", 5), choice('{"answer": 2}', 5), choice("6", 5), choice("2 or 3", 5), choice("I see 3 texts", 5)
    (3, 2, None, None, None)
    """
    text = FENCE.sub("", text).strip()
    found = {int(word) for word in re.findall(r"(?<![\w.])\d+(?![\w]|\.\d)", text)}
    names = (
        r"(?:passage|text|context|item|example|number|option|choice|answer|odd one out|intruder|one|is|the|my|final)"
    )
    if len(found) != 1 or not re.fullmatch(rf"\W*(?:{names}\W+)*#?\d+\W*", text.splitlines()[-1], re.IGNORECASE):
        return None
    number = found.pop()
    return number if 1 <= number <= n else None


def probabilities(logprobs: tuple[TokenLogprob, ...], n: int) -> list[float | None]:
    """P(yes) of each of `n` answers: mass of all yes variants over yes and no together, at the answer's token.

    Each in [0, 1]; None for all unless the tokens hold exactly `n` answers, None for one whose log-probabilities
    are missing or not numbers. Alternatives below the server's top list count as absent, so an answer that is certain
    reads as exactly 0 or 1. Under structured output the distribution is the grammar's.
    """
    places = [token for token in logprobs if _bare(token.token) in YES | NO][: 1 if n == 1 else None]
    if len(places) != n:
        return [None] * n
    return [_yes_share(token) for token in places]


def _yes_share(token: TokenLogprob) -> float | None:
    alternatives = dict(token.top) or {token.token: token.logprob}
    alternatives.setdefault(token.token, token.logprob)
    mass = {True: 0.0, False: 0.0}
    for text, logprob in alternatives.items():
        word = _bare(text)
        if word not in YES | NO:
            continue
        if (not math.isfinite(logprob) and logprob != -math.inf) or logprob > 1e-3:
            return None
        mass[word in YES] += math.exp(min(logprob, 0.0))
    total = mass[True] + mass[False]
    return mass[True] / total if total > 0 else None


def _bare(token: str) -> str:
    return token.strip(AROUND).lower()


def _entries(listed: str) -> list[str]:
    """Entries of one bracketed list, in lower case and without quotes; [] for an empty one."""
    inner = listed[1:-1].strip()
    return [entry.strip(" \t\r\n\"'").lower() for entry in inner.split(",")] if inner else []
