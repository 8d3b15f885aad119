"""Promises of words, plans and controls, counted in simulated runs of known truth through the public entry points.

Fast versions run a few dozen runs and catch gross errors; 1,000 runs or more are marked slow. The Monte Carlo standard
error of a rate p in r runs is sqrt(p (1 - p) / r); bands are exact binomial 99.9 % ones around what is promised.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from autointerp.errors import TableError
from autointerp.statistics import StatisticsConfig, Summary, latent_scores, summarise, validity
from autointerp.statistics.intervals import Difference, mean, quadratic_form
from autointerp.statistics.judge import judge_correct
from autointerp.statistics.multiplicity import holm
from autointerp.statistics.reliability import retest
from autointerp.statistics.verdict_power import Study, effective_share
from tests.helpers.population import World, draw
from tests.statistics.test_known_answers import band
from tests.statistics.test_laws import scores_frame

FEW_OR_MANY = [4, pytest.param(1000, marks=pytest.mark.slow)]
DIFFERS = ("better", "worse")


def runs(world: World, r: int, first: int = 0) -> Iterator[Summary]:
    for seed in range(first, first + r):
        yield summarise(draw(world, seed))


@dataclass(frozen=True)
class NullRun:
    """A run in which nothing is to be found: verdicts and tests by family, and whether its controls failed."""

    words: list[str]
    families: set[tuple[str, str]]  # of comparisons: family, verdict
    real_rates: pd.DataFrame
    controls: str


@pytest.fixture(scope="module", params=FEW_OR_MANY)
def null_runs(request: pytest.FixtureRequest) -> list[NullRun]:
    """Three equal dictionaries by two scorers, with shuffled explanations at exactly chance."""
    world = World(shifts=(0.0, 0.0, 0.0), n=60, n_shuffled=40)
    return [
        NullRun(
            verdicts(found),
            {(str(row["family"]), str(row["verdict"])) for row in found.comparisons.to_dict("records")},
            found.prevalence_comparisons,
            str(found.summary["controls"]["verdict"]),  # type: ignore[index]
        )
        for found in runs(world, request.param)
    ]


def verdicts(found: Summary) -> list[str]:
    return [str(row["verdict"]) for row in found.summary["headlines"]]  # type: ignore[union-attr]


# Row 1: the plan


@pytest.mark.parametrize("rate_sd", [1.0, 2.0])
@pytest.mark.parametrize("r", [2000])
def test_the_share_of_effective_latents_is_that_of_the_sampling(rate_sd: float, r: int) -> None:
    """Kish's n_eff / n of real draws from 20,000 latents, against the closed form."""
    from autointerp.collection.sample import weights as shares_of

    rng = np.random.default_rng(1)
    found = []
    for _ in range(r // 100):
        chance = np.minimum(1, 200 * shares_of(np.exp(rng.normal(0, rate_sd, 20_000)), 0.5))
        weights = 1 / chance[rng.random(20_000) < chance]
        found.append(weights.sum() ** 2 / (weights**2).sum() / len(weights))
    assert np.mean(found) == pytest.approx(effective_share(0.5, rate_sd), abs=0.03)


def test_the_simulated_power_of_one_test_is_the_closed_form() -> None:
    """A single comparison by one scorer, so that Holm has nothing to adjust but the two populations' equal tests."""
    study = Study(kind="ni", margin=0.02, alpha=0.05, spread=0.03, scorers=1)
    n = int(np.ceil(0.03 * (stats.norm.ppf(0.95) + stats.norm.ppf(0.8)) ** 2 / 0.02**2))
    assert study.power(n)[0] == pytest.approx(0.8, abs=0.012)


def test_vectorised_holm_equals_statsmodels() -> None:
    p = np.random.default_rng(3).random((5, 7)) ** 3  # each call of statsmodels collects garbage
    expected = np.array([multipletests(row, method="holm")[1] for row in p])
    assert np.allclose(holm(p), expected)


# Row 3 and 12: controls


def test_a_control_that_fails_in_one_arm_invalidates_its_comparisons_only() -> None:
    """Shuffled .57, .5 and .5 in three dictionaries: what is compared with the first is invalid, the rest is not."""
    world = World(shifts=(0.0, 0.0, 0.0), shuffled=(0.57, 0.5, 0.5), n_shuffled=120)
    found = summarise(draw(world, 3))
    own = found.comparisons[found.comparisons["population"] == "eligible"]
    touched = (own["a"] == "arm0") | (own["b"] == "arm0")
    assert set(own.loc[touched, "verdict"]) == {"invalid"}
    assert "invalid" not in set(own.loc[~touched, "verdict"])
    assert own.loc[touched, "reason"].str.contains("shuffled").all()
    controls = found.summary["controls"]
    assert controls["verdict"] == "INVALID"  # type: ignore[index]
    assert "INVALID for arm0" in validity.in_words(controls)  # type: ignore[arg-type]


def test_shuffled_explanations_must_not_tell_hard_negatives_apart_either() -> None:
    """In one dictionary hard negatives give themselves away: its score is at chance, its hard score .57 fails."""
    run = draw(World(shifts=(0.0, 0.0), shuffled=(0.5, 0.5), n_shuffled=120), 4)
    some = (run.judgements["control"] == "shuffled") & (run.judgements["kind"] == "random")
    hard = run.judgements[some].assign(kind="hard")
    hard["window_id"] += 10**6
    rng = np.random.default_rng(0)
    turned = (hard["dictionary"] == "arm0") & (hard["answer"] == "yes") & (rng.random(len(hard)) < 0.28)
    hard.loc[turned, "answer"] = "no"
    found = summarise(replace(run, judgements=pd.concat([run.judgements, hard], ignore_index=True)))
    rows = found.controls[found.controls["control"] == "shuffled"].set_index(["scorer", "measure", "dictionary"])
    for scorer in ("detection", "fuzzing"):
        assert rows.loc[(scorer, "score_hard", "arm0"), "value"] == pytest.approx(0.57, abs=0.02)
        assert rows.loc[(scorer, "score_hard", "arm0"), "status"] == "failed"
        assert "against hard negatives in arm0" in str(rows.loc[(scorer, "score_hard", "arm0"), "reason"])
        assert rows.loc[(scorer, "score_hard", "arm1"), "status"] != "failed"
        assert rows.loc[(scorer, "score", "arm0"), "status"] != "failed"
    assert "INVALID for arm0" in validity.in_words(found.summary["controls"])  # type: ignore[arg-type]


def test_sound_controls_are_rarely_called_failed(null_runs: list[NullRun]) -> None:
    """Three dictionaries by two scorers at exactly chance: 8 tests of each scorer at .01, Bonferroni within kinds."""
    assert np.mean([run.controls == "INVALID" for run in null_runs]) <= band(0.06, len(null_runs))[1]


def test_a_run_without_controls_is_not_checked_and_one_whose_controls_are_lost_is_undecided() -> None:
    run = draw(World(n=40), 5)
    assert summarise(run).summary["controls"]["verdict"] == "not checked"  # type: ignore[index]
    settings = {"protocol": {"controls": {"n_shuffled": 30, "n_empty": 0, "n_planted": 0}}}
    lost = summarise(replace(run, manifests=(settings,)))
    assert lost.summary["controls"]["verdict"] == "undecided"  # type: ignore[index]
    row = lost.controls[lost.controls["measure"] == "asked"].iloc[0]
    assert (row["control"], row["expected"]) == ("shuffled", 30)


def test_a_broken_explainer_invalidates_its_dictionary() -> None:
    """Half of one dictionary's explanations failed, and another's are one sentence."""
    run = draw(World(n=60, shifts=(0.0, 0.0, 0.0)), 6)
    latents = run.latents.copy()
    first = latents.index[(latents["dictionary"] == "arm0") & latents["sampled"]][::2]
    gone = pd.MultiIndex.from_frame(latents.loc[first, ["dictionary", "latent"]])
    kept = ~pd.MultiIndex.from_frame(run.judgements[["dictionary", "latent"]]).isin(gone)
    latents.loc[first, "status"] = "explanation_failed"
    texts = latents.loc[latents["sampled"], ["dictionary", "latent"]]
    text = np.where(texts["dictionary"] == "arm1", "tokens in text", "about " + texts["latent"].astype(str))
    found = summarise(
        replace(run, latents=latents, judgements=run.judgements[kept], explanations=texts.assign(text=text))
    )
    reasons = " ".join(found.summary["controls"]["reasons"])  # type: ignore[index]
    assert "arm0" in reasons
    assert "no readable explanation" in reasons
    assert "arm1" in reasons
    assert "share 1 explanations" in reasons
    assert set(found.comparisons["verdict"]) == {"invalid"}


# Row 4: both populations


def test_equal_scores_are_not_equivalent_where_many_latents_of_one_arm_are_dead() -> None:
    """40 % of the second dictionary is dead: all latents score lower, and the headline says both."""
    config = StatisticsConfig(margin=0.06)
    found = summarise(draw(World(n=500, n_latents=1500, dead=(0.0, 0.4)), 7), config)
    own = found.comparisons[found.comparisons["population"] == "eligible"]
    assert (own["p_tost"] < 0.01).all()
    assert "equivalent" not in set(own["verdict"])
    for row in found.summary["headlines"]:  # type: ignore[union-attr]
        assert "over all latents" in row["words"]
        assert row["all_latents"]["verdict"] == "worse"
    alike = summarise(draw(World(n=500, n_latents=1500), 7), config)
    assert set(verdicts(alike)) == {"equivalent"}


# Row 6: families


def test_equal_dictionaries_are_rarely_told_apart_in_any_headline(null_runs: list[NullRun]) -> None:
    """Three equal dictionaries by two scorers: P(any `better` or `worse`) <= .05; each word is adjusted."""
    for run in (run for run in null_runs if run.controls != "INVALID"):
        assert all((family == "exploratory") == (verdict == "exploratory") for family, verdict in run.families)
    any_word = [any(word.startswith(DIFFERS) for word in run.words) for run in null_runs]
    assert np.mean(any_word) <= band(0.05, len(null_runs))[1]


# Row 7: latents left out after they were drawn


@pytest.mark.parametrize("r", [300, pytest.param(3000, marks=pytest.mark.slow)])
def test_latents_left_out_after_the_draw_count_as_chance_for_those_like_them(r: int) -> None:
    """A third of the latents cannot be judged, which only shows once drawn; mean .8 of the others: ITI .5 + .2 = .7."""
    rng = np.random.default_rng(8)
    total, n = 900, 150
    bad = np.arange(total) % 3 == 0
    truth = 0.5 + (2 / 3) * 0.3
    values, hits = [], 0
    for _ in range(r):
        chance = n * (0.5 / total + 0.5 * (w := np.exp(rng.normal(0, 1, total))) / w.sum())
        drawn = rng.random(total) < chance
        latents = pd.DataFrame({
            "dictionary": "d", "architecture": "sae", "site": "d", "latent": np.arange(total), "alive": True,
            "eligible": ~(drawn & bad), "sampled": drawn & ~bad, "inclusion_probability": chance,
            "firing_rate_token": 0.01, "status": "scored",
        })  # fmt: skip
        from autointerp.statistics.populations import arm_of, population_mean
        from autointerp.statistics.scores import _totals

        own = latents[latents["sampled"]]
        table = scores_frame(rng.normal(0.8, 0.1, len(own)), inclusion_probability=own["inclusion_probability"].array)
        totals = {str(name): value for name, value in _totals(latents).loc["d"].items()}
        scores = table.assign(**totals)
        found = population_mean(arm_of(scores), "iti")
        values.append(found.value)
        low, high = found.interval(0.95)
        hits += low <= truth <= high
    assert np.mean(values) == pytest.approx(truth, abs=4 * np.std(values) / np.sqrt(r))
    assert band(0.95, r)[0] <= hits / r


# Row 10: documents


def test_documents_are_counted_and_few_of_them_are_said() -> None:
    many, few = (summarise(draw(World(n=60, n_documents=n), 9)) for n in (300, 12))
    row = many.estimates[many.estimates["statistic"] == "score"].iloc[0]
    assert 250 < row["n_eff_documents"] <= row["n_documents"] <= 300
    assert row["largest_document"] < 0.02
    own = few.estimates[(few.estimates["statistic"] == "score") & (few.estimates["population"] == "eligible")]
    assert own["note"].str.contains("few effective documents").all()
    assert few.comparisons["reason"].str.contains("fewer than 30 effective documents").all()


def test_one_document_gives_no_verdict() -> None:
    found = summarise(draw(World(n=100, n_documents=1, shifts=(0.0, 0.15)), 10))
    own = found.comparisons[found.comparisons["family"] == "primary"]
    assert set(own["verdict"]) == {"inconclusive"}
    assert own["reason"].str.contains("one document").all()


@pytest.mark.parametrize("r", [300, pytest.param(5000, marks=pytest.mark.slow)])
def test_means_with_very_unequal_weights_cover(r: int) -> None:
    """Weights that span a factor of a thousand; Satterthwaite's degrees of freedom, written out in a matrix."""
    rng = np.random.default_rng(12)
    weights = np.exp(rng.normal(0, 1.5, 60))
    w = weights / weights.sum()
    residual = np.eye(60) - np.outer(np.ones(60), w)
    a = residual.T @ np.diag(w**2) @ residual
    assert quadratic_form(w) == pytest.approx([w @ w, np.trace(a), np.trace(a @ a)])
    hits = 0
    for values in rng.normal(0.7, 0.1, (r, 60)):
        found = mean(values, weights)
        low, high = found.interval(0.95)
        hits += low <= 0.7 <= high
    assert band(0.95, r)[0] <= hits / r <= band(0.95, r)[1]


# Undecided, reliability, judges


def test_undecided_comparisons_say_what_would_decide_them() -> None:
    """The number of latents is that at which the seen difference would have power .8, by the same formula inverted."""
    run = draw(World(n=60), 14)
    manifest = {"usage": {"explain": {"calls": 120}, "judge": {"calls": 1080}}}
    found = summarise(replace(run, manifests=(manifest,)))
    calls = 1200 / int(run.latents["sampled"].sum())
    for row in found.summary["headlines"]:  # type: ignore[union-attr]
        if row["verdict"] == "inconclusive":
            more = row["more"]
            assert more["n"] > max(row["n_a"], row["n_b"])
            assert more["calls"] == round(calls * (2 * more["n"] - row["n_a"] - row["n_b"]))
            assert f"--latents {more['n']}" in row["words"]
            scale = np.sqrt(max(row["n_a"], row["n_b"]) / more["n"])
            own = found.comparisons
            se = own.loc[(own["scorer"] == row["scorer"]) & (own["population"] == "eligible"), "se"].iloc[0] * scale
            equal = Difference(value=row["diff"], se=se, df=1e6)
            apart = abs(row["diff"]) / se - stats.norm.isf(0.05 / 4 / 2)
            same = (0.02 - abs(row["diff"])) / se - stats.norm.isf(0.05 / 2)
            assert max(apart, same) == pytest.approx(stats.norm.ppf(0.8), abs=0.5)
            assert equal.p_two_sided() <= 1


def test_agreement_with_itself_is_counted_over_repeated_items() -> None:
    """Every fifth item again, of which a tenth is answered otherwise."""
    run = draw(World(n=100, scorers=("detection",)), 15)
    again = run.judgements.iloc[::5].assign(control="duplicate")
    flip = np.random.default_rng(0).random(len(again)) < 0.1
    answer = again["answer"].astype(str)
    again = again.assign(answer=np.where(flip, np.where(answer == "yes", "no", "yes"), answer))
    rows = pd.concat([run.judgements.astype({"answer": str, "kind": str}), again.astype({"kind": str})])
    found = summarise(replace(run, judgements=rows)).reliability.set_index("dictionary")
    for name, part in again.assign(flip=flip).groupby("dictionary"):
        row = found[found.index == name].to_dict("records")[0]
        assert row["n_repeated"] == len(part)
        assert row["agreement"] == pytest.approx(1 - part["flip"].mean())
        assert row["agreement_lo"] < 0.9 < row["agreement_hi"]
        assert 0.6 < row["kappa"] < 0.9
    assert not retest(run.judgements)


def test_scores_are_corrected_only_by_a_judge_that_is_clear_of_guessing() -> None:
    rng = np.random.default_rng(16)
    seen = scores_frame(rng.normal(0.7, 0.1, 200))
    with pytest.raises(TableError, match="not clearly above 0"):
        judge_correct(seen, scores_frame(rng.normal(0.5, 0.2, 20)))
    sharp, blunt = (judge_correct(seen, scores_frame(rng.normal(0.9, sd, 40))) for sd in (0.01, 0.2))
    assert blunt.high - blunt.low > 1.2 * (sharp.high - sharp.low)


def test_real_rates_are_compared_as_a_family_of_their_own(null_runs: list[NullRun]) -> None:
    told_apart, r = 0, len(null_runs)
    for table in [run.real_rates for run in null_runs]:
        assert set(table["measure"]) == {"precision", "f1"}
        assert set(table["family"]) == {"secondary"}
        assert np.allclose(table["p_diff_adj"], np.asarray(multipletests(table["p_diff"], method="holm")[1]))
        told_apart += table["verdict"].str.startswith(DIFFERS).any()
    assert told_apart / r <= band(0.05, r)[1]


def test_scores_of_latents_carry_what_the_estimates_need() -> None:
    run = draw(World(n=30), 17)
    scores = latent_scores(run.judgements, run.latents)
    assert (scores["judgeable"] == 1).all()
    assert (scores["judgeable_variance"] == 0).all()
