"""Stops a run early when an LLM's replies are all useless, with the cause and the setting that cures it."""

from collections import Counter

from autointerp.errors import UselessRepliesError
from autointerp.records import Reply
from autointerp.text import one_line

# Failures of one reason after which the run stops, if no reply was usable so far ...
FIRST_FAILURES = 20
# ... and failures in a row after which it stops later on: at a failure rate of .7 this is a chance of 2e-8.
LATER_FAILURES = 50
# Characters of the last reply that the message quotes.
QUOTED = 80
CURES = {
    "thinking": "the model spent all its tokens on thinking; set `thinking_tokens` of the LLM (2000 or more), or let "
    "it think less: `reasoning_effort: low` or "
    "extra_body: {chat_template_kwargs: {enable_thinking: false}}",
    "reasoning_only": "all text arrived as reasoning and none as an answer; switch the server's reasoning parser off, "
    "or thinking: extra_body: {chat_template_kwargs: {enable_thinking: false}}",
    "truncated": "replies are cut at the token limit; set `max_tokens` of the explainer or scorer higher, or "
    "`thinking_tokens` if the model thinks in plain text",
    "empty": "replies are empty; check the server's chat template and the model",
    "unparsed": "replies are not in the requested form; use a larger instruct model, fewer items per prompt, or a "
    "server that obeys JSON schemas (`structured`)",
    "refused": "the model or its provider refuses the prompts; use another model, or another provider's content filter",
    "too_long": "prompts exceed the model's context, whatever is left out; use a longer context, or fewer examples",
    "bad_request": "the server rejects the requests; look at settings that it does not accept (extra_body?)",
}


class Useless:
    """Counts replies that could not be used since the last usable one."""

    def __init__(self) -> None:
        self._reasons: Counter[str] = Counter()
        self._any_usable = False

    def add(self, failure: str, reply: Reply, *, shortens: bool) -> None:
        """Count a reply; `shortens`: its prompt is retried with fewer examples, which does not count as a failure.

        Raises:
            UselessRepliesError: there were too many useless replies in a row.
        """
        if not failure:
            self._any_usable = True
            self._reasons.clear()
        elif not shortens:
            self._reasons[_reason(failure, reply)] += 1
            reason, n = self._reasons.most_common(1)[0]
            if n >= (LATER_FAILURES if self._any_usable else FIRST_FAILURES):
                raise UselessRepliesError(self._message(reason, n, reply))

    def _message(self, reason: str, n: int, reply: Reply) -> str:
        said = one_line((reply.text or "").strip())[:QUOTED]
        cause = CURES.get(reason, "the server fails; repair it")
        which = f"{n} replies in a row" if self._any_usable else f"the first {n} replies"
        quoted = f" (the last: {said!r})" if said else f" ({reply.failure})" if reply.failure else ""
        return f"{which} could not be used{quoted}: {cause}. All replies are kept: run the same command again"


def _reason(failure: str, reply: Reply) -> str:
    if failure == "truncated" and reply.usage.tokens_thinking > reply.usage.tokens_out / 2:
        return "thinking"
    if failure == "empty" and reply.usage.tokens_thinking:
        return "reasoning_only"
    return failure
