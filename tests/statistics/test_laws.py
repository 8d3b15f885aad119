"""What must hold exactly, or by simulation of tables: metrics, selection, invariances, equalities with libraries."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.meta_analysis import combine_effects
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.nonparametric import rank_compare_2indep
from statsmodels.stats.weightstats import ttost_ind, ttost_paired

from autointerp.statistics import adjust, compare, estimate, latent_scores, summarise
from autointerp.statistics._answers import read
from autointerp.statistics.clusters import Documents, Side
from autointerp.statistics.composition import kitagawa
from autointerp.statistics.effects import cliff, hedges_g
from autointerp.statistics.intervals import Difference, mean, unpaired
from autointerp.statistics.judge import judge_correct
from autointerp.statistics.layers import layers, random_effects
from autointerp.statistics.planning import allocate, plan, seeds_needed
from autointerp.statistics.prevalence import real_distribution
from autointerp.statistics.variance import shrink, varcomp
from tests.helpers.shared import SHARED
from tests.helpers.simulate import Arm, judged, latents_table, simulate
from tests.statistics.test_known_answers import band, inside

GPT2 = SHARED / "gpt2_judgements" / "judgements.parquet"


def scores_frame(values: np.ndarray, name: str = "d", **columns: object) -> pd.DataFrame:
    """Scores of one dictionary as `latent_scores` gives them, without judgements."""
    n = len(values)
    base = {
        "dictionary": name, "architecture": "sae", "site": name, "latent": np.arange(n), "scorer": "detection",
        "control": "none", "score": values, "score_low": values, "score_high": values, "recall": values,
        "specificity": values, "noise_variance": 0.003, "n_positive": 20, "n_negative": 20, "n_items": 40,
        "n_unanswered": 0, "explained": True, "firing_rate_token": 0.01, "firing_rate_window": 0.1,
        "inclusion_probability": 0.5, "token_share": 0.1, "look_order": np.arange(n), "n_total": n, "n_alive": n,
        "n_eligible": n, "n_sampled": n,
    }  # fmt: skip
    return pd.DataFrame({**base, **columns})


# T7: contexts judged for many latents


@pytest.mark.parametrize("r", [400, pytest.param(10_000, marks=pytest.mark.slow)])
def test_t7_two_way_errors_cover_where_latents_share_contexts_and_latent_errors_do_not(r: int) -> None:
    """The same 40 negatives for 60 latents, contexts' difficulty of sd 1.5 logits: latent-only intervals are short.

    The latents' errors alone cover .551 of 20,000 samples. Two-way errors with the latents' degrees of freedom cover
    .937 (few clusters); with those of the 40 contexts (Satterthwaite) they reach their level.
    """
    rng = np.random.default_rng(7)
    n, m = 60, 40
    grid = pd.DataFrame({"latent": np.repeat(np.arange(n), 2 * m), "j": np.tile(np.arange(2 * m), n)})
    positive = grid["j"] < m
    document = np.where(positive, 10_000 + grid.index, grid["j"])
    kind = np.where(positive, "positive", "random")
    answers = read(grid.assign(
        dictionary="d", site="s", scorer="detection", control="none", document_id=document,
        window_id=document, kind=kind, stratum=0, stratum_share=1.0, truth=positive, probability=np.nan, answer="yes",
    ))  # fmt: skip
    normal = rng.normal(size=(2, 200_000))
    truth = (0.8 + float((1 / (1 + np.exp(-(1.5 + 0.5 * normal[0] + 1.5 * normal[1])))).mean())) / 2
    hits = np.zeros(2)
    for _ in range(r):
        logit = 1.5 + rng.normal(0, 0.5, n)[:, None] + rng.normal(0, 1.5, m)[None]
        right = np.concatenate([rng.random((n, m)) < 0.8, rng.random((n, m)) < 1 / (1 + np.exp(-logit))], axis=1)
        inner = mean((right[:, :m].mean(1) + right[:, m:].mean(1)) / 2)
        documents = Documents(replace(answers, correct=right.ravel()))
        term = documents.term([Side(scores=answers.units, weights=np.full(n, 1 / n))])
        for place, (se, df) in enumerate(((inner.se, inner.df), term.add_to(inner.se, inner.df))):
            hits[place] += abs(inner.value - truth) <= stats.t.ppf(0.975, df) * se
    assert inside(hits[0] / r, 0.551, r)
    assert inside(hits[1] / r, 0.95, r)


# T11: the judge's own error


def test_t11_rogan_gladen_recovers_the_true_informedness_and_covers() -> None:
    """True J about .594; a judge with sensitivity + specificity - 1 = .84 shows .499."""
    rng = np.random.default_rng(11)
    r, hits, values = 400, 0, []
    for _ in range(r):
        j_true = rng.normal(0.594, 0.18, 400)
        seen = scores_frame((1 + 0.84 * j_true + rng.normal(0, 0.1, 400)) / 2)
        known = scores_frame((1 + 0.84 + rng.normal(0, 0.1, 60)) / 2)
        found = judge_correct(seen, known)
        values.append(found.value)
        hits += found.low <= 0.594 <= found.high
    assert abs(np.mean(values) - 0.594) < 2 * np.std(values) / np.sqrt(r) + 0.002
    assert inside(hits / r, 0.95, r)


# T12: controls


def test_t12_a_judge_without_knowledge_scores_half_and_the_control_passes() -> None:
    run = simulate([Arm(name="a", n_total=900, n_eligible=800, n_sampled=300)], seed=12)
    found = summarise(run.tables)
    row = found.controls[(found.controls["control"] == "shuffled") & (found.controls["dictionary"] == "all")].iloc[0]
    assert abs(row["value"] - 0.5) < 0.01
    assert row["status"] == "passed"


# T13: selection


def test_t13_eligible_only_and_intent_to_interpret_disagree_in_sign_where_selection_differs() -> None:
    """Scores rise with frequency alike; half of B lies below the cut, so its eligible latents look better."""
    rng = np.random.default_rng(13)

    def dictionary(name: str, centre: float) -> pd.DataFrame:
        log_rate = rng.normal(centre, 1.0, 4000)
        eligible = log_rate > 0.3 if name == "b" else log_rate > 0.0
        score = np.clip(0.7 + 0.05 * log_rate + rng.normal(0, 0.05, 4000), 0, 1)
        n = int(eligible.sum())
        return scores_frame(
            score[eligible], name, n_total=4000, n_eligible=n, firing_rate_token=np.exp(log_rate[eligible] - 8)
        )

    table = compare(dictionary("a", 1.0), dictionary("b", 0.3)).set_index("population")["diff"]
    gap = compare(dictionary("a", 0.3), dictionary("b", 0.3)).set_index("population")["diff"]
    assert gap["eligible"] > 0.005
    assert gap["iti"] < -0.01
    assert table["iti"] < table["eligible"]


# T14: metric fixtures


def one_latent(answer: str, repeat: int = 1) -> tuple[pd.DataFrame, pd.DataFrame]:
    arm = Arm(name="d", n_total=30, n_eligible=30, n_sampled=10)
    rng = np.random.default_rng(14)
    latents = latents_table(arm, rng)
    table = judged(arm, latents, rng, scorer="detection")
    return (table.assign(answer=answer) if answer else table), latents


@pytest.mark.parametrize("answer", ["yes", "no"])
def test_t14_a_constant_judge_scores_exactly_one_half(answer: str) -> None:
    table, latents = one_latent(answer)
    assert (latent_scores(table, latents)["score"] == 0.5).all()


def test_t14_showing_a_decile_three_times_as_often_does_not_change_the_score() -> None:
    table, latents = one_latent("")
    more = table[(table["kind"] == "positive") & (table["stratum"] == 3)]
    thrice = pd.concat([table, *(more.assign(window_id=more["window_id"] + shift) for shift in (10**6, 2 * 10**6))])
    assert np.allclose(latent_scores(table, latents)["score"], latent_scores(thrice, latents)["score"], atol=1e-12)


def test_auroc_is_one_for_a_perfect_ranker_whatever_its_threshold() -> None:
    table, latents = one_latent("yes")
    offset = table["latent"].map(lambda latent: 0.1 * (latent % 7))
    ranked = table.assign(probability=0.2 * table["truth"] + offset)
    assert np.allclose(latent_scores(ranked, latents)["auroc"], 1, atol=1e-12)
    assert np.allclose(latent_scores(ranked.assign(probability=0.3), latents)["auroc"], 0.5, atol=1e-12)


# T15: equality with libraries


def test_t15_welch_tost_and_paired_tests_equal_scipy_and_statsmodels() -> None:
    rng = np.random.default_rng(15)
    a: np.ndarray = rng.normal(0.8, 0.1, 40)
    b: np.ndarray = rng.normal(0.81, 0.15, 25)
    ours = unpaired(mean(a), mean(b))
    welch = stats.ttest_ind(b, a, equal_var=False)
    assert ours.p_two_sided() == pytest.approx(welch.pvalue, rel=1e-10)
    low, high = welch.confidence_interval(0.95)
    assert ours.interval(0.95) == pytest.approx((low, high), rel=1e-10)
    assert ours.p_equivalent(0.1) == pytest.approx(ttost_ind(b, a, -0.1, 0.1, usevar="unequal")[0], rel=1e-8)
    d = mean(b - a[:25])
    paired = Difference(value=d.value, se=d.se, df=d.df)
    assert paired.p_equivalent(0.1) == pytest.approx(ttost_paired(b, a[:25], -0.1, 0.1)[0], rel=1e-8)


def test_t15_random_effects_equal_statsmodels_and_the_written_formula() -> None:
    effects, variances = np.array([0.05, 0.01, 0.04, 0.08]), np.array([0.01, 0.012, 0.008, 0.011]) ** 2
    found = random_effects(effects, variances)
    theirs = combine_effects(effects, variances, method_re="iterated", use_t=True)
    assert found["low"], found["high"] == pytest.approx(theirs.conf_int(use_t=True)[1])
    # Paule-Mandel: sum w (y - m)^2 = k - 1 at w = 1 / (v + tau^2); HKSJ: q = that sum over k - 1, divided by sum w.
    w = 1 / (variances + found["tau"] ** 2)
    centre = (w @ effects) / w.sum()
    assert w @ (effects - centre) ** 2 == pytest.approx(3, rel=1e-4)
    assert found["se"] ** 2 == pytest.approx((w @ (effects - centre) ** 2) / 3 / w.sum(), rel=1e-4)


@pytest.mark.parametrize("r", [400, pytest.param(10_000, marks=pytest.mark.slow)])
def test_t15_hksj_covers_where_the_fixed_effect_interval_does_not(r: int) -> None:
    """With equal variances HKSJ is the t interval of the effects: .95 whatever tau. The fixed effect's covers .644."""
    rng = np.random.default_rng(151)
    hits, k = np.zeros(2), 4
    for _ in range(r):
        effects = 0.05 + rng.normal(0, 0.015, k) + rng.normal(0, 0.008, k)
        found = random_effects(effects, np.full(k, 0.008**2))
        hits += [found["low"] <= 0.05 <= found["high"], abs(effects.mean() - 0.05) < 1.96 * 0.008 / 2]
    assert inside(hits[0] / r, 0.95, r)
    # 2 Phi(1.96 x .008 / sqrt(.015^2 + .008^2)) - 1
    assert inside(hits[1] / r, 0.6437, r)


def test_cliffs_delta_and_hedges_g_equal_their_definitions() -> None:
    rng = np.random.default_rng(16)
    a, b = rng.normal(0, 1, 30), rng.normal(0.5, 1, 20)
    found = cliff(a, b)
    assert found.delta == pytest.approx(np.sign(b[:, None] - a[None]).mean())
    theirs = rank_compare_2indep(b, a).conf_int()
    assert ((found.low + 1) / 2, (found.high + 1) / 2) == pytest.approx(theirs, abs=0.04)
    pooled = np.sqrt((29 * a.var(ddof=1) + 19 * b.var(ddof=1)) / 48)
    assert hedges_g(1.0, float(a.std(ddof=1)), float(b.std(ddof=1)), 30, 20) == pytest.approx(
        1 / pooled * (1 - 3 / 191)
    )


# T16: real judgements


def real_scores(scorer: str, n_items: int) -> np.ndarray:
    if not GPT2.exists():
        pytest.skip("needs ../shared/data/gpt2_judgements")
    rows = pd.read_parquet(GPT2)
    rows = rows[(rows["scorer"] == scorer) & (rows["n_items"] == n_items)]
    right = (rows["answer"] == rows["truth"]).groupby([rows["layer"], rows["latent"], rows["truth"]]).mean().unstack()
    return right.mean(axis=1).to_numpy(float)


@pytest.mark.parametrize("scorer", ["detection", "fuzzing"])
@pytest.mark.parametrize("r", [2000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_t16_random_halves_of_real_latents_differ_in_five_percent_and_examples_pooled_in_far_more(
    scorer: str, r: int
) -> None:
    values = real_scores(scorer, 70)
    assert len(values) == 237
    rng = np.random.default_rng(17)
    rejected = 0
    for _ in range(r):
        order = rng.permutation(len(values))
        rejected += unpaired(mean(values[order[:118]]), mean(values[order[118:]])).p_two_sided() < 0.05
    assert inside(rejected / r, 0.05, r)


def test_t16_variance_components_of_real_latents_are_the_published_ones() -> None:
    """Detection 50 + 20: observed variance .0182, true spread .127; fuzzing .0126 and .096 (balanced accuracy)."""
    for scorer, variance in (("detection", 0.0182), ("fuzzing", 0.0126)):
        assert real_scores(scorer, 70).var(ddof=1) == pytest.approx(variance, abs=3e-4)


# T18: invariances


def test_t18_order_of_rows_and_a_swap_of_labels_change_nothing_and_seeds_decide_the_rest() -> None:
    run = simulate([Arm(name="a"), Arm(name="b", architecture="transcoder")], seed=18)
    shuffled = run.judgements.sample(frac=1, random_state=0)
    first, second = (summarise(replace(run, judgements=table).tables) for table in (run.judgements, shuffled))
    columns = ["diff", "se", "df", "p_tost", "cliff_delta", "cliff_lo", "comp_part", "g_true", "BA_shuffled_a"]
    numbers = [x.comparisons[columns].to_numpy(float) for x in (first, second)]
    assert np.allclose(numbers[0], numbers[1], atol=1e-9)
    low_high = [x.estimates[["low", "high"]].to_numpy() for x in (first, second)]
    assert np.allclose(low_high[0], low_high[1], atol=1e-9)


def test_t18_swapping_labels_and_answers_keeps_balanced_accuracy() -> None:
    table, latents = one_latent("")
    flat = table.assign(stratum=0, stratum_share=1.0)
    swapped = flat.assign(
        truth=~flat["truth"], kind=flat["kind"].map({"positive": "random", "random": "positive"}),
        answer=flat["answer"].map({"yes": "no", "no": "yes"}),
    )  # fmt: skip
    assert np.allclose(latent_scores(flat, latents)["score"], latent_scores(swapped, latents)["score"], atol=1e-12)


# T19, T20


def test_t19_holm_and_bh_equal_statsmodels() -> None:
    p = np.random.default_rng(19).random(20) ** 3
    assert np.allclose(adjust(list(p)), np.asarray(multipletests(p, method="holm")[1]))
    assert np.allclose(adjust(list(p), "bh"), np.asarray(multipletests(p, method="fdr_bh")[1]))


@pytest.mark.parametrize("population", ["eligible", "iti", "freq"])
def test_t20_kitagawa_parts_sum_to_the_difference(population: str) -> None:
    rng = np.random.default_rng(20)
    arms = [
        scores_frame(
            rng.random(50), name, token_share=rng.random(50), inclusion_probability=rng.uniform(0.1, 1, 50),
            firing_rate_token=rng.uniform(0.001, 0.1, 50), n_total=80,
        )
        for name in "ab"
    ]  # fmt: skip
    row = compare(arms[0], arms[1], population=population).iloc[0]  # type: ignore[arg-type]
    assert row["comp_part"] + row["within_part"] == pytest.approx(row["diff"], abs=1e-12)


def test_kitagawa_sees_a_pure_change_of_composition() -> None:
    """Half trivial (.9) and half not (.7) against eight tenths trivial: all of the .06 is composition."""
    a = scores_frame(np.array([0.9, 0.7] * 5), token_share=np.array([1.0, 0.1] * 5))
    b = scores_frame(np.array([0.9] * 8 + [0.7] * 2), token_share=np.array([1.0] * 8 + [0.1] * 2))
    parts = kitagawa(a, b, np.full(10, 0.1), np.full(10, 0.1))
    assert (parts.composition, parts.within) == pytest.approx((0.06, 0.0), abs=1e-12)


# Planning


def test_plan_and_allocation_give_the_published_sizes() -> None:
    """sd .10, 10 + 10: Var(S) .0163 gives NI80 505 at .02; items 7, 10, 14, 20, 29 at cost ratios 5 to 80."""
    found = plan(margin=0.02, kind="ni", tau=np.sqrt(0.0163 - 0.25 * 0.2 / 10 / 2 * 1.0), recall=0.5, specificity=1.0,
                 proportional_share=0.0, adjusted=False)  # fmt: skip
    assert found.n_latents == pytest.approx(2 * found.variance * 6.1826 / 0.0004, abs=1)
    items = [
        allocate(tau=0.12, recall=0.82, specificity=0.81, cost_explain=c, cost_item=1).n_items
        for c in (5, 10, 20, 40, 80)
    ]
    assert items == [7, 10, 14, 20, 29]
    assert seeds_needed(margin=0.02, seed_sd=0.01, se_mean=float(np.sqrt(0.0182 / 500))) == 7


def test_variance_components_recover_the_simulated_ones() -> None:
    arm = Arm(name="a", mean=0.75, sd=0.1, n_total=3000, n_eligible=2800, n_sampled=1000)
    run = simulate([arm], seed=22, scorers=("detection",))
    own = run.judgements[(run.judgements["control"] == "none")]
    found = varcomp(latent_scores(own, run.latents), own).iloc[0]
    assert found["tau"] == pytest.approx(0.1, abs=0.012)
    assert found["within_sd"] == pytest.approx(np.sqrt(0.75 * 0.25 / 40), abs=0.008)
    assert abs(found["prompt_icc"]) < 0.02
    assert found["context_sd"] < 0.06


def test_shrinkage_undoes_the_inflation_of_a_share_above_a_threshold() -> None:
    rng = np.random.default_rng(23)
    truth = rng.normal(0.75, 0.1, 4000).clip(0, 1)
    scores = scores_frame(rng.binomial(20, truth) / 20, noise_variance=0.75 * 0.25 / 20 - 0.01 / 20)
    found = shrink(scores, threshold=0.9)
    real, raw, pulled = (truth >= 0.9).mean(), (scores["score"] >= 0.9).mean(), found["p_above"].mean()
    assert raw > real + 0.05
    assert abs(pulled - real) < abs(raw - real) / 2


def test_real_distribution_is_a_ratio_of_sums() -> None:
    """Every latent: recall .8, specificity .9, firing in 1 % of windows: precision .01 x .8 / (.01 x .8 + .99 x .1)."""
    run = simulate([Arm(name="a", n_total=400, n_eligible=300, n_sampled=200)], seed=24, scorers=("detection",))
    own = run.judgements[run.judgements["control"] == "none"].reset_index(drop=True)
    order = own.groupby(["latent", "kind"]).cumcount()
    right = np.where(own["truth"], order < 16, order < 18)  # 16 of 20, 18 of 20
    table = own.assign(answer=np.where(right == own["truth"], "yes", "no"), stratum=0, stratum_share=1.0)
    latents = run.latents.assign(firing_rate_window=0.01)
    found = real_distribution(table, latents).set_index("measure")
    assert found.at["precision", "value"] == pytest.approx(0.008 / (0.008 + 0.099))
    assert found.at["lr_plus", "value"] == pytest.approx(8.0)
    assert found.at["false_per_true", "value"] == pytest.approx(0.099 / 0.008)


def test_layers_pool_to_their_mean_and_report_heterogeneity() -> None:
    arms = [
        Arm(name=f"{name}{layer}", architecture=name, layer=layer, mean=centre)
        for layer in (1, 2, 3)
        for name, centre in (("sae", 0.7), ("transcoder", 0.8))
    ]
    run = simulate(arms, seed=25)
    found = summarise(run.tables).comparisons
    own = found[(found["scorer"] == "detection") & (found["population"] == "eligible")]
    pooled = own[own["over"] == "layers"].iloc[0]
    assert pooled["diff"] == pytest.approx(own[own["over"] == "dictionaries"]["diff"].mean())
    assert pooled["family"] == "primary"
    assert set(own.loc[own["over"] == "dictionaries", "family"]) == {"layers"}
    assert (own["band_hi"] >= own["ci95_hi"] - 1e-12).all()
    assert {"q", "tau_layer", "pi_lo"} <= set(layers(own, scope="population").columns)


def test_seeds_as_replicates_hold_their_error_rate_where_latents_as_replicates_do_not() -> None:
    """No difference between architectures, dictionaries' means vary by .02 between seeds, 500 latents each."""
    rng = np.random.default_rng(26)
    r, rejected = 400, np.zeros(2)
    for _ in range(r):
        centres = 0.8 + rng.normal(0, 0.02, (2, 3))
        scores = centres[..., None] + rng.normal(0, 0.13, (2, 3, 500))
        means = [mean(side.mean(1), bounded=False) for side in scores]
        pooled = [mean(side.ravel(), bounded=False) for side in scores]
        rejected += [unpaired(*pair).p_two_sided() < 0.05 for pair in ((means[0], means[1]), (pooled[0], pooled[1]))]
    assert rejected[0] / r <= band(0.05, r)[1]
    assert rejected[1] / r > 0.3


def test_estimate_by_hand() -> None:
    """Scores .6, .8, 1.0 with equal chances: mean .8, sd .2, se .2 / sqrt 3, t(2) = 4.3027."""
    found = estimate(scores_frame(np.array([0.6, 0.8, 1.0])))
    assert (found.value, found.se) == pytest.approx((0.8, 0.2 / np.sqrt(3)))
    assert found.low == pytest.approx(0.8 - 4.302653 * 0.2 / np.sqrt(3), abs=1e-6)
    assert found.high == 1.0
