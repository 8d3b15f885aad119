"""Asks the judge about planted rules with true explanations, then the explainer, and judges its explanations too."""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from autointerp.asking import ask
from autointerp.asking.ask import AskConfig
from autointerp.asking.budget import StageUsage
from autointerp.errors import EngineError, UselessRepliesError
from autointerp.examples import planted
from autointerp.explainers.base import Explainer, UnreadableError
from autointerp.llm.base import LLM
from autointerp.qualification import explanations, measure
from autointerp.qualification.base import Answered, Qualification, QualifyConfig, Verdict
from autointerp.qualification.probes import Probe
from autointerp.records import Explanation, LatentExamples, LatentId, Question, Reply
from autointerp.scorers.base import Scorer
from autointerp.seeds import generator

_DIGIT = re.compile(r"[01]")
# Failures of the server, not of the model: they say nothing of a judge or explainer.
NO_REPLY = {"unreachable", "dropped", "timeout", "rate_limited", "server_error", "bad_response", "redirected"}
Words = Literal["true", "own"]
Advance = Callable[[int, Callable[[], str]], None]
ADVICE = (
    "ask for one context per prompt (scorers.N.n_per_question: 1) or let qualify: auto choose the prompt form",
    "take a larger instruction-tuned model",
    "qualify: warn runs the study all the same",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """An LLM with what is needed to ask it."""

    llm: LLM
    config: AskConfig
    usage: StageUsage
    seed: int = 0
    advance: Advance | None = None


def qualified_scorers(scorers: Mapping[str, Scorer]) -> dict[str, Scorer]:
    """Return the scorers that a judge can be qualified for: those that ask the judge yes or no."""
    return {name: scorer for name, scorer in scorers.items() if scorer.needs == "llm" and scorer.chance == 0.5}


def judge(asker: Asker, scorers: Mapping[str, Scorer], probes: Sequence[Probe], config: QualifyConfig) -> Qualification:
    """Qualify a judge: true explanations of more and more rules, until every scorer is decided or one has failed."""
    truth = {probe.examples.latent: planted.explanation(probe.examples.latent) for probe in probes}
    try:
        answers, verdicts = _sequential(asker, scorers, probes, truth, "true", config.judge_limit)
    except UselessRepliesError as error:
        return Qualification(
            judge="failed", causes=(f"judge: {error}",), advice=ADVICE, usage={"judge": _spent(asker.usage)}
        )
    failed = [name for name, verdict in verdicts.items() if verdict == "failed"]
    causes = []
    for name in failed:
        row = measure.quality(answers, name, "true")
        value = "no answer" if row.informedness is None else f"{row.informedness:.2f}"
        why = "; ".join(measure.causes(answers, name))
        causes.append(
            f"judge, {name}: sensitivity + specificity - 1 on {row.n_rules} planted rules with true explanations is "
            f"{value}, below {config.judge_limit:g}: {why}"
        )
    return Qualification(
        judge=_overall(verdicts),
        causes=tuple(causes),
        advice=ADVICE if failed else (),
        rows=tuple(measure.table(answers)),
        usage={"judge": _spent(asker.usage)},
    )


def explainer(
    asker: Asker,
    writer: Explainer,
    judging: Asker,
    scorers: Mapping[str, Scorer],
    probes: Sequence[Probe],
    config: QualifyConfig,
) -> Qualification:
    """Qualify an explainer: by the texts of its explanations, then by what a judge scores with them."""
    some = list(probes[: config.n_explained])
    try:
        explained = _explained(asker, writer, some)
    except UselessRepliesError as error:
        spent = {"explainer": _spent(asker.usage)}
        return Qualification(explainer="failed", causes=(f"explainer: {error}",), advice=ADVICE[1:], usage=spent)
    rows, faults = _texts(writer, some, explained, asker.seed)
    answers: list[Answered] = []
    verdicts: dict[str, Verdict] = {"texts": "failed"}
    causes = [f"explainer: {fault}" for fault in faults]
    if not faults:
        kept = [probe for probe in some if explained[probe.examples.latent].text is not None]
        answers, verdicts = _sequential(judging, scorers, kept, explained, "own", config.explainer_limit)
        for name in (name for name, verdict in verdicts.items() if verdict == "failed"):
            row = measure.quality(answers, name, "own")
            value = "no answer" if row.informedness is None else f"{row.informedness:.2f}"
            causes.append(
                f"explainer: by its explanations of {row.n_rules} planted rules the judge reaches {value} ({name}), "
                f"below {config.explainer_limit:g}: they do not say what the contexts have in common"
            )
    return Qualification(
        explainer=_overall(verdicts),
        causes=tuple(causes),
        advice=ADVICE[1:] if causes else (),
        rows=tuple(row for row in measure.table(answers) if row.words == "own"),
        explanations=tuple(rows),
        usage={"explainer": _spent(asker.usage), "judge of its explanations": _spent(judging.usage)},
    )


def _explained(asker: Asker, writer: Explainer, probes: Sequence[Probe]) -> dict[LatentId, Explanation]:
    examples = (probe.examples for probe in probes)
    found = list(
        ask.explanations(
            writer, asker.llm, examples, config=asker.config, seed=asker.seed, usage=asker.usage, advance=asker.advance
        )
    )
    _refuse_silence([one.row.failure for one in found])
    return {one.explanation.latent: one.explanation for one in found}


def _refuse_silence(failures: Sequence[str]) -> None:
    """Stop if prompts got no reply: a dead server must not disqualify a model."""
    silent = [failure for failure in failures if failure in NO_REPLY]
    if silent:
        raise EngineError(
            f"qualify: {len(silent)} of {len(failures)} prompts got no reply ({', '.join(sorted(set(silent)))}), so "
            "nothing is concluded about the model; run the same command again when the server answers"
        )


def _overall(verdicts: Mapping[str, Verdict]) -> Verdict:
    if "failed" in verdicts.values():
        return "failed"
    return "passed" if verdicts and set(verdicts.values()) == {"passed"} else "undecided"


def _sequential(
    asker: Asker,
    scorers: Mapping[str, Scorer],
    probes: Sequence[Probe],
    explained: Mapping[LatentId, Explanation],
    words: Words,
    limit: float,
) -> tuple[list[Answered], dict[str, Verdict]]:
    """Ask about rules look by look; a scorer that is decided is asked no more, and one failure ends it all."""
    answers: list[Answered] = []
    verdicts: dict[str, Verdict] = {}
    looks = sorted({min(look, len(probes)) for look in measure.LOOKS} | {len(probes)})
    done = 0
    for look in looks:
        open_scorers = {name: scorer for name, scorer in scorers.items() if name not in verdicts}
        answers += _judged(asker, open_scorers, probes[done:look], explained, words)
        done = look
        for name in open_scorers:
            verdict = measure.decide(answers, name, words, limit, last=look == len(probes))
            if verdict is not None:
                verdicts[name] = verdict
        if "failed" in verdicts.values() or len(verdicts) == len(scorers):
            break
    return answers, verdicts


def _judged(
    asker: Asker,
    scorers: Mapping[str, Scorer],
    probes: Sequence[Probe],
    explained: Mapping[LatentId, Explanation],
    words: Words,
) -> list[Answered]:
    rules = {probe.examples.latent: probe.rule for probe in probes}

    def questions() -> Iterator[Question]:
        for probe in probes:
            latent = probe.examples.latent
            for name, scorer in scorers.items():
                rng = generator(asker.seed, "qualify", name, latent)
                yield from scorer.questions(probe.examples, explained[latent], "planted", rng)

    found, failures = [], []
    for judged in ask.judgements(
        scorers, asker.llm, questions(), config=asker.config, usage=asker.usage, advance=asker.advance
    ):
        failures.append(judged.row.failure)
        reply = (judged.row.reply or "").strip()
        shots = [message.content.strip() for message in judged.question.messages if message.role == "assistant"]
        for one in judged.judgements:
            found.append(
                Answered(
                    scorer=one.scorer,
                    words=words,
                    rule=one.latent.index,
                    grade=rules[one.latent].grade,
                    question=one.question_id,
                    position=one.position,
                    n_shown=len(judged.question.items),
                    truth=one.item.truth,
                    yes=None if one.answer == "unanswered" else one.answer == "yes",
                    probability=one.probability,
                    reply=reply,
                    few_shot=len(judged.question.items) > 1 and _repeats(reply, shots),
                )
            )
    _refuse_silence(failures)
    return found


def _repeats(reply: str, shots: Sequence[str]) -> bool:
    """Return whether a reply is an example's answer, or begins with all of the last example's."""
    return reply in shots or (
        bool(shots) and _DIGIT.findall(shots[-1]) == _DIGIT.findall(reply)[: shots[-1].count(",") + 1]
    )


def _texts(
    writer: Explainer, probes: Sequence[Probe], explained: Mapping[LatentId, Explanation], seed: int
) -> tuple[list[dict[str, object]], list[str]]:
    """Return one row per explanation, and what disqualifies the explainer by the texts."""
    few_shot = few_shot_explanations(writer, probes[0].examples, seed)
    rows, contexts = [], []
    for probe in probes:
        one = explained[probe.examples.latent]
        text = one.text or ""
        shown = [example.text for example in probe.examples.explain]
        contexts.append(shown)
        rows.append(
            {
                "rule": probe.rule.name,
                "grade": probe.rule.grade,
                "truth": probe.rule.explanation,
                "explanation": text,
                "status": one.status,
                "copies_example": explanations.copies(text, few_shot),
                "quotes_context": explanations.quotes_context(text, shown),
            }
        )
    statuses = [str(row["status"]) for row in rows]
    return rows, explanations.faults([str(row["explanation"]) for row in rows], statuses, few_shot, contexts)


def few_shot_explanations(writer: Explainer, examples: LatentExamples, seed: int) -> list[str]:
    """Return the explanations that an explainer's rendered prompt gives as examples."""
    request = writer.request(examples, generator(seed, "few-shot"))
    found = []
    for message in request.messages:
        if message.role == "assistant":
            try:
                found.append(writer.read(Reply(key="", text=message.content, finish_reason="stop")))
            except UnreadableError:
                found.append(message.content)
    return found


def together(first: Qualification, second: Qualification) -> Qualification:
    """Join the results of the judge and of the explainer."""
    return replace(
        first,
        explainer=second.explainer,
        causes=first.causes + second.causes,
        advice=tuple(dict.fromkeys(first.advice + second.advice)),
        rows=first.rows + second.rows,
        explanations=second.explanations,
        usage={**first.usage, **second.usage},
    )


def _spent(usage: StageUsage) -> dict[str, float]:
    return {
        "calls": usage.calls,
        "cached_calls": usage.cached_calls,
        "tokens_in": usage.tokens_in,
        "tokens_cached": usage.tokens_cached,
        "tokens_out": usage.tokens_out,
        "usd": usage.usd,
        "seconds": round(time.monotonic() - usage.began, 3),
    }
