"""What the LLMs of a study would be asked and cost, reckoned before any of them is asked."""

import itertools
from collections.abc import Iterator

from autointerp import controls, spending
from autointerp.examples import planted
from autointerp.experiment import Experiment
from autointerp.llm.base import Price
from autointerp.records import Explanation, LatentExamples, Question, Request
from autointerp.run_rows import count_latents, planted_latents, read_examples
from autointerp.seeds import generator

# Latents whose prompts are written out and counted; the rest is scaled.
SAMPLE = 20
# Stands for an explanation not yet written: as long as those that language models give.
TYPICAL = "words that name the objects, people or actions in a sentence, mostly right after an article or a verb"


def plan(experiment: Experiment) -> Iterator[spending.Planned]:
    """Yield what explaining and judging would take at most, retries left out, once examples are selected."""
    study, run = experiment.study, experiment.run
    sample = list(itertools.islice(read_examples(run), SAMPLE))
    n_latents = count_latents(run)
    explainer = study.explainer.module.build(study.explainer.settings, experiment.prompts)
    requests = [explainer.request(one, generator(study.seed, "plan", one.latent)) for one in sample]
    yield _planned(experiment, "explainer", requests, n_latents)
    asked = [_request(question) for question in _questions(experiment, sample)]
    n_judged = n_latents + len(planted_latents(run))
    yield _planned(experiment, "judge", asked, round(len(asked) * n_judged / max(len(sample), 1)))


def _questions(experiment: Experiment, sample: list[LatentExamples]) -> Iterator[Question]:
    study = experiment.study
    scorers = {member.use: member.module.build(member.settings, experiment.prompts) for member in study.scorers}
    told = [
        planted.explanation(one.latent)
        if one.latent.dictionary == planted.DICTIONARY
        else Explanation(
            explanation_id=str(one.latent), latent=one.latent, text=f"{TYPICAL} ({one.latent.index})", explainer="plan",
            prompt_hash="", raw="",
        )
        for one in sample
    ]  # fmt: skip
    drawn = controls.plan(told, study.controls, study.seed)
    for one in sample:
        yield from controls.questions(one, drawn, scorers, study.seed)


def _request(question: Question) -> Request:
    return Request(
        key=question.question_id, messages=question.messages, task=question.task, sampling=question.sampling,
        schema=question.schema,
    )  # fmt: skip


def _planned(experiment: Experiment, role: str, requests: list[Request], calls: int) -> spending.Planned:
    member = experiment.study.explainer_llm if role == "explainer" else experiment.study.judge_llm
    backend = member.module.open(member.settings)
    try:
        price = getattr(member.settings, "price", Price())
        return spending.plan(role, requests, backend, price, calls=calls)
    finally:
        backend.close()
