"""The study, and the objects in memory, that the arguments of `autointerp.score(...)` describe."""

import argparse
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autointerp.cli import _study
from autointerp.errors import StudyError

if TYPE_CHECKING:
    from autointerp.experiment.objects import Objects
    from autointerp.experiment.study import Study


@dataclass(frozen=True, slots=True)
class Arguments:
    """The arguments of `autointerp.score`, see there; `texts` is the folder for texts in memory."""

    study: Any
    model: Any
    tokenizer: Any
    dictionaries: Mapping[str, Any] | None
    text: Iterable[str] | None
    data: str | None
    explainer: str | Mapping[str, Any] | None
    judge: str | Mapping[str, Any] | None
    settings: Mapping[str, Any] | Iterable[str]
    texts: Path


def study_of(given: Arguments) -> "Study":
    """Return the study that the arguments describe; texts in memory are written to a file that it names.

    Raises:
        StudyError: the arguments do not go together, or the study is not valid.
    """
    from autointerp.experiment.settings import override
    from autointerp.experiment.study import EMBEDDED, read_study, validate_study

    _check(given)
    if given.model is not None:
        values, source = _values(given), "score(...)"
    elif given.study is not None:
        values, source = read_study(given.study), str(given.study)
    else:
        values, source = read_study(EMBEDDED / "study.yaml"), "the embedded study"
    if given.text is not None:
        values["corpus"] = {"use": "jsonl", "path": str(_written(given.text, given.texts))}
    elif given.data is not None:
        values["corpus"] = _study.corpus_of(given.data)
    values = _with_llms(values, given)
    return validate_study(override(values, _lines(given.settings)), source=source)


def objects_of(given: Arguments) -> "Objects":
    """Return the subject and dictionaries that are objects.

    Raises:
        UserError: an object of no known kind.
    """
    from autointerp.dictionaries.objects import from_object
    from autointerp.dictionaries.spec import Dictionary
    from autointerp.experiment.objects import Objects, subject_of

    made: dict[str, Dictionary] = {}
    for name, value in (given.dictionaries or {}).items():
        settings = dict(value) if isinstance(value, Mapping) else {"source": value}
        known = settings.get("source")
        if isinstance(known, Dictionary):
            made[name] = known
        elif _is_object(known):
            sites = {key: settings.get(key) for key in ("site_in", "site_out")}
            made[name] = from_object(known, name=name, seed=settings.get("seed", -1), **sites)
    subject = subject_of(given.model, given.tokenizer) if _is_object(given.model) else None
    return Objects(subject, made)


def modules_of(given: Arguments) -> list[Any]:
    """Return the caller's objects, whose state a run must leave as it was."""
    sources = [one.get("source") if isinstance(one, Mapping) else one for one in (given.dictionaries or {}).values()]
    return [one for one in (given.model, *sources) if _is_object(one)]


def _is_object(value: Any) -> bool:
    return value is not None and not isinstance(value, str | Path)


def _named(value: Any, name: str) -> str:
    """Return a path as it is, an object as the name that studies give it."""
    from autointerp.experiment.objects import OBJECT

    return OBJECT + name if _is_object(value) else str(value)


def _check(given: Arguments) -> None:
    if given.model is None:
        if given.dictionaries or given.tokenizer is not None:
            raise StudyError("score: dictionaries=... and tokenizer=... need model=...")
        return
    if given.study is not None:
        raise StudyError("score: give a study or model=..., not both")
    if not given.dictionaries:
        raise StudyError('score: model=... needs dictionaries={"name": object or path}')
    if given.explainer is None:
        raise StudyError("score: explainer is needed: `pattern`, `vllm:MODEL`, an http(s) URL or a mapping of settings")
    if given.text is None and given.data is None:
        raise StudyError("score: text=[...] is needed, or data=... (a file, a folder, `docstrings`, a hub dataset)")
    if given.text is not None and given.data is not None:
        raise StudyError("score: give text=... or data=..., not both")


def _values(given: Arguments) -> dict[str, Any]:
    model = _named(given.model, type(given.model).__name__)
    dictionaries = []
    for name, value in (given.dictionaries or {}).items():
        settings = dict(value) if isinstance(value, Mapping) else {"source": value}
        if "source" not in settings:
            raise StudyError(f'score: dictionaries[{name!r}] has no "source"; give an object or a path')
        dictionaries.append({"name": name, **settings, "source": _named(settings["source"], name)})
    return {
        "name": _study.study_name(model.rpartition(":")[2]),
        "subject": {"model": model},
        "dictionaries": dictionaries,
    }


def _with_llms(values: dict[str, Any], given: Arguments) -> dict[str, Any]:
    """Apply `explainer` and `judge`: names as on the command line, or the settings of a back end."""
    words = {"explainer": given.explainer, "judge": given.judge}
    flags = argparse.Namespace(explainer=None, explainer_model=None, judge=None, judge_model=None)
    for role, value in words.items():
        if isinstance(value, Mapping):
            if "use" not in value:
                raise StudyError(
                    f'score: {role} has no "use"; such as {{"use": "openai", "base_url": ..., "model": ...}}'
                )
            setattr(flags, role, dict(value))
        elif value is not None:
            setattr(flags, role, str(value))
    return _study.with_llms(values, flags)


def _lines(settings: Mapping[str, Any] | Iterable[str]) -> list[str]:
    """Return overrides as `key=value`; a mapping's values are written as JSON, which is YAML."""
    if isinstance(settings, Mapping):
        return [f"{key}={json.dumps(value)}" for key, value in settings.items()]
    return list(settings)


def _written(text: Iterable[str], folder: Path) -> Path:
    """Write texts in memory to a file named by its contents; return its path."""
    from autointerp.run.files import write_atomically

    documents = [text] if isinstance(text, str) else list(text)
    if wrong := next((one for one in documents if not isinstance(one, str)), None):
        raise StudyError(f"score: text should be strings, one a document; one is a {type(wrong).__name__}")
    if not documents:
        raise StudyError("score: text is empty; give strings, one a document")
    content = "".join(json.dumps({"text": one}) + "\n" for one in documents)
    path = folder / f"{hashlib.sha256(content.encode()).hexdigest()[:16]}.jsonl"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda partial: partial.write_text(content, encoding="utf-8"))
    return path
