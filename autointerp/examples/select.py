"""Positives: for each sampled latent, windows over all deciles of its activation, to explain by and to judge on.

Vectorised per latent; only chosen windows become objects.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autointerp.corpus.base import Windows
from autointerp.examples.base import Firing
from autointerp.records import Example, LatentId
from autointerp.seeds import generator

# Strata are deciles by rank of a window's greatest activation within its split; 9 holds the strongest.
N_STRATA = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Peaks:
    """The windows in which a latent fires, one entry each, ascending.

    Attributes:
        windows: which they are.
        values: the latent's greatest activation in each.
        tokens: id of the token it is greatest on (the first of equals).
        entries: [n + 1] window i's activations are entries[i]:entries[i + 1] of `positions` and `activations`.
        positions: positions of all activations inside windows.
        activations: their values.
    """

    windows: NDArray[np.int64]
    values: NDArray[np.floating]
    tokens: NDArray[np.integer]
    entries: NDArray[np.int64]
    positions: NDArray[np.int64]
    activations: NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True)
class Positives:
    """A latent's example windows of both splits, and how much of its explain split one token accounts for.

    Attributes:
        explain: windows of the explain split.
        held_out: windows of the held-out split.
        token_share: share of ALL activating explain windows with the modal peak token, in (0, 1].
        peak_token: that token's text.
    """

    explain: tuple[Example, ...]
    held_out: tuple[Example, ...]
    token_share: float
    peak_token: str


def peaks(windows: Windows, firing: Firing) -> Peaks:
    """Group a latent's activations by window; activations outside every window are left out."""
    positions = np.asarray(firing.positions, dtype=np.int64)
    window = windows.of(positions)
    inside = window >= 0
    positions, window, activations = positions[inside], window[inside], np.asarray(firing.values)[inside]
    starts = np.flatnonzero(np.diff(window, prepend=-1))
    if len(starts) == 0:
        empty = np.empty(0, np.int64)
        return Peaks(
            windows=empty,
            values=activations,
            tokens=empty,
            entries=np.zeros(1, np.int64),
            positions=positions,
            activations=activations,
        )
    values = np.maximum.reduceat(activations, starts)
    entries = np.append(starts, len(positions))
    at_peak = np.flatnonzero(activations == np.repeat(values, np.diff(entries)))
    first_peak = at_peak[np.searchsorted(at_peak, starts)]
    return Peaks(
        windows=window[starts],
        values=values,
        tokens=np.asarray(windows.tokens[positions[first_peak]]),
        entries=entries,
        positions=positions,
        activations=activations,
    )


def strata(values: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return each value's decile by rank, 0 weakest to 9 strongest; equal values are ranked in their order."""
    ranks = np.empty(len(values), dtype=np.int64)
    ranks[np.argsort(values, kind="stable")] = np.arange(len(values))
    return ranks * N_STRATA // max(1, len(values))


def positives(
    windows: Windows,
    firing: Firing,
    *,
    latent: LatentId,
    n_explain: int,
    n_held_out: int,
    seed: int,
    fit: NDArray[np.bool_] | None = None,
) -> Positives:
    """Choose a latent's example windows: as evenly as possible over deciles, at random within each.

    Args:
        windows: the corpus; its splits are disjoint in documents.
        firing: the latent's activations.
        latent: keys the draws, so that they depend on nothing else.
        n_explain: number of windows of the explain split; fewer if it has fewer.
        n_held_out: likewise of the held-out split.
        seed: the study's.
        fit: [n_windows] the windows that may be judged on (`repeats.fit_to_judge`); None for all held-out ones.
    """
    found = peaks(windows, firing)
    held_out = windows.held_out[found.windows]
    judged = held_out if fit is None else fit[found.windows]
    parts = {}
    for split, side, wanted in ((False, ~held_out, n_explain), (True, judged, n_held_out)):
        members = np.flatnonzero(side)
        stratum = strata(found.values[members])
        rng = generator(seed, "positives", latent, split)
        chosen = _even(stratum, wanted, rng)
        parts[split] = tuple(_example(windows, found, int(members[i]), int(stratum[i])) for i in chosen)
    tokens, counts = np.unique(found.tokens[~held_out], return_counts=True)
    modal = int(counts.argmax()) if len(counts) else 0
    return Positives(
        explain=parts[False],
        held_out=parts[True],
        token_share=float(counts[modal] / counts.sum()) if len(counts) else float("nan"),
        peak_token="".join(windows.decode(tokens[modal : modal + 1])),
    )


def _even(stratum: NDArray[np.int64], wanted: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw `wanted` members without replacement, as evenly over strata as possible, strongest stratum first."""
    order = rng.permutation(len(stratum))
    order = order[np.argsort(stratum[order], kind="stable")]
    sizes = np.bincount(stratum, minlength=N_STRATA)
    place = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)  # rank within the stratum
    # Round by round one of each stratum; in the last round, that not all take part in, strata are drawn.
    turn = rng.permutation(N_STRATA)[stratum[order]]
    chosen = order[np.lexsort((turn, place))[:wanted]]
    return chosen[np.lexsort((chosen, -stratum[chosen]))]


def _example(windows: Windows, found: Peaks, entry: int, stratum: int) -> Example:
    window = int(found.windows[entry])
    at = slice(found.entries[entry], found.entries[entry + 1])
    activations = np.zeros(windows.length)
    activations[found.positions[at] - windows.starts[window]] = found.activations[at]
    return Example(
        window=window,
        document=int(windows.documents[window]),
        pieces=windows.pieces(window),
        activations=tuple(activations.tolist()),
        kind="positive",
        stratum=stratum,
        stratum_share=1 / N_STRATA,
    )
