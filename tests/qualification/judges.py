"""Judges and explainers of known quality, as functions of a request; planted rules are told by their explanation."""

import random
import re

from autointerp.examples.bank import RULES
from autointerp.records import ExplainTask, JudgeTask, Request, ShownItem

BY_EXPLANATION = {rule.explanation: rule for rule in RULES}


def listed(values: list[bool]) -> str:
    return "[" + ", ".join(str(int(value)) for value in values) + "]"


def task(request: Request) -> JudgeTask:
    assert isinstance(request.task, JudgeTask)
    return request.task


def fits(explanation: str, item: ShownItem) -> bool:
    """The truth, for a true explanation of the bank."""
    rule = BY_EXPLANATION.get(explanation)
    if rule is None:
        return False
    spans = rule.spans(item.text)
    if not item.marks:
        return bool(spans)
    return all(any(a < stop and start < b for start, stop in spans) for a, b in item.marks)


def perfect(request: Request) -> str:
    asked = task(request)
    return listed([fits(asked.explanation, item) for item in asked.items])


def always_yes(request: Request) -> str:
    return listed([True] * len(task(request).items))


def copies(request: Request) -> str:
    """Repeats the last few-shot answer, brought to the length that the schema demands, as small models do."""
    last = [message.content for message in request.messages if message.role == "assistant"][-1]
    values = [value == "1" for value in re.findall("[01]", last)]
    return listed((values * 5)[: len(task(request).items)])


def by_position(request: Request) -> str:
    return listed([position % 2 == 0 for position in range(len(task(request).items))])


def blind_at_fuzzing(request: Request) -> str:
    asked = task(request)
    rng = random.Random(request.key)
    marked = any(item.marks for item in asked.items)
    return listed([rng.random() < 0.5 if marked else fits(asked.explanation, item) for item in asked.items])


def coin(request: Request) -> str:
    rng = random.Random(request.key)
    return listed([rng.random() < 0.5 for _ in task(request).items])


def unreadable(request: Request) -> str:
    return "I think the first two fit."


def marked_words(request: Request) -> list[str]:
    assert isinstance(request.task, ExplainTask)
    found = []
    for example in request.task.examples:
        found.append("".join(p for p, level in zip(example.pieces, example.levels, strict=True) if level).strip())
    return found


def names_the_word(request: Request) -> str:
    """A fair explainer: the true explanation of the rule that holds on every marked text."""
    assert isinstance(request.task, ExplainTask)
    texts = ["".join(example.pieces) for example in request.task.examples]
    marked = set(map(str.lower, marked_words(request)))

    def score(rule: object) -> int:
        spans = [BY_EXPLANATION[str(rule)].spans(text) for text in texts]
        said = {text[a:b].lower() for text, found in zip(texts, spans, strict=True) for a, b in found}
        return len(marked & said) - len(said - marked)

    return f"Explanation: {max(BY_EXPLANATION, key=score)}"


def one_sentence(request: Request) -> str:
    return "Explanation: words that name the objects and people in the sentence"


def copies_example(request: Request) -> str:
    """The last few-shot answer of the prompt."""
    return [message.content for message in request.messages if message.role == "assistant"][-1]


def quotes_context(request: Request) -> str:
    assert isinstance(request.task, ExplainTask)
    return "Explanation: " + " ".join("".join(request.task.examples[0].pieces).split())


def in_german(request: Request) -> str:
    assert isinstance(request.task, ExplainTask)
    word, neighbour = marked_words(request)[0], request.task.examples[1].pieces[0].strip()
    return f'Explanation: Begriffe wie "{word}" neben "{neighbour}", ferner "{marked_words(request)[-1]}"'


def refuses(request: Request) -> str:
    return "I'm sorry, but I can't help with that."


def vague(request: Request) -> str:
    """Says something different of each rule, true of none."""
    number = int(re.sub(r"\D", "", request.key) or 0)
    nouns = ["ships", "kings", "storms", "bridges", "violins", "planets", "gardens", "letters", "coins", "wolves"]
    return f"Explanation: passages about {nouns[number % 10]} and {nouns[number // 10 % 10]} in the year {number}"
