"""Have every explanation judged on held-out windows, with all controls; an unreadable reply is a counted row."""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping

from autointerp.asking import ask
from autointerp.console import Bar
from autointerp.examples import planted
from autointerp.experiment import controls, dry_run
from autointerp.experiment.context import Experiment
from autointerp.experiment.study import LLMMember
from autointerp.records import Judgement, Question
from autointerp.run import record_rows, tables
from autointerp.run.record_rows import Counts
from autointerp.scorers.base import Scorer

ORDER = [*tables.KEY, "scorer", "control", "question_id"]


def run(experiment: Experiment) -> Counts:
    """Write judgements.parquet, and complete questions.parquet."""
    study, run = experiment.study, experiment.run
    scorers = experiment.scorers
    known = itertools.chain(
        record_rows.read_explanations(run), map(planted.explanation, record_rows.planted_latents(run))
    )
    plan = controls.plan(known, study.controls, study.seed, experiment.batches, record_rows.look_order(run))
    asked = run.read("questions")
    baseline: list[Judgement] = []
    not_asked: Counter[str] = Counter()

    def questions(some: Mapping[str, Scorer]) -> Iterator[Question]:
        for latent in record_rows.read_examples(run):
            made = list(controls.questions(latent, plan, some, study.seed))
            not_asked.update(controls.not_asked(latent, made))
            if study.controls.lexical:
                baseline.extend(controls.lexical(latent, made))
            yield from made

    with (
        Bar("judge", total=dry_run.n_questions(experiment, plan, scorers), unit="questions", estimated=True) as bar,
        run.writing("judgements", tables.JUDGEMENTS) as judgements,
        run.writing("questions", tables.QUESTIONS) as rows,
    ):
        for row in asked[asked["scorer"] == "explain"].to_dict("records"):
            rows.add({str(name): value for name, value in row.items()})
        for back_end, some in _by_back_end(scorers):
            role = "judge" if back_end is None else back_end.use
            with experiment.asking(role, back_end) as (llm, usage):
                for judged in ask.judgements(
                    some, llm, questions(some), config=study.ask, usage=usage, advance=bar.advance
                ):
                    rows.add(record_rows.question_row(judged.row))
                    for judgement in itertools.chain(judged.judgements, baseline):
                        judgements.add(record_rows.judgement_row(judgement))
                    baseline.clear()
    run.sort("judgements", [*ORDER, "position"])
    run.sort("questions", ORDER)
    answers = run.read("judgements", ["control", "answer"]).groupby("control")["answer"].value_counts()
    return {**record_rows.nested(answers), "activating_windows_not_asked": dict(not_asked)}


def _by_back_end(scorers: Mapping[str, Scorer]) -> Iterator[tuple[LLMMember | None, Mapping[str, Scorer]]]:
    """Yield the scorers that the study's judge answers, together, then each scorer with its own back end."""
    judged = {name: scorer for name, scorer in scorers.items() if scorer.needs == "llm"}
    if judged:
        yield None, judged
    for name, scorer in scorers.items():
        if scorer.needs != "llm":
            settings = {"use": scorer.needs, **getattr(scorer, "back_end", {})}
            yield LLMMember.model_validate(settings), {name: scorer}
