"""Forecast of a study's cost from qualification: calls, minutes, tokens, money."""

from collections.abc import Iterator, Mapping, Sequence

from autointerp.asking.budget import CostEstimate
from autointerp.experiment.study import ScorerMember, Study
from autointerp.qualification import measure
from autointerp.qualification.base import Qualification, QualifyConfig

# Prompt forms that `qualify: auto` chooses among, the cheapest first.
FORMS = ("list", "single", "token")


def in_form(scorers: tuple[ScorerMember, ...], form: str) -> tuple[ScorerMember, ...]:
    """Return the scorers with another prompt form; those that know none stay as they are."""
    if not form:
        return scorers
    return tuple(
        member.model_copy(update={"settings": member.settings.model_copy(update={"form": form})})
        if "form" in type(member.settings).model_fields
        else member
        for member in scorers
    )


def expected(study: Study, found: Qualification | None, planned: Sequence[CostEstimate]) -> Iterator[str]:
    """Yield what a dry run says of qualification: its calls, or from its rates the time and money of what is planned.

    Args:
        study: the study.
        found: the kept qualification of its models, prompts and protocol, if any.
        planned: what explaining and judging take.
    """
    if study.qualify.mode == "off":
        return
    if found is None:
        least, most = qualification_calls(study)
        yield (
            f"qualify: {least:,} calls if explainer and judge are clearly good, at most {most:,}; it measures the rate "
            "from which times are estimated"
        )
        return
    yield "qualify: 0 calls (these models, prompts and protocol are qualified)"
    yield from _at_rates(found, {part.stage: part.calls for part in planned})


def extrapolated(study: Study, found: Qualification) -> Iterator[str]:
    """Yield what the study would take at the rates of its qualification; nothing where the latents are not counted."""
    n_latents = study.sampling.n_latents
    if isinstance(n_latents, int):
        n = n_latents * len(study.dictionaries)
        examples, controls = study.examples, study.controls
        n_hard = examples.n_hard * len(examples.hard)
        contexts = examples.n_positives + examples.n_negatives
        share = 1 + controls.duplicate_share
        of_controls = sum(min(n_latents, some) for some in (controls.n_shuffled, controls.n_empty))
        own, more = (sum(_n_prompts(one, n) for one in study.scorers) for n in (contexts, contexts + n_hard))
        calls = n * more * share + of_controls * len(study.dictionaries) * more + controls.n_planted * own
        yield from _at_rates(found, {"explainer": n, "judge": round(calls)}, "the study, at most: ")


def _at_rates(found: Qualification, calls: Mapping[str, int], before: str = "") -> Iterator[str]:
    for role, n in calls.items():
        usage = found.usage.get(role)
        if usage and usage["calls"] and usage["seconds"]:
            seconds = n * usage["seconds"] / usage["calls"]
            cached = usage["tokens_cached"] / max(usage["tokens_in"], 1)
            usd = n * usage["usd"] / usage["calls"]
            money = f", about ${usd:,.2f}" if usd else ""
            yield (
                f"{before}{role}: {n:,} calls, about {seconds / 60:,.1f} minutes at "
                f"{usage['calls'] / usage['seconds']:,.1f} calls/s, {n * usage['tokens_out'] / usage['calls']:,.0f} "
                f"tokens out{money}; {cached:.0%} of prompt tokens cached by the server, as measured by qualify"
            )


def qualification_calls(study: Study) -> tuple[int, int]:
    """Return the calls of a qualification: if explainer and judge are always right, and if nothing is decided early."""
    config = study.qualify
    forms = FORMS if config.mode == "auto" else ("",)
    of_form = [sum(_prompts(member, config) for member in in_form(study.scorers, form)) for form in forms]
    clear = measure.rules_if_clear(config.judge_limit, config.n_rules, config.n_contexts)
    n_rules = measure.rules_if_clear(config.explainer_limit, config.n_explained, config.n_contexts)
    least = clear * sum(of_form) + config.n_explained + n_rules * min(of_form)
    return least, config.n_rules * sum(of_form) + config.n_explained * (1 + max(of_form))


def _prompts(member: ScorerMember, config: QualifyConfig) -> int:
    """Return a scorer's number of prompts about one rule; 0 for a scorer that is not qualified."""
    return _n_prompts(member, 2 * config.n_contexts) if "n_per_question" in type(member.settings).model_fields else 0


def _n_prompts(member: ScorerMember, n_contexts: int) -> int:
    """Return a scorer's number of prompts about some contexts of one latent."""
    settings = member.settings.model_dump()
    listed = settings.get("form", "list") == "list"
    return -(-n_contexts // (settings.get("n_per_question", n_contexts) if listed else 1))
