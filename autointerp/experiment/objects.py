"""Subject and dictionaries of a study that are objects in memory; the study's `object:...`."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

from autointerp.dictionaries.base import DictionaryConfig
from autointerp.dictionaries.spec import Dictionary
from autointerp.errors import DictionaryError, SubjectError
from autointerp.subject.fingerprint import of_weights
from autointerp.subject.model import HookedSubject

# `object:CLASS` is a study's subject in memory, `object:NAME` the source of its dictionary NAME.
OBJECT = "object:"


@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """A subject, and dictionaries by the names that the study gives them; None and absent ones come from files."""

    subject: HookedSubject | None = None
    dictionaries: Mapping[str, Dictionary] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether there is any object."""
        return self.subject is not None or bool(self.dictionaries)

    def dictionary(self, config: DictionaryConfig) -> Dictionary:
        """Return the dictionary that a study names.

        Raises:
            DictionaryError: there is no such object in this process.
        """
        found = self.dictionaries.get(config.source.removeprefix(OBJECT))
        if found is None:
            raise DictionaryError(lacking(config.source))
        site_in, site_out = config.site_in or found.site_in, config.site_out or found.site_out
        return replace(found, name=config.name, site_in=site_in, site_out=site_out)

    def inputs(self) -> list[object]:
        """Return the fingerprint of the subject, if it is an object."""
        return [] if self.subject is None else [self.subject.fingerprint]

    def hashes(self, dictionaries: Iterable[DictionaryConfig]) -> dict[str, str]:
        """Return the hashes of those dictionaries that are objects, by name.

        Raises:
            DictionaryError: there is no such object in this process.
        """
        named = [one for one in dictionaries if one.source.startswith(OBJECT)]
        return {one.name: self.dictionary(one).provenance.sha256 for one in named}

    def loaded(self, name: str, *, copy: bool) -> HookedSubject:
        """Return the subject that a study calls `name`, or a copy, whose weights may be changed.

        Raises:
            SubjectError: there is no such object in this process.
        """
        known = self.subject
        if known is None:
            raise SubjectError(lacking(name))
        return HookedSubject(deepcopy(known.model), known.tokenizer, fingerprint=known.fingerprint) if copy else known


def lacking(name: str) -> str:
    """Return the error message for a study whose objects are not in this process."""
    return (
        f"{name} was an object in memory: run this study from Python, with "
        "autointerp.score(model=..., dictionaries=..., out=...)"
    )


def subject_of(model: Any, tokenizer: Any) -> HookedSubject:
    """Return a subject of a model in memory, on the device and in the type it has.

    Raises:
        SubjectError: no causal language model of transformers, or its tokenizer is unknown.
    """
    if not hasattr(model, "get_output_embeddings") or not hasattr(model, "base_model"):
        raise SubjectError(
            f"model: a {type(model).__name__} is no causal language model of transformers; pass one, a folder or a "
            "hub id (of a TransformerLens model: the hub id it was loaded from)"
        )
    if tokenizer is None:
        tokenizer = _tokenizer(model)
    return HookedSubject(model, tokenizer, fingerprint=of_weights(model, tokenizer))


def _tokenizer(model: Any) -> Any:
    import transformers

    name = str(getattr(model, "name_or_path", "") or "")
    try:
        if not name:
            raise ValueError("the model does not say where it was loaded from")
        return transformers.AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise SubjectError(f"the tokenizer of the model is unknown ({reason}); pass tokenizer=...") from error


@contextmanager
def untouched(modules: list[Any]) -> Iterator[None]:
    """Put modules into evaluation mode without gradients; restore both afterwards."""
    parts = [part for module in modules if hasattr(module, "modules") for part in module.modules()]
    training = [part.training for part in parts]
    weights = [one for module in modules if hasattr(module, "parameters") for one in module.parameters()]
    needed = [one.requires_grad for one in weights]
    try:
        for part in parts:
            part.training = False
        for one in weights:
            one.requires_grad_(False)
        yield
    finally:
        for part, before in zip(parts, training, strict=True):
            part.training = before
        for one, before in zip(weights, needed, strict=True):
            one.requires_grad_(before)
