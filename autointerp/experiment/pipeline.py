"""The whole experiment on one page, in order.

    corpus -> subject -> dictionaries -> examples -> explanations -> judgements -> estimates -> report

Each stage writes its tables into the run directory and is marked when it is done, under a fingerprint of all that it
depends on. The same command continues an interrupted run: finished stages are not repeated, and an interrupted stage
repeats no answered LLM call.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from autointerp._version import __version__
from autointerp.console import Bar, note
from autointerp.errors import RunDirectoryError
from autointerp.experiment import dry_run, outlook, qualify
from autointerp.experiment.context import Experiment
from autointerp.experiment.objects import Objects
from autointerp.experiment.settings import changes
from autointerp.experiment.stages import collect, describe, estimate, explain, judge, reconstruct, select
from autointerp.experiment.study import Study, dump_study, essential, study_yaml
from autointerp.report.page import write_report
from autointerp.run import integrity, yaml_files
from autointerp.run.files import fingerprint, write_atomically
from autointerp.run.lock import claimed
from autointerp.run.store import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage: its function, the sections of the study that it reads, and the stages it builds on."""

    run: Callable[[Experiment], dict[str, object]]
    sections: tuple[str, ...] = ()
    after: tuple[str, ...]


COLLECTED = ("seed", "subject", "corpus", "windows", "dictionaries", "collection", "sampling", "examples")
QUALIFIED = ("seed", "qualify", "explainer", "explainer_llm", "scorers", "judge_llm", "prompts")
STAGES = {
    "qualify": Stage(run=qualify.qualify, sections=QUALIFIED, after=()),
    "collect": Stage(run=collect.run, sections=COLLECTED, after=("inputs",)),
    "reconstruct": Stage(run=reconstruct.run, sections=("reconstruction",), after=("collect",)),
    "select": Stage(run=select.run, sections=("controls",), after=("collect",)),
    "describe": Stage(run=describe.run, after=("collect",)),
    "explain": Stage(run=explain.run, sections=("explainer", "explainer_llm", "prompts"), after=("select",)),
    "judge": Stage(run=judge.run, sections=("scorers", "judge_llm", "controls", "prompts"), after=("explain",)),
    "estimate": Stage(run=estimate.run, sections=("statistics",), after=("judge", "reconstruct")),
}


def score(
    study: Study,
    path: Path,
    *,
    update: bool = False,
    cache: bool = True,
    until: str = "",
    objects: Objects | None = None,
) -> Run:
    """Run a study, or the rest of it, in its run directory.

    Args:
        study: what to do.
        path: the run directory, created if missing.
        update: let a changed study redo the stages that the change touches, instead of refusing.
        cache: keep and reuse LLM replies.
        until: stop after this stage.
        objects: subject and dictionaries that the study names `object:...`.

    Raises:
        UserError: something in the study, its inputs or the directory is wrong.
        StoppedError: an LLM or a limit stopped it; finished work is kept.
    """
    with claimed(path) as run:
        experiment = Experiment(
            study=study, run=run, cache=cache, objects=objects or Objects(), only_reads=until == "collect"
        )
        begin(experiment, update=update)
        marks = fingerprints(experiment)
        reach(experiment, marks)
        for name in STAGES:
            if name == "qualify" and until:
                continue
            do(experiment, name, marks[name])
            if name == "qualify":
                qualify.apply(experiment)
                marks = fingerprints(experiment)
            if name == until:
                return run
        with Bar("report", total=1, unit="page") as bar:
            write_report(run.path)
            bar.advance()
    return run


def plan(study: Study, path: Path, *, update: bool = False) -> list[str]:
    """Collect and select, then return one line per LLM with calls, tokens and money; no LLM is called.

    Raises:
        UserError: as `score`.
    """
    run = score(study, path, update=update, until="select")
    experiment = Experiment(study=study, run=run)
    known = qualify.kept(experiment) if study.qualify.mode != "off" else None
    typical = [str(row["explanation"]) for row in (known.explanations if known else ()) if row["status"] == "ok"]
    planned = list(dry_run.plan(experiment, typical))
    return [*(part.words() for part in planned), *dry_run.money(study), *outlook.expected(study, known, planned)]


def begin(experiment: Experiment, *, update: bool) -> None:
    """Write the study into the run directory; a changed study is rejected, or updates it.

    Raises:
        RunDirectoryError: the directory holds another study.
    """
    run = experiment.run
    path = run / "study.yaml"
    if problem := run.begin():
        note(f"{problem}: its stages are done again, from stored LLM replies")
    if run.stages():
        matter = _changes(path, run.manifest.get("study_fingerprint"), experiment.study)
        if matter and not update:
            raise RunDirectoryError(
                f"{run.path} holds another study ({'; '.join(matter[:5])}{'; ...' if matter[5:] else ''}); choose "
                "another --out, or --update to redo what this changes"
            )
        for line in matter:
            note(f"changed: {line}")
    note(opening(experiment.study, run.path))
    text = study_yaml(experiment.study)
    write_atomically(path, lambda partial: partial.write_text(text, encoding="utf-8"))
    run.update_manifest(**experiment.provenance(), study_file=integrity.record_of(path))


def opening(study: Study, path: Path) -> str:
    """Return one line on what a run does: subject, dictionaries, tokens, who explains and judges, where it goes."""
    names = ", ".join(one.name for one in study.dictionaries)
    return (
        f"{study.subject.model}: {len(study.dictionaries)} dictionaries ({names}), {study.windows.n_tokens:,} tokens, "
        f"explained by {study.explainer_llm.title}, judged by {study.judge_llm.title} -> {path}"
    )


def _changes(path: Path, known: object, study: Study) -> list[str]:
    """List the settings in which a run directory's study differs from this one."""
    try:
        old = yaml_files.load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        old = None
    if isinstance(old, dict):
        return changes(essential(old), essential(dump_study(study)))
    note(f"{path} is missing or damaged; it is written again")
    return [] if known == study.fingerprint() else [f"study_fingerprint: {known!r} -> {study.fingerprint()!r}"]


def fingerprints(experiment: Experiment) -> dict[str, str]:
    """Return each stage's fingerprint: of its sections, of the templates it uses, and of the stages before it."""
    whole = dump_study(experiment.study)
    study = {**essential(whole), "qualify": whole["qualify"]}
    marks: dict[str, str] = {"inputs": fingerprint(experiment.inputs())}
    for name, stage in STAGES.items():
        settings = {section: study[section] for section in stage.sections}
        before = [marks[earlier] for earlier in stage.after]
        marks[name] = fingerprint(__version__, name, settings, experiment.templates(name), before)
    return marks


def reach(experiment: Experiment, marks: dict[str, str]) -> None:
    """Open the LLMs of unfinished stages, so that a dead server is reported before anything is collected."""
    for name, member in (("explain", experiment.study.explainer_llm), ("judge", experiment.study.judge_llm)):
        if not done(experiment, name, marks[name]):
            member.module.open(member.settings).close()


def done(experiment: Experiment, name: str, mark: str) -> bool:
    """Return whether a stage is done with this fingerprint, on what earlier stages wrote, and its files are intact."""
    inputs = experiment.run.digests(STAGES[name].after)
    return experiment.run.finished(name, mark, inputs=inputs, later=_later(name))


def _later(name: str) -> list[str]:
    names = list(STAGES)
    return names[names.index(name) + 1 :]


def do(experiment: Experiment, name: str, mark: str) -> None:
    """Run one stage, unless the run directory has its results already."""
    run = experiment.run
    if done(experiment, name, mark):
        note(f"{name}: done before")
        return
    inputs = run.digests(STAGES[name].after)
    if run.current(name, mark, inputs) and (damaged := run.damaged(name, _later(name))):
        note(f"{name}: {', '.join(damaged)} missing or not what this run wrote; done again")
    began = time.monotonic()
    counts = STAGES[name].run(experiment)
    run.finish(name, mark, seconds=time.monotonic() - began, counts=counts, inputs=inputs)
    run.update_manifest()
