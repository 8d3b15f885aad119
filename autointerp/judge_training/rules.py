"""Rules with known truth: an explanation in one of many wordings, and the spans of text on which it holds."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from autointerp.examples import bank
from autointerp.judge_training.lexicon import Lexicon, Rng, TrainingRule, any_of, pick, regex
from autointerp.judge_training.literal import beside, inside, look, phrase, prefix, suffix, word
from autointerp.judge_training.topics import TOPICS
from autointerp.llm import _pattern_language as language

KINDS = ("word", "phrase", "prefix", "suffix", "inside", "beside", "look", "topic", "neighbours", "clauses", "pattern")
# Share of training rules of each kind.
SHARES = (0.15, 0.08, 0.06, 0.06, 0.05, 0.08, 0.08, 0.18, 0.07, 0.12, 0.07)
# What an explainer may write around the same rule.
OPENINGS = ("activates on ", "tokens: ", "this latent fires on ", "occurrences of ", "text with ", "mostly ")


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower()))


def bank_words() -> frozenset[str]:
    """Every word of the bank's topics: none is trained on."""
    return frozenset(word for rule in bank.RULES if rule.grade == "topic" for word in _words(rule.regex))


def topics(*, held_out: bool) -> dict[str, list[str]]:
    """Topics to train on, without the words of the bank's and of the held-out fifth; or that fifth."""
    side = Lexicon(words=[], vocabulary=[], held_out=True)
    apart = {name: words.split() for name, words in TOPICS.items() if side.fits(name)}
    if held_out:
        return apart
    excluded = bank_words().union(*apart.values())
    kept = {name: [word for word in words.split() if word not in excluded] for name, words in TOPICS.items()}
    return {name: words for name, words in kept.items() if name not in apart and len(words) >= 5}


def held_out_words() -> frozenset[str]:
    """Every word of a topic that measures a judge: none is trained on as part of a topic."""
    return bank_words().union(*topics(held_out=True).values())


_TOPICS = {side: list(topics(held_out=side).items()) for side in (False, True)}


def topic(rng: Rng, lexicon: Lexicon, window: str) -> TrainingRule | None:
    """Words of a topic; the explanation may give a few of them as examples."""
    known = _TOPICS[lexicon.held_out]
    name, words = known[int(rng.integers(len(known)))]
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
    """Two rules, either of which may hold."""
    kinds = (word, phrase, prefix, suffix, beside, look, topic)
    first, second = (kinds[int(i)](rng, lexicon, window) for i in rng.integers(len(kinds), size=2))
    if first is None or second is None:
        return None
    near = [rule.near.pattern for rule in (first, second) if rule.near is not None]
    join = pick(rng, ["; ", ", or ", "; also ", " or "])
    a, b = first.spans, second.spans
    return TrainingRule(
        kind="clauses",
        explanation=f"{first.explanation}{join}{second.explanation}",
        spans=lambda text: sorted({*a(text), *b(text)}),
        near=re.compile("|".join(near), re.IGNORECASE) if near else None,
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
    rule = MAKERS[kind](rng, lexicon, window)
    return rule if rule is None or kind == "pattern" else replace(rule, explanation=reworded(rng, rule.explanation))


def reworded(rng: Rng, explanation: str) -> str:
    """Put an explanation as explainers do, in two cases of five: after an opening, as a sentence, or both."""
    if rng.random() < 0.2:
        explanation = pick(rng, OPENINGS) + explanation
    if rng.random() < 0.25:
        explanation = f"{explanation[0].upper()}{explanation[1:]}."
    return explanation
