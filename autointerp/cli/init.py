"""Write a study file with every setting, its default and its meaning.

The file runs as it is (on the embedded default); change what you want to measure, delete what you do not care about:
a setting that is left out keeps its default.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel

HEADER = """\
# A study for `autointerp score`: what is measured, on what, and by whom.
# Settings left out keep their defaults; unknown ones are refused. Paths are relative to where the command runs.
# `{use: NAME, ...}` picks a member of a family; an unknown name is rejected with the list of known names.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("path", type=Path, nargs="?", default=Path("study.yaml"), help="default: study.yaml")


def run(args: argparse.Namespace) -> int:
    """Write the file; one that exists is left alone."""
    from autointerp.console import note
    from autointerp.errors import StudyError
    from autointerp.experiment.study import EMBEDDED, load_study

    study = load_study(EMBEDDED / "study.yaml")
    try:
        with args.path.open("x", encoding="utf-8") as file:
            file.write(HEADER + "\n".join(commented(study)) + "\n")
    except FileExistsError as error:
        raise StudyError(f"{args.path} exists; name another file or delete it") from error
    except OSError as error:
        raise StudyError(f"{args.path} cannot be written: {error.strerror}") from error
    note(f"wrote {args.path}; run it: autointerp score {args.path}")
    return 0


def commented(model: "BaseModel", depth: int = 0) -> Iterator[str]:
    """Yield a model's settings as YAML lines, each with its description above it."""
    from pydantic import BaseModel

    from autointerp.run import yaml_files

    pad = "  " * depth
    dumped: dict[str, Any] = model.model_dump(mode="json")
    for name, field in type(model).model_fields.items():
        if field.description:
            yield f"{pad}# {field.description}"
        value = getattr(model, name)
        # Members and lists have no fields of their own to comment on here.
        if isinstance(value, BaseModel) and set(dumped[name]) == set(type(value).model_fields):
            yield f"{pad}{name}:"
            yield from commented(value, depth + 1)
        else:
            text = yaml_files.dump({name: dumped[name]}, width=100)
            yield from (pad + line for line in text.rstrip("\n").split("\n"))
