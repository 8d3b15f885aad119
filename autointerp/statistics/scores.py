"""Judgements -> one score per latent, scorer and control: the unit of every later statistic."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from autointerp.errors import TableError
from autointerp.statistics._answers import CHOOSING, KINDS, RANKING, SHARE_TOLERANCE, UNIT, Answers, read
from autointerp.statistics.base import CHANCE
from autointerp.statistics.intervals import Floats
from autointerp.statistics.items import POSITIVE, placements

# Which negatives a score rests on, unless given: the first of these that a scorer was given. Fuzzing that has silent
# contexts besides still rests on wrong marks: such contexts are known without looking at marks.
PREFERENCE = ("mismarked", "random", "hard")
CARRIED = [
    "architecture",
    "firing_rate_token",
    "firing_rate_window",
    "inclusion_probability",
    "token_share",
    "look_order",
]
LATENT = ["dictionary", "site", "latent"]


def latent_scores(
    judgements: pd.DataFrame,
    latents: pd.DataFrame,
    *,
    scorer: str | None = None,
    control: str | None = "none",
    negatives: Mapping[str, str] | None = None,
    failed: str = "chance",
) -> pd.DataFrame:
    """Score every judged latent by decile-weighted balanced accuracy, in [0, 1], chance .5.

    Balanced accuracy is half the recall over activating contexts, each activation decile weighted by its share of the
    latent's activating contexts, plus half the specificity over `negatives`. It does not depend on the mix of classes,
    so a judge that says always yes, always no, or flips coins expects .5. The score of a scorer that ranks contexts
    (`RANKING`) is the AUROC of positives against `negatives` instead, and its `score_hard` that against hard ones.
    Unanswered items are left out of the score (`score`) and bounded (`score_low` all wrong, `score_high` all right).

    Args:
        judgements: rows of `tables.JUDGEMENTS`.
        latents: rows of `tables.LATENTS`, every latent of every dictionary.
        scorer: one scorer, or None for all.
        control: one control, or None for all.
        negatives: scorer -> kind of negative its score rests on; else the first of mismarked, random, hard it has.
        failed: what a sampled latent without a readable explanation scores: `chance` (.5; 1 / n where one of n contexts
            is picked), `worst` 0, `drop` no row.

    Returns:
        One row per (dictionary, site, latent, scorer, control): `score`, `recall`, `specificity`, `score_hard`,
        `auroc` (NaN where the judge gave no probabilities or no hard negatives were asked), `noise_variance` (of the
        score, from its finite number of items), counts of items, the latent's own columns that estimates need, and
        `n_total`, `n_alive`, `n_eligible` of its dictionary.

    Raises:
        TableError: see `_answers.read`; also shares of a class that exceed 1.

    Source:
        Balanced accuracy instead of accuracy, F1 or MCC: unbiased at any number of items and any class mix.
    """
    kept = judgements
    if scorer is not None:
        kept = kept[kept["scorer"] == scorer]
    if control is not None:
        kept = kept[kept["control"] == control]
    return scores_of(read(kept), latents, negatives=negatives, failed=failed)


def scores_of(
    answers: Answers, latents: pd.DataFrame, *, negatives: Mapping[str, str] | None = None, failed: str = "chance"
) -> pd.DataFrame:
    """Do what `latent_scores` does from coded judgements."""
    frame = answers.units.copy()
    used = primary_kinds(answers, negatives)
    negative = frame["scorer"].map(used).map({kind: place for place, kind in enumerate(KINDS)}).fillna(-1).to_numpy(int)
    rates = _class_rates(answers)
    choosing = frame["scorer"].isin(CHOOSING).to_numpy()
    units = np.arange(len(frame))
    for name in ("rate", "low", "high"):
        recall = rates[name][units, POSITIVE]
        specificity = np.where(negative >= 0, rates[name][units, negative], np.nan)
        score = np.where(choosing, recall, (recall + specificity) / 2)
        frame[{"rate": "score", "low": "score_low", "high": "score_high"}[name]] = score
        if name == "rate":
            frame["recall"], frame["specificity"] = recall, specificity
            frame["score_hard"] = np.where(choosing, np.nan, (recall + rates["rate"][:, KINDS.index("hard")]) / 2)
    frame["negatives"] = [used.get(scorer, "") for scorer in frame["scorer"]]
    variance = rates["variance"]
    both = (variance[units, POSITIVE] + np.where(negative >= 0, variance[units, negative], np.nan)) / 4
    frame["noise_variance"] = np.where(choosing, variance[units, POSITIVE], both)
    frame["auroc"], noise = auroc(answers, negative)
    _rank(frame, answers, noise)
    frame["n_positive"] = rates["answered"][:, POSITIVE]
    frame["n_negative"] = np.where(negative >= 0, rates["answered"][units, negative], 0)
    frame["n_items"] = np.bincount(answers.unit, minlength=len(frame))
    frame["n_unanswered"] = np.bincount(answers.unit[~answers.answered], minlength=len(frame))
    frame["explained"], frame["chance"] = True, _chances(answers)
    return _with_latents(_with_failed(frame, latents, failed), latents)


def _chances(answers: Answers) -> np.ndarray:
    """Return what guessing scores, by unit: .5, or 1 / n where a scorer shows n contexts and one is to be picked."""
    scorer = answers.units["scorer"].to_numpy()
    out = np.full(len(scorer), CHANCE)
    for name in CHOOSING & set(scorer):
        rows = (scorer == name)[answers.unit]
        out[scorer == name] = (answers.kind[rows] == POSITIVE).mean()
    return out


def primary_kinds(answers: Answers, negatives: Mapping[str, str] | None = None) -> dict[str, str]:
    """Say for each scorer which kind of negative its score rests on; the same for all dictionaries compared."""
    given = {} if negatives is None else dict(negatives)
    scorers = answers.units["scorer"].to_numpy()[answers.cell_unit]
    chosen: dict[str, str] = {}
    for scorer in pd.unique(scorers):
        present = {KINDS[kind] for kind in np.unique(answers.cell_kind[scorers == scorer])} - {"positive"}
        wanted = given.get(scorer)
        if wanted is not None and wanted not in present:
            raise TableError(
                f"scores: {scorer} has no negatives of kind {wanted!r}; it has: {', '.join(sorted(present)) or 'none'}"
            )
        kind = wanted or next((kind for kind in PREFERENCE if kind in present), None)
        if kind is not None:
            chosen[str(scorer)] = kind
    return chosen


def _class_rates(answers: Answers) -> dict[str, np.ndarray]:
    """Weigh the cells of each (unit, kind): [units, kinds] rate, its bounds, its sampling variance, items answered."""
    shape = (len(answers.units), len(KINDS))
    place = answers.cell_unit * len(KINDS) + answers.cell_kind

    def total(weights: np.ndarray) -> np.ndarray:
        return np.bincount(place, weights, minlength=shape[0] * shape[1]).reshape(shape)

    share = answers.cell_share
    sums = total(share)
    _refuse_excess(sums, answers)
    seen = answers.cell_answered > 0
    safe = np.maximum(answers.cell_answered, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        answered_share = total(share * seen)
        rate = np.where(answered_share > 0, total(share * seen * answers.cell_correct / safe) / answered_share, np.nan)
        low = np.where(sums > 0, total(share * answers.cell_correct / answers.cell_n) / sums, np.nan)
        lost = answers.cell_n - answers.cell_answered
        high = np.where(sums > 0, total(share * (answers.cell_correct + lost) / answers.cell_n) / sums, np.nan)
        # Kish's effective number of items under the strata's weights; p(1 - p) / (n - 1) is unbiased for the variance.
        weight_sq = total(seen * share**2 / safe)
        n_eff = np.where(weight_sq > 0, answered_share**2 / weight_sq, 0.0)
        variance = np.where(n_eff > 1, rate * (1 - rate) / (n_eff - 1), np.where(n_eff > 0, 0.25, np.nan))
    answered = total(answers.cell_answered.astype(np.float64)).astype(np.int64)
    return {"rate": rate, "low": low, "high": high, "variance": variance, "answered": answered}


def _refuse_excess(sums: np.ndarray, answers: Answers) -> None:
    """The strata of one class are parts of a whole."""
    if (sums > 1 + 1e3 * SHARE_TOLERANCE).any():
        unit, kind = (int(axis[0]) for axis in np.nonzero(sums > 1 + 1e3 * SHARE_TOLERANCE))
        name = answers.units.iloc[unit]
        raise TableError(
            f"judgements: stratum_share of {name['dictionary']} latent {name['latent']} {name['scorer']} sums to "
            f"{sums[unit, kind]:.4g} over its {KINDS[kind]} strata; shares of one class must sum to 1"
        )


def _rank(frame: pd.DataFrame, answers: Answers, noise: Floats) -> None:
    """Put the AUROC in place of the score of scorers that rank; unanswered items bound it by their share of pairs."""
    ranking = frame["scorer"].isin(RANKING).to_numpy()
    if not ranking.any():
        return
    hard = np.where(ranking, KINDS.index("hard"), -1)
    lost = np.bincount(answers.unit[~answers.answered], minlength=len(frame))
    known = (1 - lost / np.bincount(answers.unit, minlength=len(frame))).clip(0, 1) ** 2
    score = np.nan_to_num(frame["auroc"].to_numpy(float))
    for name, values in (
        ("score", frame["auroc"]),
        ("score_hard", auroc(answers, hard)[0]),
        ("noise_variance", noise),
        ("score_low", known * score),
        ("score_high", known * score + 1 - known),
    ):
        frame[name] = np.where(ranking, values, frame[name])


def auroc(answers: Answers, negative: np.ndarray) -> tuple[Floats, Floats]:
    """Rank each unit's positives against its negatives by P(yes), in [0, 1], chance .5, NaN without both.

    Never pooled over latents: judges' thresholds differ between latents, which would hide perfect ranking.
    Positives are weighted by their stratum's share; ties count half.

    Returns:
        [units] the AUROC, and its variance from the unit's finite number of items (DeLong's).
    """
    n_units = len(answers.units)
    value, weight = placements(answers, negative)
    known = ~np.isnan(value)
    found, variance = np.full((2, n_units), np.nan), np.zeros(n_units)
    for row, rows in enumerate((known & (answers.kind == POSITIVE), known & (answers.kind != POSITIVE))):
        unit, w, v = answers.unit[rows], weight[rows], value[rows]
        total, mass, squares = (np.bincount(unit, part, minlength=n_units) for part in (w * v, w, w**2))
        total = np.divide(total, mass, out=np.zeros(n_units), where=mass > 0)  # exactly 1 where all placements are
        spread = np.bincount(unit, w * (v - total[unit]) ** 2, minlength=n_units)
        found[row] = np.where(squares > 0, total, np.nan)
        variance += np.divide(spread * squares, 1 - squares, out=np.full(n_units, 0.25), where=squares < 1 - 1e-12)
    return found[0], np.where(np.isnan(found[0]), np.nan, variance)


def _with_failed(frame: pd.DataFrame, latents: pd.DataFrame, failed: str) -> pd.DataFrame:
    """Add a row for each sampled latent whose explanation failed, per scorer, under control `none`."""
    lost = latents[latents["status"] == "explanation_failed"]
    scorers: Sequence[str] = list(pd.unique(frame.loc[frame["control"] == "none", "scorer"]))
    if failed == "drop" or lost.empty or not scorers:
        return frame
    chances = frame.groupby("scorer", observed=True)["chance"].first()
    rows = pd.concat([lost[LATENT].assign(scorer=scorer, control="none") for scorer in scorers], ignore_index=True)
    known = pd.MultiIndex.from_frame(frame[UNIT])
    rows = rows[~pd.MultiIndex.from_frame(rows[UNIT]).isin(known)]
    chance = rows["scorer"].map(chances)
    score = chance if failed == "chance" else 0.0
    rows = rows.assign(
        chance=chance,
        score=score,
        score_low=score,
        score_high=score,
        recall=score,
        specificity=score,
        noise_variance=0.0,
        n_positive=0,
        n_negative=0,
        n_items=0,
        n_unanswered=0,
        explained=False,
        negatives="",
    )
    return pd.concat([frame, rows], ignore_index=True)


def _with_latents(frame: pd.DataFrame, latents: pd.DataFrame) -> pd.DataFrame:
    """Join the latents' own columns and their dictionary's totals."""
    totals = _totals(latents)
    kept = latents[[*LATENT, *(column for column in CARRIED if column in latents.columns)]]
    if kept.duplicated(LATENT).any():
        raise TableError(f"latents: {int(kept.duplicated(LATENT).sum())} latents appear twice; were two runs appended?")
    joined = frame.merge(kept, on=LATENT, how="left", validate="many_to_one", indicator=True)
    # Planted latents belong to no dictionary under study; they stand in the judgements only.
    planted = joined["control"] == "planted"
    joined.loc[planted, "inclusion_probability"] = 1.0
    strangers = (joined["_merge"] == "left_only") & ~planted
    if strangers.any():
        row = joined[strangers].iloc[0]
        raise TableError(
            f"judgements: {int(strangers.sum())} scored latents are not in the latents table, first "
            f"{row['dictionary']} {row['latent']}; the two tables are not of one run"
        )
    _check_inclusion(joined)
    joined = joined.drop(columns="_merge").join(totals, on="dictionary")
    _check_eligible(joined[~planted.to_numpy()])
    rank = {name: place for place, name in enumerate(pd.unique(latents["dictionary"]))}
    joined["_rank"] = joined["dictionary"].map(rank)
    ordered = joined.sort_values(["_rank", "site", "scorer", "control", "latent"], kind="stable")
    return ordered.drop(columns="_rank").reset_index(drop=True)


def _totals(latents: pd.DataFrame) -> pd.DataFrame:
    """Count each dictionary's latents, and estimate how many of those that could be drawn cannot be judged.

    A latent that was drawn and then left out (too few windows that may be judged on) stands for others like it that
    were not drawn: `judgeable` is the design-weighted share of drawn latents that were not left out, times the share
    that could be drawn; `judgeable_variance` is the variance of that estimate, 0 where none was left out.
    """
    totals = latents.groupby("dictionary", sort=False, observed=True).agg(
        n_total=("latent", "size"),
        n_alive=("alive", "sum"),
        n_eligible=("eligible", "sum"),
        n_sampled=("sampled", "sum"),
    )
    chance = latents["inclusion_probability"].to_numpy(np.float64, na_value=0.0)
    eligible, sampled = latents["eligible"].to_numpy(bool), latents["sampled"].to_numpy(bool)
    left_out = (chance > 0) & ~eligible & ~sampled
    drawn = (sampled | left_out) & (chance > 0)
    by = latents["dictionary"].to_numpy()
    drawable = pd.Series(eligible | (chance > 0)).groupby(by, sort=False).mean()
    weight = np.divide(1.0, chance, out=np.zeros(len(chance)), where=drawn)
    sums = pd.DataFrame({"w": weight, "out": weight * left_out}).groupby(by, sort=False).sum()
    share = (sums["out"] / sums["w"].where(sums["w"] > 0)).fillna(0.0)
    moved = weight * (left_out - share.reindex(by).to_numpy()) / np.maximum(sums["w"].reindex(by).to_numpy(), 1e-300)
    variance = pd.Series(moved**2).groupby(by, sort=False).sum()
    totals["judgeable"] = drawable * (1 - share)
    totals["judgeable_variance"] = drawable**2 * variance
    return totals


def _check_eligible(joined: pd.DataFrame) -> None:
    """A dictionary whose latents were scored has some that could be."""
    none = joined[joined["n_eligible"] == 0]
    if len(none):
        raise TableError(
            f"latents: no latent of {none['dictionary'].iloc[0]} is eligible, yet {len(none)} of its scores "
            "are here; the two tables are not of one run"
        )


def _check_inclusion(joined: pd.DataFrame) -> None:
    """A latent that was scored had a chance to be drawn."""
    chance = joined["inclusion_probability"].to_numpy(np.float64, na_value=np.nan)
    bad = ~((chance > 0) & (chance <= 1 + SHARE_TOLERANCE))
    if bad.any():
        row = joined[bad].iloc[0]
        raise TableError(
            f"latents: inclusion_probability {row['inclusion_probability']} of scored {row['dictionary']} latent "
            f"{row['latent']} is not in (0, 1]"
        )
