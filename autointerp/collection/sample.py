"""Sampling of latents: nested samples of fixed size with known inclusion probabilities.

Every latent has a permanent random number, keyed by seed, dictionary and latent. Latents join the sample in the order
of that number over their weight (order sampling), so that a sample of 60 holds the sample of 40, and no other
dictionary, scorer or interruption changes it. Weights mix a uniform and a rate-proportional share. The headline is the
plain mean over eligible latents, so the default share is small: 100 of 2,000 latents with rates of a log standard
deviation of 2 are worth, for the plain mean and for the mean weighted by rate (`test_what_a_share_costs`):

    proportional share    0     .1    .2    .5
    plain mean           100    96    90    67
    weighted by rate       7    24    36    63

Source: Rosén 1997 and Ohlsson 1998 (order sampling, permanent random numbers); Särndal, Swensson and Wretman 1992.
"""

import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from autointerp.errors import StudyError
from autointerp.run.store import Run, write_atomically
from autointerp.seeds import generator

# Latents recorded in addition to the sample, per dictionary: hard negatives by co-firing and decoder rows
# come from where they fire, so that those of a latent do not depend on how many others are explained.
N_REFERENCE = 512
PARTS = ("latents", "chances", "reference")
# Points of the integral over thresholds, and weights at which it is computed; between them it is interpolated.
N_THRESHOLDS, N_WEIGHTS = 2000, 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """One dictionary's sample.

    Attributes:
        latents: in the order in which they join the sample as it grows; None for all latents.
        chances: [n_latents] inclusion probabilities, 0 where a latent could not be drawn.
        reference: latents, ascending, that hard negatives are searched among by their activations.
    """

    latents: NDArray[np.int64] | None
    chances: NDArray[np.float64]
    reference: NDArray[np.int64]

    @property
    def kept(self) -> NDArray[np.int64] | None:
        """The latents to record activations of, ascending; None for all."""
        return None if self.latents is None else np.union1d(self.latents, self.reference)


def everything(n_latents: int) -> Drawn:
    """Return the sample of all latents; its reference latents are chosen when it is known which of them fire."""
    return Drawn(latents=None, chances=np.ones(n_latents), reference=np.empty(0, np.int64))


def chosen(latents: Mapping[str, Sequence[int]], n_latents: Mapping[str, int], seed: int) -> dict[str, Drawn]:
    """Return the chosen latents as samples: their probability is 1, all others' 0, so estimates are about them.

    Raises:
        StudyError: a dictionary does not exist, or has no such latent.
    """
    found = {}
    for name, mine in latents.items():
        if name not in n_latents:  # of another pass over the corpus; the study knows all names
            continue
        if max(mine) >= n_latents[name]:
            raise StudyError(
                f"sampling.latents: {name} has {n_latents[name]:,} latents, numbered from 0; there is none {max(mine)}"
            )
        chances = np.zeros(n_latents[name])
        chances[list(mine)] = 1.0
        numbers = permanent(seed, name, n_latents[name])
        everyone = np.arange(n_latents[name])
        found[name] = Drawn(
            latents=np.array(mine, dtype=np.int64), chances=chances, reference=reference(everyone, numbers)
        )
    return found


def permanent(seed: int, dictionary: str, n_latents: int) -> NDArray[np.float64]:
    """Return each latent's permanent random number in (0, 1): [n_latents]."""
    return 1 - generator(seed, "sample", dictionary).random(n_latents)


def reference(frame: NDArray[np.integer], numbers: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return up to `N_REFERENCE` latents of the frame, ascending: those with the smallest permanent numbers."""
    return np.sort(frame[np.argsort(numbers[frame], kind="stable")[:N_REFERENCE]]).astype(np.int64)


def weights(rates: NDArray[np.floating], proportional_share: float) -> NDArray[np.float64]:
    """Return each latent's share of the draws, `share * rate / sum(rates) + (1 - share) / N`, summing to 1."""
    n = len(rates)
    if rates.sum() <= 0:
        return np.full(n, 1 / max(1, n))
    return proportional_share * rates / rates.sum() + (1 - proportional_share) / n


def joining(weight: NDArray[np.floating], numbers: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return the indices of weights above 0 in the order in which they join a sample: by number over weight."""
    order = np.argsort(np.divide(numbers, weight, out=np.full(len(weight), np.inf), where=weight > 0), kind="stable")
    return order[: int((weight > 0).sum())]


def inclusion(weight: NDArray[np.floating], n: int) -> NDArray[np.float64]:
    """Return the probability that each index is among the first n to join, summing to min(n, weights above 0).

    Index i joins before a threshold q with probability min(1, w_i q). It is drawn if fewer than n others are below its
    rank; their number is a sum of independent indicators; its distribution is approximated by its first three moments
    (Edgeworth), as good as simulation (`tests/collection/test_sample.py`); equal weights give n / N exactly.
    """
    found, positive = np.zeros(len(weight)), weight > 0
    kept = np.asarray(weight, dtype=np.float64)[positive]
    if n >= len(kept):
        found[positive] = 1.0
        return found
    moments = _moments(kept)
    low, high = 0.0, 1 / kept.min()
    while high - low > 1e-9 * high:  # the threshold below which hardly ever fewer than n lie
        middle = (low + high) / 2
        low, high = (low, middle) if moments(np.array([middle]))[0][0] > n + 10 * n**0.5 + 10 else (middle, high)
    q = np.linspace(0, high, N_THRESHOLDS)
    mean, variance, third = moments(q)
    grid = np.unique(np.geomspace(kept.min(), kept.max(), N_WEIGHTS))
    chances = np.array([_chance(w, q, mean, variance, third, n) for w in grid])
    found[positive] = _scaled(np.interp(kept, grid, chances), n)
    return found


def _moments(weight: NDArray[np.float64]) -> Callable[[NDArray[np.float64]], tuple[NDArray[np.float64], ...]]:
    """Return what gives mean, variance and third central moment of how many ranks lie below thresholds."""
    ordered = np.sort(weight)
    sums = [np.append(0, np.cumsum(ordered**power)) for power in (1, 2, 3)]

    def at(q: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
        below = np.searchsorted(ordered, 1 / np.maximum(q, 1e-300))
        first, second, cubed = (total[below] * q**power for power, total in enumerate(sums, start=1))
        return len(ordered) - below + first, first - second, first - 3 * second + 2 * cubed

    return at


def _chance(
    w: float,
    q: NDArray[np.float64],
    mean: NDArray[np.float64],
    variance: NDArray[np.float64],
    third: NDArray[np.float64],
    n: int,
) -> float:
    """Return w times the integral, up to 1 / w, of the probability that fewer than n other ranks lie below q."""
    own = np.minimum(1, w * q)
    deviation = np.sqrt(np.maximum(variance - own * (1 - own), 1e-12))
    z = (n - 0.5 - (mean - own)) / deviation
    skew = (third - own * (1 - own) * (1 - 2 * own)) / deviation**3
    fewer = special.ndtr(z) - skew / 6 * (z**2 - 1) * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    area = np.append(0, np.cumsum((fewer[1:] + fewer[:-1]) / 2 * np.diff(q)))
    return float(np.clip(w * np.interp(1 / w, q, area), 0, 1))


def _scaled(chances: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Scale probabilities to sum to n, none above 1."""
    for _ in range(100):
        full = chances >= 1
        chances = np.where(full, 1.0, chances * (n - full.sum()) / max(chances[~full].sum(), 1e-300))
        if (chances <= 1).all():
            break
    return np.minimum(chances, 1.0)


def taken(path: Path, n_latents: Mapping[str, int], seed: int) -> dict[str, Drawn]:
    """Take the sample of a finished run, dictionary by dictionary, so that two runs can be compared latent by latent.

    Raises:
        StudyError: that run has no dictionary of this name and width.
        RunDirectoryError: the run does not exist.
    """
    columns = ["dictionary", "latent", "sampled", "look_order", "inclusion_probability"]
    table = Run(path).read("latents", columns)
    found = {}
    for name, n in n_latents.items():
        rows = table[table["dictionary"] == name].sort_values("latent")
        if len(rows) != n:
            there = table.groupby("dictionary").size().to_dict()
            raise StudyError(
                f"sampling.same_as: {path} has no dictionary {name!r} of {n:,} latents; it has: "
                + ", ".join(f"{other} ({count:,})" for other, count in there.items())
            )
        chances = rows["inclusion_probability"].to_numpy(np.float64)
        found[name] = Drawn(
            latents=rows[rows["sampled"]].sort_values("look_order")["latent"].to_numpy(np.int64),
            chances=chances,
            reference=reference(np.flatnonzero(chances > 0), permanent(seed, name, n)),
        )
    return found


def save(path: Path, key: str, drawn: Mapping[str, Drawn]) -> None:
    """Keep the sample that was drawn under a key, atomically."""
    arrays: dict[str, Any] = {"key": np.array(key)}
    for name, mine in drawn.items():
        arrays |= {f"{name}/{part}": getattr(mine, part) for part in PARTS}

    def write(partial: Path) -> None:
        with partial.open("wb") as file:
            np.savez(file, **arrays)

    write_atomically(path, write)


def load(path: Path, key: str, names: Sequence[str]) -> dict[str, Drawn] | None:
    """Return the sample that was drawn under this key; None where there is none, or its file is broken."""
    try:
        with path.open("rb") as file, np.load(file) as saved:
            if str(saved["key"]) != key:
                return None
            return {name: Drawn(**{part: saved[f"{name}/{part}"] for part in PARTS}) for name in names}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
