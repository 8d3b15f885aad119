"""The latents table: every latent of every dictionary with its firing rates, and why it was or was not drawn."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autointerp.examples.base import ExamplesConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class FiringCounts:
    """Firing counts of one dictionary's latents: [n_latents] each, with the totals.

    Attributes:
        tokens: tokens it fires on, of `n_tokens`.
        explain: full windows of the explain split in which it fires, of `n_explain`.
        held_out: likewise of the held-out split, of `n_held_out`.
    """

    tokens: NDArray[np.int64]
    explain: NDArray[np.int64]
    held_out: NDArray[np.int64]
    n_tokens: int
    n_explain: int
    n_held_out: int

    def __add__(self, other: "FiringCounts") -> "FiringCounts":
        """Add the counts of another stretch of the corpus."""
        names = ("tokens", "explain", "held_out", "n_tokens", "n_explain", "n_held_out")
        return FiringCounts(**{name: getattr(self, name) + getattr(other, name) for name in names})


def statuses(counts: FiringCounts, config: ExamplesConfig, *, scale: float = 1.0, margin: float = 1.0) -> NDArray:
    """Classify each latent: dead, rare, dense or eligible.

    dead never fires on a token of any document; rare fires in too few windows, in all or of one split; dense leaves too
    few silent held-out windows to draw negatives from. `scale` extrapolates counts of a survey to the whole corpus and
    `margin` < 1 lowers the bars, so that a survey seldom leaves out a latent that turns out eligible.
    """
    explain, held_out = counts.explain * scale, counts.held_out * scale
    rare = (explain + held_out < margin * config.min_windows) | (explain < margin * config.n_explain)
    rare |= held_out < margin * config.n_positives
    silent = counts.n_held_out * scale - held_out
    n_held_out = counts.n_held_out * scale
    if n_held_out > config.pool_windows:  # negatives come from a pool of them; twice the need, since the pool is drawn
        silent = silent * config.pool_windows / n_held_out / 2
    dense = silent < margin * config.n_negatives
    return np.select([counts.tokens == 0, rare, dense], ["dead", "rare", "dense"], default="eligible")


def rows(
    counts: FiringCounts,
    config: ExamplesConfig,
    *,
    dictionary: str,
    architecture: str,
    site: str,
    chances: NDArray[np.floating],
    drawn: NDArray[np.integer],
) -> pd.DataFrame:
    """Return one row per latent as `tables.LATENTS` (without token_share and peak_token, which need examples).

    Args:
        counts: of the whole corpus.
        config: what makes a latent eligible.
        dictionary: its name; `architecture` and `site` likewise.
        architecture: see `dictionary`.
        site: see `dictionary`.
        chances: [n_latents] inclusion probability, 0 where it could not be drawn.
        drawn: the latents that were drawn, in the order in which they join the sample. One that proves not to be
            eligible keeps its rank in the order, and gets the reason as its status.
    """
    status = statuses(counts, config).astype(object)
    eligible = status == "eligible"
    sampled = np.zeros(len(status), dtype=bool)
    sampled[drawn] = True
    sampled &= eligible
    order = np.full(len(status), -1, dtype=np.int64)
    order[drawn] = np.arange(len(drawn))
    n_windows = counts.explain + counts.held_out
    return pd.DataFrame(
        {
            "dictionary": dictionary,
            "architecture": architecture,
            "site": site,
            "latent": np.arange(len(status)),
            "firing_rate_token": counts.tokens / max(1, counts.n_tokens),
            "firing_rate_window": n_windows / max(1, counts.n_explain + counts.n_held_out),
            "n_windows": n_windows,
            "alive": counts.tokens > 0,
            "eligible": eligible,
            "inclusion_probability": chances,
            "sampled": sampled,
            "look_order": order,
            "token_share": np.nan,
            "peak_token": "",
            "status": np.where(sampled, "sampled", status).astype(str),
        }
    )
