"""Measure how interpretable the latents of sparse autoencoders and transcoders are."""

from typing import TYPE_CHECKING

from autointerp._version import __version__ as __version__

if TYPE_CHECKING:
    from pathlib import Path

    from autointerp.report.run import ReportRun


def open_run(path: "Path | str") -> "ReportRun":
    """Open a finished run for reading: its tables as DataFrames, single latents, comparisons.

        run = autointerp.open_run("results/my-study")
        run.estimates, run.comparisons, run.latents
        run.latent("sae_k16", 41)          # shown in full in a notebook
        run.compare("sae_k16", "transcoder_k16")

    Raises:
        RunDirectoryError: there is no run in that folder.
    """
    from autointerp.report.run import ReportRun

    return ReportRun(path)
