"""Reading what judges say: yes/no lists from JSON or plain text, and P(yes) from log-probabilities. Pure."""

import json
import math
import re
from dataclasses import replace

from autointerp.records import Reply, TokenLogprob

YES = frozenset({"1", "yes", "true"})
NO = frozenset({"0", "no", "false"})
# What may stand around an answer in the token that holds it: tokenizers glue brackets, commas and spaces to it.
AROUND = " \t\r\n\"'`[](){},:;.*-ĠĊ▁"
WORD = re.compile(r"(?<![A-Za-z0-9_.])(?:1|0|yes|no|true|false)(?![A-Za-z0-9_]|\.\d)", re.IGNORECASE)
LIST = re.compile(r"\[[^\[\]]*\]")
# A run such as "10110", as some models write a list.
DIGITS = re.compile(r"[01]+")
# Marks of thoughts: <think> and its kin in any case, Mistral's [THINK] in capitals only (plays have [thinking]).
_NAMES = "think|thinking|thought|reasoning"
THOUGHT = re.compile(rf"(?is:<({_NAMES})>.*?</\1>)|(?s:\[THINK\].*?\[/THINK\])")
OPENED = re.compile(rf"(?i:<(?:{_NAMES})>)|\[THINK\]")
CLOSED = re.compile(rf"(?i:</(?:{_NAMES})>)|\[/THINK\]")


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
    """Cut a reasoning model's think block; a block that never closes hides everything behind it.

    A `</think>` without its opening mark (chat templates may write that into the prompt) hides all before it.

    >>> without_thoughts("<think>1 or 0? [1]</think>\\n[0, 1]")
    '[0, 1]'
    >>> without_thoughts("<think>it never ends [1, 1]")
    ''
    >>> without_thoughts("so [1]</think>[0]")
    '[0]'
    """
    text = THOUGHT.sub("", text)
    *_, text = CLOSED.split(text)
    opened = OPENED.search(text)
    return (text[: opened.start()] if opened else text).strip()


def visible(reply: Reply) -> Reply:
    """The reply without its think block, in text and in log-probabilities."""
    if reply.text is None or not (OPENED.search(reply.text) or CLOSED.search(reply.text)):
        return reply
    said, kept = "", 0
    for place, token in enumerate(reply.logprobs):
        said = (said + token.token)[-40:]
        if CLOSED.search(said):
            said, kept = "", place + 1
    return replace(reply, text=without_thoughts(reply.text), logprobs=reply.logprobs[kept:])


def yes_no(text: str, n: int) -> list[bool] | None:
    """Read exactly `n` yes/no answers, or None: a list that is too short or too long is no answer at all.

    Reads a JSON list (bare, fenced, after other words, or the only list of an object) of 0/1, yes/no or true/false;
    else, where no list is there, the same words in plain text.

    >>> yes_no("[1, 0, 0]", 3), yes_no('{"answers": ["yes", "no"]}', 2), yes_no("Yes", 1)
    ([True, False, False], [True, False], [True])
    >>> yes_no("[1, 0]", 3) is None, yes_no("[1, 2]", 2) is None, yes_no("[1, 0", 2) is None
    (True, True, True)
    """
    lists = [found for found in map(_words, LIST.findall(text)) if found]
    if lists:
        # A list that the model quotes before its answer loses to the last one; two different ones say nothing.
        distinct = {tuple(found) for found in lists if len(found) == n}
        words = list(distinct.pop()) if len(distinct) == 1 else []
    elif "[" in text:
        words = []
    elif DIGITS.fullmatch(text.strip()):
        words = list(text.strip())
    else:
        # Of one answer in words, what follows the first word explains it.
        words = [word.lower() for word in WORD.findall(text)][: 1 if n == 1 else None]
    if len(words) != n or not all(word in YES | NO for word in words):
        return None
    return [word in YES for word in words]


def choice(text: str, n: int) -> int | None:
    """Read one number 1..n, or None where there is none, several different ones, or one outside.

    >>> choice("3", 5), choice('{"answer": 2}', 5), choice("6", 5), choice("2 or 3", 5)
    (3, 2, None, None)
    """
    found = {int(word) for word in re.findall(r"(?<![\w.])\d+(?![\w]|\.\d)", text)}
    if len(found) != 1:
        return None
    number = found.pop()
    return number if 1 <= number <= n else None


def probabilities(logprobs: tuple[TokenLogprob, ...], n: int) -> list[float | None]:
    """P(yes) of each of `n` answers: mass of all yes variants over yes and no together, at the answer's token.

    Each in [0, 1]; None for all where the tokens do not hold exactly `n` answers, None for one whose log-probabilities
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


def _words(listed: str) -> list[str]:
    """Entries of one bracketed list, in lower case and without quotes; [] for an empty one."""
    inner = listed[1:-1].strip()
    return [entry.strip(" \t\r\n\"'").lower() for entry in inner.split(",")] if inner else []
