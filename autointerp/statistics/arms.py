"""Which dictionaries are compared with which."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import pandas as pd

from autointerp.errors import TableError
from autointerp.statistics.random_arms import trained

# Contrasts of the field's claims, second minus first: the first claims superiority, the last equivalence.
CLAIMS = (("sae", "transcoder"), ("sae", "skip-transcoder"), ("transcoder", "skip-transcoder"))
RANK = {"sae": 0, "transcoder": 1, "skip-transcoder": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two dictionaries to compare, b minus a; `architectures` is the contrast that is pooled over layers and seeds."""

    a: str
    b: str
    architectures: str

    @property
    def contrast(self) -> str:
        """The contrast by the user's names."""
        return f"{self.b} - {self.a}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A dictionary that is in no comparison, and why."""

    dictionary: str
    reason: str


def groups(dictionaries: pd.DataFrame, by: Sequence[str]) -> dict[tuple[object, ...], pd.DataFrame]:
    """Group dictionaries that agree in the columns `by`; the site they reconstruct stands for an unknown layer."""
    place = dictionaries["layer"].astype(str).where(dictionaries["layer"] >= 0, dictionaries["site_out"].astype(str))
    keys = pd.DataFrame({name: place if name == "layer" else dictionaries[name] for name in by})
    if keys.empty or not len(keys.columns):
        return {(): dictionaries}
    tuples = pd.Series(list(keys.itertuples(index=False, name=None)), index=dictionaries.index)
    return {key: dictionaries[tuples == key] for key in dict.fromkeys(tuples)}


def pairs(
    dictionaries: pd.DataFrame,
    by: Sequence[str] = ("layer", "k"),
    *,
    reference: str | None = None,
    origins: Mapping[str, tuple[str, str]] | None = None,
) -> tuple[list[Pair], list[LeftOut]]:
    """List the comparisons of a set of dictionaries, and the dictionaries that are in none.

    Comparable are dictionaries that reconstruct the same site and agree in `by` (if no two do: that reconstruct the
    same site). All pairs of them are compared, or every one with the `reference`; where two architectures or more are
    replicated over training seeds, only pairs of one seed. A transcoder comes after an SAE, a skip transcoder after
    both, else the order is that given. Control arms are compared with none.

    Args:
        dictionaries: `tables.DICTIONARIES`.
        by: columns in which compared dictionaries agree.
        reference: the only dictionary that others are compared with.
        origins: dictionary -> (run, its name there), where several runs are compared: dictionaries of one name are
            compared across runs, the first run's being the reference of the others.

    Raises:
        TableError: there is no dictionary of the reference's name.
    """
    arms = trained(dictionaries)
    if reference is not None and reference not in set(arms["dictionary"]):
        known = ", ".join(map(str, arms["dictionary"]))
        raise TableError(f"statistics.reference {reference!r} is not a dictionary of this run; use one of: {known}")
    listed = _across_runs(arms, origins or {})
    for columns in (by, [name for name in by if name == "layer"]):
        if not listed:
            candidates = [pair for group in groups(arms, [*columns, "site_out"]).values() for pair in _within(group)]
            listed = [_oriented(a, b, reference) for a, b in candidates if reference in (None, a.name, b.name)]
    named = {name for pair in listed for name in (pair.a, pair.b)}
    lone = [str(name) for name in arms["dictionary"] if name not in named] if len(arms) > 1 else []
    return listed, [LeftOut(dictionary=name, reason=_why(arms, name, by, reference)) for name in lone]


def _rows(group: pd.DataFrame) -> list[pd.Series]:
    return [row.rename(str(row["dictionary"])) for _, row in group.iterrows()]


def _within(group: pd.DataFrame) -> Iterator[tuple[pd.Series, pd.Series]]:
    """Pair the dictionaries of one group."""
    seeds = group.groupby("architecture", sort=False)["seed"].nunique()
    replicated = int((seeds > 1).sum()) > 1
    for a, b in combinations(_rows(group), 2):
        if not replicated or a["seed"] == b["seed"]:
            yield a, b


def _oriented(a: pd.Series, b: pd.Series, reference: str | None) -> Pair:
    """Order two dictionaries: the reference, the earlier architecture or the one given first comes first."""
    ranks = [RANK.get(str(side["architecture"]), -1) for side in (a, b)]
    if b.name == reference or (a.name != reference and min(ranks) >= 0 and ranks[0] > ranks[1]):
        a, b = b, a
    return Pair(a=str(a.name), b=str(b.name), architectures=f"{b['architecture']} - {a['architecture']}")


def _across_runs(arms: pd.DataFrame, origins: Mapping[str, tuple[str, str]]) -> list[Pair]:
    """Pair dictionaries of one name and site across runs."""
    by_name: dict[tuple[str, str], list[pd.Series]] = {}
    for row in _rows(arms):
        _, name = origins.get(str(row.name), ("", str(row.name)))
        by_name.setdefault((name, str(row["site_out"])), []).append(row)
    listed = []
    for rows in by_name.values():
        for other in rows[1:]:
            first, second = (origins.get(str(row.name), ("", ""))[0] for row in (rows[0], other))
            architectures = f"{second}:{other['architecture']} - {first}:{rows[0]['architecture']}"
            listed.append(Pair(a=str(rows[0].name), b=str(other.name), architectures=architectures))
    return listed


def _why(arms: pd.DataFrame, name: str, by: Sequence[str], reference: str | None) -> str:
    """Say why a dictionary is in no comparison."""
    own = arms[arms["dictionary"] == name].iloc[0]
    same = arms[(arms["site_out"] == own["site_out"]) & (arms["dictionary"] != name)]
    if same.empty:
        return f"no other dictionary reconstructs {own['site_out']}"
    if reference is not None and reference not in set(same["dictionary"]):
        return f"the reference {reference} reconstructs another site"
    values = ", ".join(f"{column} {own[column]}" for column in by)
    return f"no other dictionary that reconstructs {own['site_out']} has the same {values}; change statistics.by"
