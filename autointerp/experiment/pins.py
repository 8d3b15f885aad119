"""Commits of what a study takes from the hub, written into the run's study.yaml, so that a run never changes midway."""

from pathlib import Path
from typing import Any

from autointerp.dictionaries.files import commit_of, repository
from autointerp.errors import DictionaryError
from autointerp.experiment.objects import OBJECT
from autointerp.experiment.study import Study
from autointerp.run import yaml_files
from autointerp.subject.base import located


def pinned(study: Study, path: Path) -> Study:
    """Return a study with a commit for the subject and each dictionary on the hub that names no revision.

    Args:
        study: as given.
        path: the run's study.yaml: what a run began with stays, also where a branch has moved since.

    Raises:
        DictionaryError: a repository of a dictionary does not exist, or cannot be reached and is not in the cache.
    """
    earlier, commits = _earlier(path), {}
    dictionaries = []
    for one in study.dictionaries:
        if one.name in earlier and earlier[one.name][0] == one.source:
            one = one.model_copy(update={"revision": one.revision or earlier[one.name][1]})
        elif (
            one.revision is None
            and one.control is None
            and not one.source.startswith(OBJECT)
            and (repo := repository(located(one.source)))
        ):
            commits[repo] = commits.get(repo) or commit_of(repo)
            one = one.model_copy(update={"revision": commits[repo]})
        dictionaries.append(one)
    return study.model_copy(update={"dictionaries": tuple(dictionaries), "subject": _subject(study, earlier)})


def _subject(study: Study, earlier: dict[str, tuple[str, str | None]]) -> Any:
    subject = study.subject
    if subject.revision is not None or subject.model.startswith(OBJECT) or Path(located(subject.model)).exists():
        return subject
    if earlier:
        same = earlier.get("", ("", None))
        return subject.model_copy(update={"revision": same[1]}) if same[0] == subject.model else subject
    try:
        return subject.model_copy(update={"revision": commit_of(subject.model)})
    except DictionaryError:  # loading it says what is wrong
        return subject


def _earlier(path: Path) -> dict[str, tuple[str, str | None]]:
    """Return source and revision by dictionary of the run's study, the subject as ""; empty for a new run."""
    try:
        told = yaml_files.load(path.read_text(encoding="utf-8"))
        found = {one["name"]: (one["source"], one.get("revision")) for one in told["dictionaries"]}
        return found | {"": (told["subject"]["model"], told["subject"].get("revision"))}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
