"""Control arms: what a trained dictionary is compared with to see what its training, or its subject's, is worth.

    random_directions   as many random directions; each fires where its projection exceeds its threshold, set
                        such that it fires as often as the trained latent of its index (matched firing rates)
    random_encoder      the trained dictionary with random encoder directions, everything else unchanged
    random_subject      the trained encoder's directions in a subject with redrawn weights
                        (`autointerp.subject.redraw`), firing rates matched as of random directions

The first two read what the trained dictionary reads; the third needs another subject, hence a second pass
over the corpus and a second model in memory. None reconstructs anything: they have no FVU.

Source: arXiv 2501.17727 and 2602.14111: scores of explanations barely separate trained from random. 2501.17727 trains
dictionaries on the redrawn subject; the third arm trains nothing.
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from autointerp.dictionaries.activations import Activation
from autointerp.dictionaries.base import ControlKind
from autointerp.dictionaries.objects import ObjectDictionary
from autointerp.dictionaries.spec import Dictionary
from autointerp.errors import DictionaryError

# Floats of the rows on which rates are matched (256 MB), and the most rows; floats that are ranked at once (64 MB).
MAX_FLOATS, MAX_ROWS = 2**26, 2**16
RANKED = 2**24


def n_rows(dictionary: Dictionary) -> int:
    """Return how many tokens rates are matched on: fewer for wide subjects, so that they fit in memory."""
    return min(MAX_ROWS, MAX_FLOATS // dictionary.d_in)


def arm(kind: ControlKind, dictionary: Dictionary, x: Tensor, own: Tensor, rng: np.random.Generator) -> Dictionary:
    """Make a control of a trained dictionary, under its name.

    Args:
        kind: which.
        dictionary: the trained one.
        x: rows [n, d_in] at its site_in, of the collection's survey: its firing rates on them are matched.
        own: the rows [n, d_in] that the arm reads: x itself, or the same tokens' in the redrawn subject.
        rng: draws the directions.

    Raises:
        DictionaryError: a random encoder of a dictionary without competing latents, which would fire at no rate in
            particular.
    """
    if isinstance(dictionary, ObjectDictionary) and kind != "random_directions":
        raise DictionaryError(
            f"{dictionary.name}: {kind} needs the encoder's matrix, which an object in memory does not give; "
            "use control: random_directions, or a checkpoint"
        )
    if kind == "random_subject":
        directions = dictionary.W_enc.float()
        return replace(matched(dictionary, x, own, directions), architecture="random-subject")
    shape = (dictionary.n_latents, dictionary.d_in)
    drawn = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32)).to(dictionary.device)
    directions = (drawn / drawn.norm(dim=1, keepdim=True)).T.contiguous()
    if kind == "random_directions":
        return matched(dictionary, x, own, directions)
    if not dictionary.activation.competes:
        raise DictionaryError(
            f"{dictionary.name}: a random encoder needs latents that compete (topk), not {dictionary.activation.kind}; "
            "use control: random_directions, which matches firing rates"
        )
    norms = dictionary.W_enc.float().norm(dim=0, keepdim=True)
    return replace(
        dictionary, architecture="random-encoder", W_enc=directions * norms, b_enc=torch.zeros_like(dictionary.b_enc)
    )


def matched(dictionary: Dictionary, x: Tensor, own: Tensor, directions: Tensor) -> Dictionary:
    """Return latents that read `directions` [d_in, n_latents], each firing on as many rows of `own` as the trained one
    does of x.

    A trained latent that fires on none of them has a counterpart that does not either.
    """
    n_fired = fired(dictionary, x)
    plain = dictionary.plain() if isinstance(dictionary, ObjectDictionary) else dictionary
    random = replace(
        plain,
        architecture="random-directions",
        W_enc=directions,
        activation=Activation(kind="relu"),
        b_enc=torch.zeros(dictionary.n_latents, device=dictionary.device),
        pre_bias=None,
        l0=0.0,
    )
    thresholds = torch.empty(dictionary.n_latents, device=dictionary.device)
    # Latents that fire about as often together: only so many of their greatest projections need be ranked.
    with torch.inference_mode():
        for these in torch.argsort(n_fired).split(max(1, RANKED // len(own))):
            thresholds[these] = _between(random.pre_activations(own, these), n_fired[these])
    return replace(random, b_enc=-thresholds)


def fired(dictionary: Dictionary, x: Tensor) -> Tensor:
    """Count the rows of x [n, d_in] on which each latent fires: [n_latents]."""
    counts = torch.zeros(dictionary.n_latents, dtype=torch.int64, device=dictionary.device)
    with torch.inference_mode():
        for part in x.split(2048):
            codes = dictionary.encode(part)
            counts += torch.bincount(codes.indices[codes.values > 0], minlength=len(counts))
    return counts


def _between(h: Tensor, counts: Tensor) -> Tensor:
    """Return per column of h [n, m] a value that exactly `counts` [m] of its entries exceed (ties aside)."""
    n = len(h)
    columns = h.T.contiguous()
    greatest = columns.topk(min(n, int(counts.max()) + 1), dim=1).values
    above = greatest.gather(1, (counts - 1).clamp(min=0)[:, None])[:, 0]
    below = greatest.gather(1, counts.clamp(max=greatest.shape[1] - 1)[:, None])[:, 0]
    lowest = columns.amin(dim=1)
    middle = torch.where(counts == 0, greatest[:, 0] + (greatest[:, 0] - lowest), (above + below) / 2)
    return torch.where(counts >= n, lowest - 1, middle)
