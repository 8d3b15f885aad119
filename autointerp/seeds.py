"""Random draws that depend on what they are for, never on when they happen."""

import hashlib

import numpy as np


def digest(*keys: object) -> int:
    """Hash keys to a 128-bit integer: the same on every machine, Python and process.

    Keys are joined by their `repr`, so use only types with a repr that is a value (str, int, bool,
    None, tuples and frozen dataclasses of those).
    """
    text = "\x1f".join(repr(key) for key in keys)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big")


def generator(seed: int, *keys: object) -> np.random.Generator:
    """Make the generator of one draw, for example `generator(seed, "detection", latent)`.

    Any order of work, any shard and any resume draws the same numbers, since no state is shared.
    """
    return np.random.default_rng(digest(seed, *keys))
