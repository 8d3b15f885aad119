"""Tables of a baseline and a candidate as a gate needs them: differences of scores, latents needed, limits."""

from collections.abc import Iterator, Mapping
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from autointerp.errors import TableError
from autointerp.gate import decide
from autointerp.gate.base import Cell, GateConfig, Row
from autointerp.gate.decide import Rule, Scored, row_of
from autointerp.run.reading import RunTables
from autointerp.statistics.intervals import Difference
from autointerp.statistics.pairing import Contrast, difference_of
from autointerp.statistics.populations import usable
from autointerp.statistics.reconstruction_comparison import of_documents

# Standard error of a difference that no document moves, in place of 0.
NO_ERROR = 1e-12


def look_orders(base: pd.DataFrame) -> dict[str, list[int]]:
    """Return the scored latents of each dictionary in the order in which a gate asks for them."""
    once = base.sort_values("look_order", kind="stable").drop_duplicates(["dictionary", "latent"])
    return {
        str(name): once.loc[once["dictionary"] == name, "latent"].tolist() for name in pd.unique(base["dictionary"])
    }


def scored(base: pd.DataFrame, candidate: pd.DataFrame, wanted: Mapping[str, int], config: GateConfig) -> Scored:
    """Subtract the baseline's scores from the candidate's, over the first latents in look order.

    Args:
        base: baseline's `latent_scores` (control none).
        candidate: the candidate's.
        wanted: number of latents per dictionary.
        config: its endpoints are compared.

    Raises:
        TableError: a dictionary has no scores by an endpoint.
    """
    contrasts, correlations = {}, []
    for name, order in look_orders(base).items():
        first = base[(base["dictionary"] == name) & base["latent"].isin(order[: wanted[name]])]
        theirs = candidate[candidate["dictionary"] == name]
        for endpoint in config.endpoints:
            sides = [_side(side, name, endpoint, who) for side, who in ((first, "baseline"), (theirs, "candidate"))]
            contrasts[Cell(name, endpoint)] = difference_of(sides[0], sides[1], wanted[name])
        correlations += _correlations(first, theirs, config)
    return Scored(contrasts=contrasts, correlation=min(correlations, default=0.0))


def _side(rows: pd.DataFrame, name: str, endpoint: str, who: str) -> pd.DataFrame:
    kept = usable(rows[rows["scorer"] == endpoint])
    if kept.empty:
        raise TableError(f"gate: the {who} has no {endpoint} scores of {name}: score it with `autointerp score`")
    return kept


def _correlations(base: pd.DataFrame, candidate: pd.DataFrame, config: GateConfig) -> list[float]:
    """Correlate the endpoints' differences over latents, each pair of endpoints; 0 where they do not vary."""
    tables = [
        side.pivot_table(index="latent", columns="scorer", values="score", observed=True) for side in (base, candidate)
    ]
    moved = (tables[1] - tables[0]).reindex(columns=list(config.endpoints)).dropna()
    if len(config.endpoints) < 2 or len(moved) < 3:
        return []
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.corrcoef(moved.to_numpy(float), rowvar=False)
    return np.nan_to_num(found[np.triu_indices(len(found), 1)]).tolist()


def needed(base: pd.DataFrame, config: GateConfig) -> dict[str, tuple[int, int]]:
    """Return the least and the most latents of each dictionary that the requested power can need (`decide.needed`)."""
    n_dictionaries, found = base["dictionary"].nunique(), {}
    for name, part in base.groupby("dictionary", sort=False, observed=True):
        sizes = []
        for endpoint in config.endpoints:
            rows = _side(part, str(name), endpoint, "baseline")
            columns = [rows[one].to_numpy(float) for one in ("score", "inclusion_probability", "noise_variance")]
            sizes.append(decide.needed(columns[0], 1 / columns[1], columns[2], config, n_dictionaries))
        found[str(name)] = (max(low for low, _ in sizes), max(high for _, high in sizes))
    return found


def shortage(base: pd.DataFrame, config: GateConfig) -> str:
    """Warn, before any LLM call, that the baseline may have too few latents; "" if it has enough in any case."""
    orders = look_orders(base)
    lines = []
    for name, (least, most) in needed(base, config).items():
        n = len(orders[name])
        if n < most:
            low, high = (config.margin * np.sqrt(size / n) for size in (least, most))
            sizes = f"{least:,} to {most:,}" if least < most else f"{most:,}"
            margins = f"{low:.3f} to {high:.3f}" if least < most else f"{high:.3f}"
            lines.append((most / n, f"{name} needs {sizes} latents, has {n:,}, which decide a margin of {margins}"))
    if not lines:
        return ""
    more = f" ({len(lines) - 1} more dictionaries likewise)" if len(lines) > 1 else ""
    return (
        f"the baseline may be too small for margin {config.margin:g} with power {config.power:g}: {max(lines)[1]}"
        f"{more}; the more, the less the scores of the two runs correlate"
    )


def limit_rows(base: RunTables, new: RunTables, config: GateConfig) -> list[Row]:
    """Test what needs no LLM: the rise of the share of dead latents, and of the cross-entropy increase.

    Rises are entered as losses (`diff` is baseline minus candidate), so that PASS and FAIL read as those of scores.

    Raises:
        TableError: values of documents are not finite.
    """
    found = [*_dead(base, new), *_losses(base, new)]
    n_tests = len(found) + base.dictionaries["dictionary"].nunique() * len(config.endpoints)
    to_pass, to_fail = (
        float(stats.norm.isf(alpha)) for alpha in (config.alpha, decide.RESERVE * config.alpha / n_tests)
    )
    drift = to_pass + float(stats.norm.ppf(config.power))
    rows = []
    for cell, contrast in found:
        rule = Rule(margin=float(getattr(config.limits, cell.endpoint)), to_pass=to_pass, to_fail=to_fail, drift=drift)
        rows.append(row_of(cell, contrast, rule, n=contrast.n, n_planned=contrast.n, look=1))
    return rows


Limit = tuple[Cell, Contrast]


def _dead(base: RunTables, new: RunTables) -> Iterator[Limit]:
    """Compare shares of latents that never fire in the corpus, over the windows read.

    A latent that fires in one window only would be dead without it: by the jackknife over windows the number of dead
    latents has at most the variance of the number of such latents, in each run; the runs' text being shared, the
    variance of the difference is at most the sum.
    """
    for name in base.dictionaries["dictionary"].astype("str"):
        sides = [run.latents[run.latents["dictionary"] == name] for run in (base, new)]
        dead = [1 - float(side["alive"].mean()) for side in sides]
        rare = [float((side["alive"] & (side["n_windows"] <= 1)).sum()) / len(side) ** 2 for side in sides]
        loss = Difference(value=dead[0] - dead[1], se=max(float(np.sqrt(sum(rare))), NO_ERROR), df=1e9)
        yield Cell(name, "dead_share"), Contrast(difference=loss, n=len(sides[1]), rho=0.0, design="windows")


def _losses(base: RunTables, new: RunTables) -> Iterator[Limit]:
    """Compare the cross-entropy increase, document by document where both runs measured the same documents."""
    for name in base.dictionaries["dictionary"].astype("str"):
        old, now = (_increases(run.documents, name) for run in (base, new))
        found = _by_document(old, now) if min(len(old), len(now)) > 1 else _by_interval(base, new, name)
        if found is not None:
            yield Cell(name, "ce_increase"), found


def _by_document(old: pd.DataFrame, now: pd.DataFrame) -> Contrast:
    # Measuring stops when it is precise: one run may have read more of the same documents than the other.
    least = min(len(old), len(now))
    if np.array_equal(old["weight"].head(least), now["weight"].head(least)):
        old, now = old.head(least), now.head(least)
        moved = (old["total"] - now["total"], now["weight"], now["weight"])
        found = of_documents(*(one.to_numpy(float) for one in moved))
        return _loss(found.value, found.se, least, "documents")
    sides = [of_documents(*one[["total", "weight", "weight"]].to_numpy(float).T) for one in (old, now)]
    return _loss(sides[0].value - sides[1].value, float(np.hypot(sides[0].se, sides[1].se)), least, "intervals")


def _by_interval(base: RunTables, new: RunTables, name: str) -> Contrast | None:
    """Compare the stored values by their intervals; None where a run did not measure it."""
    old, now = (_increases(run.reconstruction, name) for run in (base, new))
    if old.empty or now.empty:
        return None
    se = float(np.hypot(_error(old), _error(now)))
    return _loss(float(old["value"][0] - now["value"][0]), se, int(now["n_documents"][0]), "intervals")


def _loss(value: float, se: float, n: int, design: Literal["documents", "intervals"]) -> Contrast:
    difference = Difference(value=value, se=max(se, NO_ERROR), df=max(n - 1, 1))
    return Contrast(difference=difference, n=n, rho=0.0, design=design)


def _increases(table: pd.DataFrame | None, name: str) -> pd.DataFrame:
    if table is None:
        return pd.DataFrame()
    rows = table[(table["dictionary"] == name) & (table["metric"] == "ce_increase")]
    return rows.sort_values("document").reset_index(drop=True) if "document" in rows else rows.reset_index(drop=True)


def _error(row: pd.DataFrame) -> float:
    """Return the standard error that an interval tells of."""
    return float((row["high"][0] - row["low"][0]) / (2 * stats.norm.ppf((1 + row["level"][0]) / 2)))
