"""Which dictionaries are compared with which."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from autointerp.statistics.random_arms import trained

# Contrasts of the field's claims, second minus first: the first claims superiority, the last equivalence.
CLAIMS = (("sae", "transcoder"), ("sae", "skip-transcoder"), ("transcoder", "skip-transcoder"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two dictionaries to compare, b minus a, with what they have in common."""

    a: str
    b: str
    contrast: str
    group: tuple[object, ...]


def groups(dictionaries: pd.DataFrame, by: Sequence[str]) -> dict[tuple[object, ...], pd.DataFrame]:
    """Group dictionaries that agree in the columns `by`; the site they reconstruct stands for an unknown layer."""
    place = dictionaries["layer"].astype(str).where(dictionaries["layer"] >= 0, dictionaries["site_out"].astype(str))
    keys = pd.DataFrame({name: place if name == "layer" else dictionaries[name] for name in by})
    if keys.empty or not len(keys.columns):
        return {(): dictionaries}
    tuples = pd.Series(list(keys.itertuples(index=False, name=None)), index=dictionaries.index)
    return {key: dictionaries[tuples == key] for key in dict.fromkeys(tuples)}


def pairs(dictionaries: pd.DataFrame, by: Sequence[str] = ("layer", "k")) -> list[Pair]:
    """List the comparisons of a set of dictionaries.

    Within a group that agrees in `by`: transcoder - sae, skip-transcoder - sae, skip-transcoder - transcoder, at equal
    training seed where both have it; if the group has other architectures or the same one twice, every other dictionary
    against the first. If no group has two dictionaries, everything is compared with the very first. Control arms are
    compared with none.
    """
    arms = trained(dictionaries[dictionaries["dictionary"] != "planted"])
    found = [pair for key, group in groups(arms, by).items() for pair in _within(key, group)]
    if not found and len(arms) > 1:
        found = _against_first((), arms)
    return found


def _within(key: tuple[object, ...], group: pd.DataFrame) -> list[Pair]:
    by_architecture = {str(name): part for name, part in group.groupby("architecture", sort=False)}
    listed = []
    for first, second in CLAIMS:
        if first in by_architecture and second in by_architecture:
            contrast = f"{second} - {first}"
            left, right = _matched(by_architecture[first], by_architecture[second])
            listed += [Pair(a=a, b=b, contrast=contrast, group=key) for a, b in zip(left, right, strict=True)]
    known = {name for claim in CLAIMS for name in claim}
    return listed if listed and set(by_architecture) <= known else listed + _others(key, group, listed)


def _matched(left: pd.DataFrame, right: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Match dictionaries of two architectures by training seed, else in the order given."""
    common = [seed for seed in left["seed"] if (right["seed"] == seed).sum() == 1 and (left["seed"] == seed).sum() == 1]
    if common:
        picked = [dict(zip(side["seed"], side["dictionary"], strict=True)) for side in (left, right)]
        return [picked[0][seed] for seed in common], [picked[1][seed] for seed in common]
    n = min(len(left), len(right))
    return left["dictionary"].tolist()[:n], right["dictionary"].tolist()[:n]


def _others(key: tuple[object, ...], group: pd.DataFrame, listed: list[Pair]) -> list[Pair]:
    done = {(pair.a, pair.b) for pair in listed}
    return [
        pair for pair in _against_first(key, group) if (pair.a, pair.b) not in done and (pair.b, pair.a) not in done
    ]


def _against_first(key: tuple[object, ...], group: pd.DataFrame) -> list[Pair]:
    names = group["dictionary"].tolist()
    return [Pair(a=names[0], b=name, contrast=f"{name} - {names[0]}", group=key) for name in names[1:]]
