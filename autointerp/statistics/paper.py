"""The seed paper's own metrics, for comparison with published numbers: accuracy and F1 at 50/50.

As many positives as negatives, by latent:

    accuracy    (TPR + TNR) / 2
    f1          2 P R / (P + R) with R = TPR and P = TPR / (TPR + FPR); 0 where nothing is answered yes

Both are means over the sampled latents that have positives and random negatives; unanswered items count as wrong, since
the paper has no third answer. A judge that always says yes has accuracy .5 and F1 2/3: F1 is not .5 for a judge that
ignores the text. Hard negatives, controls and weights of the sample are left out, as the paper has none.

Source: Paulo, Shabalin, Belrose, "Transcoders Beat Sparse Autoencoders for Interpretability", 2025 (arXiv 2501.18823).
"""

import pandas as pd


def paper_metrics(judgements: pd.DataFrame) -> pd.DataFrame:
    """Return accuracy and F1 by dictionary and scorer: dictionary, scorer, n_latents, accuracy, f1.

    `judgements` is `tables.JUDGEMENTS`; scorers whose items are not half positive by design are left out.
    """
    kept = judgements[judgements["kind"].isin(["positive", "random"]) & (judgements["control"] == "none")]
    keys = ["dictionary", "scorer", "latent"]
    # A wrong answer to a positive is not yes, to a negative not no.
    correct = (kept["answer"] == "yes").where(kept["truth"].astype(bool), kept["answer"] == "no")
    by = kept.assign(correct=correct.astype(float)).astype({"dictionary": str, "scorer": str})
    rates = by.groupby([*keys, "truth"], observed=True)["correct"].mean().unstack("truth")
    if not {True, False} <= set(rates.columns):
        return pd.DataFrame(columns=["dictionary", "scorer", "n_latents", "accuracy", "f1"])
    rates = rates.dropna(subset=[True, False])
    tpr, fpr = rates[True], 1 - rates[False]
    precision = (tpr / (tpr + fpr)).fillna(0.0)
    f1 = (2 * precision * tpr / (precision + tpr)).fillna(0.0)
    found = pd.DataFrame({"accuracy": (tpr + 1 - fpr) / 2, "f1": f1})
    grouped = found.groupby(["dictionary", "scorer"], observed=True)
    return (
        grouped.mean()
        .assign(n_latents=grouped.size())
        .reset_index()[["dictionary", "scorer", "n_latents", "accuracy", "f1"]]
    )
