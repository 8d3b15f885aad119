"""The load gate: does a dictionary reconstruct anything at its site? A misread checkpoint shows in its vital signs.

x, y = rows(subject, documents, site_in, site_out, bos=bos)     a few thousand tokens are plenty
dictionary, vitals, notes = admit(dictionary, x, y)             raises with a diagnosis, or goes on
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autointerp.dictionaries.spec import Dictionary
from autointerp.errors import DictionaryError
from autointerp.records import Site
from autointerp.subject.base import Subject

# A dictionary that explains less than the mean does reads the wrong activations.
MAX_FVU = 1.0
# Mean L0 further than this factor from the checkpoint's stated L0. TopK fires at most k, and less only where fewer
# than k pre-activations are positive; thresholds were set on other text, hence not 1.
L0_FACTOR = 3.0
# If a checkpoint states no L0: a latent that fires on a quarter of the tokens, on average, is not a sparse
# dictionary.
MAX_DENSITY = 0.25
# Published dictionaries have some dead latents, broken ones have nothing else.
MIN_ALIVE_SHARE = 0.001
N_TOKENS = 8192
# Another way to read a dictionary that leaves less than this of its FVU is worth a word.
BETTER = 0.95
# Rows encoded at once.
BATCH = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """Vital signs of a dictionary on a sample of tokens.

    `fvu` is sum|y - yhat|^2 / sum|y - mean y|^2 over all tokens and dimensions, in float64 (0 perfect, 1 as good as the
    mean); `l0` the mean number of latents that fire on a token; `alive_share` the share of latents that fired at all;
    `dense_share` the share that fired on more than a tenth of the tokens.
    """

    fvu: float
    l0: float
    alive_share: float
    dense_share: float
    n_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """A sentence about a site or k that explains more; `far` where so much more that the dictionary belongs there."""

    words: str
    far: bool


@dataclass(frozen=True, slots=True)
class Admitted:
    """A dictionary that may be used, with its vital signs and sentences for people.

    `misplaced`: `accept` let it in although another site or k explains far more.
    """

    dictionary: Dictionary
    vitals: Vitals
    notes: tuple[str, ...]
    misplaced: bool = False


def rows(
    subject: Subject,
    documents: Sequence[NDArray[np.int64]],
    site_in: Site,
    site_out: Site,
    *,
    bos: int | None,
    n_wanted: int = N_TOKENS,
) -> tuple[Tensor, Tensor]:
    """Activations at both sites on the first tokens of documents: x [n, d_in] and y [n, d_out].

    Each document's first position is left out, the BOS or, without one, the first token: models keep activations a
    hundred times as long there, which dictionaries are trained without and which would decide the FVU alone.
    Reads documents until it has `n_wanted` tokens.
    """
    read = captured(subject, documents, [site_in, site_out], bos=bos, n_wanted=n_wanted)
    return read[site_in], read[site_out]


def captured(
    subject: Subject, documents: Sequence[NDArray[np.int64]], sites: Sequence[Site], *, bos: int | None, n_wanted: int
) -> dict[Site, Tensor]:
    """Activations [n, width] at several sites on the same tokens; see `rows`."""
    head = [] if bos is None else [bos]
    parts: dict[Site, list[Tensor]] = {site: [] for site in sites}
    n_tokens = 0
    for document in documents:
        ids = torch.tensor([[*head, *document.tolist()]], dtype=torch.long, device=subject.device)
        read = subject.capture(ids, None, list(parts))
        for site, kept in parts.items():
            kept.append(read[site][0, 1:].clone())
        n_tokens += ids.shape[1] - 1
        if n_tokens >= n_wanted:
            break
    return {site: torch.cat(kept) for site, kept in parts.items()}


def measure(dictionary: Dictionary, x: Tensor, y: Tensor) -> Vitals:
    """Vital signs on rows x [n, d_in] at site_in and y [n, d_out] at site_out.

    Raises:
        DictionaryError: the widths are not the dictionary's: it belongs to another model or site.
    """
    if (x.shape[1], y.shape[1]) != (dictionary.d_in, dictionary.d_out):
        raise DictionaryError(
            f"{dictionary.name}: made for width {dictionary.d_in} -> {dictionary.d_out}, but the subject has "
            f"{x.shape[1]} at {dictionary.site_in} -> {y.shape[1]} at {dictionary.site_out}: another model or site"
        )
    error, active = 0.0, 0.0
    fired = torch.zeros(dictionary.n_latents, device=dictionary.device)
    with torch.inference_mode():
        for part, target in zip(x.split(BATCH), y.split(BATCH), strict=True):
            codes = dictionary.encode(part)
            target = target.to(dictionary.device, torch.float64)
            error += float((target - dictionary.decode(codes, part).double()).square().sum())
            hit = codes.values != 0
            active += float(hit.sum())
            fired += torch.bincount(codes.indices[hit], minlength=len(fired))
        variance = float((y.double() - y.double().mean(dim=0)).square().sum())
    return Vitals(
        fvu=error / variance if variance > 0 else math.nan,
        l0=active / max(len(x), 1),
        n_tokens=len(x),
        alive_share=float((fired > 0).float().mean()),
        dense_share=float((fired > 0.1 * len(x)).float().mean()),
    )


def admit(
    dictionary: Dictionary,
    x: Tensor,
    y: Tensor,
    *,
    accept: bool = False,
    elsewhere: Callable[[float], Elsewhere | None] = lambda _: None,
) -> Admitted:
    """Decide settings that the checkpoint leaves open, measure, and reject a dictionary with impossible measurements.

    Args:
        dictionary: as loaded.
        x: rows [n, d_in] at its site_in.
        y: rows [n, d_out] at its site_out.
        accept: go on in spite of a diagnosis, which then is a note.
        elsewhere: given its FVU, searches for a better site or k; `autointerp.dictionaries.elsewhere.look`.

    Raises:
        DictionaryError: its vital signs are impossible, or far better elsewhere, and `accept` is False; the message
            says what may be wrong.
    """
    was_open = dictionary.pre_bias_open
    dictionary, notes = settled(dictionary, x, y)
    vitals = measure(dictionary, x, y)
    better = elsewhere(vitals.fvu)
    if better and better.far and not accept:
        raise DictionaryError(f"{better.words}, or go on all the same with `accept: true` at this dictionary")
    others = tried(dictionary, x, y, vitals.fvu) if symptoms(vitals, dictionary) else ()
    found = diagnose(vitals, dictionary, accept=accept, tried=others)
    notes = (*notes, *(() if others or was_open else _doubt(dictionary, x, y, vitals.fvu)))
    said = [*notes, *([found] if found else []), *([better.words] if better else [])]
    return Admitted(dictionary, vitals, tuple(said), misplaced=better is not None and better.far)


def settled(dictionary: Dictionary, x: Tensor, y: Tensor) -> tuple[Dictionary, tuple[str, ...]]:
    """Decide by FVU whether b_dec is subtracted from the input, where that is left open; say what was decided."""
    if not dictionary.pre_bias_open:
        return dictionary, ()
    ways = {False: replace(dictionary, pre_bias=None), True: replace(dictionary, pre_bias=dictionary.b_dec)}
    fvu = {way: measure(candidate, x, y).fvu for way, candidate in ways.items()}
    best = fvu[True] < fvu[False]
    expected = (
        f"{dictionary.name}: the checkpoint does not say whether b_dec is subtracted from the input; FVU is "
        f"{fvu[True]:.3f} "
        f"with and {fvu[False]:.3f} without on {len(x):,} tokens: read as `pre_bias: {str(best).lower()}`"
    )
    return replace(ways[best], pre_bias_open=False, remarks=()), (expected,)


def symptoms(vitals: Vitals, dictionary: Dictionary) -> tuple[str, ...]:
    """List the vital signs that are impossible for a dictionary at its site."""
    found, l0, n_latents = [], vitals.l0, dictionary.n_latents
    # A layer of a cross-layer transcoder reconstructs its output only with the layers before it.
    if not vitals.fvu <= MAX_FVU and not dictionary.group:
        found.append(f"FVU is {vitals.fvu:.3g}: the mean activation alone would do better (1.0)")
    expected = dictionary.expected_l0
    if expected and not expected / L0_FACTOR <= l0 <= expected * L0_FACTOR:
        found.append(f"L0 is {l0:.3g}, and the checkpoint records {expected:g}")
    elif not expected and l0 > MAX_DENSITY * n_latents:
        found.append(f"L0 is {l0:.3g} of {n_latents:,} latents: not sparse")
    # No more latents can have fired than there were firings: few tokens show little of a million latents.
    possible = min(1.0, l0 * vitals.n_tokens / n_latents)
    if not vitals.alive_share or vitals.alive_share < MIN_ALIVE_SHARE * possible:
        found.append(f"{vitals.alive_share:.2%} of its latents fire at all")
    return tuple(found)


def diagnose(vitals: Vitals, dictionary: Dictionary, *, accept: bool = False, tried: Sequence[str] = ()) -> str | None:
    """Stop with a diagnosis where vital signs are impossible; None where they are not.

    With `accept` the diagnosis is returned as a warning. `tried` are findings of other ways to read the checkpoint.

    Raises:
        DictionaryError: see above; the message ends with the one line that overrides it.
    """
    found = symptoms(vitals, dictionary)
    if not found:
        return None
    text = (
        f"{dictionary.name} ({dictionary.provenance.source}) does not work as a dictionary here: {'; '.join(found)}. "
        f"{' '.join(tried) if tried else _suspicions(dictionary)}"
    )
    if accept:
        return f"{text} Accepted by the study."
    raise DictionaryError(f"{text} To go on all the same, write `accept: true` at this dictionary")


def _doubt(dictionary: Dictionary, x: Tensor, y: Tensor, fvu: float) -> tuple[str, ...]:
    """Report that the other pre-bias explains more, which cannot happen if the dictionary is read as trained."""
    if dictionary.d_in != dictionary.d_out or dictionary.group:
        return ()
    pre_bias = None if dictionary.pre_bias is not None else dictionary.b_dec
    other = measure(replace(dictionary, pre_bias=pre_bias), x, y).fvu
    if not other < BETTER * fvu:
        return ()
    way = "subtracted from" if pre_bias is not None else "left in"
    return (f"{dictionary.name}: FVU is {fvu:.3f}, but {other:.3f} with b_dec {way} its input: is it read as trained?",)


def tried(dictionary: Dictionary, x: Tensor, y: Tensor, fvu: float) -> tuple[str, ...]:
    """Read the checkpoint in other ways; tell of those that halve its FVU, else of what to check."""
    better = []
    for setting, candidate in _other_ways(dictionary, x):
        other = measure(candidate, x, y).fvu
        if other < 0.5 * fvu and other < MAX_FVU:
            better.append(f"With {setting} its FVU is {other:.3f}: is that how it was trained?")
    return tuple(better) or (_suspicions(dictionary),)


def _other_ways(dictionary: Dictionary, x: Tensor) -> Iterator[tuple[str, Dictionary]]:
    if dictionary.d_in == dictionary.d_out:
        flipped = None if dictionary.pre_bias is not None else dictionary.b_dec
        yield f"`pre_bias: {str(flipped is not None).lower()}`", replace(dictionary, pre_bias=flipped)
    norm = float(x.float().norm(dim=1).mean())
    if norm > 0:
        scale = dictionary.d_in**0.5 / norm
        yield (
            f"activations scaled by {scale:.4g} (mean norm sqrt(d_in)), `input_scale: {scale:.4g}`,",
            replace(dictionary, input_scale=scale, output_scale=1 / scale),
        )


def _suspicions(dictionary: Dictionary) -> str:
    return (
        f"Check the site (it reads {dictionary.site_in} and predicts {dictionary.site_out}; `site_in`, `site_out`), "
        "the "
        "subject and its revision, the pre-bias (`pre_bias`), and whether training scaled its activations "
        "(`input_scale`)."
    )
