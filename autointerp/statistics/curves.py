"""The curves of a report: accuracy by decile and kind, score by firing rate, calibration, frontier probability.

One table (`report_tables.CURVES`), stored when a run is estimated: figures read what they draw.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from scipy import stats

from autointerp.run import report_tables, tables
from autointerp.seeds import generator
from autointerp.statistics.intervals import mean

KINDS = ("random", "mismarked", "hard")
MOST_BINS, LEAST_PER_BIN, N_PROBABILITY_BINS, N_HISTOGRAM_BINS = 8, 15, 10, 20
N_DRAWS = 4000
Row = Mapping[str, object]


def curves(
    judgements: pd.DataFrame,
    scores: pd.DataFrame,
    latents: pd.DataFrame,
    estimates: pd.DataFrame,
    reconstruction: pd.DataFrame | None = None,
    *,
    level: float = 0.95,
) -> pd.DataFrame:
    """Compute every curve of a run.

    Args:
        judgements: `tables.JUDGEMENTS`; only control `none` of dictionaries in `latents` is read.
        scores: `latent_scores` (control `none` is read), with the latents' columns.
        latents: `tables.LATENTS` of the dictionaries shown.
        estimates: `tables.ESTIMATES`.
        reconstruction: `tables.RECONSTRUCTION`, for the probability of being on the frontier.
        level: confidence level; simultaneous (Bonferroni) over the bins of one curve of one dictionary.

    Returns:
        `report_tables.CURVES`.
    """
    names = list(dict.fromkeys(latents["dictionary"].astype(str)))
    kept = judgements[(judgements["control"] == "none") & judgements["dictionary"].isin(names)]
    own = scores[(scores["control"] == "none") & scores["dictionary"].isin(names) & scores["score"].notna()]
    rows: list[Row] = [
        *accuracy(kept, latents, level),
        *by_rate(own, level),
        *calibration(kept, level),
        *eligible_rates(latents),
        *frontier_probabilities(estimates, reconstruction),
    ]
    blank = {
        "scorer": "",
        "bin": "",
        **dict.fromkeys(("x", "x_low", "x_high", "low", "high"), np.nan),
        "level": level,
        "n_latents": 0,
        "n_items": 0,
    }
    table = pd.DataFrame([{**blank, **row} for row in rows], columns=list(report_tables.CURVES))
    return table.astype(dict.fromkeys(("n_latents", "n_items"), "int64"))


def accuracy(judgements: pd.DataFrame, latents: pd.DataFrame, level: float) -> Iterator[Row]:
    """Share of answered contexts judged right, averaged over latents: by activation decile, and by kind of negative.

    The intruder scorer is left out: its answers are not about single contexts.
    """
    judged = judgements[(judgements["answer"] != "unanswered") & (judgements["scorer"] != "intruder")]
    if judged.empty:
        return
    positive = judged["kind"].astype(str) == "positive"
    label = pd.Series(
        np.where(positive, (judged["stratum"] + 1).astype(str), judged["kind"].astype(str)), index=judged.index
    ).rename("bin")
    right = ((judged["answer"] == "yes") == judged["truth"]).astype(float)
    keys = [judged[name].astype(str) if name != "latent" else judged[name] for name in [*tables.KEY, "scorer"]]
    rates = right.groupby([*keys, label], sort=False).mean().rename("rate").reset_index()
    rates = rates.merge(latents[[*tables.KEY, "inclusion_probability"]], on=tables.KEY)
    rates["curve"] = np.where(rates["bin"].isin(KINDS), "specificity", "recall")
    for (curve, scorer, dictionary), part in rates.groupby(["curve", "scorer", "dictionary"], sort=False):
        bins = sorted(part["bin"].unique(), key=bin_order)
        for at, name in enumerate(bins):
            inside = part[part["bin"] == name]
            found = _mean(inside["rate"], inside["inclusion_probability"], level, len(bins))
            x = float(name) if curve == "recall" else float(at)
            yield {"curve": curve, "scorer": scorer, "dictionary": dictionary, "bin": name, "x": x, **found}


def bin_order(name: str) -> int:
    """Sort key of bins: deciles, weakest first, then the kinds of negatives."""
    return 20 + KINDS.index(name) if name in KINDS else int(name)


def by_rate(own: pd.DataFrame, level: float) -> Iterator[Row]:
    """Mean score within bins of firing rate of equal count, the bins pooled over dictionaries."""
    if own.empty:
        return
    logs = np.log10(own["firing_rate_token"].clip(lower=1e-9))
    fewest = int(own.groupby(["scorer", "dictionary"], observed=True).size().min())
    n_bins = min(MOST_BINS, max(3, fewest // LEAST_PER_BIN))
    cuts = np.unique(np.quantile(logs, np.linspace(0, 1, n_bins + 1)[1:-1]))
    binned = own.assign(bin=np.searchsorted(cuts, logs), log_rate=logs)
    for (scorer, dictionary, at), part in binned.groupby(["scorer", "dictionary", "bin"], sort=False, observed=True):
        found = _mean(part["score"], part["inclusion_probability"], level, len(cuts) + 1)
        middle = float(10 ** part["log_rate"].mean())
        yield {
            "curve": "rate",
            "scorer": str(scorer),
            "dictionary": str(dictionary),
            "bin": str(at),
            "x": middle,
            **found,
        }


def calibration(judgements: pd.DataFrame, level: float) -> Iterator[Row]:
    """Share of truly active contexts by tenth of the judge's P(yes), clustered by latent, and the Brier score."""
    judged = judgements[judgements["probability"].notna()]
    bins = np.minimum((judged["probability"] * N_PROBABILITY_BINS).astype(int), N_PROBABILITY_BINS - 1)
    for (scorer, dictionary), part in judged.assign(bin=bins).groupby(
        ["scorer", "dictionary"], sort=False, observed=True
    ):
        front = {"scorer": str(scorer), "dictionary": str(dictionary)}
        brier = float(((part["probability"] - part["truth"]) ** 2).mean())
        yield {"curve": "brier", **front, "value": brier, "n_items": len(part)}
        for at, inside in part.groupby("bin"):
            clusters = inside.groupby(tables.KEY, observed=True).ngroup().to_numpy()
            found = clustered_share(inside["truth"].to_numpy(bool), clusters, level)
            yield {
                "curve": "calibration",
                **front,
                "bin": str(at),
                "x": float(inside["probability"].mean()),
                "n_items": len(inside),
                **found,
            }


def clustered_share(truth: np.ndarray, cluster: np.ndarray, level: float = 0.95) -> dict[str, float]:
    """Share of true items with its t interval over clusters (latents): a ratio of sums, linearised.

    >>> found = clustered_share(np.array([True, True, False, False]), np.array([0, 0, 1, 1]))
    >>> found["value"], found["low"], found["high"]
    (0.5, 0.0, 1.0)
    """
    n, hits = np.bincount(cluster), np.bincount(cluster, weights=truth)
    n, hits = n[n > 0], hits[n > 0]
    share, k = float(hits.sum() / n.sum()), len(n)
    if k < 2:
        return {"value": share, "low": 0.0, "high": 1.0, "n_latents": k}
    se = float(np.sqrt(k / (k - 1) * ((hits - share * n) ** 2).sum()) / n.sum())
    half = float(stats.t.ppf((1 + level) / 2, k - 1)) * se
    return {"value": share, "low": max(0.0, share - half), "high": min(1.0, share + half), "n_latents": k}


def eligible_rates(latents: pd.DataFrame) -> Iterator[Row]:
    """Histogram of the firing rates of all eligible latents: each dictionary's share of its own per bin."""
    eligible = latents[latents["eligible"] & (latents["firing_rate_token"] > 0)]
    if eligible.empty:
        return
    logs = np.log10(eligible["firing_rate_token"].to_numpy(float))
    edges = np.linspace(logs.min(), logs.max() + 1e-9, N_HISTOGRAM_BINS + 1)
    for dictionary, part in eligible.groupby("dictionary", sort=False, observed=True):
        counts, _ = np.histogram(np.log10(part["firing_rate_token"]), edges)
        for at, n in enumerate(counts):
            low, high = float(10 ** edges[at]), float(10 ** edges[at + 1])
            yield {
                "curve": "eligible_rates",
                "dictionary": str(dictionary),
                "bin": str(at),
                "value": n / counts.sum(),
                "x": float(np.sqrt(low * high)),
                "x_low": low,
                "x_high": high,
                "n_latents": int(n),
            }


def frontier_probabilities(estimates: pd.DataFrame, reconstruction: pd.DataFrame | None) -> Iterator[Row]:
    """Probability that no other dictionary both raises the cross-entropy less and scores higher, by scorer."""
    if reconstruction is None or estimates.empty or not len(reconstruction):
        return
    costs = reconstruction.loc[reconstruction["metric"] == "ce_increase", ["dictionary", "value", "low", "high"]]
    costs = costs.rename(columns={"value": "ce_increase", "low": "ce_low", "high": "ce_high"})
    chosen = (estimates["statistic"] == "score") & (estimates["population"] == "eligible")
    for scorer, part in estimates[chosen].merge(costs, on="dictionary").groupby("scorer", sort=False, observed=True):
        for row, chance in zip(part.to_dict("records"), frontier_probability(part), strict=True):
            yield {
                "curve": "frontier_probability",
                "scorer": str(scorer),
                "dictionary": str(row["dictionary"]),
                "x": row["ce_increase"],
                "x_low": row["ce_low"],
                "x_high": row["ce_high"],
                "value": chance,
                "n_latents": int(row["n_latents"]),
            }


def frontier_probability(rows: pd.DataFrame) -> pd.Series:
    """Chance that no other dictionary is both cheaper and better, with estimates drawn from their errors (normal).

    >>> rows = pd.DataFrame({"scorer": ["d", "d"], "value": [.9, .6], "low": [.89, .59], "high": [.91, .61],
    ...     "ce_increase": [.1, .3], "ce_low": [.09, .29], "ce_high": [.11, .31], "level": [.95, .95]})
    >>> frontier_probability(rows).tolist()
    [1.0, 0.0]
    """
    z = stats.norm.ppf((1 + rows["level"].to_numpy(float)) / 2)
    rng = generator(0, "pareto", str(rows["scorer"].iloc[0]))

    def drawn(value: str, low: str, high: str) -> np.ndarray:
        se = (rows[high] - rows[low]).to_numpy(float) / 2 / z
        return rows[value].to_numpy(float) + rng.standard_normal((N_DRAWS, len(rows))) * se

    score, cost = drawn("value", "low", "high"), drawn("ce_increase", "ce_low", "ce_high")
    beaten = ((cost[:, None, :] < cost[:, :, None]) & (score[:, None, :] > score[:, :, None])).any(axis=2)
    return pd.Series(np.round(1 - beaten.mean(axis=0), 4), index=rows.index)


def _mean(values: pd.Series, inclusion: pd.Series, level: float, n_bins: int) -> dict[str, float]:
    """Weighted mean over latents with a t interval that holds for all bins at once (Bonferroni)."""
    each = 1 - (1 - level) / max(1, n_bins)
    found = mean(values.to_numpy(float), 1 / inclusion.to_numpy(float), level=each)
    low, high = found.interval(each)
    return {"value": found.value, "low": low, "high": high, "n_latents": found.n}
