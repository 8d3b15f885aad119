"""Collection as a loop that one can check by eye: context by context, token by token, dense activations, no padding."""

from collections.abc import Sequence

import numpy as np
import torch

from autointerp.collection.collect import Collection
from autointerp.collection.device import Placed
from autointerp.dictionaries.spec import Dictionary
from tests.helpers import tiny
from tests.helpers.collecting import subject


def contexts_of(documents: Sequence[str], length: int, bos: bool, packed: bool) -> list[list[tuple[int, int, int]]]:
    """Contexts as lists of (document, offset or -1 for BOS, token id), written down token by token."""
    tokenizer = tiny.tokenizer()
    found, current, room = [], [], 0
    for number, text in enumerate(documents):
        ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        if not packed:
            room = 0
        for offset, token in enumerate(ids):
            if room > 0 and offset == 0 and bos:  # a new document in a context that is already begun
                room -= 1
                if room > 0:
                    current.append((number, -1, 0))
            if room == 0:
                current = [(number, -1, 0)] if bos else []
                found.append(current)
                room = length
            current.append((number, offset, token))
            room -= 1
    return found


def dense_codes(dictionary_: Dictionary, x: torch.Tensor) -> np.ndarray:
    """Activations of one token [M], by the papers' formulas and nothing of ours."""
    a = dictionary_.activation
    z = x.double().numpy() - (0 if dictionary_.pre_bias is None else dictionary_.pre_bias.double().numpy())
    h = z @ dictionary_.W_enc.double().numpy() + dictionary_.b_enc.double().numpy()
    found = np.zeros_like(h)
    if a.kind in ("topk", "abstopk"):
        chosen = np.argsort(-np.abs(h) if a.kind == "abstopk" else -h)[: a.k]
        found[chosen] = h[chosen]
        return found if a.kind == "abstopk" else np.maximum(found, 0)
    if a.kind == "groupmax":
        size = len(h) // a.k
        for group in range(a.k):
            best = group * size + int(np.argmax(h[group * size : (group + 1) * size]))
            found[best] = max(h[best], 0)
        return found
    if a.kind == "jumprelu":
        assert a.threshold is not None
        return np.where(h > a.threshold.numpy(), np.maximum(h, 0), 0)
    if a.kind == "gated":
        assert a.gain is not None
        assert a.mag_bias is not None
        assert a.gate_bias is not None
        return np.where(h + a.gate_bias.numpy() > 0, np.maximum(h * a.gain.numpy() + a.mag_bias.numpy(), 0), 0)
    return np.maximum(h, 0)


def naive(
    documents: Sequence[str], placed: Sequence[Placed], length: int = 16, bos: bool = True, packed: bool = False
) -> dict[str, dict[tuple[int, int, int], float]]:
    """{(document, offset, latent): activation} per dictionary: context by context, no padding, dense activations."""
    under, read = subject().model, {}

    def hook(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        read[module, "input"], read[module, "output"] = inputs[0][0], output[0]

    modules = {name: under.get_submodule(name) for name in {place.site.module for place in placed}}
    handles = [module.register_forward_hook(hook) for module in modules.values()]
    found: dict[str, dict[tuple[int, int, int], float]] = {place.dictionary.name: {} for place in placed}
    for context in contexts_of(documents, length, bos, packed):
        with torch.no_grad():
            under(torch.tensor([[token for _, _, token in context]]))
        for place in placed:
            rows = read[modules[place.site.module], place.site.side]
            for (document, offset, _), x in zip(context, rows, strict=True):
                dense = dense_codes(place.dictionary, x)
                for latent in np.flatnonzero(dense > 0).tolist() if offset >= 0 else []:
                    found[place.dictionary.name][document, offset, latent] = float(dense[latent])
    for handle in handles:
        handle.remove()
    return found


def collected(collection: Collection, documents: Sequence[str], name: str, n: int = 64) -> dict:
    lengths = [
        len(ids)
        for ids in tiny.tokenizer()(list(documents), add_special_tokens=False, split_special_tokens=True)["input_ids"]
    ]
    ends = np.cumsum(lengths)
    found = {}
    for latent in range(n):
        firing = collection.firing(name, latent)
        assert (np.diff(firing.positions.astype(np.int64)) > 0).all()
        for position, value in zip(firing.positions.tolist(), firing.values.tolist(), strict=True):
            document = int(np.searchsorted(ends, position, side="right"))
            found[document, position - int(ends[document] - lengths[document]), latent] = value
    return found


def assert_same(mine: dict, theirs: dict) -> None:
    assert mine.keys() == theirs.keys()
    np.testing.assert_allclose([mine[key] for key in theirs], list(theirs.values()), rtol=1e-6)
