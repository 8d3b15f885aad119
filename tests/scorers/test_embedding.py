"""The embedding score is the AUROC of positives against random negatives, whatever else a latent was judged on."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from autointerp.prompts import Prompts
from autointerp.records import Example, Explanation, LatentExamples, LatentId, Reply
from autointerp.run.record_rows import judgement_row
from autointerp.scorers import embedding
from autointerp.statistics import latent_scores
from autointerp.statistics._answers import read
from autointerp.statistics.clusters import Documents, Side
from tests.helpers.planted import latents

N = 10


def contrast(n_random: int, n_hard: int) -> tuple[Example, ...]:
    """Silent windows; hard ones are of a stratum of their own."""
    one = latents(1)[0].held_out[0]
    return tuple(
        replace(
            one,
            window=1000 + i,
            document=500 + i,
            kind="random" if i < n_random else "hard",
            stratum=int(i >= n_random),
            stratum_share=1.0 if i < n_random else 0.05,
        )
        for i in range(n_random + n_hard)
    )


def scored(similarity: dict[int, float], n_random: int, n_hard: int) -> tuple[pd.Series, pd.DataFrame]:
    """Score one latent whose contexts have these similarities, by window."""
    latent = LatentId("a", "s", 0)
    examples = LatentExamples(
        latent=latent,
        explain=(),
        explain_contrast=(),
        held_out=latents(1)[0].held_out[:N],
        contrast=contrast(n_random, n_hard),
    )
    told = Explanation(explanation_id="e", latent=latent, text="t", explainer="t", prompt_hash="", raw="")
    scorer = embedding.build(embedding.Config(), Prompts())
    (question,) = scorer.questions(examples, told, "none", np.random.default_rng(0))
    values = [similarity[item.window] for item in question.items]
    judged = scorer.judge(question, Reply(key="k", text=json.dumps(values)))
    rows = pd.DataFrame([judgement_row(one) for one in judged])
    table = pd.DataFrame(
        {
            "dictionary": "a",
            "site": "s",
            "latent": [0],
            "architecture": "sae",
            "alive": True,
            "eligible": True,
            "sampled": True,
            "inclusion_probability": 1.0,
            "firing_rate_token": 0.01,
            "firing_rate_window": 0.1,
            "status": "scored",
        }
    )
    return latent_scores(rows, table).iloc[0], rows


def windows(n_random: int, n_hard: int) -> tuple[list[int], list[int], list[int]]:
    held = [example.window for example in latents(1)[0].held_out[:N]]
    other = [example.window for example in contrast(n_random, n_hard)]
    return held, other[:n_random], other[n_random:]


@pytest.mark.parametrize("n_hard", [0, 5, 20])
@pytest.mark.parametrize("n_random", [10, 30])
def test_the_score_is_scipys_rank_statistic_of_positives_against_random_negatives(n_random: int, n_hard: int) -> None:
    rng = np.random.default_rng(n_hard)
    held, random, hard = windows(n_random, n_hard)
    up, down, near = rng.normal(0.3, 0.2, N).clip(-1, 1), rng.normal(0, 0.2, n_random), rng.normal(0.5, 0.1, n_hard)
    row, _ = scored(dict(zip([*held, *random, *hard], [*up, *down, *near], strict=True)), n_random, n_hard)
    assert row["score"] == pytest.approx(stats.mannwhitneyu(up, down).statistic / N / n_random)
    assert row["auroc"] == row["score"] == pytest.approx(row["score_low"]) == pytest.approx(row["score_high"])
    if n_hard:
        assert row["score_hard"] == pytest.approx(stats.mannwhitneyu(up, near).statistic / N / n_hard)


@pytest.mark.parametrize("n_hard", [0, 5, 20])
def test_a_perfect_ranking_scores_one_whatever_the_hard_negatives(n_hard: int) -> None:
    held, random, hard = windows(20, n_hard)
    row, _ = scored({**dict.fromkeys(held, 0.5), **dict.fromkeys(random, 0.1), **dict.fromkeys(hard, 0.9)}, 20, n_hard)
    assert row["score"] == 1
    if n_hard:
        assert row["score_hard"] == 0


def test_the_noise_of_a_score_is_that_of_repeated_draws_of_contexts() -> None:
    """DeLong's variance is unbiased: its mean over draws is the variance of the AUROC over draws."""
    rng = np.random.default_rng(1)
    held, random, _ = windows(20, 0)
    drawn = [
        scored(dict(zip([*held, *random], [*rng.normal(0.2, 0.2, N), *rng.normal(0, 0.2, 20)], strict=True)), 20, 0)[0]
        for _ in range(60)
    ]
    scores, noise = (np.array([float(row[name]) for row in drawn]) for name in ("score", "noise_variance"))
    spread = scores.var(ddof=1)
    assert noise.mean() == pytest.approx(spread, abs=4 * spread * np.sqrt(2 / 59))


def test_documents_enter_by_the_placements_of_their_contexts() -> None:
    """One document holds all contexts in which the ranking is wrong: it adds variance; alike ones add none."""
    held, random, _ = windows(20, 0)
    _, rows = scored({**dict.fromkeys(held, 0.5), **dict.fromkeys(random, 0.1)}, 20, 0)
    rows["probability"] = np.where(
        rows["window_id"].isin([*held[:3], *random[:6]]), 1 - rows["probability"], rows["probability"]
    )
    several = pd.concat([rows.assign(latent=i) for i in range(8)], ignore_index=True)
    wrong = several["window_id"].isin([*held[:3], *random[:6]])
    terms = []
    for document in (np.where(wrong, 0, several["window_id"] + 1), np.arange(len(several))):
        answers = read(several.assign(document_id=document))
        side = Side(scores=answers.units, weights=np.full(8, 1 / 8))
        terms.append(Documents(answers).term([side], "score").variance)
    assert terms[0] > 0.01
    assert terms[1] == 0
