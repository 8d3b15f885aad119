"""Defects of a set of explanations, by their texts alone: copies, repeats, quotes, refusals. Pure."""

import re
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher

# Texts this similar are the same (difflib's ratio of words).
SAME = 0.8
# An explanation most of which is one stretch of a context it was shown, of at least so many words, quotes it.
QUOTED_SHARE, QUOTED_WORDS = 0.7, 6
# From these shares on, the explainer fails whatever its explanations score.
MANY_COPIES, MANY_QUOTES, MANY_FAILED, FEW_DISTINCT = 0.3, 0.5, 0.5, 0.5
_WORD = re.compile(r"\w+")
# The commonest English words: any explanation in English has some.
_ENGLISH = frozenset(
    word
    for line in (
        "a an and any are as at before after by for from in is it its of on or that the they this to with",
        "word words phrase number numbers text names name mark marks such ending beginning right",
    )
    for word in line.split()
)


def words(text: str) -> list[str]:
    """Return a text's words in lower case."""
    return _WORD.findall(text.lower())


def same(a: str, b: str) -> bool:
    """Return whether two explanations say the same in nearly the same words.

    >>> same('the word "cat"', 'The word "cat".'), same('the word "cat"', 'the word "dog"')
    (True, False)
    """
    left, right = words(a), words(b)
    if left == right:
        return True
    # One differing word of a short text is another explanation.
    return min(len(left), len(right)) >= 5 and SequenceMatcher(None, left, right, autojunk=False).ratio() >= SAME


def copies(text: str, few_shot: Sequence[str]) -> bool:
    """Return whether an explanation repeats one of the prompt's few-shot answers."""
    return any(same(text, answer) for answer in few_shot)


def quotes_context(text: str, contexts: Sequence[str]) -> bool:
    """Return whether most of an explanation is one stretch of a context that it was shown."""
    said = words(text)
    for context in contexts:
        match = SequenceMatcher(None, said, words(context), autojunk=False).find_longest_match()
        if match.size >= QUOTED_WORDS and match.size >= QUOTED_SHARE * len(said):
            return True
    return False


def not_english(text: str) -> bool:
    """Return whether a text of four words or more has none of the commonest English words outside quotes."""
    said = words(re.sub(r'"[^"]*"', " ", text))
    return len(said) >= 4 and not _ENGLISH & set(said)


def distinct_share(texts: Sequence[str]) -> float:
    """Return the number of groups of same explanations over the number of explanations."""
    groups: list[str] = []
    for text in texts:
        if not any(same(text, other) for other in groups):
            groups.append(text)
    return len(groups) / len(texts) if texts else 1.0


def faults(
    texts: Sequence[str], statuses: Sequence[str], few_shot: Sequence[str], contexts: Sequence[Sequence[str]]
) -> list[str]:
    """List what disqualifies an explainer by its texts alone.

    Args:
        texts: its explanations, "" where it failed.
        statuses: `ok`, or why it failed.
        few_shot: the explanations in the prompt's examples.
        contexts: what it was shown for each.
    """
    n = len(texts)
    said: list[str] = []
    failed = Counter(status for status in statuses if status != "ok")
    if n and failed.total() / n >= MANY_FAILED:
        reasons = ", ".join(f"{count} {status}" for status, count in failed.most_common())
        said.append(f"{failed.total()} of {n} explanations failed ({reasons})")
    good = [(text, shown) for text, shown, status in zip(texts, contexts, statuses, strict=True) if status == "ok"]
    if not good:
        return said
    n_copies = sum(copies(text, few_shot) for text, _ in good)
    n_quotes = sum(quotes_context(text, shown) for text, shown in good)
    n_foreign = sum(not_english(text) for text, _ in good)
    if n_copies / len(good) >= MANY_COPIES:
        said.append(f"{n_copies} of {len(good)} explanations copy an example of the prompt")
    if n_quotes / len(good) >= MANY_QUOTES:
        said.append(f"{n_quotes} of {len(good)} explanations quote a passage that they should explain")
    if n_foreign / len(good) >= MANY_QUOTES:
        said.append(f"{n_foreign} of {len(good)} explanations are not in English")
    share = distinct_share([text for text, _ in good])
    if len(good) >= 4 and share <= FEW_DISTINCT and not n_copies / len(good) >= MANY_COPIES:
        most = Counter(text for text, _ in good).most_common(1)[0][0]
        said.append(
            f"{len(good)} different rules got {round(share * len(good))} different explanations ({most[:60]!r})"
        )
    return said
