"""Text that both splits have is not judged on: by an independent search for shared runs of words and of letters."""

from collections.abc import Callable

import numpy as np
import pytest

from autointerp.corpus.base import Windows
from autointerp.examples.repeats import RUN, fit_to_judge
from tests.helpers.planted import corpus
from tests.helpers.text import pieces, windows

RNG = np.random.default_rng(0)


def words(n: int) -> list[str]:
    """Words of six letters each, no two alike."""
    return [" " + "".join(RNG.choice(list("abcdefghijklmnop"), 6)) for _ in range(n)]


def by_hand(found: Windows) -> list[bool]:
    """A loop over texts: half of a held-out window's tokens in runs that some explain document has, be it of tokens or
    of as many letters as these have on the average."""
    texts = [found.decode(np.array([token]))[0] for token in found.tokens.tolist()]
    bare = ["".join(text.lower().split()) for text in texts]
    run = min(RUN, found.length)
    n = round(run * sum(map(len, bare)) / len(bare))
    documents: dict[int, list[int]] = {}
    for start, document in zip(found.starts.tolist(), found.documents.tolist(), strict=True):
        documents.setdefault(document, []).extend(range(start, start + found.length))
    split = {int(d): bool(h) for d, h in zip(found.documents, found.held_out, strict=True)}

    def spelt(places: list[int], i: int) -> tuple[str, int]:
        """The n letters from token i of a document on, and how many tokens they are of."""
        text, j = "", i
        while len(text) < n and j < len(places):
            text, j = text + bare[places[j]], j + 1
        return (text[:n] if len(text) >= n else ""), j - i

    known_tokens, known_letters = set(), {""}
    for document, places in documents.items():
        if not split[document]:
            ids = [int(found.tokens[place]) for place in places]
            known_tokens |= {tuple(ids[i : i + run]) for i in range(len(ids) - run + 1)}
            known_letters |= {spelt(places, i)[0] for i in range(len(ids)) if bare[places[i]]}
    fit = []
    for document, places in documents.items():
        ids = [int(found.tokens[place]) for place in places]
        seen = [False] * len(ids)
        for i in range(len(ids)):
            if tuple(ids[i : i + run]) in known_tokens:
                seen[i : i + run] = [True] * run
            letters, n_tokens = spelt(places, i)
            if letters and bare[places[i]] and letters in known_letters:
                seen[i : i + n_tokens] = [True] * n_tokens
        for i in range(0, len(ids), found.length):
            fit.append(split[document] and sum(seen[i : i + found.length]) < found.length / 2)
    return fit


def test_copies_are_found_wherever_they_begin() -> None:
    """Of three held-out documents one is a copy, one the copy moved by 5 words, one new: only the new one is judged."""
    text = words(320)
    found = windows([text, text, text[7:200], [*words(5), *text], words(320), words(320)])
    fit = fit_to_judge(found)
    by_document = {d: fit[found.documents == d].mean() for d in range(6)}
    assert by_document[1] == by_document[3] == 0
    assert by_document[5] == 1
    assert by_document[0] == by_document[2] == by_document[4] == 0, "explain windows are never judged"
    assert fit.tolist() == by_hand(found)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.upper(),
        lambda text: text.title(),
        lambda text: text.replace(" ", "  \n\t"),
        lambda text: text.replace(" ", ""),
        lambda text: "".join(f"\n    {line}" for line in text.upper().split(" the ")),
    ],
)
def test_a_copy_in_other_case_or_white_space_is_a_copy(change: Callable[[str], str]) -> None:
    """A held-out document that is an explain document in capitals, re-wrapped, indented or run together has no window
    to be judged on, however a tokenizer cuts it; one of other words has."""
    text = "".join(words(320))  # ten windows, no tail: what an explainer never sees is no leak
    cut = pieces(change(text)) if " " in change(text) or "\n" in change(text) else list(change(text))
    found = windows([pieces(text), cut, words(300), words(300)])
    fit = fit_to_judge(found)
    assert not fit[found.documents == 1].any()
    assert fit[found.documents == 3].all()


@pytest.mark.parametrize("n_shared, judged", [(15, True), (16, False), (31, False)])
def test_half_a_window_of_running_text_is_a_repeat(n_shared: int, judged: bool) -> None:
    """A quotation of 15 words in a window of 32 is let pass, one of 16 is not."""
    quotation = words(n_shared)
    found = windows([[*words(40), *quotation, *words(40)], [*quotation, *words(32 - n_shared)]])
    assert fit_to_judge(found)[-1] == judged


@pytest.mark.parametrize("length", [1, 4, 8, 15])
def test_a_short_window_is_a_run_by_itself(length: int) -> None:
    """A window shorter than a run that stands in an explain document is a repeat, its surroundings being others."""
    shared = words(length)
    found = windows([[*words(length), *shared, *words(length)], [*shared, *words(length)]], length)
    assert fit_to_judge(found).tolist() == [False, False, False, False, True]


def test_a_real_corpus_agrees_with_the_search_by_hand() -> None:
    """The Python manual repeats much of its text between topics (as of "sequences" in "types"), but not most of it."""
    fit = fit_to_judge(corpus())
    assert fit.tolist() == by_hand(corpus())
    assert 0 < (corpus().held_out & ~fit).sum() < 0.5 * corpus().held_out.sum()


def test_parts_of_characters_are_like_themselves_only() -> None:
    """Tokens that are no whole characters decode alike, but texts of different ones are no copies of each other."""
    one, other = ([f"\ufffd{i}" for i in RNG.permutation(1000)[:64]] for _ in range(2))
    found = windows([one, other, one, one])
    assert fit_to_judge(found).tolist() == [False, False, True, True, False, False, False, False]


@pytest.mark.parametrize("documents", [[], [words(40)], [words(3), words(40)], [[" "] * 40, ["\n"] * 40]])
def test_nothing_to_repeat(documents: list[list[str]]) -> None:
    """No windows, one split only, or no letters at all: what is held out is fit."""
    found = windows(documents)
    assert fit_to_judge(found).tolist() == found.held_out.tolist()
