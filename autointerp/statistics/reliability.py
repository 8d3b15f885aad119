"""How far a judge agrees with itself, and where the variance of scores comes from, by dictionary and scorer."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from autointerp.statistics._rows import flat
from autointerp.statistics.intervals import Floats, Mean, mean
from autointerp.statistics.variance import varcomp

# What tells one judged item from another, whatever the prompt it was asked in.
ITEM = ["dictionary", "site", "latent", "scorer", "window_id", "kind"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retest:
    """Agreement of a judge's answers with its answers to the same items in another order (control `duplicate`).

    `agreement` is the share of items answered alike, with its interval over latents; `kappa` is Cohen's, 0 where
    agreement is what the shares of yes alone give.
    """

    n_repeated: int
    n_repeated_latents: int
    agreement: float
    agreement_lo: float
    agreement_hi: float
    kappa: float


NOT_REPEATED = Retest(
    n_repeated=0,
    n_repeated_latents=0,
    agreement=float("nan"),
    agreement_lo=float("nan"),
    agreement_hi=float("nan"),
    kappa=float("nan"),
)


def reliability(scores: pd.DataFrame, judgements: pd.DataFrame, *, level: float = 0.95) -> pd.DataFrame:
    """Split the variance of scores and measure test-retest agreement, per dictionary and scorer.

    Args:
        scores: `latent_scores` under control none.
        judgements: `tables.JUDGEMENTS`; rows under control `duplicate` repeat items of control none.
        level: confidence level.

    Returns:
        `secondary_tables.RELIABILITY`: spread of latents' true scores (`tau`), of judging few items (`within_sd`), of
        prompts (`prompt_icc`) and contexts (`context_sd`) where question ids are known, and the columns of `Retest`.
    """
    own = judgements[judgements["control"] == "none"]
    known = "question_id" in judgements.columns
    parts = varcomp(scores, own if known and len(own) else None)
    found = retest(judgements, level)
    rows = []
    for row in parts.to_dict("records"):
        key = str(row["dictionary"]), str(row["scorer"])
        again = found.get(key, NOT_REPEATED)
        icc, context = float(row.get("prompt_icc", np.nan)), float(row.get("context_sd", np.nan))
        rows.append({**row, "prompt_icc": icc, "context_sd": context, **flat(again)})
    return pd.DataFrame(rows)


def retest(judgements: pd.DataFrame, level: float = 0.95) -> dict[tuple[str, str], Retest]:
    """Map (dictionary, scorer) -> agreement of repeated items, where some were asked twice."""
    again = judgements[(judgements["control"] == "duplicate") & (judgements["answer"] != "unanswered")]
    first = judgements[(judgements["control"] == "none") & (judgements["answer"] != "unanswered")]
    if again.empty:
        return {}
    keep = [*ITEM, "answer"]
    both = again[keep].drop_duplicates(ITEM).merge(first[keep].drop_duplicates(ITEM), on=ITEM, suffixes=("_a", "_b"))
    found = {}
    for (name, scorer), part in both.groupby(["dictionary", "scorer"], sort=False, observed=True):
        alike = np.asarray(part["answer_a"].astype(str) == part["answer_b"].astype(str), np.float64)
        inner = _over_latents(alike, part["latent"].to_numpy())
        low, high = inner.interval(level)
        yes = [(part[side].astype(str) == "yes").mean() for side in ("answer_a", "answer_b")]
        by_chance = yes[0] * yes[1] + (1 - yes[0]) * (1 - yes[1])
        kappa = (inner.value - by_chance) / (1 - by_chance) if by_chance < 1 else 1.0
        found[str(name), str(scorer)] = Retest(
            n_repeated=len(part),
            n_repeated_latents=inner.n,
            agreement=inner.value,
            agreement_lo=low,
            agreement_hi=high,
            kappa=float(kappa),
        )
    return found


def _over_latents(alike: Floats, latent: np.ndarray) -> Mean:
    """Average over items, with the error over latents: items of one latent are not independent."""
    codes = pd.factorize(latent)[0]
    n = np.bincount(codes).astype(float)
    return mean(np.bincount(codes, alike) / n, n)
