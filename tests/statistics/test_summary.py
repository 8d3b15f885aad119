"""From the tables of a run to its estimates, comparisons and controls."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from autointerp.errors import TableError
from autointerp.statistics import POPULATIONS, latent_scores, summarise, validity
from tests.helpers.simulate import Arm, Run, simulate


def test_every_dictionary_scorer_and_population_has_a_finite_estimate_and_comparison() -> None:
    run = simulate()
    found = summarise(run.tables)
    numbers = found.estimates.select_dtypes("number")
    assert np.isfinite(numbers.to_numpy(float)).all()
    assert set(found.estimates["population"]) == set(POPULATIONS)
    assert len(found.comparisons) == 3 * 2 * 4  # three contrasts, two scorers, four populations
    assert np.isfinite(found.comparisons.select_dtypes("number").to_numpy(float)).all()
    json.dumps(found.summary, allow_nan=False)


def test_a_better_arm_is_called_better_and_equal_arms_never_are() -> None:
    """sae .7, transcoder .8, skip .8: only the first contrasts may be 'better'."""
    run = simulate(
        [
            Arm(name="sae", mean=0.65, n_total=900, n_eligible=800, n_sampled=300),
            Arm(name="tc", architecture="transcoder", n_total=900, n_eligible=800, n_sampled=300),
        ]
    )
    found = summarise(run.tables)
    own = found.comparisons[found.comparisons["population"] == "eligible"]
    assert set(own["verdict"]) == {"better"}
    assert all(line["words"].endswith("scores higher") for line in found.summary["headlines"])  # type: ignore[union-attr]


def test_a_leaking_control_makes_every_verdict_invalid() -> None:
    run = simulate(shuffled=0.7)
    found = summarise(run.tables)
    assert found.summary["controls"]["verdict"] == "INVALID"  # type: ignore[index]
    assert set(found.comparisons["verdict"]) == {"invalid"}


def leaking_in_fuzzing(seed: int = 0) -> Run:
    """Make a run whose shuffled explanations score .7 in fuzzing, and .5 in detection."""
    sound, leaking = simulate(seed=seed), simulate(seed=seed, shuffled=0.7)
    rows = [
        run.judgements[((run.judgements["control"] == "shuffled") & (run.judgements["scorer"] == "fuzzing")) == taken]
        for run, taken in ((sound, False), (leaking, True))
    ]
    return replace(sound, judgements=pd.concat(rows, ignore_index=True))


def test_a_failed_control_takes_the_verdicts_of_its_own_scorer_only() -> None:
    """The run is INVALID; detection's verdicts are those of the run whose controls all hold, fuzzing has none."""
    sound, run = simulate(), leaking_in_fuzzing()
    before, after = (summarise(one.tables) for one in (sound, run))
    found = after.summary["controls"]
    assert before.summary["controls"]["verdict"] != "INVALID"  # type: ignore[index]
    assert found["verdict"] == "INVALID"  # type: ignore[index]
    assert found["scorers"]["fuzzing"] == "INVALID"  # type: ignore[index]
    assert found["scorers"]["detection"] == before.summary["controls"]["scorers"]["detection"]  # type: ignore[index]
    is_fuzzing = after.comparisons["scorer"] == "fuzzing"
    assert set(after.comparisons.loc[is_fuzzing, "verdict"]) == {"invalid"}
    kept = after.comparisons.loc[~is_fuzzing, "verdict"]
    assert kept.tolist() == before.comparisons.loc[before.comparisons["scorer"] == "detection", "verdict"].tolist()
    assert "invalid" not in set(kept)
    assert validity.warning(found).startswith("INVALID for fuzzing: a control of fuzzing failed")  # type: ignore[arg-type]
    assert "INVALID for fuzzing" in validity.in_words(found)  # type: ignore[arg-type]


def test_missing_judgements_of_one_scorer_take_all_scorers() -> None:
    """The judge is one: what it leaves unanswered is not told apart by scorer."""
    run = simulate()
    rows = run.judgements["scorer"].eq("fuzzing") & run.judgements["control"].eq("none")
    lost = run.judgements[rows].sample(frac=0.1, random_state=0).index
    table = run.judgements.copy()
    table.loc[lost, "answer"], table.loc[lost, "probability"] = "unanswered", np.nan
    found = summarise(replace(run, judgements=table).tables)
    assert found.summary["controls"]["scorers"] == {"detection": "INVALID", "fuzzing": "INVALID"}  # type: ignore[index]
    assert set(found.comparisons["verdict"]) == {"invalid"}


def test_a_summary_that_does_not_tell_scorers_apart_is_invalid_as_a_whole() -> None:
    """A run written by an earlier version."""
    old = {"verdict": "INVALID", "reasons": ["x"]}
    assert validity.warning(old) == "INVALID: a control of this run failed; these are not results"
    assert (validity.in_words(old), validity.in_words({}), validity.warning({})) == ("INVALID", "not run", "")


def test_an_arm_without_eligible_latents_is_listed_as_skipped_with_its_reason() -> None:
    run = simulate([Arm(name="sae"), Arm(name="tc", architecture="transcoder", n_eligible=0, n_sampled=0)])
    found = summarise(run.tables)
    assert found.comparisons.empty
    assert any("tc" in line["what"] for line in found.summary["skipped"])  # type: ignore[index]


def test_rows_appended_twice_are_refused() -> None:
    run = simulate()
    twice = run.judgements.iloc[[*range(len(run.judgements)), 0]]
    with pytest.raises(TableError, match="repeat a judgement"):
        latent_scores(twice, run.latents)
