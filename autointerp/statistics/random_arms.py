"""What a trained dictionary scores above its control arms: random directions, a random encoder, a redrawn subject."""

from collections.abc import Hashable, Mapping

import pandas as pd

from autointerp.statistics.intervals import mean, unpaired

# Architectures that are controls: never part of a comparison, their estimates stand beside the trained ones'.
CONTROL_ARMS = ("random-directions", "random-encoder", "random-subject")


def trained(dictionaries: pd.DataFrame) -> pd.DataFrame:
    """Return the dictionaries that are no control."""
    return dictionaries[~dictionaries["architecture"].isin(CONTROL_ARMS)]


def arm_rows(own: pd.DataFrame, dictionaries: pd.DataFrame, level: float = 0.95) -> list[dict[str, object]]:
    """Set each control arm against the dictionary it was made of: a row per scorer, columns as of the controls' table.

    The value is the trained dictionary's mean score less the arm's, over eligible latents, with a Welch interval.
    `passed`: the interval lies above 0. Else `failed`, in words: a description of what such latents fire on is no
    evidence that training found them. It does not make a run INVALID: scores still measure how well latents can be
    described, and what these are worth is for the reader to say.

    Args:
        own: `latent_scores` rows under control none.
        dictionaries: `tables.DICTIONARIES`; an arm's `source` is the name of its dictionary.
        level: of the interval.
    """
    arms = dictionaries[dictionaries["architecture"].isin(CONTROL_ARMS)]
    rows = []
    for arm in arms.to_dict("records"):
        base = str(arm["source"])
        for scorer in pd.unique(own["scorer"]):
            scores = [_scores(own, name, str(scorer)) for name in (base, str(arm["dictionary"]))]
            if min(map(len, scores)) >= 2:
                rows.append(_row(arm, base, str(scorer), scores, level))
    return rows


def _scores(own: pd.DataFrame, name: str, scorer: str) -> pd.Series:
    return own.loc[(own["dictionary"] == name) & (own["scorer"] == scorer), "score"].dropna()


def _row(
    arm: Mapping[Hashable, object], base: str, scorer: str, scores: list[pd.Series], level: float
) -> dict[str, object]:
    real, random = (mean(part.to_numpy(float)) for part in scores)
    apart = unpaired(random, real)
    low, high = apart.interval(level)
    above, reason = low > 0, ""
    if not above:
        reason = (
            f"{arm['dictionary']} ({arm['architecture']}) scores {random.value:.3f} by {scorer}, {base} "
            f"{real.value:.3f}: {base} is not shown to be above chance structure, so its score does not show what "
            "training learned"
        )
    return {
        "control": str(arm["architecture"]),
        "scorer": scorer,
        "dictionary": base,
        "measure": "score above its control",
        "value": real.value - random.value,
        "low": low,
        "high": high,
        "expected": 0.0,
        "n_latents": len(scores[1]),
        "status": "passed" if above else "failed",
        "reason": reason,
    }
