"""Planted latents: rules of a bank, run over the study's own held-out windows as if they were latents.

They form a dictionary called `planted`. Their true explanations are known, so what they score tells about the judge and
not about a dictionary: a judge that cannot tell what these rules mean cannot measure anything else.

Source: arXiv 2506.05774 for tests of explanations on units of known meaning; the bank is this project's.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from autointerp.corpus.base import Windows
from autointerp.examples import contrast
from autointerp.examples.bank import RULES, Rule
from autointerp.examples.base import Firing
from autointerp.records import PLANTED, Example, Explanation, LatentExamples, LatentId
from autointerp.seeds import generator

SITE = "text"
N_STRATA = 10


def latent(rule: Rule) -> LatentId:
    """Return the rule as a latent; its index is its position in the bank."""
    return LatentId(PLANTED, SITE, RULES.index(rule), planted=True)


def rule(latent: LatentId) -> Rule:
    """Return the rule of a planted latent."""
    return RULES[latent.index]


def explanation(latent: LatentId) -> Explanation:
    """Return the true explanation of a planted latent."""
    return Explanation(
        explanation_id=f"{PLANTED}/{latent.index}",
        latent=latent,
        text=rule(latent).explanation,
        explainer="bank",
        prompt_hash="",
        raw="",
    )


def activations(rule: Rule, pieces: Sequence[str]) -> tuple[float, ...]:
    """Return 1 for each token that the rule finds (or finds part of, other than white space), 0 for the others.

    >>> activations(Rule("word: cat", "token", "", r"\\bcat\\b"), ["The", " cat", " sat"])
    (0.0, 1.0, 0.0)
    """
    spans = rule.spans("".join(pieces))
    if not spans:
        return (0.0,) * len(pieces)
    ends = list(accumulate(map(len, pieces)))
    begins = [end - len(piece.lstrip()) for piece, end in zip(pieces, ends, strict=True)]
    return tuple(
        float(any(begin < stop and start < end for start, stop in spans))
        for begin, end in zip(begins, ends, strict=True)
    )


def firing(rule: Rule, windows: Windows, among: NDArray[np.int64]) -> Firing:
    """Run a rule over some windows, as a dictionary runs over a corpus."""
    values = np.array([activations(rule, windows.pieces(int(window))) for window in among]).reshape(len(among), -1)
    row, token = np.nonzero(values)
    return Firing(positions=windows.starts[among][row] + token, values=values[row, token])


def examples(
    windows: Windows, pool: NDArray[np.int64], *, n_rules: int, n_positives: int, n_negatives: int, seed: int
) -> Iterator[LatentExamples]:
    """Yield held-out examples of up to `n_rules` planted latents, evenly over the grades, in the bank's order.

    Rules with fewer than `n_positives` activating or `n_negatives` silent windows in the pool are left out: compare the
    number that comes with the number asked for.

    Args:
        windows: the corpus.
        pool: the shared pool of held-out windows (`contrast.pool`); positives come from it too.
        n_rules: number of planted latents.
        n_positives: activating windows each.
        n_negatives: silent windows each.
        seed: the study's.
    """
    texts = {int(window): windows.pieces(int(window)) for window in pool}
    usable: dict[int, LatentExamples] = {}
    for index, active in enumerate(_finds(texts)):
        if len(active) >= n_positives and len(texts) - len(active) >= n_negatives:
            usable[index] = _examples(RULES[index], windows, texts, active, n_positives, n_negatives, seed)
    yield from (usable[index] for index in _evenly([*usable], n_rules))


def _finds(texts: dict[int, tuple[str, ...]]) -> Iterator[dict[int, int]]:
    """Yield for each rule of the bank how often it finds anything in which windows, by one search through them all."""
    numbers = [*texts]
    joined = ["".join(pieces) for pieces in texts.values()]
    begins = np.cumsum([0, *(len(text) + 1 for text in joined[:-1])])
    # NUL is neither a word's character nor white space: no rule reaches over it.
    together = "\0".join(text.replace("\0", " ") for text in joined)
    for candidate in RULES:
        found = np.array([start for start, _ in candidate.spans(together)], dtype=np.int64)
        places, counts = np.unique(np.searchsorted(begins, found, side="right") - 1, return_counts=True)
        yield {numbers[place]: count for place, count in zip(places.tolist(), counts.tolist(), strict=True)}


def _evenly(indices: list[int], n: int) -> list[int]:
    """Choose `n` rules taking turns between the grades, spread over each grade's part of the bank."""
    grades: dict[str, list[int]] = {}
    for index in indices:
        grades.setdefault(RULES[index].grade, []).append(index)
    rank: list[tuple[int, int]] = []
    for group in grades.values():
        spread = sorted(range(len(group)), key=lambda i: (i * 0.6180339887498949) % 1)
        rank += [(order, group[i]) for order, i in enumerate(spread)]
    return sorted(index for _, index in sorted(rank)[:n])


def _examples(
    candidate: Rule,
    windows: Windows,
    texts: dict[int, tuple[str, ...]],
    active: dict[int, int],
    n_positives: int,
    n_negatives: int,
    seed: int,
) -> LatentExamples:
    key = latent(candidate)
    rng = generator(seed, "planted", key)
    # Strata by how often the rule holds in a window, since every single activation is 1; ties in random order.
    ranked = sorted(rng.permutation([*active]).tolist(), key=lambda window: active[window])
    strata = {window: min(N_STRATA - 1, N_STRATA * rank // len(ranked)) for rank, window in enumerate(ranked)}
    share = 1 / N_STRATA
    # One window from each of n_positives equal runs of ranks: none twice.
    cuts = [i * len(ranked) // n_positives for i in range(n_positives + 1)]
    chosen = [ranked[int(rng.integers(cuts[i], cuts[i + 1]))] for i in range(n_positives)]
    positives = tuple(
        Example(
            window=window,
            document=int(windows.documents[window]),
            pieces=texts[window],
            activations=activations(candidate, texts[window]),
            kind="positive",
            stratum=strata[window],
            stratum_share=share,
        )
        for window in chosen
    )
    quiet = np.array(sorted(set(texts) - set(active)), dtype=np.int64)
    silent = Firing(positions=np.array([], dtype=np.int64), values=np.array([]))
    negatives = contrast.negatives(windows, silent, quiet, latent=key, n=n_negatives, seed=seed)
    return LatentExamples(latent=key, explain=(), explain_contrast=(), held_out=positives, contrast=negatives)
