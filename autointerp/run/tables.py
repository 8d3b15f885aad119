"""The tables of a run directory: column names and types, the contract between stages, tools and runs.

Every table is parquet. A function that reads one checks it with `check`. Scores are derived from `JUDGEMENTS` and
`LATENTS` at any time; they are never stored as truth.
"""

import pandas as pd

from autointerp.errors import TableError
from autointerp.run.latent_tables import CONTEXTS as CONTEXTS
from autointerp.run.latent_tables import HISTOGRAMS as HISTOGRAMS
from autointerp.run.latent_tables import LOGITS as LOGITS
from autointerp.run.latent_tables import NEIGHBOURS as NEIGHBOURS

# One row per dictionary.
DICTIONARIES = {
    "dictionary": "str",  # its name in the study
    "architecture": "str",  # sae | transcoder | skip-transcoder
    "site": "str",  # the site it reads; half of every latent's key
    "site_out": "str",  # the site it reconstructs
    "layer": "int64",  # -1 where the site names none
    "k": "int64",  # 0 where the activation has no k
    "n_latents": "int64",
    "d_in": "int64",
    "d_out": "int64",
    "seed": "int64",  # training seed; -1 where unknown
    "format": "str",
    "source": "str",
    "revision": "str",
    "sha256": "str",
}

# One row per latent of every dictionary, sampled or not: the denominator of every rate.
LATENTS = {
    "dictionary": "str",
    "architecture": "str",
    "site": "str",
    "latent": "int64",
    "firing_rate_token": "float64",  # share of non-special tokens on which it fires
    "firing_rate_window": "float64",  # share of full windows in which it fires
    "n_windows": "int64",  # full windows in which it fires
    "alive": "bool",
    "eligible": "bool",
    "inclusion_probability": "float64",  # 0 where it could not be drawn
    "sampled": "bool",
    # Order in which drawn latents join the sample as it grows, for looks of a sequential gate; -1 where not drawn. A
    # latent that was drawn and then cannot be judged keeps its rank; `sampled` is False and `status` the reason.
    "look_order": "int64",
    "token_share": "float64",  # share of its explain windows with the modal peak token; NaN unless sampled
    "peak_token": "str",  # that modal token's text; "" unless sampled
    "status": "str",  # dead | rare | dense | eligible | sampled | explanation_failed | explained | scored
}

# One row per example window of a sampled or planted latent.
EXAMPLES = {
    "dictionary": "str",
    "site": "str",
    "latent": "int64",
    "planted": "bool",  # a planted rule instead of a dictionary's latent; schema 1 lacks this column
    "split": "str",  # explain | held_out
    "kind": "str",  # positive | random | hard
    "stratum": "int64",
    "stratum_share": "float64",
    "window_id": "int64",
    "document_id": "int64",
    "pieces": "list<str>",
    "activations": "list<float>",
}

EXPLANATIONS = {
    "explanation_id": "str",
    "dictionary": "str",
    "site": "str",
    "latent": "int64",
    "explainer": "str",
    "text": "str",  # null where it failed
    "status": "str",
    "n_retries": "int64",
    "prompt_hash": "str",
    "raw": "str",
}

# One row per judged item: the product's memory.
JUDGEMENTS = {
    "dictionary": "str",
    "site": "str",
    "latent": "int64",
    "scorer": "str",  # detection | fuzzing | intruder | embedding | ...
    "control": "str",  # none | shuffled | empty | planted | lexical | duplicate
    "question_id": "str",
    "position": "int64",  # index of the item in its prompt
    "document_id": "int64",
    "window_id": "int64",
    "kind": "str",  # positive | random | hard | mismarked
    "stratum": "int64",
    "stratum_share": "float64",
    "truth": "bool",
    "answer": "str",  # yes | no | unanswered
    "probability": "float64",  # P(yes); NaN where the judge gives none
    "explanation_id": "str",
    "status": "str",  # ok, or why it is unanswered
    "n_retries": "int64",
}

# One row per prompt that was asked, of an explainer (`scorer` is then "explain") or a judge.
QUESTIONS = {
    "question_id": "str",
    "dictionary": "str",
    "site": "str",
    "latent": "int64",
    "scorer": "str",
    "control": "str",
    "prompt": "str",  # JSON list of {role, content}
    "reply": "str",  # raw text; null where none came
    "failure": "str",  # "" or one word: why this prompt ended without an answer
    "retried_for": "str",  # the reasons of replies that were asked again, in order, joined by spaces
    "n_left_out": "int64",  # examples left out so that the prompt fits the model's context
    "n_calls": "int64",  # calls to the back end for the final reply, transport retries included
    "tokens_in": "int64",
    "tokens_cached": "int64",
    "tokens_out": "int64",
    "latency_s": "float64",
    "from_cache": "bool",
    "n_retries": "int64",
}

# One row per dictionary and metric, on held-out documents, with an interval over documents.
RECONSTRUCTION = {
    "dictionary": "str",
    "metric": "str",  # fvu | ce_increase | kl | ce_recovered_zero | ce_recovered_mean | l0 | dead_share | ...
    "value": "float64",
    "low": "float64",
    "high": "float64",
    "level": "float64",
    "n_documents": "int64",
    "n_tokens": "int64",
}

# One row per dictionary, metric and held-out document: the metric is sum(total) / sum(weight) over documents.
RECONSTRUCTION_DOCUMENTS = {
    "dictionary": "str",
    "metric": "str",  # fvu | ce_increase | kl | l0
    "document": "int64",  # index in the list of documents, the same for all dictionaries of a run
    "total": "float64",
    "weight": "float64",
}

# A difference with its intervals and tests. `p_diff_adj` and `p_tost_adj` are by Holm over one family: the contrasts
# (and layers) of a metric, a scorer and a scope; a frontier's diff is NaN where it cannot be measured.
INTERVALS = ("ci95_lo", "ci95_hi", "ci90_lo", "ci90_hi")
P_VALUES = ("p_diff", "p_diff_adj", "margin", "p_tost", "p_tost_adj")
TESTS = dict.fromkeys(("diff", "se", "df", *INTERVALS, *P_VALUES), "float64")

# One row per contrast (b minus a) and reconstruction metric; less is better in all of them.
RECONSTRUCTION_COMPARISONS = {
    "contrast": "str",
    "architectures": "str",
    "site": "str",
    "layer": "int64",  # -1 over layers
    "k": "int64",
    "training_seed": "int64",  # -1 over seeds
    "over": "str",  # dictionaries | layers
    "a": "str",  # "" if it pools several dictionaries
    "b": "str",
    "metric": "str",  # fvu | ce_increase | kl
    "scope": "str",  # these_dictionaries | architecture
    "design": "str",  # documents (paired) | intervals (each dictionary's own) | seeds | fixed (mean over layers)
    **TESTS,
    "verdict": "str",  # better: loses less
    "n_a": "int64",  # dictionaries
    "n_b": "int64",
    "n_documents": "int64",  # 0 where only intervals were at hand
    "mean_a": "float64",
    "mean_b": "float64",
}

# One row per dictionary, scorer, population and statistic.
ESTIMATES = {
    "dictionary": "str",
    "architecture": "str",
    "site": "str",
    "scorer": "str",
    "population": "str",  # eligible | standardised | iti | freq
    "statistic": "str",  # score | recall | specificity | score_hard | auroc | skill | trivial_share | yield | ...
    "value": "float64",
    "low": "float64",
    "high": "float64",
    "level": "float64",
    "se": "float64",
    "df": "float64",
    "n_latents": "int64",
    "n_eff": "float64",  # equally weighted latents that would know as much
    "n_unanswered": "int64",
    "missing_share": "float64",  # unanswered judgements / all of them
    "missing_low": "float64",  # the value if every unanswered judgement was wrong, and if it was right
    "missing_high": "float64",
    "method": "str",
    "note": "str",
    "n_documents": "int64",  # documents judged on; 0 where they do not enter
    "n_eff_documents": "float64",  # equally weighted ones that would know as much
    "largest_document": "float64",  # share of the judged contexts that are of the largest
    "chance": "float64",
    "n_total": "int64",
    "n_alive": "int64",
    "n_eligible": "int64",
    "n_sampled": "int64",
    "n_explained": "int64",
    "n_scored": "int64",
    "tau": "float64",  # spread of latents' true scores
    "layer": "int64",
    "k": "int64",
    "training_seed": "int64",
}

# One row per contrast (b minus a), scorer and population.
COMPARISONS = {
    "contrast": "str",  # by the user's names: "new - base"; architectures where several dictionaries are pooled
    "architectures": "str",  # "transcoder - sae"; "new:sae - base:sae" across runs
    "site": "str",
    "layer": "int64",  # -1 over layers
    "k": "int64",
    "training_seed": "int64",
    "over": "str",  # dictionaries | layers
    "a": "str",  # "" if it pools several dictionaries
    "b": "str",
    "scorer": "str",
    "population": "str",
    "scope": "str",  # these_dictionaries | architecture
    "design": "str",  # unpaired | paired | seeds | fixed
    **TESTS,
    "p_ni": "float64",
    "p_ni_adj": "float64",
    "mde80": "float64",
    "verdict": "str",
    "n_a": "int64",
    "n_b": "int64",
    "n_pairs": "int64",
    "n_eff_a": "float64",
    "n_eff_b": "float64",
    "mean_a": "float64",
    "mean_b": "float64",
    "hedges_g": "float64",
    "g_true": "float64",  # in units of the spread of true scores
    "cliff_delta": "float64",
    "cliff_lo": "float64",
    "cliff_hi": "float64",
    "tau_a": "float64",
    "tau_b": "float64",
    "rho": "float64",  # correlation of pairs; 0 unpaired
    "live_a": "float64",
    "live_b": "float64",
    "eligible_a": "float64",
    "eligible_b": "float64",
    "missing_a": "float64",
    "missing_b": "float64",
    "missing_diff_lo": "float64",
    "missing_diff_hi": "float64",
    "comp_part": "float64",  # of diff, from more or fewer trivial latents
    "within_part": "float64",
    "n_documents": "int64",  # documents judged on, of both; 0 where seeds are the data
    "n_eff_documents": "float64",  # equally weighted ones that would know as much
    "largest_document": "float64",  # share of the judged contexts that are of the largest
    "family": "str",  # primary | layers | dictionaries | exploratory (no verdict)
    "n_needed": "float64",  # latents per dictionary that would decide it with power .8; 0 where it is decided
    "reason": "str",  # why it is invalid, or what to beware of
    "band_lo": "float64",  # simultaneous over layers
    "band_hi": "float64",
    "BA_shuffled_a": "float64",  # null where that control was not run
    "BA_shuffled_b": "float64",
    "J_star_diff": "float64",  # null where no latents were planted, or the judge is not clear of guessing on them
    "J_star_lo": "float64",
    "J_star_hi": "float64",
}

# One row per claim of the paper and level of comparison.
CLAIMS = {
    "claim": "str",  # a | b | c | d, see statistics/claims.py
    "words": "str",
    "contrast": "str",
    "quantity": "str",  # score | ce_increase | score at equal ce_increase
    "over": "str",  # dictionaries | layers
    "layer": "int64",  # -1 over layers
    "k": "int64",  # 0 over the k of a curve
    "scorer": "str",  # "" where no score is in it
    "scope": "str",  # architecture | these_dictionaries
    "n_a": "int64",  # dictionaries (scope architecture), curves (claim d), else latents
    "n_b": "int64",
    "diff": "float64",
    "ci95_lo": "float64",
    "ci95_hi": "float64",
    "margin": "float64",
    "verdict": "str",
    "holds": "str",  # yes | no | undecided
    "judge": "str",  # the judge of these scores; "" if it has no score
}

KEY = ["dictionary", "site", "latent"]


# pandas' kinds of dtype that a column of each type may have; text may come as text, objects or categories.
KINDS = {"int64": "iu", "float64": "fiu", "bool": "b"}


def check(table: pd.DataFrame, columns: dict[str, str], name: str) -> pd.DataFrame:
    """Return the table with these columns first, in this order; extra columns follow.

    Raises:
        TableError: columns are missing or hold another type; the message names them.
    """
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise TableError(f"{name}: columns missing: {', '.join(missing)}; it has: {', '.join(map(str, table.columns))}")
    for column, kind in columns.items():
        seen = table[column].dtype
        if kind in KINDS and len(table) and seen.kind not in KINDS[kind] and table[column].notna().any():
            raise TableError(f"{name}: column {column} holds {seen}, not {kind}")
    return table[[*columns, *(column for column in table.columns if column not in columns)]]
