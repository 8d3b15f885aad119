"""Search for a site or k at which a dictionary with a doubtful FVU does much better.

FVU does not distinguish a poor dictionary from one at the wrong site: TopK dictionaries of a small Llama with FVU .16
to .25 at their own site leave .3 to .9 a layer away or at the residual stream, as poor ones do at their own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from autointerp.dictionaries import load_check
from autointerp.dictionaries.spec import Dictionary
from autointerp.records import Site
from autointerp.subject.base import Subject

# FVU at a dictionary's own site that calls for a look elsewhere. Of the six dictionaries that this was measured on, the
# right site gave .16 to .25, the mildest wrong one .30.
DOUBTFUL = 0.30
# An alternative that leaves less than this share of the FVU is reported; one that leaves less than that, and is good
# itself, is where it belongs. At a right site no other way to read those looked at left less than .9 of the FVU.
BETTER, FAR_BETTER, GOOD = 0.75, 0.5, 0.5
# Tokens tried, and pairs of sites captured at once: a fraction of the gate's own cost each.
N_TOKENS, AT_ONCE = 512, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The subject and text on which a dictionary is tried, its own sites, and the pairs of other sites to try."""

    subject: Subject
    documents: Sequence[NDArray[np.int64]]
    bos: int | None
    own: tuple[Site, Site]
    others: Sequence[tuple[Site, Site]]


def look(
    dictionary: Dictionary, place: Place, fvu: float, *, doubtful: float = DOUBTFUL
) -> load_check.Elsewhere | None:
    """Try a dictionary at other sites and with other k; None where nothing explains clearly more.

    Args:
        dictionary: as loaded; if its pre-bias is undecided, it is decided at each site.
        place: site and tokens to measure on.
        fvu: its FVU as configured; nothing is tried if that is at most `doubtful`.
        doubtful: see above.
    """
    if fvu <= doubtful or dictionary.group:
        return None
    own, best, words = _at(dictionary, *_rows(place, [place.own])[place.own]), float("inf"), ""
    for other, sentence in (*_sites(dictionary, place), *_ks(dictionary, place)):
        if other < best:
            best, words = other, sentence
    if not best < BETTER * own or not best < load_check.MAX_FVU:
        return None
    text = f"{dictionary.name}: FVU is {own:.2f} at {_named(place.own)}, but {best:.2f} {words}"
    return load_check.Elsewhere(words=text, far=best < FAR_BETTER * own and best < GOOD)


def _sites(dictionary: Dictionary, place: Place) -> Iterator[tuple[float, str]]:
    widths = place.subject.widths([site for pair in place.others for site in pair])
    fitting = [
        (one, other)
        for one, other in place.others
        if (widths[one], widths[other]) == (dictionary.d_in, dictionary.d_out)
    ]
    for start in range(0, len(fitting), AT_ONCE):
        for pair, (x, y) in _rows(place, fitting[start : start + AT_ONCE]).items():
            settings = f"`site_in: {pair[0]}` and `site_out: {pair[1]}`"
            yield _at(dictionary, x, y), f"at {_named(pair)}: wrong site? Set {settings}"


def _ks(dictionary: Dictionary, place: Place) -> Iterator[tuple[float, str]]:
    """Halve and double k while that explains more: a dictionary is at its best near the k that it was trained with."""
    if dictionary.activation.kind not in ("topk", "abstopk"):
        return
    x, y = _rows(place, [place.own])[place.own]
    for factor in (0.5, 2.0):
        k, last = dictionary.k, float("inf")
        while 1 <= (k := round(k * factor)) <= min(dictionary.n_latents, 64 * dictionary.k):
            fvu = _at(replace(dictionary, activation=replace(dictionary.activation, k=k)), x, y)
            if fvu >= last or k == dictionary.k:
                break
            last = fvu
            yield fvu, f"with about {k} latents a token instead of {dictionary.k}: wrong k? Correct `k`"


def _at(dictionary: Dictionary, x: Tensor, y: Tensor) -> float:
    return load_check.measure(load_check.settled(dictionary, x, y)[0], x, y).fvu


def _rows(place: Place, pairs: Sequence[tuple[Site, Site]]) -> dict[tuple[Site, Site], tuple[Tensor, Tensor]]:
    wanted = list(dict.fromkeys(site for pair in pairs for site in pair))
    read = load_check.captured(place.subject, place.documents, wanted, bos=place.bos, n_wanted=N_TOKENS)
    return {pair: (read[pair[0]], read[pair[1]]) for pair in pairs}


def _named(pair: tuple[Site, Site]) -> str:
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]} -> {pair[1]}"
