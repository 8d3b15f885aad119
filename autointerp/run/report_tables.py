"""Columns and types of the tables that are derived when a run is estimated and that reports read."""

# Optional. One row per latent, scorer and control: derived from the judgements when a run is estimated.
SCORES = {
    "dictionary": "str",
    "site": "str",
    "latent": "int64",
    "scorer": "str",
    "control": "str",
    "score": "float64",  # NaN where every judgement is unanswered
    "recall": "float64",
    "specificity": "float64",
    "auroc": "float64",
    "n_items": "int64",
    "n_unanswered": "int64",
    "shrunk": "float64",  # with judging noise removed (empirical Bayes); NaN without a score
}

# Optional. One row per point of a curve that a figure draws, by dictionary.
CURVES = {
    "curve": "str",  # recall | specificity | rate | calibration | brier | eligible_rates | frontier_probability
    "dictionary": "str",
    "scorer": "str",  # "" where no score is in it
    "bin": "str",  # decile, kind of negative or number of the bin
    "x": "float64",  # decile; mean firing rate; mean P(yes); CE increase
    "x_low": "float64",  # edges of the bin, or the interval of x
    "x_high": "float64",
    "value": "float64",
    "low": "float64",  # simultaneous over the bins of a curve
    "high": "float64",
    "level": "float64",
    "n_latents": "int64",
    "n_items": "int64",
}
