"""The stages of an experiment: each reads what earlier ones wrote, does its work, and writes its tables.

Every stage is a function of an `Experiment` that returns counts for the manifest. All reading and writing of the run
directory between stages is here; how the work is done is in the stages' folders.
"""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autointerp import statistics
from autointerp.asking import ask
from autointerp.collection import histograms
from autointerp.console import Bar
from autointerp.corpus import bos_id
from autointerp.dictionaries.spec import Dictionary
from autointerp.errors import CorpusError
from autointerp.examples import planted
from autointerp.experiment import controls, dry_run
from autointerp.experiment.context import Experiment
from autointerp.experiment.study import LLMMember, dump_study
from autointerp.reconstruction import metrics
from autointerp.reconstruction.base import held_out_documents
from autointerp.records import Judgement, LatentId, Question
from autointerp.report.page import write_report
from autointerp.run import record_rows, tables
from autointerp.run.files import fingerprint
from autointerp.run.reading import RunTables
from autointerp.run.record_rows import Counts
from autointerp.scorers.base import Scorer
from autointerp.subject import sites, unembedding

# Settings that two runs must share before their scores may be compared.
PROTOCOL = ("windows", "examples", "explainer", "scorers", "controls", "corpus")
RECONSTRUCTED = ("reconstruction", "reconstruction_documents")
ORDER = {
    "explanations": ["explanation_id"],
    "judgements": ["dictionary", "site", "latent", "scorer", "control", "question_id", "position"],
    "questions": ["dictionary", "site", "latent", "scorer", "control", "question_id"],
}


def collect(experiment: Experiment) -> Counts:
    """Run the subject over the corpus with every dictionary; write the dictionaries and latents tables."""
    found = experiment.collected
    experiment.run.write("dictionaries", dictionaries_table(experiment), tables.DICTIONARIES)
    experiment.run.write("latents", found.latents, tables.LATENTS)
    status = found.latents.groupby("dictionary", sort=False)["status"].value_counts()
    if not found.latents["eligible"].any():
        raise CorpusError(too_small(experiment))
    return {**found.counts, "seconds": found.seconds, "status": record_rows.nested(status)}


def too_small(experiment: Experiment) -> str:
    """Say that no latent became eligible, and what would help."""
    latents, wanted = experiment.collected.latents, experiment.study.examples
    best = int(latents["n_windows"].max())
    status = ", ".join(f"{n:,} {name}" for name, n in latents["status"].value_counts().items())
    return (
        f"0 of {len(latents):,} latents became eligible ({status}): one needs {wanted.min_windows} windows of "
        f"{experiment.study.windows.window_length} tokens in which it fires, the most frequent has {best}; read more "
        "text (--tokens), or lower examples.min_windows"
    )


def dictionaries_table(experiment: Experiment) -> pd.DataFrame:
    """One row per dictionary: what it is and where it came from."""
    named = {one.name: one for one in experiment.study.dictionaries}
    architectures = {
        one.name: (named[one.name].control or one.architecture).replace("_", "-") for one in experiment.opened
    }
    rows = [
        {
            "dictionary": one.name, "architecture": architectures[one.name], "site": str(arm.site_in),
            "site_out": str(arm.site_out), "layer": sites.layer(arm.site_in), "k": one.k,
            "n_latents": one.n_latents, "d_in": one.d_in, "d_out": one.d_out, "seed": one.seed,
            "format": one.provenance.format, "source": named[one.name].source, "revision": one.provenance.revision,
            "sha256": one.provenance.sha256,
        }
        for arm, one in zip(experiment.arms, experiment.opened, strict=True)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def reconstruct(experiment: Experiment) -> Counts:
    """Measure what each dictionary preserves, and refuse one that looks misread before any LLM is asked."""
    study, wanted = experiment.study, experiment.study.reconstruction
    if not wanted.enabled:
        return {"documents": 0}
    windows = experiment.collected.windows
    documents = held_out_documents(windows, wanted, study.windows.context_length)
    bos = bos_id(experiment.subject.tokenizer, study.windows.bos)
    controls_of = {one.name for one in study.dictionaries if one.control is not None}
    arms = [arm for arm in experiment.arms if arm.dictionary.name not in controls_of]
    found = metrics.evaluate_documents(experiment.subject, arms, documents, wanted, bos=bos, seed=study.seed)
    experiment.run.write("reconstruction", found.table, tables.RECONSTRUCTION)
    experiment.run.write("reconstruction_documents", found.documents, tables.RECONSTRUCTION_DOCUMENTS)
    return {"documents": len(documents)}


def describe(experiment: Experiment) -> Counts:
    """Tell of each sampled latent how strongly it fires on the corpus, and which tokens its decoder row promotes."""
    run, found = experiment.run, experiment.collected
    sampled = found.latents[found.latents["sampled"]]
    with run.writing("histograms", tables.HISTOGRAMS) as writer:
        for latent in itertools.starmap(LatentId, sampled[tables.KEY].itertuples(index=False)):
            for row in histograms.to_rows(latent, found.firing(latent.dictionary, latent.index)):
                writer.add(row)
    left_out = {}
    random_arms = {one.name for one in experiment.study.dictionaries if one.control is not None}
    with run.writing("logits", tables.LOGITS) as writer:
        for arm, one in zip(experiment.arms, experiment.opened, strict=True):
            mine = sampled.loc[sampled["dictionary"] == one.name, "latent"].to_numpy()
            if one.name in random_arms:
                left_out[one.name] = "a control arm has no decoder of its own"
                continue
            if reason := unembedding.obstacle(experiment.subject.model, arm.site_out, one.d_out):
                left_out[one.name] = reason
                continue
            for row in _promoted(experiment, one, str(arm.site_in), mine):
                writer.add(row)
    return {"latents": len(sampled), "without_logits": left_out}


def _promoted(
    experiment: Experiment, dictionary: Dictionary, site: str, latents: NDArray[np.int64]
) -> Iterator[dict[str, object]]:
    """Yield rows of `tables.LOGITS`."""
    model, decode = experiment.subject.model, experiment.collected.windows.decode
    found = unembedding.extremes(model, dictionary.directions(latents), len(experiment.subject.tokenizer))
    for latent, strongest in zip(latents.tolist(), found, strict=True):
        for side, pairs in (("top", strongest.top), ("bottom", strongest.bottom)):
            for rank, (token, value) in enumerate(pairs):
                text = "".join(decode(np.array([token])))
                yield {
                    "dictionary": dictionary.name, "site": site, "latent": latent, "side": side, "rank": rank,
                    "token": text, "value": value,
                }  # fmt: skip


def explain(experiment: Experiment) -> Counts:
    """Have every sampled latent explained; a failure is a row with its reason."""
    study, run, asked = experiment.study, experiment.run, experiment.asked
    explainer = study.explainer.module.build(study.explainer.settings, experiment.prompts)
    with (
        experiment.asking("explainer", "explain") as (llm, usage),
        Bar("explain", total=record_rows.count_latents(run), unit="latents") as bar,
        run.writing("explanations", tables.EXPLANATIONS) as explanations,
        run.writing("questions", tables.QUESTIONS) as questions,
    ):
        sampled = (one for one in record_rows.read_examples(run) if not one.latent.planted)
        wanted = (one for one in sampled if asked is None or one.latent in asked)
        for told in ask.explanations(
            explainer, llm, wanted, config=study.ask, seed=study.seed, usage=usage, advance=bar.advance
        ):
            explanations.add(record_rows.explanation_row(told.explanation))
            questions.add(record_rows.question_row(told.row))
    run.sort("explanations", ORDER["explanations"])
    status = run.read("explanations", ["status"])["status"].value_counts().to_dict()
    return {"explained": status.pop("ok", 0), "failed": status}


def judge(experiment: Experiment) -> Counts:
    """Have every explanation judged on held-out windows, with all controls; an unread reply is a counted row."""
    study, run = experiment.study, experiment.run
    scorers = experiment.scorers
    known = itertools.chain(
        record_rows.read_explanations(run), map(planted.explanation, record_rows.planted_latents(run))
    )
    plan = controls.plan(known, study.controls, study.seed, experiment.batches)
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
            role = ("judge", "score") if back_end is None else (back_end.use, back_end.use)
            with experiment.asking(*role, back_end) as (llm, usage):
                for told in ask.judgements(
                    some, llm, questions(some), config=study.ask, usage=usage, advance=bar.advance
                ):
                    rows.add(record_rows.question_row(told.row))
                    for judgement in itertools.chain(told.judgements, baseline):
                        judgements.add(record_rows.judgement_row(judgement))
                    baseline.clear()
    for table in ("judgements", "questions"):
        run.sort(table, ORDER[table])
    answers = run.read("judgements", ["control", "answer"]).groupby("control")["answer"].value_counts()
    return {**record_rows.nested(answers), "activating_windows_not_asked": dict(not_asked)}


def _by_back_end(scorers: Mapping[str, Scorer]) -> Iterator[tuple[LLMMember | None, Mapping[str, Scorer]]]:
    """Yield the scorers that the study's judge answers, together, then each that brings a back end of its own."""
    judged = {name: scorer for name, scorer in scorers.items() if scorer.needs == "llm"}
    if judged:
        yield None, judged
    for name, scorer in scorers.items():
        if scorer.needs != "llm":
            settings = {"use": scorer.needs, **getattr(scorer, "back_end", {})}
            yield LLMMember.model_validate(settings), {name: scorer}


def estimate(experiment: Experiment) -> Counts:
    """Turn judgements into estimates and comparisons; say of each latent how far it came."""
    study, run = experiment.study, experiment.run
    latents = record_rows.with_status(run, experiment.asked)
    kept, by_document = (run.read(name) if run.has(name) else None for name in RECONSTRUCTED)
    known = RunTables(
        judgements=run.read("judgements"),
        latents=latents,
        dictionaries=run.read("dictionaries"),
        reconstruction=kept,
        documents=by_document,
        manifests=(run.manifest,),
    )
    found = statistics.summarise(known, study.statistics)
    run.write("latents", latents, tables.LATENTS)
    run.write("estimates", found.estimates)
    run.write("comparisons", found.comparisons)
    run.write("controls", found.controls)
    run.write("reconstruction_comparisons", found.reconstruction_comparisons)
    protocol = {name: dump_study(study)[name] for name in PROTOCOL}
    run.update_manifest(
        protocol=protocol, protocol_hash=fingerprint(protocol, run.manifest["prompts"], run.manifest["llms"])
    )
    run.write_json("summary.json", found.summary)
    return {"estimates": len(found.estimates), "comparisons": len(found.comparisons)}


def report(experiment: Experiment) -> Counts:
    """Write report.html."""
    write_report(experiment.run.path)
    return {}
