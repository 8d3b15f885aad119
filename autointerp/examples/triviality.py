"""Triviality of a latent: the share of its modal peak token, and the answers of that token alone."""

from collections.abc import Sequence
from dataclasses import dataclass

from autointerp.records import Example


@dataclass(frozen=True, slots=True, kw_only=True)
class PeakToken:
    """A latent's most common peak token and the share of its activating windows that peak there, in (0, 1]."""

    text: str
    share: float


def peak_token(positives: Sequence[Example]) -> PeakToken:
    """Return the most common peak token over activating windows, each stratum weighted by its share.

    Share 1 is a latent that always peaks on one token; a latent that never repeats a token has about 1 / n windows.

    >>> window = dict(window=0, document=0, kind="positive", stratum=0, stratum_share=0.1)
    >>> cat = Example(pieces=(" a", " cat"), activations=(0.2, 0.9), **window)
    >>> dog = Example(pieces=(" dog", " ran"), activations=(0.7, 0.0), **window)
    >>> peak = peak_token([cat, cat, dog, cat])
    >>> peak.text, round(peak.share, 6)
    (' cat', 0.75)
    """
    assert positives, "a latent without activating windows has no peak token"
    n_in: dict[int, int] = {}
    for example in positives:
        n_in[example.stratum] = n_in.get(example.stratum, 0) + 1
    weights: dict[str, float] = {}
    for example in positives:
        token = example.pieces[max(range(len(example.pieces)), key=lambda i: (example.activations[i], -i))]
        weights[token] = weights.get(token, 0.0) + example.stratum_share / n_in[example.stratum]
    best = min(weights, key=lambda token: (-weights[token], token))
    return PeakToken(text=best, share=weights[best] / sum(weights.values()))
