"""What people hand over by accident: a clear refusal, or an honest wide interval; never NaN in a table."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from autointerp.errors import TableError
from autointerp.statistics import compare, estimate, latent_scores, summarise
from autointerp.statistics.intervals import mean
from tests.helpers.simulate import Arm, Run, simulate
from tests.statistics.test_laws import scores_frame

ARMS = [Arm(name="sae"), Arm(name="tc", architecture="transcoder")]


def finite(table: pd.DataFrame) -> bool:
    """No NaN; null only in the columns of controls that were not run."""
    kept = table.drop(
        columns=["BA_shuffled_a", "BA_shuffled_b", "J_star_diff", "J_star_lo", "J_star_hi"], errors="ignore"
    )
    return bool(np.isfinite(kept.select_dtypes("number").to_numpy(float)).all())


def only(run: Run, n_latents: int) -> Run:
    """Keep the judgements of the first latents of every dictionary."""
    own = run.judgements["control"] == "none"
    names = run.judgements[own].drop_duplicates(["dictionary", "latent"]).groupby("dictionary").head(n_latents)
    keys = pd.MultiIndex.from_frame(names[["dictionary", "latent"]])
    kept = pd.MultiIndex.from_frame(run.judgements[["dictionary", "latent"]]).isin(keys)
    return Run(
        judgements=run.judgements[kept & own].reset_index(drop=True),
        latents=run.latents,
        dictionaries=run.dictionaries,
        reconstruction=run.reconstruction,
    )


def test_one_latent_gives_the_widest_interval_and_no_verdict() -> None:
    run = only(simulate(ARMS, seed=1), 1)
    found = summarise(run.tables)
    rows = found.estimates[(found.estimates["statistic"] == "score") & (found.estimates["population"] == "eligible")]
    assert (rows["low"] == 0).all()
    assert (rows["high"] == 1).all()
    assert set(found.comparisons["verdict"]) == {"inconclusive", "exploratory"}
    assert finite(found.estimates)
    assert finite(found.comparisons)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_scores_without_variance_still_get_an_interval(value: float) -> None:
    """Twenty perfect latents do not prove a perfect dictionary: 1 - .025^(1/20) = .168 may be elsewhere."""
    found = estimate(scores_frame(np.full(20, value)))
    assert found.high - found.low > 0.08
    assert found.low <= value <= found.high
    if value == 1.0:
        assert found.low == pytest.approx(1 - (1 - 0.025 ** (1 / 20)))


def test_two_constant_arms_compare_without_nan() -> None:
    found = compare(scores_frame(np.full(20, 1.0), "a"), scores_frame(np.full(20, 1.0), "b"), design="unpaired")
    assert finite(found)
    assert set(found["verdict"]) == {"inconclusive", "exploratory"}


def test_all_unanswered_is_invalid_and_listed() -> None:
    run = simulate(ARMS, seed=2)
    table = run.judgements.assign(answer="unanswered", probability=np.nan)
    found = summarise(replace(run, judgements=table).tables)
    assert found.estimates.empty
    assert found.comparisons.empty
    assert found.summary["controls"]["verdict"] == "INVALID"  # type: ignore[index]
    assert len(found.summary["skipped"]) >= 3  # type: ignore[arg-type]


def test_some_unanswered_are_bounded_on_both_sides() -> None:
    run = simulate([Arm(name="sae", missing=0.1), Arm(name="tc", architecture="transcoder")], seed=3)
    found = summarise(run.tables)
    rows = found.estimates[(found.estimates["dictionary"] == "sae") & (found.estimates["statistic"] == "score")]
    assert (rows["missing_low"] < rows["value"]).all()
    assert (rows["value"] < rows["missing_high"]).all()
    assert rows["missing_share"].between(0.05, 0.15).all()
    assert found.summary["controls"]["verdict"] == "INVALID"  # type: ignore[index]


def test_an_empty_arm_is_refused_by_compare() -> None:
    with pytest.raises(TableError, match="second arm has no scored latent"):
        compare(scores_frame(np.array([0.5, 0.6])), scores_frame(np.array([])))


def test_duplicated_rows_are_refused_naming_the_first() -> None:
    run = simulate(ARMS, seed=4)
    twice = pd.concat([run.judgements, run.judgements.iloc[[5]]], ignore_index=True)
    with pytest.raises(TableError, match=r"1 rows repeat a judgement, first sae latent"):
        latent_scores(twice, run.latents)


def test_nan_probabilities_leave_the_score_and_only_cost_the_auroc() -> None:
    run = simulate(ARMS, seed=5)
    blank = run.judgements.assign(probability=np.nan)
    first, second = latent_scores(run.judgements, run.latents), latent_scores(blank, run.latents)
    assert (first["score"] == second["score"]).all()
    found = summarise(replace(run, judgements=blank).tables)
    assert "auroc" not in set(found.estimates["statistic"])
    assert finite(found.estimates)


@pytest.mark.parametrize("share", [0.5, 0.0, -0.1, np.nan])
def test_weights_that_do_not_sum_are_refused(share: float) -> None:
    run = simulate(ARMS, seed=6)
    positive = run.judgements["kind"] == "positive"
    table = run.judgements.assign(stratum_share=run.judgements["stratum_share"].where(~positive, share))
    with pytest.raises(TableError, match="stratum_share"):
        latent_scores(table, run.latents)


def test_an_inclusion_probability_outside_its_range_is_refused() -> None:
    run = simulate(ARMS, seed=7)
    with pytest.raises(TableError, match="inclusion_probability"):
        latent_scores(run.judgements, run.latents.assign(inclusion_probability=0.0))


def test_latents_of_another_run_are_refused() -> None:
    run = simulate(ARMS, seed=8)
    with pytest.raises(TableError, match="not of one run"):
        latent_scores(run.judgements, run.latents[run.latents["dictionary"] == "sae"])


def test_a_missing_column_and_a_strange_answer_are_named() -> None:
    run = simulate(ARMS, seed=9)
    with pytest.raises(TableError, match="stratum_share"):
        latent_scores(run.judgements.drop(columns="stratum_share"), run.latents)
    with pytest.raises(TableError, match="'maybe' is unknown; allowed: no, yes, unanswered"):
        latent_scores(run.judgements.assign(answer="maybe"), run.latents)


def test_a_failed_explanation_scores_chance_drops_or_scores_zero_as_told() -> None:
    run = simulate(ARMS, seed=10)
    gone = run.latents[run.latents["sampled"]].iloc[0]
    lost = (run.judgements["dictionary"] == gone["dictionary"]) & (run.judgements["latent"] == gone["latent"])
    latents = run.latents.copy()
    latents.loc[gone.name, "status"] = "explanation_failed"
    for failed, expected in (("chance", 0.5), ("worst", 0.0)):
        scores = latent_scores(run.judgements[~lost], latents, scorer="detection", failed=failed)
        row = scores[(scores["dictionary"] == gone["dictionary"]) & (scores["latent"] == gone["latent"])]
        assert row["score"].tolist() == [expected]
    dropped = latent_scores(run.judgements[~lost], latents, scorer="detection", failed="drop")
    assert len(dropped) == len(scores) - 1


def test_a_mean_of_nothing_or_of_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one value"):
        mean(np.array([]))
    with pytest.raises(ValueError, match="finite"):
        mean(np.array([0.5, np.nan]))


def test_an_intruder_that_cannot_be_judged_counts_as_one_in_five() -> None:
    """Guessing one of five contexts is right in .2: a failed latent scores .2, and so does what ITI cannot judge."""
    arm = Arm(name="a", n_total=100, n_eligible=40, n_sampled=10)
    run = simulate([arm], seed=31, scorers=("detection",))
    own = run.judgements[run.judgements["control"] == "none"].sort_values(["latent", "position"], kind="stable")
    place = own.groupby("latent").cumcount() % 5
    question = own.groupby("latent").cumcount() // 5
    table = own.assign(
        scorer="intruder",
        kind=np.where(place == 0, "positive", "random"),
        truth=place == 0,
        stratum=0,
        stratum_share=1.0,
        answer=np.where(place == 0, "yes", "no"),
        question_id=[f"{latent}-{q}" for latent, q in zip(own["latent"], question, strict=True)],
    )
    gone = run.latents[run.latents["sampled"]].iloc[0]["latent"]
    latents = run.latents.copy()
    latents.loc[latents["latent"] == gone, "status"] = "explanation_failed"
    scores = latent_scores(table[table["latent"] != gone], latents)
    assert scores.set_index("latent")["score"].to_dict()[gone] == pytest.approx(0.2)
    judged = scores[scores["latent"] != gone]
    assert (judged["score"] == 1).all()
    assert estimate(judged, population="iti").value == pytest.approx(0.4 * 1 + 0.6 * 0.2)
