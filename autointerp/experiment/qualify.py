"""Stage `qualify`: explainer and judge show on planted rules what they can do, before any latent is paid for.

Rules of the bank are run over the docstrings of the Python standard library, which are always there, so that what was
result is stored per model, prompts and protocol (`qualification.keep`). The study's own planted controls, on
its own text, are judged later as before.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from autointerp import plugins
from autointerp.asking import ask
from autointerp.asking.budget import StageUsage
from autointerp.console import Bar, note
from autointerp.errors import NotQualifiedError, StudyError
from autointerp.examples.bank import RULES
from autointerp.experiment import outlook
from autointerp.experiment.context import Experiment
from autointerp.experiment.study import CorpusMember, ExplainerMember, LLMMember, ScorerMember, Study, problems
from autointerp.llm.base import LLM, Price
from autointerp.prompts import Prompts
from autointerp.qualification import keep, measure, run, show
from autointerp.qualification.base import Qualification, QualifyConfig
from autointerp.qualification.probes import Probe, probes
from autointerp.run.files import fingerprint
from autointerp.run.record_rows import Counts
from autointerp.scorers.base import Scorer

# Bump when stored qualifications no longer predict a new one.
VERSION = 1
# By how much a dearer prompt form must be better for `auto` to choose it.
WORTH = 0.05


@dataclass(kw_only=True)
class Candidate:
    """Subject of a qualification: explainer and judge with their prompts.

    `opened` gives an LLM and its usage for a role, within the given exit stack.
    """

    explainer: ExplainerMember
    scorers: tuple[ScorerMember, ...]
    prompts: Prompts
    ask: ask.AskConfig
    config: QualifyConfig
    opened: Any
    seed: int = 0
    corpus: dict[str, Any] = field(default_factory=lambda: {"use": "docstrings"})
    _probes: list[Probe] = field(default_factory=list)

    def probes(self) -> list[Probe]:
        """Make the planted rules' contexts, once."""
        if not self._probes:
            module = plugins.load("corpus", self.corpus["use"])
            settings = {key: value for key, value in self.corpus.items() if key != "use"}
            documents = module.documents(module.Config(**settings))
            self._probes = probes(
                documents, n_rules=self.config.n_rules, n_contexts=self.config.n_contexts, seed=self.seed
            )
        return self._probes

    def built(self, form: str = "") -> dict[str, Scorer]:
        """Build the scorers that are qualified, in a prompt form where one is named."""
        members = outlook.in_form(self.scorers, form)
        built = [member.module.build(member.settings, self.prompts) for member in members]
        return run.qualified_scorers({scorer.name: scorer for scorer in built})

    def judge(self) -> Qualification:
        """Qualify the judge; with `auto` in each prompt form, keeping the best."""
        if self.config.mode != "auto":
            return self._judge("")
        found = {form: self._judge(form) for form in outlook.FORMS}
        best = max(outlook.FORMS, key=lambda form: _informedness(found[form]) - WORTH * outlook.FORMS.index(form))
        chosen = found[best]
        return replace(chosen, form=best)

    def _judge(self, form: str) -> Qualification:
        scorers = self.built(form)
        if not scorers:
            return Qualification()
        probes = self.probes()
        with ExitStack() as stack:
            asker = self._asker(stack, "judge", "qualify judge")
            return run.judge(asker, scorers, probes, self.config)

    def explain(self, form: str = "") -> Qualification:
        """Qualify the explainer, its explanations judged by the judge."""
        scorers = self.built(form)
        writer = self.explainer.module.build(self.explainer.settings, self.prompts)
        if not scorers:
            return Qualification()
        probes = self.probes()
        with ExitStack() as stack:
            asker = self._asker(stack, "explainer", "qualify explainer")
            judging = self._asker(stack, "judge", "judge explanations")
            return run.explainer(asker, writer, judging, scorers, probes, self.config)

    def _asker(self, stack: ExitStack, role: str, words: str) -> run.Asker:
        bar = stack.enter_context(Bar(words, total=None, unit="prompts"))
        llm, usage = stack.enter_context(self.opened(role))
        return run.Asker(llm=llm, config=self.ask, usage=usage, seed=self.seed, advance=bar.advance)


def alone(
    members: Mapping[str, dict[str, Any]],
    *,
    prompt: str,
    form: str,
    prompts: Path | None,
    store: Path | None,
    corpus: dict[str, Any],
) -> Candidate:
    """Return explainer and judge outside a study.

    Args:
        members: the study's section of each role's LLM.
        prompt: the explainer, such as `default`.
        form: prompt form of detection and fuzzing, or `auto`.
        prompts: a folder of templates to use first.
        store: a response store; None keeps no replies.
        corpus: the study's section of the text that rules are planted in.

    Raises:
        StudyError: a section is not valid.
    """
    try:
        llms = {role: LLMMember.model_validate(section) for role, section in members.items()}
        CorpusMember.model_validate(corpus)
    except ValidationError as error:
        raise StudyError("; ".join(problems(error))) from error

    @contextmanager
    def opened(role: str) -> Iterator[tuple[LLM, StageUsage]]:
        member = llms[role]
        price = getattr(member.settings, "price", Price())
        back_end = member.module.open(member.settings)
        llm = ask.connect(back_end, store=store, price=price)
        try:
            yield llm, StageUsage(price=price)
        finally:
            llm.close()

    scorers = tuple(ScorerMember.model_validate(name) for name in ("detection", "fuzzing"))
    return Candidate(
        explainer=ExplainerMember.model_validate(prompt),
        scorers=outlook.in_form(scorers, "" if form == "auto" else form),
        prompts=Prompts(prompts),
        ask=ask.AskConfig(),
        config=QualifyConfig(mode="auto" if form == "auto" else "stop"),
        opened=opened,
        corpus=corpus,
    )


def _informedness(found: Qualification) -> float:
    values = [row.informedness for row in found.rows if row.grade == "all" and row.words == "true"]
    return min((value for value in values if value is not None), default=-1.0)


def qualify(experiment: Experiment) -> Counts:
    """Qualify the study's judge and explainer; below a limit the run stops here, unless it shall only be warned.

    Raises:
        NotQualifiedError: one of them is below its limit, and `qualify` is `stop` or `auto`.
        StoppedError: an LLM is gone or a limit is reached.
    """
    study = experiment.study
    if study.qualify.mode == "off":
        return {"mode": "off"}
    key = _key(experiment)
    found = keep.recall(key) if experiment.cache else None
    if found is not None:
        note("qualify: qualified before (same models, prompts and protocol)")
    else:
        found = _found(experiment)
        if not found.failed and experiment.cache and not programs(study):
            keep.remember(key, found)
    experiment.run.write_json(keep.FILE, asdict(found))
    said = show.lines(found) if found.causes else [f"{show.summary(found)}; table in {keep.FILE}"]
    for line in (*said, *outlook.extrapolated(study, found)):
        note(line)
    if found.failed and study.qualify.mode != "warn":
        raise NotQualifiedError(show.refusal(found))
    return {"judge": found.judge, "explainer": found.explainer, "form": found.form}


def kept(experiment: Experiment) -> Qualification | None:
    """Return the kept qualification of a study's models, prompts and protocol; None if there is none."""
    return keep.recall(_key(experiment))


def apply(experiment: Experiment) -> None:
    """Give the study's scorers the prompt form that `auto` chose."""
    path = experiment.run / keep.FILE
    if experiment.study.qualify.mode != "auto" or not path.exists():
        return
    form = keep.parsed(path.read_text(encoding="utf-8")).form
    experiment.study = experiment.study.model_copy(update={"scorers": outlook.in_form(experiment.study.scorers, form)})
    experiment.__dict__.pop("scorers", None)


def programs(study: Study) -> bool:
    """Return whether neither role is a model with a cost per call."""
    return {study.explainer_llm.use, study.judge_llm.use} <= {"pattern", "scripted"}


def candidate(experiment: Experiment) -> Candidate:
    """Return what a study's explainer and judge are qualified with."""
    study = experiment.study
    return Candidate(
        explainer=study.explainer,
        scorers=study.scorers,
        prompts=experiment.prompts,
        ask=study.ask,
        config=study.qualify,
        opened=_stages(experiment),
        seed=study.seed,
    )


def _stages(experiment: Experiment) -> Callable[[str], AbstractContextManager[tuple[LLM, StageUsage]]]:
    """Return what opens a role's LLM; the judge, asked about true explanations and then others, has two stages."""
    opened: list[str] = []

    def of(role: str) -> AbstractContextManager[tuple[LLM, StageUsage]]:
        opened.append(role)
        again = "_of_explanations" if role == "judge" and "explainer" in opened else ""
        return experiment.asking(role, stage=f"qualify_{role}{again}")

    return of


def _found(experiment: Experiment) -> Qualification:
    wanted = candidate(experiment)
    first = wanted.judge()
    if first.failed:
        return first
    return run.together(first, wanted.explain(first.form))


def _key(experiment: Experiment) -> str:
    """Hash what a qualification depends on: models, prompts, scorers, settings, the bank."""
    study = experiment.study
    marks = [_identity(member) for member in (study.explainer_llm, study.judge_llm)]
    settings = study.qualify.model_dump(mode="json")
    parts = [member.model_dump(mode="json") for member in (study.explainer, *study.scorers)]
    templates = {**experiment.templates("explain"), **experiment.templates("judge")}
    rules = [(rule.name, rule.explanation, rule.regex) for rule in RULES]
    return fingerprint(VERSION, marks, settings, parts, templates, rules, measure.LOOKS, study.seed)


def _identity(member: LLMMember) -> str:
    """Return a model's identity: the fingerprint that its replies are stored under."""
    back_end = member.module.open(member.settings)
    try:
        return back_end.fingerprint
    finally:
        back_end.close()
