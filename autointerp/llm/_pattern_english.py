"""Reading explanations that are not in the pattern language: what they quote, else the words they use."""

import math
import re
from collections import Counter
from collections.abc import Sequence

from autointerp.llm._pattern_language import Clause, key, units

_QUOTED = re.compile(r"\"([^\"\n]+)\"|“([^”\n]+)”|‘([^’\n]+)’|`([^`\n]+)`|(?<!\w)'([^'\n]+)'(?!\w)")
# What English calls the kinds of units that have no text of their own.
_KINDS = {
    "number": re.compile(r"\b(numbers?|digits?|numerals?|numeric(al)?)\b"),
    "break": re.compile(r"\b(line ?breaks?|new ?lines?)\b"),
    "upper": re.compile(r"\b(acronyms?|all[- ]caps|words? in capitals)\b"),
    "capitalised": re.compile(r"\b(capitali[sz]ed|proper (nouns?|names?))\b"),
}
_NAMED = {
    "comma": ",", "full stop": ".", "period": ".", "question mark": "?", "exclamation mark": "!", "colon": ":",
    "semicolon": ";", "apostrophe": "'", "hyphen": "-", "quotation mark": '"', "parenthesis": "(", "bracket": "[",
}  # fmt: skip
# Words that explanations use about text, and English function words: they name nothing by themselves.
_STOP_WORDS = """
a about above active activates activation after all also an and any are as at be before being beginning but by
can case clause concept containing contains context describing do during each either ending especially etc ever
every example expressions for from general generally has have how if in indicating instances into is it its kind
language latent like mainly mentions more most neuron nor not of often on one or other over particular particularly
passage phrase phrases preceding references referring related right same sentence sentences several some specific
such symbol talking tends term terms text texts than that the their them then there these they things this those to
token tokens type used usually various verb verbs noun nouns adjective adjectives versus very was way when where
which while who whose will with within without word words writing written
"""
_STOP = frozenset(_STOP_WORDS.split())
_ENDINGS = ("ings", "ing", "edly", "ed", "ies", "es", "s", "ly")


def read(text: str) -> list[Clause]:
    """Return what an explanation in free English can be taken to mean; [] where it has no words."""
    named = [next(part for part in match.groups() if part) for match in _QUOTED.finditer(text)]
    clauses = [clause for quoted in named for clause in _phrase(quoted)]
    lower = _QUOTED.sub(" ", text).lower()
    clauses += [Clause(kind) for kind, said in _KINDS.items() if said.search(lower)]
    clauses += [Clause("lower", mark) for name, mark in _NAMED.items() if re.search(rf"\b{name}s?\b", lower)]
    return clauses or [Clause("prefix+", stem) for stem in dict.fromkeys(map(_stem, _content(lower)))]


def _phrase(quoted: str) -> list[Clause]:
    """Parse a quoted word or phrase into adjacent units."""
    cut = [key(unit.text) for unit in units(quoted.strip(" "))]
    return [Clause("lower", unit, after=tuple(cut[:i]), before=tuple(cut[i + 1 :])) for i, unit in enumerate(cut)]


def _content(lower: str) -> list[str]:
    words = [unit.text for unit in units(lower) if unit.text[0].isalpha()]
    return [word for word in words if word not in _STOP and len(word) > 2]


def _stem(word: str) -> str:
    """Return a word without its inflection, so that cook finds cooks, cooked and cooking."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word


def odd_one_out(texts: Sequence[str]) -> int:
    """Return the number of the text that shares least with the others: rare shared words count more."""
    bags = [{key(unit.text) for unit in units(text)} for text in texts]
    spread = Counter(word for bag in bags for word in bag)
    shared = [sum(1 / math.log2(1 + len(word)) * (spread[word] - 1) for word in bag) / (1 + len(bag)) for bag in bags]
    return min(range(len(texts)), key=lambda i: (shared[i], i))
