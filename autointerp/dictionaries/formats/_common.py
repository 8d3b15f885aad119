"""Shared code of format modules: checked configurations, provenance."""

import re
import reprlib
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from autointerp.dictionaries.files import Files, read_config, sha256
from autointerp.dictionaries.spec import Provenance
from autointerp.errors import DictionaryError

# More than any width, k or number of latents.
MOST = 2**40


def _no_truth_value(value: object) -> object:
    """Reject JSON's true as a number: it would be read as 1."""
    if isinstance(value, bool):
        raise ValueError("is a truth value, not a number")
    return value


def _no_boolean(value: object) -> bool:
    return value is not None and not isinstance(value, bool)


Count = Annotated[int, BeforeValidator(_no_truth_value), Field(gt=0, le=MOST)]
# Values in messages: a hostile file can hold one of any size and depth.
SHORT = reprlib.Repr()
SHORT.maxlevel, SHORT.maxdict, SHORT.maxlist = 2, 3, 3


class Settings(BaseModel):
    """A checkpoint's configuration file: keys that do not matter are ignored, values of the others are bounded."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", allow_inf_nan=False, protected_namespaces=(), str_max_length=500
    )

    @model_validator(mode="before")
    @classmethod
    def _no_truth_value_as_number(cls, values: object) -> object:
        """Refuse JSON's true where a number is expected, and 1 or "yes" for true: pydantic would convert them."""
        for name, field in cls.model_fields.items() if isinstance(values, dict) else ():
            value = values.get(field.alias or name)  # pyright: ignore[reportAttributeAccessIssue]
            if "bool" in str(field.annotation) and "str" not in str(field.annotation) and _no_boolean(value):
                raise ValueError(f"{field.alias or name} is {SHORT.repr(value)}, not true or false")
            checked = "BeforeValidator" in f"{field.annotation}{field.metadata}"  # a `Count`
            if isinstance(value, bool) and not checked and re.search("int|float", str(field.annotation)):
                raise ValueError(f"{field.alias or name} is a boolean, not a number")
        return values


Saved = TypeVar("Saved", bound=Settings)


def beside(files: Files, *names: str) -> bool:
    """Whether the source is a folder with these files, or one of the files in such a folder."""
    return set(names) <= set(files.names) and files.focus in ("", *names)


def validated(model: type[Saved], settings: dict[str, object], where: str) -> Saved:
    """Check a checkpoint's settings.

    Raises:
        DictionaryError: the first setting that is wrong, with the value seen.
    """
    try:
        return model.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        seen = "" if first["type"] == "missing" else f"; it is {SHORT.repr(first['input'])}"
        named = f"{field}: " if field else ""
        raise DictionaryError(f"{where}: {named}{first['msg'].lower()}{seen}") from error


def saved(model: type[Saved], files: Files, name: str) -> Saved:
    """Read and check a checkpoint's configuration file.

    Raises:
        DictionaryError: missing, unreadable, or a setting is wrong.
    """
    return validated(model, read_config(files, name), f"{files.source}: {name}")


def provenance(format: str, files: Files, *names: str) -> Provenance:
    """Hash the files that were read."""
    hashes = tuple((name, sha256(files.path(name))) for name in names)
    return Provenance(format=format, source=files.source, revision=files.revision, files=hashes)
