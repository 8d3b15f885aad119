"""Ask for an explanation of every sampled latent; a failure is a row with its reason."""

from autointerp.asking import ask
from autointerp.console import Bar
from autointerp.experiment.context import Experiment
from autointerp.run import record_rows, tables
from autointerp.run.record_rows import Counts


def run(experiment: Experiment) -> Counts:
    """Write explanations.parquet and questions.parquet."""
    study, run, asked = experiment.study, experiment.run, experiment.asked
    explainer = study.explainer.module.build(study.explainer.settings, experiment.prompts)
    with (
        experiment.asking("explainer") as (llm, usage),
        Bar("explain", total=record_rows.count_latents(run), unit="latents") as bar,
        run.writing("explanations", tables.EXPLANATIONS) as explanations,
        run.writing("questions", tables.QUESTIONS) as questions,
    ):
        sampled = (one for one in record_rows.read_examples(run) if not one.latent.planted)
        wanted = (one for one in sampled if asked is None or one.latent in asked)
        for explained in ask.explanations(
            explainer, llm, wanted, config=study.ask, seed=study.seed, usage=usage, advance=bar.advance
        ):
            explanations.add(record_rows.explanation_row(explained.explanation))
            questions.add(record_rows.question_row(explained.row))
    run.sort("explanations", ["explanation_id"])
    status = run.read("explanations", ["status"])["status"].value_counts().to_dict()
    return {"explained": status.pop("ok", 0), "failed": status}
