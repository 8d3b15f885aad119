"""What dictionaries preserve, compared: FVU, cross-entropy increase and KL of two arms, over documents and seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from autointerp.errors import TableError
from autointerp.run import tables
from autointerp.statistics._rows import flat
from autointerp.statistics.arms import CLAIMS, groups, pairs
from autointerp.statistics.base import StatisticsConfig
from autointerp.statistics.intervals import Difference, Floats
from autointerp.statistics.layers import layers
from autointerp.statistics.multiplicity import adjust
from autointerp.statistics.outcomes import tested, verdict

# Metrics of which less is better, and which mean the same for every dictionary of a subject.
METRICS = ("fvu", "ce_increase", "kl")
WORDS: dict[str, str] = {
    "better": "loses less",
    "worse": "loses more",
    "equivalent": "no difference beyond the margin (equivalent)",
    "better_but_negligible": "loses less, by less than the margin",
    "worse_but_negligible": "loses more, by less than the margin",
    "inconclusive": "undecided: the data cannot tell",
}
GROUP = ["architectures", "k", "training_seed", "metric", "scope"]
LEAST_SEEDS = 2
LEAST_DOCUMENTS = 2
# Standard error of a difference that no document moves, in place of 0.
NO_ERROR = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One metric of one dictionary: its value, and how each document moves it (None: only `se` is known)."""

    value: float
    se: float
    moved: Floats | None  # [documents], summing to 0; the variance of the value is n / (n - 1) sum(moved^2)
    length: Floats | None  # [documents] their predicted tokens: tells whether two dictionaries saw the same ones
    sums: tuple[Floats, Floats] | None = None  # [documents] each: total and weight, whose ratio of sums is the value

    def of_first(self, n: int) -> "Kept":
        """Return the metric over the first n documents."""
        if self.sums is None or self.length is None or n == len(self.length):
            return self
        return of_documents(self.sums[0][:n], self.sums[1][:n], self.length[:n])


def compare_reconstruction(
    reconstruction: pd.DataFrame,
    dictionaries: pd.DataFrame,
    documents: pd.DataFrame | None = None,
    config: StatisticsConfig | None = None,
    origins: Mapping[str, tuple[str, str]] | None = None,
) -> pd.DataFrame:
    """Compare what dictionaries preserve, b minus a, for every contrast of `arms.pairs` and every metric they have.

    * Two dictionaries that were measured on the same documents are compared document by document (design `documents`):
      the error of a difference is that of the documents' paired differences. Without `documents` the error comes from
      each dictionary's own interval (design `intervals`), which is too wide, since the documents are shared.
    * Architectures with at least two training seeds each are compared with dictionaries as the data (design `seeds`,
      scope `architecture`); what the documents add to the error of both arms is added (two-way, as in `clusters`).
    * A contrast at several layers also gets the mean over these layers (`over = "layers"`).

    Args:
        reconstruction: `tables.RECONSTRUCTION`, with an interval for each value.
        dictionaries: `tables.DICTIONARIES`.
        documents: `tables.RECONSTRUCTION_DOCUMENTS`, where the run kept them.
        config: margins, error rate, and what compared dictionaries have in common.
        origins: dictionary -> (run, its name there), where several runs are compared.

    Returns:
        `tables.RECONSTRUCTION_COMPARISONS`; p values are adjusted (Holm) over the contrasts and layers of one metric
        and scope, apart for single layers and for means over layers. Empty where there is nothing to compare.

    Raises:
        TableError: columns are missing, or a value or its interval is not finite.
    """
    config = StatisticsConfig() if config is None else config
    kept = _kept(tables.check(reconstruction, tables.RECONSTRUCTION, "reconstruction"), documents)
    rows = [*_pair_rows(kept, dictionaries, config, origins or {}), *_seed_rows(kept, dictionaries, config)]
    if not rows:
        return pd.DataFrame(columns=list(tables.RECONSTRUCTION_COMPARISONS))
    table = pd.DataFrame(rows)
    pooled = layers(table, scope="fixed", alpha=config.alpha, level=config.level, group=GROUP)
    if len(pooled):
        table = pd.concat([table, pooled[pooled.columns.intersection(table.columns)]], ignore_index=True)
    table = _adjusted(table)
    table["verdict"] = [
        verdict(-float(diff), float(p), float(tost), alpha=config.alpha)
        for diff, p, tost in zip(table["diff"], table["p_diff_adj"], table["p_tost_adj"], strict=True)
    ]
    return tables.check(table, tables.RECONSTRUCTION_COMPARISONS, "reconstruction_comparisons")


def _kept(reconstruction: pd.DataFrame, documents: pd.DataFrame | None) -> Mapping[tuple[str, str], Kept]:
    """Read every (dictionary, metric): its value with its error, document by document where they are known."""
    by_document: dict[tuple[str, str], pd.DataFrame] = {}
    if documents is not None:
        checked = tables.check(documents, tables.RECONSTRUCTION_DOCUMENTS, "reconstruction_documents")
        for (name, metric), part in checked.groupby(["dictionary", "metric"], sort=False, observed=True):
            by_document[str(name), str(metric)] = part.sort_values("document")
    found = {}
    for row in reconstruction[reconstruction["metric"].isin(METRICS)].to_dict("records"):
        key = str(row["dictionary"]), str(row["metric"])
        value, low, high, level = (float(row[name]) for name in ("value", "low", "high", "level"))
        if not np.isfinite([value, low, high, level]).all():
            raise TableError(
                f"reconstruction: {key[1]} of {key[0]} is {value:g} [{low:g}, {high:g}]; it must be finite"
            )
        part = by_document.get(key)
        if part is not None and len(part) > 1:
            length = by_document.get((key[0], "ce_increase"), part)["weight"].to_numpy(float)
            found[key] = of_documents(part["total"].to_numpy(float), part["weight"].to_numpy(float), length)
        else:
            se = (high - low) / (2 * float(stats.norm.ppf((1 + level) / 2)))
            found[key] = Kept(value=value, se=se, moved=None, length=None)
    return found


def of_documents(total: Floats, weight: Floats, length: Floats) -> Kept:
    """Linearise a ratio of sums over documents."""
    if not (np.isfinite(total).all() and np.isfinite(weight).all() and weight.sum() > 0):
        raise TableError("reconstruction_documents: totals and weights must be finite, and weights sum to more than 0")
    value = float(total.sum() / weight.sum())
    moved = (total - value * weight) / weight.sum()
    n = len(total)
    se = float(np.sqrt(n / (n - 1) * (moved**2).sum()))
    return Kept(value=value, se=se, moved=moved, length=length, sums=(total, weight))


def _on_shared_documents(arms: Sequence[Kept]) -> list[Kept] | None:
    """Return all arms on the documents that all of them read, None where they read others.

    Measuring reads the same documents in the same order, and stops when it is precise: one may have read more.
    """
    lengths = [arm.length for arm in arms if arm.length is not None]
    n = min(map(len, lengths), default=0)
    if len(lengths) < len(arms) or n < LEAST_DOCUMENTS:
        return None
    if not all(np.array_equal(length[:n], lengths[0][:n]) for length in lengths):
        return None
    return [arm.of_first(n) for arm in arms]


def _pair_rows(
    kept: Mapping[tuple[str, str], Kept],
    dictionaries: pd.DataFrame,
    config: StatisticsConfig,
    origins: Mapping[str, tuple[str, str]],
) -> list[dict[str, object]]:
    """Compare single dictionaries."""
    details = dictionaries.drop_duplicates("dictionary").set_index("dictionary")
    rows = []
    for pair in pairs(dictionaries, config.by, reference=config.reference, origins=origins)[0]:
        for metric in METRICS:
            if (pair.a, metric) not in kept or (pair.b, metric) not in kept:
                continue
            a, b = (kept[name, metric] for name in (pair.a, pair.b))
            a, b = _on_shared_documents([a, b]) or (a, b)
            first = details.loc[pair.b]
            design, se, df, n = _pair_error(a, b)
            front = {
                "contrast": pair.contrast,
                "architectures": pair.architectures,
                "site": first["site_out"],
                "layer": first["layer"],
                "k": first["k"],
                "training_seed": first["seed"],
                "over": "dictionaries",
                "a": pair.a,
                "b": pair.b,
                "metric": metric,
                "scope": "these_dictionaries",
                "design": design,
                "n_a": 1,
                "n_b": 1,
                "n_documents": n,
                "mean_a": a.value,
                "mean_b": b.value,
            }
            rows.append({**front, **_tests(b.value - a.value, se, df, metric, config)})
    return rows


def _pair_error(a: Kept, b: Kept) -> tuple[str, float, float, int]:
    """Return design, standard error, degrees of freedom and documents of the difference of two dictionaries."""
    if _on_shared_documents([a, b]) and a.moved is not None and b.moved is not None:
        n = len(a.moved)
        return "documents", float(np.sqrt(n / (n - 1) * ((b.moved - a.moved) ** 2).sum())), n - 1.0, n
    # An interval over documents is not told how many there were; 30 degrees of freedom widen it by 4 %.
    return "intervals", float(np.hypot(a.se, b.se)), 30.0, 0


def _seed_rows(
    kept: Mapping[tuple[str, str], Kept], dictionaries: pd.DataFrame, config: StatisticsConfig
) -> list[dict[str, object]]:
    """Compare architectures whose dictionaries were trained from at least two seeds each."""
    by = [name for name in config.by if name != "seed"]
    rows = []
    for group in groups(dictionaries, by).values():
        for first, second in CLAIMS:
            sides = [group[group["architecture"] == name] for name in (first, second)]
            if min(side["seed"].nunique() for side in sides) < LEAST_SEEDS:
                continue
            for metric in METRICS:
                arms = [[kept[n, metric] for n in side["dictionary"] if (n, metric) in kept] for side in sides]
                if min(len(arm) for arm in arms) < LEAST_SEEDS:
                    continue
                one = sides[1].iloc[0]
                front = {
                    "contrast": f"{second} - {first}",
                    "architectures": f"{second} - {first}",
                    "site": one["site_out"],
                    "layer": one["layer"],
                    "k": one["k"],
                    "training_seed": -1,
                    "over": "dictionaries",
                    "a": "",
                    "b": "",
                    "metric": metric,
                    "scope": "architecture",
                    "design": "seeds",
                    "n_a": len(arms[0]),
                    "n_b": len(arms[1]),
                }
                rows.append({**front, **over_seeds(arms[0], arms[1], metric, config)})
    return rows


def over_seeds(a: Sequence[Kept], b: Sequence[Kept], metric: str, config: StatisticsConfig) -> dict[str, object]:
    """Compare two arms of dictionaries: Welch's error between seeds, plus what shared documents add to it.

    Never less than what the documents alone leave open, however alike the seeds came out.
    """
    shared = _on_shared_documents([*a, *b])
    if shared is not None:
        a, b = shared[: len(a)], shared[len(a) :]
    means = [float(np.mean([one.value for one in arm])) for arm in (a, b)]
    parts = [(float(np.var([one.value for one in arm], ddof=1)) / len(arm), len(arm) - 1.0) for arm in (a, b)]
    n, least = 0, float(sum(one.se**2 / len(arm) ** 2 for arm in (a, b) for one in arm))
    if shared is not None:
        moved = [np.array([one.moved for one in arm]) / len(arm) for arm in (a, b)]
        n = moved[0].shape[1]
        least = float(((moved[1].sum(0) - moved[0].sum(0)) ** 2).sum()) * n / (n - 1)
        own = float(sum((side**2).sum() for side in moved)) * n / (n - 1)
        parts.append((max(0.0, least - own), n - 1.0))
    variance = sum(v for v, _ in parts)
    df = variance**2 / sum(v**2 / d for v, d in parts) if variance > least else min(d for _, d in parts)
    return {
        "n_documents": n,
        "mean_a": means[0],
        "mean_b": means[1],
        **_tests(means[1] - means[0], float(np.sqrt(max(variance, least))), float(df), metric, config),
    }


def _tests(value: float, se: float, df: float, metric: str, config: StatisticsConfig) -> dict[str, object]:
    """Do the tests of a difference; one without any error (the same dictionary twice) is certain."""
    margin = float(getattr(config.reconstruction_margins, metric))
    difference = Difference(value=value, se=max(se, NO_ERROR), df=df, reach=np.inf)
    found = flat(tested(difference, margin=margin, alpha=config.alpha, level=config.level))
    return {name: found[name] for name in tables.RECONSTRUCTION_COMPARISONS if name in found}


def _adjusted(table: pd.DataFrame) -> pd.DataFrame:
    """Adjust p values over the contrasts and layers of one metric and scope."""
    out = table.reset_index(drop=True)
    for rows in out.groupby(["metric", "scope", "over"], sort=False, observed=True).indices.values():
        for name in ("p_diff", "p_tost"):
            out.loc[rows, f"{name}_adj"] = adjust(out[name].to_numpy(float)[rows].tolist())
    return out


def sentences(table: pd.DataFrame) -> list[dict[str, object]]:
    """Put each comparison into words; they come from the verdict alone."""
    rows = []
    for row in table.to_dict("records"):
        second, first = str(row["contrast"]).split(" - ", 1)
        where = "all layers" if row["over"] == "layers" else f"layer {row['layer']}"
        scope = "architectures" if row["scope"] == "architecture" else "these dictionaries"
        numbers = f"{row['diff']:+.4f} [{row['ci95_lo']:+.4f}, {row['ci95_hi']:+.4f}]"
        words = f"{second} against {first}, {where}, {row['metric']}, {scope}: {numbers}: {WORDS[str(row['verdict'])]}"
        rows.append({**{str(name): value for name, value in row.items()}, "words": words})
    return rows
