"""Do two dictionaries' latents of one index belong together? They do in checkpoints of one training run."""

import numpy as np
import pandas as pd

# Share of the smaller sample that both must have scored.
PAIRED_SHARE = 0.5
# Latents of one index keep most of their firing rate from checkpoint to checkpoint; in unrelated dictionaries the
# correlation of log rates is about 0.
LEAST_RATE_CORRELATION = 0.5


def same_latents(first: pd.Series, second: pd.Series) -> bool:
    """Tell from the firing rates of latents of equal index whether they are the same latents.

    A wrong yes would only cost power, since pairs that have nothing in common are still a fair sample of differences.
    """
    a, b = (np.log(np.maximum(side.to_numpy(float), 1e-12)) for side in (first, second))
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return bool(np.array_equal(a, b))
    return float(np.corrcoef(a, b)[0, 1]) >= LEAST_RATE_CORRELATION


def join_pairs(a: pd.DataFrame, b: pd.DataFrame, *, force: bool = False) -> pd.DataFrame | None:
    """Join the scores of latents that two dictionaries of one training run both have, or None where they are strangers.

    Args:
        a: scores of one dictionary and scorer.
        b: the same of the other.
        force: join whatever they share.
    """
    both = a.merge(b, on="latent", suffixes=("_a", "_b"))
    if force:
        return both
    alike = all(a[column].iloc[0] == b[column].iloc[0] for column in ("architecture", "site"))
    enough = len(both) >= max(2, PAIRED_SHARE * min(len(a), len(b)))
    if alike and enough and same_latents(both["firing_rate_token_a"], both["firing_rate_token_b"]):
        return both
    return None
