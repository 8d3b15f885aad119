"""Planted latents over the Python manual, with explain and held-out examples, and judges for what is asked of them."""

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache

import numpy as np

from autointerp.corpus.base import Windows
from autointerp.examples import contrast, planted
from autointerp.llm.base import LLM
from autointerp.records import Judgement, LatentExamples, Question, Reply, Request
from autointerp.scorers.base import Scorer
from tests.helpers.text import manual, windows

N = 20


@cache
def corpus() -> Windows:
    return windows(manual())


def latents(n_rules: int = 60) -> tuple[LatentExamples, ...]:
    """Planted latents; `explain` and `explain_contrast` come from the explain documents."""
    return _spread()[:n_rules]


@cache
def _spread() -> tuple[LatentExamples, ...]:
    halves = [contrast.pool(corpus(), held_out=held_out, size=1500, seed=0) for held_out in (True, False)]
    wanted = {"n_rules": 1000, "n_positives": N, "n_negatives": N, "seed": 0}
    judged, shown = ({one.latent: one for one in planted.examples(corpus(), half, **wanted)} for half in halves)
    both = [latent for latent in judged if latent in shown]
    spread = sorted(both, key=lambda latent: (latent.index * 0.6180339887498949) % 1)
    return tuple(
        replace(judged[latent], explain=shown[latent].held_out, explain_contrast=shown[latent].contrast)
        for latent in spread
    )


Judge = Callable[[Question], str | None]


def put(scorer: Scorer, questions: Iterable[Question], judge: Judge) -> list[Judgement]:
    """Have questions answered by a judge that is told everything."""
    made = []
    for question in questions:
        text = judge(question)
        made += scorer.judge(question, Reply(key=question.question_id, text=text, failure="" if text else "no_reply"))
    return made


def put_to(llm: LLM, scorer: Scorer, questions: Iterable[Question]) -> list[Judgement]:
    """Have questions answered by a back end, which sees what it is shown."""
    made = []
    for question in questions:
        key = question.question_id
        request = Request(key=key, messages=question.messages, task=question.task, sampling=question.sampling)
        made += scorer.judge(question, next(iter(llm.generate([request]))))
    return made


def score(judgements: Iterable[Judgement], scorer: Scorer) -> float:
    """Balanced accuracy of answered items; for scorers that choose, the share of questions answered rightly."""
    told = [(one.item.truth, one.answer == "yes") for one in judgements if one.answer != "unanswered"]
    recall = np.mean([said for truth, said in told if truth])
    if scorer.chance < 0.5:
        return float(recall)
    return float((recall + np.mean([not said for truth, said in told if not truth])) / 2)


def truths(question: Question) -> str:
    """The oracle's reply."""
    if question.task.form == "choose_one":
        return str(1 + [item.truth for item in question.items].index(True))
    return json.dumps([int(item.truth) for item in question.items])
