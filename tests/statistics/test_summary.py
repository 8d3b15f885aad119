"""From the tables of a run to its estimates, comparisons and controls."""

import json

import numpy as np
import pytest

from autointerp.errors import TableError
from autointerp.statistics import POPULATIONS, latent_scores, summarise
from tests.helpers.simulate import Arm, simulate


def test_every_dictionary_scorer_and_population_has_a_finite_estimate_and_comparison() -> None:
    run = simulate()
    found = summarise(run.judgements, run.latents, run.dictionaries, run.reconstruction)
    numbers = found.estimates.select_dtypes("number")
    assert np.isfinite(numbers.to_numpy(float)).all()
    assert set(found.estimates["population"]) == set(POPULATIONS)
    assert len(found.comparisons) == 3 * 2 * 4  # three contrasts, two scorers, four populations
    assert np.isfinite(found.comparisons.select_dtypes("number").to_numpy(float)).all()
    json.dumps(found.summary, allow_nan=False)


def test_a_better_arm_is_called_better_and_equal_arms_never_are() -> None:
    """sae .7, transcoder .8, skip .8: only the first contrasts may be 'better'."""
    run = simulate([Arm(name="sae", mean=0.65, n_total=900, n_eligible=800, n_sampled=300),
                    Arm(name="tc", architecture="transcoder", n_total=900, n_eligible=800, n_sampled=300)])  # fmt: skip
    found = summarise(run.judgements, run.latents, run.dictionaries)
    own = found.comparisons[found.comparisons["population"] == "eligible"]
    assert set(own["verdict"]) == {"better"}
    assert all(line["words"].endswith("scores higher") for line in found.summary["headlines"])  # type: ignore[union-attr]


def test_a_leaking_control_makes_every_verdict_invalid() -> None:
    run = simulate(shuffled=0.7)
    found = summarise(run.judgements, run.latents, run.dictionaries)
    assert found.summary["controls"]["verdict"] == "INVALID"  # type: ignore[index]
    assert set(found.comparisons["verdict"]) == {"invalid"}


def test_an_arm_without_eligible_latents_is_listed_as_skipped_with_its_reason() -> None:
    run = simulate([Arm(name="sae"), Arm(name="tc", architecture="transcoder", n_eligible=0, n_sampled=0)])
    found = summarise(run.judgements, run.latents, run.dictionaries)
    assert found.comparisons.empty
    assert any("tc" in line["what"] for line in found.summary["skipped"])  # type: ignore[index]


def test_rows_appended_twice_are_refused() -> None:
    run = simulate()
    twice = run.judgements.iloc[[*range(len(run.judgements)), 0]]
    with pytest.raises(TableError, match="repeat a judgement"):
        latent_scores(twice, run.latents)
