"""States of the files that a study names: whether they are still those that an earlier invocation read."""

from pathlib import Path

from autointerp.experiment.study import Study
from autointerp.subject.base import located


def states(study: Study) -> list[object]:
    """Return name, size and time of change of each file of the subject, the corpus and the sample."""
    paths = [Path(located(study.subject.model))]
    if path := getattr(study.corpus.settings, "path", None):
        paths.append(Path(path))
    if study.sampling.same_as is not None:
        paths.append(Path(study.sampling.same_as) / "latents.parquet")
    files = [file for path in paths for file in ([path] if path.is_file() else sorted(path.rglob("*")))]
    return [[file.name, *file.stat()[6:9:2]] for file in files if file.is_file()]
