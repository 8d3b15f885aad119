"""Measure how interpretable the latents of sparse autoencoders and transcoders are.

    import autointerp

    run = autointerp.score()                              # the embedded default
    run = autointerp.score("study.yaml", out="results/a")
    run = autointerp.score(model="org/model", dictionaries={"sae": "./sae"}, data="text.jsonl", explainer="pattern")
    run = autointerp.open_run("results/a")                # a finished run
    autointerp.compare(["results/a", "results/b"]).comparisons
    autointerp.load_dictionary("./sae").encode(x)

Each function calls what the command of the same name calls. Nothing heavy is imported before a function is called.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autointerp._version import __version__ as __version__

if TYPE_CHECKING:
    from autointerp.dictionaries import load as load_dictionary
    from autointerp.experiment.study import Study
    from autointerp.report.run import ReportRun
    from autointerp.statistics.summary import Summary

__all__ = ["Study", "compare", "load_dictionary", "open_run", "score"]


def score(
    study: "Study | Path | str | None" = None,
    *,
    model: str | None = None,
    dictionaries: Mapping[str, str] | None = None,
    data: str | None = None,
    explainer: str | None = None,
    judge: str | None = None,
    settings: Sequence[str] = (),
    out: Path | str | None = None,
    update: bool = False,
) -> "ReportRun":
    """Run an experiment, or what is left of it, and return the finished run.

    Args:
        study: a study, or a study file; without it and without `model`, the embedded default.
        model: the subject, a local folder or a hub id; then `dictionaries`, `data` and `explainer` are needed.
        dictionaries: name in tables -> local folder or hub `org/repo[@revision][:path]`.
        data: text as for `--data`: a file or folder, `docstrings`, or a hub data set.
        explainer: `pattern`, `vllm:MODEL`, `hosted:PROVIDER/MODEL` or the URL of an OpenAI-compatible server.
        judge: as `explainer`; by default the explainer.
        settings: overrides such as `sampling.n_latents=200`; not with a `Study` object.
        out: the run directory; by default `results/<study name>`.
        update: redo what a changed study touches, instead of refusing.

    Raises:
        UserError: something in the study, its inputs or the directory is wrong.
        StoppedError: an LLM or a limit stopped it; finished work is kept and the same call continues.
    """
    from autointerp.cli import _study
    from autointerp.experiment import pipeline
    from autointerp.experiment.study import Study

    if not isinstance(study, Study):
        named = [f"{name}={source}" for name, source in (dictionaries or {}).items()]
        what = [str(study)] if study is not None else [model, *named] if model is not None else []
        study = _study.study_from(what, overrides=list(settings), data=data, explainer=explainer, judge=judge)
    return open_run(pipeline.score(study, Path(out or Path("results") / study.name), update=update).path)


def compare(
    runs: Sequence[Path | str],
    *,
    by: Sequence[str] = ("layer", "k"),
    margin: float = 0.02,
    alpha: float = 0.05,
    allow: bool = False,
) -> "Summary":
    """Recompute estimates and comparisons of finished runs, as one study.

    Args:
        runs: run directories.
        by: what compared dictionaries have in common.
        margin: equivalence margin in score points.
        alpha: error rate of each test.
        allow: compare although protocols differ; the result names the differences.

    Returns:
        `estimates`, `comparisons`, `controls`, `reconstruction_comparisons` (DataFrames) and `summary`.

    Raises:
        UserError: a run is missing, damaged or not comparable, or a setting is invalid.
    """
    from autointerp.experiment.settings import validated
    from autointerp.run.reading import read_runs
    from autointerp.statistics import StatisticsConfig, summarise

    config = validated(StatisticsConfig, {"margin": margin, "alpha": alpha, "by": tuple(by)}, source="compare")
    return summarise(read_runs([Path(run) for run in runs], allow=allow), config)


def open_run(path: Path | str) -> "ReportRun":
    """Open a finished run for reading: its tables as DataFrames, single latents, comparisons.

        run = autointerp.open_run("results/my-study")
        run.estimates, run.comparisons, run.latents
        run.latent("sae_k16", 41)          # shown in full in a notebook
        run.compare("sae_k16", "transcoder_k16")

    Raises:
        RunDirectoryError: the folder holds no run.
    """
    from autointerp.report.run import ReportRun

    return ReportRun(path)


def __getattr__(name: str) -> Any:
    """Import `Study` and `load_dictionary` when they are first used."""
    if name == "Study":
        from autointerp.experiment.study import Study

        return Study
    if name == "load_dictionary":
        from autointerp.dictionaries import load

        return load
    raise AttributeError(f"module 'autointerp' has no attribute {name!r}")
