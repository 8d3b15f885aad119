"""Estimate of the LLM calls, tokens and money of a study, before any call."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from autointerp.asking import budget
from autointerp.examples import planted
from autointerp.experiment import controls
from autointerp.experiment.context import Experiment
from autointerp.experiment.study import Study
from autointerp.records import Explanation, LatentExamples, LatentId, Question, Request
from autointerp.run import record_rows
from autointerp.scorers.base import ControlsConfig, Scorer
from autointerp.seeds import generator

# Latents to render and count prompts for; the rest is extrapolated.
SAMPLE = 20
# Latents to render questions for, to estimate the total of a progress bar.
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


def plan(experiment: Experiment, typical: Sequence[str] = ()) -> Iterator[budget.CostEstimate]:
    """Yield what explaining and judging would take at most, retries left out, once examples are selected.

    Args:
        experiment: the study in its run directory.
        typical: explanations that the explainer has given before, whose lengths are those to expect.
    """
    study = experiment.study
    latents = record_rows.sampled_latents(experiment.run)
    scorers = {name: scorer for name, scorer in experiment.scorers.items() if scorer.needs == "llm"}
    texts = _typical(latents, typical)
    drawn = _drawn(experiment, texts)
    own, of_rules = _sample(experiment, SAMPLE)
    explainer = study.explainer.module.build(study.explainer.settings, experiment.prompts)
    requests = [explainer.request(one, generator(study.seed, "plan", one.latent)) for one in own]
    yield _planned(experiment, "explainer", [(requests, len(latents))])
    parts = _parts(drawn, own, of_rules, scorers, study.controls, study.seed, texts)
    yield _planned(experiment, "judge", [part.calls() for part in parts.values()])


def money(study: Study) -> list[str]:
    """Say for each LLM without a price how to see the money; that programs on this machine cost none."""
    roles = {"explainer_llm": study.explainer_llm, "judge_llm": study.judge_llm}
    paid = {role: member for role, member in roles.items() if hasattr(member.settings, "price")}
    if not paid:
        return [f"money: none; {' and '.join(dict.fromkeys(one.use for one in roles.values()))} runs on this machine"]
    return [
        f"money: unknown for {member.title}; add --set {role}.price.input=0.15 --set {role}.price.output=0.60 "
        "(US dollars per million tokens of your provider; leave out for a server of your own)"
        for role, member in paid.items()
        if not member.price.input and not member.price.output
    ]


def n_questions(experiment: Experiment, drawn: controls.Plan, scorers: Mapping[str, Scorer]) -> int:
    """Estimate the number of questions of a run from a few latents."""
    study = experiment.study
    own, of_rules = _sample(experiment, BAR_SAMPLE)
    texts = _typical([one.latent for one in own], ())
    parts = _parts(drawn, own, of_rules, scorers, study.controls, study.seed, texts)
    return round(sum(len(part.questions) * part.scale for part in parts.values()))


def _drawn(experiment: Experiment, texts: Mapping[LatentId, Explanation]) -> controls.Plan:
    """Draw the controls of a run before its explanations exist."""
    true = map(planted.explanation, record_rows.planted_latents(experiment.run))
    return controls.plan([*texts.values(), *true], experiment.study.controls, experiment.study.seed)


def _sample(experiment: Experiment, n: int) -> tuple[list[LatentExamples], list[LatentExamples]]:
    """Return the examples of up to `n` sampled latents and of up to `n` planted ones, evenly over each list."""
    lists = (record_rows.sampled_latents(experiment.run), record_rows.planted_latents(experiment.run))
    chosen = [{some[i * len(some) // n] for i in range(n)} if len(some) > n else set(some) for some in lists]
    found: tuple[list[LatentExamples], list[LatentExamples]] = ([], [])
    for one in record_rows.read_examples(experiment.run):
        for side, latents in zip(found, chosen, strict=True):
            if one.latent in latents:
                side.append(one)
    return found


def _parts(
    drawn: controls.Plan,
    own: list[LatentExamples],
    of_rules: list[LatentExamples],
    scorers: Mapping[str, Scorer],
    config: ControlsConfig,
    seed: int,
    texts: Mapping[LatentId, Explanation],
) -> dict[str, Part]:
    """Write out the questions of a sample by control, and scale each control to how many latents have it in the run.

    Only some latents carry a control, and planted latents have no hard negatives, so nothing is scaled as one. Of
    duplicates the expected number counts: the share of a latent's own questions that can be asked again.
    """
    n_of = Counter(control for latent in drawn.own for control, _ in drawn.of(latent))
    every = config.model_copy(
        update={
            "n_shuffled": n_of["shuffled"] and len(own),
            "n_empty": n_of["empty"] and len(own),
            "duplicate_share": 0,
        }
    )
    explanations = [*(texts[one.latent] for one in own), *(planted.explanation(one.latent) for one in of_rules)]
    some = controls.plan(explanations, every, seed)
    found: dict[str, list[Question]] = {}
    for one in (*own, *of_rules):
        for question in controls.questions(one, some, scorers, seed):
            found.setdefault(question.control, []).append(question)
    carriers = Counter(control for one in (*own, *of_rules) for control, _ in some.of(one.latent))
    parts = {control: Part(asked, n_of[control] / max(carriers[control], 1)) for control, asked in found.items()}
    for control in ("shuffled", "empty"):  # a sample of one latent per dictionary has no pair to shuffle
        if n_of[control] and control not in parts and found.get("none"):
            parts[control] = Part(found["none"], n_of[control] / carriers["none"])
    rng = generator(seed, "plan", "duplicates")
    again = [q for q in found.get("none", []) if scorers[q.scorer].reshuffled(q, rng) is not None]
    if again and config.duplicate_share:
        parts["duplicate"] = Part(again, config.duplicate_share * n_of["none"] / max(carriers["none"], 1))
    return parts


def _typical(latents: Sequence[LatentId], known: Sequence[str]) -> dict[LatentId, Explanation]:
    """Return explanations to expect, no two the same: as long as known ones, or as those of language models."""
    texts = known or (TYPICAL,)
    return {
        latent: Explanation(
            explanation_id=str(latent),
            latent=latent,
            text=f"{texts[number % len(texts)]} ({number})",
            explainer="plan",
            prompt_hash="",
            raw="",
        )
        for number, latent in enumerate(latents)
    }


def _planned(experiment: Experiment, role: str, asked: Iterable[tuple[list[Request], int]]) -> budget.CostEstimate:
    """Estimate one role's cost: samples of prompts, each with its number of calls in the run."""
    member = experiment.study.explainer_llm if role == "explainer" else experiment.study.judge_llm
    backend = member.module.open(member.settings)
    try:
        parts = [budget.estimate_cost(role, requests, backend, member.price, calls=calls) for requests, calls in asked]
    finally:
        backend.close()
    return budget.CostEstimate(
        stage=role,
        calls=sum(part.calls for part in parts),
        tokens_in=sum(part.tokens_in for part in parts),
        tokens_out=sum(part.tokens_out for part in parts),
        usd=sum(part.usd for part in parts),
        exact=all(part.exact for part in parts),
    )
