"""Where the variance of scores comes from, and what a latent's own score is once its noise is taken out."""

import numpy as np
import pandas as pd
from scipy import stats

from autointerp.statistics._answers import KINDS, read
from autointerp.statistics.effects import between_latents
from autointerp.statistics.intervals import Floats
from autointerp.statistics.populations import usable

ARM = ["dictionary", "scorer", "control"]


def varcomp(scores: pd.DataFrame, judgements: pd.DataFrame | None = None) -> pd.DataFrame:
    """Split the variance of latents' scores into true differences and judging noise, per dictionary and scorer.

    Args:
        scores: `latent_scores`.
        judgements: the rows they come from; adds what answers in one prompt, or about one context, have in common.

    Returns:
        One row per dictionary, scorer and control: `n`, `mean`, `sd` observed, `tau` (true spread), `within_sd` (noise
        of one latent's score), `reliability` tau^2 / variance, `recall`, `specificity`, mean `n_positive` and
        `n_negative`; with judgements also `prompt_icc` (correlation of right answers within a prompt, given the
        latent) and `context_sd` (spread of contexts' difficulty over latents, in share answered rightly).
    """
    rows = []
    for key, part in usable(scores).groupby(ARM, sort=False, observed=True):
        values, noise = part["score"].to_numpy(float), part["noise_variance"].to_numpy(float)
        tau, variance = between_latents(values, noise), float(values.var(ddof=1)) if len(values) > 1 else 0.0
        rows.append(
            {
                **dict(zip(ARM, key, strict=True)),
                "n": len(values),
                "mean": float(values.mean()),
                "sd": float(np.sqrt(variance)),
                "tau": tau,
                "within_sd": float(np.sqrt(np.nanmean(noise))) if np.isfinite(noise).any() else 0.0,
                "reliability": min(1.0, tau**2 / variance) if variance > 0 else 0.0,
                "recall": float(part["recall"].mean()),
                "specificity": float(part["specificity"].mean()),
                "n_positive": float(part["n_positive"].mean()),
                "n_negative": float(part["n_negative"].mean()),
            }
        )
    table = pd.DataFrame(rows)
    return table if judgements is None or table.empty else table.merge(_shared(judgements), on=ARM, how="left")


def _shared(judgements: pd.DataFrame) -> pd.DataFrame:
    """Measure what answers in one prompt and answers about one context share, beyond their latent and kind."""
    answers = read(judgements)
    frame = judgements[ARM].astype("str").reset_index(drop=True)
    frame["question"] = pd.factorize(judgements["question_id"])[0]
    frame["context"] = pd.factorize(judgements["window_id"])[0]
    group = answers.unit * len(KINDS) + answers.kind
    n = np.bincount(group[answers.answered], minlength=int(group.max(initial=0)) + 1)
    right = np.bincount(group[answers.correct], minlength=len(n))
    rate = np.divide(right, n, out=np.zeros(len(n)), where=n > 0)[group]
    # A latent's own mean takes part of its residuals away; n - 1 gives their variance back.
    scale = np.sqrt(np.divide(n, n - 1, out=np.zeros(len(n)), where=n > 1))[group]
    frame["residual"] = (answers.correct - rate) * scale
    # Residuals from a common mean are correlated by -1 / (n - 1) for that alone; this gives it back, per pair.
    frame["group"] = group
    frame["owed"] = rate * (1 - rate) * scale**2 / np.maximum(n[group] - 1, 1)
    frame = frame[answers.answered & (scale > 0)]
    rows = []
    for key, part in frame.groupby(ARM, sort=False):
        e = part["residual"].to_numpy(float)
        total = float((e**2).mean()) if len(e) else 0.0
        owed = part.groupby(["question", "group"], sort=False)["owed"].agg(["first", "size"])
        same = float((owed["first"] * owed["size"] * (owed["size"] - 1)).sum())
        icc = _pairs(e, part["question"].to_numpy(), total, same)
        covariance = _pairs(e, part["context"].to_numpy(), 1.0)
        rows.append(
            {**dict(zip(ARM, key, strict=True)), "prompt_icc": icc, "context_sd": float(np.sqrt(max(0.0, covariance)))}
        )
    return pd.DataFrame(rows, columns=[*ARM, "prompt_icc", "context_sd"])


def _pairs(e: Floats, cluster: np.ndarray, scale: float, owed: float = 0.0) -> float:
    """Average the product of two residuals of one cluster, divided by `scale`; 0 where no cluster has two.

    `owed` is added to the sum of products: what subtracting common means has taken from it.
    """
    codes = pd.factorize(cluster)[0]
    n = np.bincount(codes)
    n_pairs = float((n * (n - 1.0)).sum())
    if n_pairs == 0 or scale <= 0:
        return 0.0
    return float(((np.bincount(codes, e) ** 2).sum() - (e**2).sum() + owed) / n_pairs / scale)


def shrink(scores: pd.DataFrame, *, threshold: float = 0.75, level: float = 0.95) -> pd.DataFrame:
    """Pull each latent's score towards its dictionary's mean by as much as it is noise (empirical Bayes).

    For displays of single latents and for shares above a threshold, which noise inflates: where .20 of the latents
    truly reach .9, ten and ten items show .35. Never an input to a comparison.

    Returns:
        The scores with `shrunk`, its interval `shrunk_lo`, `shrunk_hi`, and `p_above`, the chance that the
        true score is at least the threshold.
    """
    parts = []
    for _, part in usable(scores).groupby(ARM, sort=False, observed=True):
        values = part["score"].to_numpy(float)
        noise = _smooth_noise(part)
        tau = between_latents(values, noise)
        kept = np.divide(tau**2, tau**2 + noise, out=np.zeros(len(noise)), where=tau**2 + noise > 0)
        centre = values.mean() + kept * (values - values.mean())
        sd = np.sqrt(kept * noise)
        half = float(stats.norm.ppf((1 + level) / 2)) * sd
        above = np.where(sd > 0, stats.norm.sf((threshold - centre) / np.maximum(sd, 1e-12)), centre >= threshold)
        parts.append(
            part.assign(
                shrunk=centre.clip(0, 1),
                shrunk_lo=(centre - half).clip(0, 1),
                shrunk_hi=(centre + half).clip(0, 1),
                p_above=above,
            )
        )
    return (
        pd.concat(parts, ignore_index=True)
        if parts
        else scores.iloc[:0].assign(shrunk=[], shrunk_lo=[], shrunk_hi=[], p_above=[])
    )


def with_shrunk(scores: pd.DataFrame) -> pd.DataFrame:
    """Add `shrunk` (see `shrink`) to scores of any controls; NaN for controls and where there is no score."""
    key = ["dictionary", "site", "latent", "scorer", "control"]
    plain = scores.drop(columns="shrunk", errors="ignore")
    plain = plain.astype({name: "str" for name in key if name != "latent"})
    found = shrink(plain[plain["control"] == "none"])
    return plain.merge(found[[*key, "shrunk"]], on=key, how="left")


def _smooth_noise(part: pd.DataFrame) -> Floats:
    """Give each latent its dictionary's mean noise, scaled to its own number of items: its own is too noisy to use."""
    positive, negative = part["n_positive"].to_numpy(float), part["n_negative"].to_numpy(float)
    inverse = 1 / np.maximum(positive, 1) + np.where(negative > 0, 1 / np.maximum(negative, 1), 0)
    noise = part["noise_variance"].to_numpy(float)
    judged = (positive > 0) & np.isfinite(noise)
    if not judged.any():
        return np.zeros(len(part))
    return np.where(positive > 0, inverse * float(noise[judged].sum() / inverse[judged].sum()), 0.0)
