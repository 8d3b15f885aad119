"""Turn judgements into estimates and comparisons; record how far each latent came."""

import pandas as pd

from autointerp import statistics
from autointerp.console import Bar
from autointerp.experiment.context import Experiment
from autointerp.run import record_rows, report_tables, tables
from autointerp.run.files import fingerprint
from autointerp.run.reading import RunTables
from autointerp.run.record_rows import Counts
from autointerp.statistics.curves import curves
from autointerp.statistics.variance import with_shrunk

WRITTEN = (
    "estimates",
    "comparisons",
    "controls",
    "reconstruction_comparisons",
    "reliability",
    "prevalence",
    "prevalence_comparisons",
)
RECONSTRUCTED = ("reconstruction", "reconstruction_documents")


def run(experiment: Experiment) -> Counts:
    """Write estimates, comparisons, controls and summary.json, and update the latents' status."""
    study, run = experiment.study, experiment.run
    latents = record_rows.with_status(run, experiment.asked)
    protocol = study.protocol()
    run.update_manifest(
        protocol=protocol, protocol_hash=fingerprint(protocol, run.manifest["prompts"], run.manifest["llms"])
    )
    kept, by_document = (run.read(name) if run.has(name) else None for name in RECONSTRUCTED)
    known = RunTables(
        judgements=run.read("judgements"),
        latents=latents,
        dictionaries=run.read("dictionaries"),
        reconstruction=kept,
        documents=by_document,
        explanations=run.read("explanations", ["dictionary", "text"]) if run.has("explanations") else None,
        manifests=(run.manifest,),
    )
    with Bar("estimate", total=len(WRITTEN) + 3, unit="tables") as bar:
        found = statistics.summarise(known, study.statistics)
        run.write("latents", latents, tables.LATENTS)
        bar.advance()
        for name in WRITTEN:
            run.write(name, getattr(found, name))
            bar.advance()
        run.write("scores", with_shrunk(found.scores), report_tables.SCORES)
        bar.advance()
        run.write("curves", _curves(known, found, study.statistics.level), report_tables.CURVES)
        bar.advance()
    run.write_json("summary.json", found.summary)
    return {"estimates": len(found.estimates), "comparisons": len(found.comparisons)}


def _curves(known: RunTables, found: statistics.Summary, level: float) -> pd.DataFrame:
    """Compute the curves that figures draw."""
    return curves(known.judgements, found.scores, known.latents, found.estimates, known.reconstruction, level=level)
