"""Secondary tables of a run.

Reliability of the judge, scores at latents' real firing rates, scores at equal cross-entropy increase.
"""

from autointerp.run.tables import TESTS

# One row per dictionary and scorer: variance components of scores, and agreement of a judge with itself.
RELIABILITY = {
    "dictionary": "str",
    "scorer": "str",
    "n": "int64",  # scored latents
    "mean": "float64",
    "sd": "float64",  # of observed scores
    "tau": "float64",  # of true scores, between latents
    "within_sd": "float64",  # of one score, from its finite number of items
    "reliability": "float64",  # tau^2 / sd^2
    "prompt_icc": "float64",  # correlation of right answers within a prompt; NaN where question ids are not read
    "context_sd": "float64",  # of contexts' difficulty over latents, in share answered rightly
    "n_repeated": "int64",  # items that were asked a second time, in another order
    "n_repeated_latents": "int64",
    "agreement": "float64",  # share of them answered alike; NaN where none were repeated
    "agreement_lo": "float64",
    "agreement_hi": "float64",
    "kappa": "float64",  # Cohen's
}

# One row per dictionary, scorer and measure at latents' real firing rates.
PREVALENCE = {
    "dictionary": "str",
    "scorer": "str",
    "measure": "str",  # precision | f1 | lr_plus | false_per_true
    "value": "float64",
    "low": "float64",
    "high": "float64",
    "level": "float64",
    "n_latents": "int64",
}

# One row per pair of dictionaries (b minus a), scorer and measure at real firing rates: the secondary family.
PREVALENCE_COMPARISONS = {
    "contrast": "str",
    "architectures": "str",
    "a": "str",
    "b": "str",
    "layer": "int64",
    "k": "int64",
    "scorer": "str",
    "measure": "str",  # precision | f1
    "value_a": "float64",
    "value_b": "float64",
    "diff": "float64",
    "se": "float64",
    "df": "float64",
    "ci95_lo": "float64",
    "ci95_hi": "float64",
    "p_diff": "float64",
    "p_diff_adj": "float64",  # Holm over contrasts, scorers and measures
    "margin": "float64",
    "p_tost": "float64",
    "p_tost_adj": "float64",
    "n_a": "int64",
    "n_b": "int64",
    "family": "str",  # secondary
    "verdict": "str",
    "reason": "str",
}

# One row per contrast of architectures (b minus a), layer and scorer: scores at equal cross-entropy increase.
FRONTIER = {
    "contrast": "str",
    "site": "str",
    "layer": "int64",
    "scorer": "str",
    "scope": "str",  # architecture | these_dictionaries
    "design": "str",  # seeds | errors (of the dictionaries' own scores and costs)
    "cost": "str",  # ce_increase
    "cost_low": "float64",  # range of costs that all curves have in common, nats
    "cost_high": "float64",
    "n_a": "int64",  # curves, one per seed
    "n_b": "int64",
    "mean_a": "float64",  # height of the curves: mean score over that range
    "mean_b": "float64",
    **TESTS,
    "verdict": "str",
    "reason": "str",  # why it cannot be measured; "" where it was
}
