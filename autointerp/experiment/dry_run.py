"""What the LLMs of a study would be asked and cost, reckoned before any of them is asked."""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from autointerp.asking import budget
from autointerp.examples import planted
from autointerp.experiment import controls
from autointerp.experiment.context import Experiment
from autointerp.records import Explanation, LatentExamples, LatentId, Question, Request
from autointerp.run import record_rows
from autointerp.scorers.base import ControlsConfig, Scorer
from autointerp.seeds import generator

# Latents whose prompts are written out and counted; the rest is scaled.
SAMPLE = 20
# Latents whose questions are written out to tell how long a progress bar will be.
BAR_SAMPLE = 3
# Stands for an explanation not yet written: as long as those that language models give.
TYPICAL = "words that name the objects, people or actions in a sentence, mostly right after an article or a verb"


@dataclass(frozen=True, slots=True)
class Part:
    """Questions of one control that were written out, and how many of the kind the run has for each of them."""

    questions: list[Question]
    scale: float

    def calls(self) -> tuple[list[Request], int]:
        """Return the questions as requests, and the run's number of calls of this kind."""
        return [question.request() for question in self.questions], round(len(self.questions) * self.scale)


def plan(experiment: Experiment) -> Iterator[budget.CostEstimate]:
    """Yield what explaining and judging would take at most, retries left out, once examples are selected."""
    study, run = experiment.study, experiment.run
    sample = list(itertools.islice(record_rows.read_examples(run), SAMPLE))
    latents = record_rows.sampled_latents(run)
    explainer = study.explainer.module.build(study.explainer.settings, experiment.prompts)
    requests = [explainer.request(one, generator(study.seed, "plan", one.latent)) for one in sample]
    yield _planned(experiment, "explainer", [(requests, len(latents))])
    scorers = experiment.scorers
    judged = {name: scorer for name, scorer in scorers.items() if scorer.needs == "llm"}
    told = [*map(_typical, latents), *map(planted.explanation, record_rows.planted_latents(run))]
    drawn = controls.plan(told, study.controls, study.seed)
    parts = _parts(drawn, sample, judged, study.controls, study.seed)
    yield _planned(experiment, "judge", [part.calls() for part in parts.values()])


def n_questions(experiment: Experiment, drawn: controls.Plan, scorers: Mapping[str, Scorer]) -> int:
    """Reckon how many questions a run puts, from those of a few latents."""
    study = experiment.study
    sample = list(itertools.islice(record_rows.read_examples(experiment.run), BAR_SAMPLE))
    parts = _parts(drawn, sample, scorers, study.controls, study.seed)
    return round(sum(len(part.questions) * part.scale for part in parts.values()))


def _parts(
    drawn: controls.Plan, sample: list[LatentExamples], scorers: Mapping[str, Scorer], config: ControlsConfig, seed: int
) -> dict[str, Part]:
    """Write out the sample's questions by control, and scale each control to how many latents have it in the run.

    Only some latents carry a control, so a sample's questions cannot be scaled as one. Planted latents' questions are
    as many and as long as others'.
    """
    n_of = Counter(control for latent in drawn.own for control, _ in drawn.of(latent))
    n_of["none"] += n_of.pop("planted", 0)
    n_of["duplicate"] = sum(not latent.planted for latent in drawn.own)
    every = config.model_copy(
        update={"n_shuffled": n_of["shuffled"] and len(sample), "n_empty": n_of["empty"] and len(sample)}
    )
    some = controls.plan([_typical(one.latent) for one in sample], every, seed)
    found: dict[str, list[Question]] = {}
    for one in sample:
        for question in controls.questions(one, some, scorers, seed):
            found.setdefault("none" if question.control == "planted" else question.control, []).append(question)
    carriers = Counter(control for one in sample for control, _ in some.of(one.latent))
    carriers["duplicate"] = carriers["none"] = carriers["none"] + carriers.pop("planted", 0)
    return {control: Part(questions, n_of[control] / max(carriers[control], 1)) for control, questions in found.items()}


def _typical(latent: LatentId) -> Explanation:
    text = f"{TYPICAL} ({latent.index})"
    return Explanation(explanation_id=str(latent), latent=latent, text=text, explainer="plan", prompt_hash="", raw="")


def _planned(experiment: Experiment, role: str, asked: Iterable[tuple[list[Request], int]]) -> budget.CostEstimate:
    """Reckon one role's LLM: prompts of several kinds, each a sample and the number of calls that it stands for."""
    member = experiment.study.explainer_llm if role == "explainer" else experiment.study.judge_llm
    backend = member.module.open(member.settings)
    try:
        parts = [budget.estimate_cost(role, requests, backend, member.price, calls=calls) for requests, calls in asked]
    finally:
        backend.close()
    return budget.CostEstimate(
        stage=role, calls=sum(part.calls for part in parts), tokens_in=sum(part.tokens_in for part in parts),
        tokens_out=sum(part.tokens_out for part in parts), usd=sum(part.usd for part in parts),
        exact=all(part.exact for part in parts),
    )  # fmt: skip
