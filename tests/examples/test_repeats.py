"""Text that both splits have is not judged on: by an independent search for shared runs of words."""

import numpy as np
import pytest

from autointerp.examples.base import Windows
from autointerp.examples.repeats import RUN, fit_to_judge
from tests.helpers.planted import corpus
from tests.helpers.text import windows

RNG = np.random.default_rng(0)


def words(n: int) -> list[str]:
    return [f" w{i}" for i in RNG.integers(10**6, size=n)]


def by_hand(found: Windows) -> list[bool]:
    """A loop over texts: half of a held-out window's tokens in runs that some explain document has."""
    documents: dict[int, list[int]] = {}
    for start, document in zip(found.starts.tolist(), found.documents.tolist(), strict=True):
        documents.setdefault(document, []).extend(found.tokens[start : start + found.length].tolist())
    split = {int(d): bool(h) for d, h in zip(found.documents, found.held_out, strict=True)}
    known = {tuple(ids[i : i + RUN]) for d, ids in documents.items() if not split[d] for i in range(len(ids) - RUN + 1)}
    fit = []
    for document, ids in documents.items():
        seen = [False] * len(ids)
        for i in range(len(ids) - RUN + 1):
            if tuple(ids[i : i + RUN]) in known:
                seen[i : i + RUN] = [True] * RUN
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


@pytest.mark.parametrize("n_shared, judged", [(15, True), (16, False), (31, False)])
def test_half_a_window_of_running_text_is_a_repeat(n_shared: int, judged: bool) -> None:
    """A quotation of 15 words in a window of 32 is let pass, one of 16 is not."""
    quotation = words(n_shared)
    found = windows([[*words(40), *quotation, *words(40)], [*quotation, *words(32 - n_shared)]])
    assert fit_to_judge(found)[-1] == judged


def test_a_real_corpus_agrees_with_the_search_by_hand() -> None:
    """The Python manual repeats much of its text between topics (as of "sequences" in "types"), but not most of it."""
    fit = fit_to_judge(corpus())
    assert fit.tolist() == by_hand(corpus())
    assert 0 < (corpus().held_out & ~fit).sum() < 0.5 * corpus().held_out.sum()


@pytest.mark.parametrize("documents", [[], [words(40)], [words(3), words(40)]])
def test_nothing_to_repeat(documents: list[list[str]]) -> None:
    """No windows, or one split only: what is held out is fit."""
    found = windows(documents)
    assert fit_to_judge(found).tolist() == found.held_out.tolist()
