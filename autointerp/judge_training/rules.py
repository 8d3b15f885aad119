"""Rules with known truth: an explanation in one of many wordings, and the spans of text on which it holds."""

import re
from collections.abc import Callable, Sequence

from autointerp.examples import bank
from autointerp.judge_training.lexicon import Lexicon, Rng, TrainingRule, any_of, pick, regex
from autointerp.judge_training.literal import beside, inside, look, phrase, prefix, suffix, word
from autointerp.judge_training.topics import TOPICS
from autointerp.llm import _pattern_language as language

KINDS = ("word", "phrase", "prefix", "suffix", "inside", "beside", "look", "topic", "neighbours", "clauses", "pattern")
# Share of training rules of each kind: more of what is harder to learn.
SHARES = (0.12, 0.1, 0.09, 0.09, 0.07, 0.09, 0.05, 0.12, 0.07, 0.1, 0.1)


def held_out_topics() -> frozenset[str]:
    """Every word of the bank's topics: none may be taught."""
    found = set()
    for rule in bank.RULES:
        if rule.grade == "topic":
            found.update(re.findall(r"[a-z]+", rule.regex.lower()))
    return frozenset(found)


def topics() -> dict[str, list[str]]:
    """Training topics without the words of the bank's."""
    held_out = held_out_topics()
    kept = {name: [word for word in words.split() if word not in held_out] for name, words in TOPICS.items()}
    return {name: words for name, words in kept.items() if len(words) >= 5}


_TOPICS = list(topics().items())


def topic(rng: Rng, lexicon: Lexicon, window: str) -> TrainingRule | None:
    """Words of a topic; the explanation may give a few of them as examples."""
    name, words = _TOPICS[int(rng.integers(len(_TOPICS)))]
    examples = [words[i] for i in rng.permutation(len(words))[: int(rng.integers(2, 5))]]
    given = ", ".join(examples[:-1]) + pick(rng, [" or ", " and "]) + examples[-1]
    forms = [
        f"words about {name}",
        f"words for {name}, such as {given}",
        f"words about {name}, such as {given}",
        f"words related to {name} ({given})",
        f"terms of {name}",
        f"{name}, for example {given}",
        f"text about {name}",
        f"words like {given}",
    ]
    return TrainingRule(kind="topic", explanation=pick(rng, forms), spans=regex(rf"\b(?:{any_of(words)})\b"))


def neighbours(rng: Rng, lexicon: Lexicon, window: str) -> TrainingRule | None:
    """Words near in meaning to a word of the vocabulary."""
    if not lexicon.neighbours:
        return None
    names = [one for one in lexicon.neighbours if lexicon.fits(one)]
    name = names[int(rng.integers(len(names)))]
    words = [name, *lexicon.neighbours[name]]
    order = rng.permutation(len(words))
    given = ", ".join(words[i] for i in order[: int(rng.integers(2, 4))])
    forms = [
        f"words like {given}",
        f"words with a meaning close to {given}",
        f'words related to "{name}"',
        f"words such as {given} and others of that kind",
    ]
    return TrainingRule(kind="neighbours", explanation=pick(rng, forms), spans=regex(rf"\b(?:{any_of(words)})\b"))


def clauses(rng: Rng, lexicon: Lexicon, window: str) -> TrainingRule | None:
    """Two rules, either of which may hold; or one restricted by the adjacent words."""
    kinds = (word, phrase, prefix, suffix, beside, look, topic)
    first, second = (kinds[int(i)](rng, lexicon, window) for i in rng.integers(len(kinds), size=2))
    if first is None or second is None:
        return None
    join = pick(rng, ["; ", ", or ", "; also ", " or "])
    a, b = first.spans, second.spans
    return TrainingRule(
        kind="clauses",
        explanation=f"{first.explanation}{join}{second.explanation}",
        spans=lambda text: sorted({*a(text), *b(text)}),
        near=first.near,
    )


def pattern(rng: Rng, lexicon: Lexicon, window: str) -> TrainingRule | None:
    """One to four clauses in the language of the `pattern` back end, built from units of the window and of others."""
    cut = language.units(window)
    if len(cut) < 4:
        return None
    made = [_clause(rng, cut) for _ in range(int(rng.integers(1, 5)))]
    kept = [clause for clause in made if clause is not None]
    if not kept:
        return None
    if kept[0].text and not lexicon.fits(kept[0].text):
        return None
    first = kept[0].text

    def spans(text: str) -> list[tuple[int, int]]:
        units = language.units.__wrapped__(text)
        return sorted({span for clause in kept for span in language.matches(clause, units)})

    return TrainingRule(
        kind="pattern",
        explanation=language.say(kept),
        spans=spans,
        near=re.compile(re.escape(first[:4]), re.IGNORECASE) if first else None,
    )


def _clause(rng: Rng, cut: Sequence[language.Unit]) -> language.Clause | None:
    i = int(rng.integers(1, len(cut) - 1))
    unit = cut[i].text
    if unit.isalpha():
        options = ["lower", "lower", "lower", "word", "suffix", "prefix", "part", "alpha"]
        if unit[0].isupper():
            options.append("upper" if len(unit) > 1 and unit.isupper() else "capitalised")
    else:
        options = ["number"] if unit[0].isdigit() else ["break"] if unit[0] == "\n" else ["lower", "any"]
    what = pick(rng, options)
    n = int(rng.integers(2, 4))
    text = {
        "lower": unit.lower(),
        "word": unit,
        "suffix": unit[-n:].lower(),
        "prefix": unit[:n].lower(),
        "part": unit[1 : 1 + n].lower(),
    }.get(what, "")
    if what in {"suffix", "prefix", "part"} and len(unit) <= n + 1:
        return None
    chance = 0.9 if what in {"alpha", "any"} else 0.25
    after = (cut[i - 1].key,) if rng.random() < chance else ()
    before = (cut[i + 1].key,) if not after and rng.random() < chance else ()
    if what in {"alpha", "any"} and not after + before:
        return None
    return language.Clause(what, text, after, before)


MAKERS: dict[str, Callable[[Rng, Lexicon, str], TrainingRule | None]] = dict(
    zip(KINDS, (word, phrase, prefix, suffix, inside, beside, look, topic, neighbours, clauses, pattern), strict=True)
)


def draw(rng: Rng, lexicon: Lexicon, window: str, kind: str = "") -> TrainingRule | None:
    """Draw a rule of a kind, or of a kind by `SHARES`; None where the window offers none."""
    kind = kind or str(rng.choice(KINDS, p=SHARES))
    return MAKERS[kind](rng, lexicon, window)
