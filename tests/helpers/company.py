"""Judges that compare the marks of a prompt's contexts and know no explanation: each returns a number per item.

`auroc` scores them without a threshold, so that a rule and its reverse are judged at once: .5 is chance.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from autointerp.records import Question, ShownItem

Judge = Callable[[Question, ShownItem], float]
Words = Callable[[ShownItem], list[str]]


def marked(shown: ShownItem) -> list[str]:
    return [shown.text[begin:end].strip().lower() for begin, end in shown.marks]


def others(question: Question, shown: ShownItem) -> list[ShownItem]:
    return [item for item in question.task.items if item is not shown]


def share(words: Words) -> Judge:
    """Which share of an item's words other items of the prompt have."""

    def judge(question: Question, shown: ShownItem) -> float:
        known = {word for item in others(question, shown) for word in words(item)}
        return float(np.mean([word in known for word in words(shown)] or [0]))

    return judge


def count(words: Words) -> Judge:
    """How many other items of the prompt have one of an item's words."""
    return lambda q, shown: sum(not set(words(shown)).isdisjoint(words(item)) for item in others(q, shown))


def kinds(shown: ShownItem) -> list[str]:
    return ["letter" if word[:1].isalpha() else "digit" if word[:1].isdigit() else "other" for word in marked(shown)]


def before(shown: ShownItem) -> list[str]:
    return ["".join(shown.text[:begin].split()[-1:]).lower() for begin, _ in shown.marks]


def after(shown: ShownItem) -> list[str]:
    return ["".join(shown.text[end:].split()[:1]).lower() for _, end in shown.marks]


def in_texts(question: Question, shown: ShownItem) -> float:
    texts = [item.text.lower() for item in others(question, shown)]
    return float(np.mean([word in text for word in marked(shown) for text in texts] or [0]))


def length_of_others(question: Question, shown: ShownItem) -> float:
    sizes = [len(word) for item in others(question, shown) for word in marked(item)]
    return -abs(float(np.mean([len(word) for word in marked(shown)] or [0])) - float(np.median(sizes or [0])))


def all_marked(question: Question, shown: ShownItem) -> float:
    words, text = marked(shown), shown.text.lower()
    return float(np.mean([text.count(word) <= words.count(word) for word in words] or [0]))


COMPANY: dict[str, Judge] = {
    "any marked word is marked in another item": lambda q, shown: share(marked)(q, shown) > 0,
    "share of its marked words that others mark": share(marked),
    "number of items that mark the same": count(marked),
    "first three letters marked by others": share(lambda shown: [word[:3] for word in marked(shown)]),
    "last three letters marked by others": share(lambda shown: [word[-3:] for word in marked(shown)]),
    "items that mark the same kind of word": count(kinds),
    "the word before the mark, as in others": share(before),
    "the word after the mark, as in others": share(after),
    "marked word is in the others' texts": in_texts,
    "marked word is as long as the others'": length_of_others,
    "as many marks as others": lambda q, shown: sum(len(item.marks) == len(shown.marks) for item in others(q, shown)),
}
# Of one item's marks alone, and of what a prompt does not show: information, not what dealing can balance.
ALONE: dict[str, Judge] = {
    "number of marks": lambda q, shown: len(shown.marks),
    "where the first mark is": lambda q, shown: shown.marks[0][0] / max(1, len(shown.text)),
    "where the last mark is": lambda q, shown: shown.marks[-1][0] / max(1, len(shown.text)),
    "distance to the nearer edge": lambda q, shown: min(shown.marks[0][0], len(shown.text) - shown.marks[-1][1]),
    "length of marked words": lambda q, shown: float(np.mean([len(word) for word in marked(shown)])),
    "its marked words differ": lambda q, shown: len(set(marked(shown))) / len(shown.marks),
    "every occurrence is marked": all_marked,
}


def auroc(values: Sequence[float], truth: NDArray[np.bool_]) -> float:
    ranks, n = rankdata(values), int(truth.sum())
    return float((ranks[truth].sum() - n * (n + 1) / 2) / (n * (len(truth) - n)))


def of_latent(questions: Iterable[Question], judges: dict[str, Judge]) -> dict[str, float]:
    """AUROC of each judge over one latent's items."""
    items = [
        (question, shown, item.truth)
        for question in questions
        for item, shown in zip(question.items, question.task.items, strict=True)
    ]
    truth = np.array([one[2] for one in items], dtype=bool)
    return {name: auroc([float(judge(*one[:2])) for one in items], truth) for name, judge in judges.items()}


def other_prompts(questions: Sequence[Question]) -> float:
    """AUROC of a judge with a memory: in how many items of the latent's other prompts a marked word is marked."""
    items = [(q, set(marked(s)), i.truth) for q in questions for i, s in zip(q.items, q.task.items, strict=True)]
    values = [sum(not words.isdisjoint(other) for p, other, _ in items if p is not q) for q, words, _ in items]
    return auroc(values, np.array([one[2] for one in items], dtype=bool))
