"""Sums per document to metrics with intervals over documents.

    fvu                 sum |yhat - y|^2 / sum |y - mean y|^2, pooled over all tokens in float64; 0 is perfect,
                        1 equals predicting the mean, more is worse
    cosine              mean over tokens of cos(yhat, y)
    l0                  mean latents active per token
    ce_increase         mean next-token cross-entropy with yhat in place of y, less that of the clean run; nats
    kl                  mean KL of the clean next-token distribution from the spliced one; nats
    ce_recovered_zero   (CE_zero - CE_spliced) / (CE_zero - CE_clean), y ablated to zero; 1 is perfect, 0 is ablation;
                        measured if `ablations` names it
    ce_recovered_mean   the same with y ablated to its mean over these tokens
    ce_increase_joint, kl_joint  the same with all layers of a cross-layer transcoder in place (`cross_layer`)
    dead_share          share of latents that fire on no token here; falls as more text is read
    dense_share         share of latents that fire on more than `dense_above` of the tokens
    ce_clean, ce_zero, ce_mean   the cross-entropies themselves; nats per token

Intervals are bootstrap percentiles over whole documents, since tokens of one document are not independent. Those of
the two shares are basic (pivotal) instead, and stretched to the value: a resample holds fewer documents and so more
dead latents than the sample, never fewer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autointerp.reconstruction.base import Arm, ReconstructionConfig, Spliceable
from autointerp.reconstruction.measure import measure
from autointerp.reconstruction.sums import ArmSums, SiteSums, Sums
from autointerp.run.tables import RECONSTRUCTION, RECONSTRUCTION_DOCUMENTS, check
from autointerp.seeds import generator

# Resamples with firing counts [resamples, latents] held at once.
CHUNK = 50
Weights = NDArray[np.float64]  # [resamples, documents] how often each document was drawn
Metric = Callable[[Weights], NDArray[np.float64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """What was measured: `table` (`tables.RECONSTRUCTION`), `documents` (`tables.RECONSTRUCTION_DOCUMENTS`)."""

    table: pd.DataFrame
    documents: pd.DataFrame


def evaluate(
    subject: Spliceable,
    arms: Sequence[Arm],
    documents: Sequence[NDArray[np.int64]],
    config: ReconstructionConfig,
    *,
    bos: int | None,
    seed: int,
) -> pd.DataFrame:
    """Measure what each dictionary preserves: the `table` of `evaluate_documents`."""
    return evaluate_documents(subject, arms, documents, config, bos=bos, seed=seed).table


def evaluate_documents(
    subject: Spliceable,
    arms: Sequence[Arm],
    documents: Sequence[NDArray[np.int64]],
    config: ReconstructionConfig,
    *,
    bos: int | None,
    seed: int,
) -> Evaluated:
    """Measure what each dictionary preserves, with intervals, and document by document for comparisons.

    Args:
        subject: the model.
        arms: dictionaries with their sites.
        documents: held-out texts as token ids without special tokens; see `base.held_out_documents`.
        config: how much, how sure.
        bos: the id that goes before each document; None for none.
        seed: the study's, for the resamples.

    Raises:
        SubjectError: an activation is NaN or infinite, or the splice of a site by itself changes the loss.
    """
    sums = measure(subject, arms, documents, bos, config)
    n = len(sums.ce_clean)
    draws = generator(seed, "reconstruction", n)
    weights = draws.multinomial(n, np.full(n, 1 / n), size=config.n_bootstrap).astype(np.float64)
    rows = [
        row
        for arm, found in zip(arms, sums.arms, strict=True)
        for row in _rows(arm, sums, sums.sites[arm.site_out], found, weights, config)
    ]
    parts = [_by_document(arm, sums, found) for arm, found in zip(arms, sums.arms, strict=True)]
    return Evaluated(
        table=check(pd.DataFrame(rows, columns=pd.Index(list(RECONSTRUCTION))), RECONSTRUCTION, "reconstruction"),
        documents=check(pd.concat(parts, ignore_index=True), RECONSTRUCTION_DOCUMENTS, "reconstruction_documents"),
    )


def _by_document(arm: Arm, sums: Sums, found: ArmSums) -> pd.DataFrame:
    """Each document's share of the metrics that are ratios of sums: their value is sum(total) / sum(weight)."""
    spread = sums.spread(arm.site_out)
    ratios = {
        "fvu": (found.error, spread),
        "ce_increase": (found.ce - sums.ce_clean, sums.n_predicted),
        "kl": (found.kl, sums.n_predicted),
        "l0": (found.active, sums.sites[arm.site_out].n_tokens),
    }
    parts = [
        pd.DataFrame({"metric": metric, "document": np.arange(len(total)), "total": total, "weight": weight})
        for metric, (total, weight) in ratios.items()
    ]
    return pd.concat(parts, ignore_index=True).assign(dictionary=arm.dictionary.name)


def _rows(
    arm: Arm, sums: Sums, site: SiteSums, found: ArmSums, weights: Weights, config: ReconstructionConfig
) -> list[dict[str, object]]:
    tail = 100 * (1 - config.level) / 2
    whole = np.ones((1, weights.shape[1]))
    common = {"dictionary": arm.dictionary.name, "level": config.level, "n_documents": weights.shape[1]}
    rows: list[dict[str, object]] = []
    for name, metric in _metrics(sums, site, found, config).items():
        value = float(metric(whole)[0])
        low, high = (float(bound) for bound in np.percentile(metric(weights), [tail, 100 - tail]))
        if name.endswith("_share"):
            low, high = max(0.0, min(2 * value - high, value)), min(1.0, max(2 * value - low, value))
        n_tokens = int(sums.n_predicted.sum() if name.startswith(("ce", "kl")) else site.n_tokens.sum())
        rows.append({**common, "metric": name, "value": value, "low": low, "high": high, "n_tokens": n_tokens})
    return rows


def _metrics(sums: Sums, site: SiteSums, found: ArmSums, config: ReconstructionConfig) -> dict[str, Metric]:
    """Each metric as a function of how often each document counts."""

    def mean(total: NDArray[np.float64], per: NDArray[np.float64]) -> Metric:
        return lambda weights: weights @ total / (weights @ per)

    def recovered(ablated: NDArray[np.float64]) -> Metric:
        return lambda weights: weights @ (ablated - found.ce) / (weights @ (ablated - sums.ce_clean))

    def fvu(weights: Weights) -> NDArray[np.float64]:
        mean_square = np.square(weights @ site.y).sum(1) / (weights @ site.n_tokens)
        return weights @ found.error / (weights @ site.y_square - mean_square)

    tokens, predicted = site.n_tokens, sums.n_predicted
    metrics = {
        "fvu": fvu,
        "cosine": mean(found.cosine, tokens),
        "l0": mean(found.active, tokens),
        "ce_increase": mean(found.ce - sums.ce_clean, predicted),
        "kl": mean(found.kl, predicted),
        "dead_share": _share(found, lambda counts, _: counts == 0, tokens),
        "dense_share": _share(found, lambda counts, n: counts > config.dense_above * n, tokens),
        "ce_clean": mean(sums.ce_clean, predicted),
    }
    if found.ce_joint.any():
        metrics["ce_increase_joint"] = mean(found.ce_joint - sums.ce_clean, predicted)
        metrics["kl_joint"] = mean(found.kl_joint, predicted)
    for kind, ce in site.ce_ablated.items():
        metrics |= {f"ce_recovered_{kind}": recovered(ce), f"ce_{kind}": mean(ce, predicted)}
    return metrics


def _share(
    found: ArmSums,
    holds: Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.bool_]],
    tokens: NDArray[np.float64],
) -> Metric:
    """Share of latents with a count of firings that `holds`, given the count of tokens."""

    def share(weights: Weights) -> NDArray[np.float64]:
        parts = (weights[start : start + CHUNK] for start in range(0, len(weights), CHUNK))
        return np.concatenate([holds((found.fired.T @ part.T).T, (part @ tokens)[:, None]).mean(1) for part in parts])

    return share
