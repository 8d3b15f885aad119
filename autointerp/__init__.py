"""Measure how interpretable the latents of sparse autoencoders and transcoders are.

    import autointerp

    run = autointerp.score()                              # the embedded default
    run = autointerp.score("study.yaml", out="results/a")
    run = autointerp.score(model="org/model", dictionaries={"sae": "./sae"}, data="text.jsonl", explainer="pattern")
    run = autointerp.score(model=model, tokenizer=tokenizer, dictionaries={"sae": sae}, text=[...], explainer="pattern")
    run = autointerp.open_run("results/a")                # a finished run
    autointerp.compare(["results/a", "results/b"]).comparisons
    autointerp.load_dictionary("./sae").encode(x)

Each function calls what the command of the same name calls. Nothing heavy is imported before a function is called.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autointerp._version import __version__ as __version__

if TYPE_CHECKING:
    from autointerp.dictionaries import load as load_dictionary
    from autointerp.experiment.study import Study, load_study
    from autointerp.report.brief import OpenedRun
    from autointerp.statistics.summary import Summary

__all__ = ["Study", "compare", "load_dictionary", "load_study", "open_run", "score"]


def score(
    study: "Study | Path | str | None" = None,
    *,
    model: Any = None,
    tokenizer: Any = None,
    dictionaries: Mapping[str, Any] | None = None,
    text: Iterable[str] | None = None,
    data: str | None = None,
    explainer: str | Mapping[str, Any] | None = None,
    judge: str | Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | Iterable[str] = (),
    out: Path | str | None = None,
    update: bool = False,
) -> "OpenedRun":
    """Run an experiment, or what is left of it, and return the finished run.

    Args:
        study: a study, or a study file; without it and without `model`, the embedded default.
        model: the subject: a causal language model of transformers, a local folder or a hub id; then `dictionaries`,
            `text` or `data`, and `explainer` are needed.
        tokenizer: of a model that is an object; by default the one it was loaded with.
        dictionaries: name in tables -> path or hub id (`org/repo[@revision][:path]`), or an object with `encode` and
            `decode`: a SAELens SAE, a sparsify SparseCoder, a dictionary_learning Dictionary, a circuit-tracer
            transcoder, any module; or a mapping {"source": either, "site_in": ..., "site_out": ..., ...} with the
            settings of `dictionaries` in a study.
        text: documents, one string each.
        data: instead of `text`, as for `--data`: a file or folder, `docstrings`, or a hub dataset.
        explainer: `pattern`, `vllm:MODEL`, `hosted:PROVIDER/MODEL`, a server's URL, or the settings of `explainer_llm`
            in a study, such as {"use": "openai", "base_url": ..., "model": ...}.
        judge: as `explainer`; by default the explainer.
        settings: overrides, {"sampling.n_latents": 200} or ["sampling.n_latents=200"]; not with a `Study` object.
        out: the run directory; by default `results/<study name>`.
        update: redo what a changed study touches, instead of refusing.

    Objects are used as they are, on their device and in their type; afterwards they are as before. The study of such
    a run names them `object:...`: it continues from Python with the same objects, whose weights are compared by hash.

    Raises:
        UserError: something in the study, its inputs or the directory is wrong.
        StoppedError: an LLM or a limit stopped it; finished work is kept and the same call continues.
    """
    from autointerp.cli import _python
    from autointerp.experiment import pipeline
    from autointerp.experiment.objects import untouched
    from autointerp.experiment.study import Study

    texts = (Path(out).parent if out is not None else Path("results")) / "texts"
    given = _python.Arguments(study, model, tokenizer, dictionaries, text, data, explainer, judge, settings, texts)
    checked = study if isinstance(study, Study) else _python.study_of(given)
    path = Path(out or Path("results") / checked.name)
    with untouched(_python.modules_of(given)):
        return open_run(pipeline.score(checked, path, update=update, objects=_python.objects_of(given)).path)


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


def open_run(path: Path | str) -> "OpenedRun":
    """Open a finished run for reading: its tables as DataFrames, single latents, comparisons.

        run = autointerp.open_run("results/my-study")
        run                                # a notebook shows its verdicts and tables
        run.brief.scores, run.brief.comparisons, run.brief.latents      # at most ten columns
        run.estimates, run.comparisons, run.latents                     # all columns
        run.latent("sae_k16", 41)          # shown in full in a notebook
        run.compare("sae_k16", "transcoder_k16")

    Raises:
        RunDirectoryError: the folder holds no run.
    """
    from autointerp.report.brief import OpenedRun

    return OpenedRun(path)


def __getattr__(name: str) -> Any:
    """Import `Study`, `load_study` and `load_dictionary` when they are first used."""
    if name in ("Study", "load_study"):
        from autointerp.experiment.study import Study, load_study

        return Study if name == "Study" else load_study
    if name == "load_dictionary":
        from autointerp.dictionaries import load

        return load
    raise AttributeError(f"module 'autointerp' has no attribute {name!r}")
