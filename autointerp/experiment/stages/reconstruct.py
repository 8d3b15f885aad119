"""Measure what each dictionary preserves of the subject, on held-out documents."""

from autointerp.corpus import bos_id
from autointerp.experiment.context import Experiment
from autointerp.reconstruction import metrics
from autointerp.reconstruction.base import held_out_documents
from autointerp.run import tables
from autointerp.run.record_rows import Counts


def run(experiment: Experiment) -> Counts:
    """Write reconstruction.parquet and reconstruction_documents.parquet; control dictionaries are not measured."""
    study, wanted = experiment.study, experiment.study.reconstruction
    if not wanted.enabled:
        return {"documents": 0}
    windows = experiment.collected.windows
    documents = held_out_documents(windows, wanted, study.windows.context_length)
    bos = bos_id(experiment.subject.tokenizer, study.windows.bos)
    arms = [arm for arm in experiment.arms if arm.dictionary.name not in study.control_names]
    found = metrics.evaluate_documents(experiment.subject, arms, documents, wanted, bos=bos, seed=study.seed)
    experiment.run.write("reconstruction", found.table, tables.RECONSTRUCTION)
    experiment.run.write("reconstruction_documents", found.documents, tables.RECONSTRUCTION_DOCUMENTS)
    return {"documents": len(documents)}
