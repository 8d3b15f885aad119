"""Every estimator again, in a few lines of numpy, scipy or statsmodels written from its formula, on real judgements.

237 latents of GPT-2, judged by detection and fuzzing: layers 0 and 2 stand for an SAE, 4 and 6 for a transcoder, 8 and
10 for a skip transcoder. The source gives no firing rates, chances of being drawn or peak tokens: these are drawn here.
"""

from functools import cache

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.sandwich_covariance import cov_cluster_2groups
from statsmodels.stats.weightstats import ttost_ind, ttost_paired

from autointerp.statistics import compare, estimate, latent_scores, shrink, summarise, varcomp
from autointerp.statistics.composition import TRIVIAL_SHARE
from tests.helpers.shared import SHARED, needs_shared
from tests.helpers.simulate import Arm, Run, dictionaries_table

pytestmark = needs_shared
ARCHITECTURES = ("sae", "transcoder", "skip-transcoder")
N_TOTAL = 120  # latents of each dictionary; those that were not judged are not eligible
# Correlated errors need contexts in common: sixty documents, each of many of the source's contexts.
N_DOCUMENTS = 60


def near(value: object) -> object:
    return pytest.approx(value, rel=1e-9, abs=1e-9)


@cache
def real_run(n_items: int = 70, *, equal_chances: bool = False) -> Run:
    """Real answers in the shape of a run; one latent of a dictionary is (layer, latent)."""
    rows = pd.read_parquet(SHARED / "gpt2_judgements" / "judgements.parquet")
    rows = rows[rows["n_items"] == n_items].reset_index(drop=True)
    latent = rows["layer"] * 100 + rows["latent"]
    name = np.array(ARCHITECTURES, object)[rows["layer"].to_numpy() // 4]
    context = pd.factorize(rows["context_id"])[0]
    judgements = pd.DataFrame({
        "dictionary": name, "site": name, "latent": latent, "scorer": rows["scorer"], "control": "none",
        "question_id": rows["scorer"] + latent.astype(str) + "-" + (rows["item"] // 5).astype(str),
        "position": rows["item"] % 5, "document_id": context % N_DOCUMENTS, "window_id": rows.index,
        "kind": np.where(rows["truth"], "positive", "random"), "stratum": rows["stratum"].clip(lower=0),
        "stratum_share": np.where(rows["truth"], 0.1, 1.0), "truth": rows["truth"],
        "answer": np.where(rows["answer"], "yes", "no"), "probability": np.nan, "explanation_id": latent.astype(str),
        "status": "ok", "n_retries": 0,
    })  # fmt: skip
    tables = []
    for architecture in ARCHITECTURES:
        judged = np.sort(judgements.loc[judgements["dictionary"] == architecture, "latent"].unique())
        rng, n = np.random.default_rng([1, ARCHITECTURES.index(architecture)]), len(judged)
        eligible = np.arange(N_TOTAL) < n
        rate = np.exp(rng.normal(-6, 1, N_TOTAL))
        chance = np.full(N_TOTAL, 0.5) if equal_chances else rng.uniform(0.2, 1, N_TOTAL)
        tables.append(pd.DataFrame({
            "dictionary": architecture, "architecture": architecture, "site": architecture,
            "latent": np.r_[judged, 5000 + np.arange(N_TOTAL - n)], "firing_rate_token": rate,
            "firing_rate_window": 1 - (1 - rate) ** 32, "alive": True, "eligible": eligible,
            "inclusion_probability": np.where(eligible, chance, 0), "sampled": eligible, "look_order": 0,
            "token_share": rng.uniform(0.5 + 0.15 * len(tables), 1, N_TOTAL),
            "status": np.where(eligible, "scored", "rare"),
        }))  # fmt: skip
    arms = [Arm(name=a, architecture=a) for a in ARCHITECTURES]
    return Run(judgements=judgements, latents=pd.concat(tables), dictionaries=dictionaries_table(arms),
               reconstruction=pd.DataFrame())  # fmt: skip


@pytest.fixture(scope="module")
def run() -> Run:
    return real_run()


@pytest.fixture(scope="module")
def scores(run: Run) -> pd.DataFrame:
    return latent_scores(run.judgements, run.latents)


def arm(scores: pd.DataFrame, name: str, scorer: str = "detection") -> pd.DataFrame:
    return scores[(scores["dictionary"] == name) & (scores["scorer"] == scorer)]


@cache
def plain(n_items: int) -> pd.DataFrame:
    """BA = (sum_d w_d r_d + t) / 2 and the variance that judging few items gives it."""
    rows = real_run(n_items).judgements
    unit = ["dictionary", "scorer", "latent"]
    right = ((rows["answer"] == "yes") == rows["truth"]).astype(float)
    cells = right.groupby([*(rows[name] for name in unit), rows["truth"], rows["stratum"]]).agg(["mean", "size"])
    positive, negative = cells.xs(True, level="truth"), cells.xs(False, level="truth").droplevel("stratum")
    recall, specificity = 0.1 * positive["mean"].groupby(unit).sum(), negative["mean"]
    n_eff = 1 / (0.1**2 / positive["size"]).groupby(unit).sum()
    noise = recall * (1 - recall) / (n_eff - 1) + specificity * (1 - specificity) / (negative["size"] - 1)
    score = (recall + specificity) / 2
    return pd.DataFrame({"recall": recall, "specificity": specificity, "score": score, "noise_variance": noise / 4})


def form(weights: np.ndarray, own: np.ndarray | None = None) -> np.ndarray:
    """Matrix A of x'Ax = sum c (x - sum w x)^2; c = w^2 if not given."""
    residual = np.eye(len(weights)) - np.outer(np.ones(len(weights)), weights)
    return residual.T @ np.diag(weights**2 if own is None else own) @ residual


def hajek(values: np.ndarray, weights: np.ndarray) -> tuple[float, float, float]:
    """Weighted mean with statsmodels' sandwich error, corrected by sum w^2 / tr A, and Satterthwaite's df + 1."""
    w, n = weights / weights.sum(), len(values)
    fit = sm.WLS(values, np.ones(n), weights=weights).fit(cov_type="HC1")  # type: ignore[arg-type]
    a = form(w)
    sandwich = float(fit.bse[0]) ** 2 * (n - 1) / n
    se = np.sqrt(sandwich * (w @ w) / np.trace(a))
    return float(fit.params[0]), float(se), float(np.trace(a) ** 2 / np.trace(a @ a)) + 1


def by_firing(rows: pd.DataFrame) -> tuple[float, float]:
    """Rate-weighted mean over a finite population: what is drawn for certain adds only the noise of its items."""
    x, p, noise = (rows[name].to_numpy() for name in ("score", "inclusion_probability", "noise_variance"))
    w = rows["firing_rate_token"].to_numpy() / p
    w = w / w.sum()
    own = w**2 * (1 - p)
    drawn = own @ (x - w @ x) ** 2 * own.sum() / np.trace(form(w, own))
    return float(w @ x), float(np.sqrt(drawn + (w**2 * p) @ noise))


@pytest.mark.parametrize("n_items", [60, 70])
def test_scores_of_latents(n_items: int) -> None:
    run = real_run(n_items)
    ours = latent_scores(run.judgements, run.latents).set_index(["dictionary", "scorer", "latent"])
    theirs = plain(n_items)
    assert len(theirs) == len(ours) == 2 * 237
    for column in theirs:
        assert ours.reindex(theirs.index)[column].to_numpy() == near(theirs[column].to_numpy()), column


@pytest.mark.parametrize("scorer", ["detection", "fuzzing"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_four_populations(run: Run, scores: pd.DataFrame, name: str, scorer: str) -> None:
    rows = arm(scores, name, scorer)
    x, f = rows["score"].to_numpy(), rows["firing_rate_token"].to_numpy()
    w = 1 / rows["inclusion_probability"].to_numpy()
    value, se, n_eff = hajek(x, w)
    share = len(rows) / N_TOTAL
    pool = run.latents[run.latents["eligible"]]
    each = 1 / pool.groupby("dictionary")["latent"].transform("size").to_numpy()
    log = np.log(pool["firing_rate_token"].to_numpy())
    edges = np.quantile(log, np.arange(1, 8) / 8, weights=each, method="inverted_cdf")
    common = np.bincount(np.digitize(log, edges), each) / each.sum()
    place = np.digitize(np.log(f), edges)
    assert np.bincount(place, minlength=8).min() > 1
    bins = np.array([hajek(x[place == k], w[place == k])[:2] for k in range(8)])
    over_bins = (common @ bins[:, 0], np.sqrt(common**2 @ bins[:, 1] ** 2))
    for population, expected in {
        "eligible": (value, se), "iti": (share * value + (1 - share) / 2, share * se), "freq": by_firing(rows),
        "standardised": over_bins,
    }.items():  # fmt: skip
        found = estimate(rows, run.latents, population=population)  # type: ignore[arg-type]
        assert (found.value, found.se) == near(expected), population
        if population in ("eligible", "iti"):
            low, high = stats.t.interval(0.95, n_eff - 1, *expected)
            assert (found.low, found.high) == near((low, high))


@pytest.mark.parametrize("hard", [0, 1], ids=["documents alike", "documents of unlike difficulty"])
@pytest.mark.parametrize("scorer", ["detection", "fuzzing"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_errors_clustered_by_latent_and_document(name: str, scorer: str, hard: int) -> None:
    """Items regressed on their class with weights w_d / n_d: statsmodels' two-way sandwich of (recall + spec) / 2.

    Documents here are the source's contexts thrown together, which have nothing in common; where the wrong answers of
    every third document are counted to the next one, some are hard.
    """
    run = real_run(equal_chances=True)
    rows = run.judgements
    rows = rows[(rows["dictionary"] == name) & (rows["scorer"] == scorer)]
    right = ((rows["answer"] == "yes") == rows["truth"]).to_numpy(float)
    moved = hard * (right == 0) * (rows["document_id"] % 3 == 0)
    rows = rows.assign(document_id=rows["document_id"] + moved)
    cell = rows.groupby(["latent", "kind", "stratum"])["latent"].transform("size")
    design = np.stack([rows["truth"], ~rows["truth"]], axis=1).astype(float)
    fit = sm.WLS(right, design, weights=(rows["stratum_share"] / cell).to_numpy()).fit()
    codes = [pd.factorize(rows[column])[0] for column in ("latent", "document_id")]
    both, by_latent, _ = cov_cluster_2groups(fit, codes[0], codes[1], use_correction=False)
    half, n = np.array([0.5, 0.5]), rows["latent"].nunique()
    of_latents, added = half @ by_latent @ half, half @ (both - by_latent) @ half
    assert added > 0 or not hard
    table = latent_scores(rows, run.latents)
    found = estimate(table, cluster=("latent", "document"), judgements=rows)
    assert found.value == near(half @ fit.params)
    assert estimate(table).se ** 2 == near(n / (n - 1) * of_latents)
    traces = np.zeros(3)
    for truth in (True, False):
        part = rows[rows["truth"] == truth]
        item = (part["stratum_share"] / cell[part.index] / n).groupby(part["document_id"]).sum().to_numpy()
        a = form(item / item.sum())
        traces += [0.25 * ((item / item.sum()) ** 2).sum(), 0.25 * np.trace(a), np.trace(a @ a) / 16]
    by_document = max(0.0, added) * traces[0] / traces[1]
    variance = n / (n - 1) * of_latents + by_document
    assert found.se**2 == pytest.approx(variance, rel=1e-9, abs=1e-12)
    if by_document > 0:
        df = variance**2 / ((n / (n - 1) * of_latents) ** 2 / (n - 1) + by_document**2 / (traces[1] ** 2 / traces[2]))
        assert found.df == near(df)


def products(e: pd.DataFrame) -> list[float]:
    """Products of two residuals of one prompt, each with what subtracting a common mean took from it."""
    value, owed, group = (e[column].to_numpy() for column in ("e", "owed", "group"))
    n = len(e)
    return [value[i] * value[j] + owed[i] * (group[i] == group[j]) for i in range(n) for j in range(i)]


def test_variance_components(run: Run, scores: pd.DataFrame) -> None:
    """tau^2 = Var(S) - mean noise; ICC of prompts by a loop over pairs of answers given in one prompt."""
    found = varcomp(scores, run.judgements).set_index(["dictionary", "scorer"])
    for key, rows in plain(70).groupby(["dictionary", "scorer"]):
        noise = rows["noise_variance"].mean()
        tau = np.sqrt(rows["score"].var(ddof=1) - noise)
        expected = [tau, np.sqrt(noise), tau**2 / rows["score"].var(ddof=1)]
        assert found.reindex([key])[["tau", "within_sd", "reliability"]].to_numpy()[0] == near(np.array(expected))
    rows = run.judgements[(run.judgements["dictionary"] == "sae") & (run.judgements["scorer"] == "fuzzing")]
    right = ((rows["answer"] == "yes") == rows["truth"]).astype(float)
    groups = right.groupby([rows["latent"], rows["truth"]])
    p, n = groups.transform("mean"), groups.transform("size")
    e = pd.DataFrame({
        "e": (right - p) * np.sqrt(n / (n - 1)), "owed": p * (1 - p) * n / (n - 1) ** 2, "group": groups.ngroup(),
        "prompt": rows["question_id"],
    })  # fmt: skip
    icc = np.mean([value for _, part in e.groupby("prompt") for value in products(part)]) / (e["e"] ** 2).mean()
    assert found.loc[("sae", "fuzzing"), "prompt_icc"] == near(icc)


@pytest.mark.parametrize(("scorer", "n_items", "centre", "tau", "within"), [
    ("detection", 70, 0.817, 0.127, 0.044), ("detection", 60, 0.753, 0.134, 0.047),
    ("fuzzing", 70, 0.707, 0.096, 0.057), ("fuzzing", 60, 0.659, 0.096, 0.073),
])  # fmt: skip
def test_variance_components_are_those_published_for_these_data(
    scorer: str, n_items: int, centre: float, tau: float, within: float
) -> None:
    run = real_run(n_items)
    one = run.latents.assign(dictionary="all", site="all").drop_duplicates("latent")
    rows = run.judgements.assign(dictionary="all", site="all")
    found = varcomp(latent_scores(rows, one, scorer=scorer)).iloc[0]
    assert (found["n"], found["mean"]) == (237, pytest.approx(centre, abs=1e-3))
    assert (found["tau"], found["within_sd"]) == pytest.approx((tau, within), abs=2e-3)


def test_kitagawa(scores: pd.DataFrame) -> None:
    a, b = arm(scores, "sae"), arm(scores, "transcoder")
    shares, means = np.zeros((2, 2)), np.zeros((2, 2))
    for i, side in enumerate((a, b)):
        w = 1 / side["inclusion_probability"].to_numpy()
        trivial = side["token_share"].to_numpy() >= TRIVIAL_SHARE
        for c, kept in enumerate((~trivial, trivial)):
            shares[i, c] = w[kept].sum() / w.sum()
            means[i, c] = np.average(side["score"].to_numpy()[kept], weights=w[kept])
    composition = ((shares[1] - shares[0]) * means.mean(0)).sum()
    within = ((means[1] - means[0]) * shares.mean(0)).sum()
    row = compare(a, b, population="eligible").iloc[0]
    assert (row["comp_part"], row["within_part"]) == near((composition, within))
    assert abs(composition) > 1e-4


def test_shrinkage(scores: pd.DataFrame) -> None:
    """Normal empirical Bayes; every latent was asked 50 + 20, so that its noise is the mean one."""
    for _, part in shrink(scores, threshold=0.75).groupby(["dictionary", "scorer"]):
        x, noise = part["score"].to_numpy(), part["noise_variance"].mean()
        kept = 1 - noise / x.var(ddof=1)
        centre, sd = x.mean() + kept * (x - x.mean()), np.sqrt(kept * noise)
        posterior = stats.norm(centre, sd)
        low, high = posterior.interval(0.95)
        assert part["shrunk"].to_numpy() == near(centre)
        assert part["shrunk_lo"].to_numpy() == near(np.clip(low, 0, 1))
        assert part["shrunk_hi"].to_numpy() == near(np.clip(high, 0, 1))
        assert part["p_above"].to_numpy() == near(posterior.sf(0.75))


def test_unpaired_comparison_is_welchs_and_equivalence_two_one_sided_tests() -> None:
    run = real_run(equal_chances=True)
    table = latent_scores(run.judgements, run.latents)
    for margin in (0.02, 0.1):
        a, b = arm(table, "transcoder"), arm(table, "skip-transcoder")
        row = compare(a, b, population="eligible", margin=margin).iloc[0]
        x, y = a["score"].to_numpy(), b["score"].to_numpy()
        welch = stats.ttest_ind(y, x, equal_var=False)
        p, lower, _ = ttost_ind(y, x, -margin, margin, usevar="unequal")
        assert (row["p_diff"], row["df"]) == near((welch.pvalue, welch.df))
        assert (row["ci95_lo"], row["ci95_hi"]) == near(tuple(welch.confidence_interval(0.95)))
        assert (row["ci90_lo"], row["ci90_hi"]) == near(tuple(welch.confidence_interval(0.9)))
        assert (row["p_tost"], row["p_ni"]) == near((p, lower[1]))


def test_weighted_comparison_is_welch_satterthwaite_of_hajek_means(scores: pd.DataFrame) -> None:
    a, b = arm(scores, "sae", "fuzzing"), arm(scores, "transcoder", "fuzzing")
    (x, u, n), (y, v, m) = (hajek(side["score"].to_numpy(), 1 / side["inclusion_probability"].to_numpy())
                            for side in (a, b))  # fmt: skip
    se, df = np.hypot(u, v), (u**2 + v**2) ** 2 / (u**4 / (n - 1) + v**4 / (m - 1))
    row = compare(a, b, population="eligible").iloc[0]
    assert (row["diff"], row["se"], row["df"]) == near((y - x, se, df))
    assert row["p_diff"] == near(2 * stats.t.sf(abs(y - x) / se, df))


@pytest.mark.parametrize("scorer", ["detection", "fuzzing"])
def test_paired_comparison_of_two_protocols_on_the_same_latents(scorer: str) -> None:
    sides = []
    for n_items in (60, 70):
        run = real_run(n_items, equal_chances=True)
        sides.append(arm(latent_scores(run.judgements, run.latents), "sae", scorer))
    x, y = (side.sort_values("latent")["score"].to_numpy() for side in sides)
    row = compare(sides[0], sides[1], design="paired", population="eligible", margin=0.1).iloc[0]
    test = stats.ttest_rel(y, x)
    assert (row["p_diff"], row["n_pairs"]) == (near(test.pvalue), len(x))
    assert row["p_tost"] == near(ttost_paired(y, x, -0.1, 0.1)[0])
    assert row["rho"] == near(stats.pearsonr(x, y)[0])


def test_every_verdict_is_adjusted_by_holm_in_one_family(run: Run) -> None:
    """Three contrasts by two scorers over two populations: 12 differences; equivalence in both populations: 6."""
    table = summarise(run.tables).comparisons
    tested = table[table["population"].isin(["eligible", "iti"])]
    assert set(tested["family"]) == {"primary"}
    assert len(tested) == 12
    assert tested["p_diff_adj"].to_numpy() == near(np.asarray(multipletests(tested["p_diff"], method="holm")[1]))
    both = tested.groupby(["contrast", "scorer"], sort=False)
    worst = both["p_tost"].max()
    expected = np.asarray(multipletests(worst, method="holm")[1])
    assert both["p_tost_adj"].first().to_numpy() == near(expected)
    assert (both["p_tost_adj"].nunique() == 1).all()
    for row in tested.to_dict("records"):
        t = row["diff"] / row["se"]
        assert row["p_diff"] == near(2 * stats.t.sf(abs(t), row["df"]))
        sides = np.asarray(stats.t.sf([(row["diff"] + 0.02) / row["se"], (0.02 - row["diff"]) / row["se"]], row["df"]))
        assert row["p_tost"] == near(sides.max())
        words = (row["p_diff_adj"] < 0.05, row["p_tost_adj"] < 0.05)
        named = {(False, False): "inconclusive", (False, True): "equivalent"}
        assert row["verdict"] == named.get(words, row["verdict"])
        assert words[0] == row["verdict"].startswith(("better", "worse"))
    rest = table[~table["population"].isin(["eligible", "iti"])]
    assert set(rest["verdict"]) == set(rest["family"]) == {"exploratory"}
