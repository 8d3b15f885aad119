"""Run the subject over the corpus with every dictionary; write the dictionaries and latents tables."""

import pandas as pd

from autointerp.errors import CorpusError
from autointerp.experiment.context import Experiment
from autointerp.run import record_rows, tables
from autointerp.run.record_rows import Counts
from autointerp.subject import sites


def run(experiment: Experiment) -> Counts:
    """Write dictionaries.parquet and latents.parquet.

    Raises:
        CorpusError: no latent is eligible.
    """
    found = experiment.collected
    experiment.run.write("dictionaries", dictionaries_table(experiment), tables.DICTIONARIES)
    experiment.run.write("latents", found.latents, tables.LATENTS)
    status = found.latents.groupby("dictionary", sort=False)["status"].value_counts()
    if not found.latents["eligible"].any():
        raise CorpusError(too_small(experiment))
    return {**found.counts, "seconds": found.seconds, "status": record_rows.nested(status)}


def too_small(experiment: Experiment) -> str:
    """Return the error message for a corpus on which no latent is eligible."""
    latents, wanted = experiment.collected.latents, experiment.study.examples
    best = int(latents["n_windows"].max())
    status = ", ".join(f"{n:,} {name}" for name, n in latents["status"].value_counts().items())
    return (
        f"0 of {len(latents):,} latents became eligible ({status}): one needs {wanted.min_windows} windows of "
        f"{experiment.study.windows.window_length} tokens in which it fires, the most frequent has {best}; read more "
        "text (--tokens), or lower examples.min_windows"
    )


def dictionaries_table(experiment: Experiment) -> pd.DataFrame:
    """Return `tables.DICTIONARIES`, one row per dictionary."""
    named = {one.name: one for one in experiment.study.dictionaries}
    architectures = {
        one.name: (named[one.name].control or one.architecture).replace("_", "-") for one in experiment.opened
    }
    rows = [
        {
            "dictionary": one.name,
            "architecture": architectures[one.name],
            "site": str(arm.site_in),
            "site_out": str(arm.site_out),
            "layer": sites.layer(arm.site_in),
            "source": named[one.name].source,
            **{name: getattr(one, name) for name in ("k", "n_latents", "d_in", "d_out", "seed")},
            **{name: getattr(one.provenance, name) for name in ("format", "revision", "sha256")},
        }
        for arm, one in zip(experiment.arms, experiment.opened, strict=True)
    ]
    return pd.DataFrame(rows, columns=list(tables.DICTIONARIES))
