"""Write a study file with every setting, its default and its meaning.

    autointerp init                          the embedded default: runs as it is, without a language model
    autointerp init --preset standard        settings for a model of yours and an OpenAI-compatible server

The file ends with every other back end, scorer, explainer and kind of text, as comments to copy.
"""

import argparse
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

HEADER = """\
# A study for `autointerp score`: what is measured, on what, and by which language models.
# Required: name, subject, corpus, dictionaries, explainer_llm, judge_llm. Other settings that you delete keep their
# defaults; unknown ones are rejected. Paths are relative to where the command runs.
# `{use: NAME, ...}` picks a member of a family; every member with its settings is at the end of this file.
"""
APPENDIX = """

# ---------------------------------------------------------------------------------------------------------------------
# Other members of each family. Copy one over the section that names the family, and remove the `#`.
"""
FAMILIES = {
    "corpus": "corpus",
    "explainer": "explainers",
    "explainer_llm, judge_llm": "llm",
    "scorers (a list: put `- ` before `use`)": "scorers",
}
SERVER = {"use": "openai", "base_url": "http://127.0.0.1:8000/v1"}
# What a preset changes in the embedded study. `delphi` has that library's defaults (EleutherAI, config.py).
PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    "quick": ("the embedded default: 100 latents each, no language model, minutes on a CPU", {}),
    "standard": (
        "10M tokens, 300 latents each, a language model on a server",
        {
            "windows": {"n_tokens": 10_000_000},
            "sampling": {"n_latents": 300},
            "examples": {},
            "reconstruction": {},
            "explainer": "default",
            "explainer_llm": SERVER,
            "judge_llm": SERVER,
            "scorers": ["detection", "fuzzing"],
            "controls": {},
        },
    ),
    "paper": (
        "50M tokens, 1,000 latents each, three scorers, more controls: for claims in print",
        {
            "windows": {"n_tokens": 50_000_000},
            "sampling": {"n_latents": 1000},
            "examples": {"n_positives": 30, "n_negatives": 30},
            "reconstruction": {"n_documents": 200},
            "explainer": "default",
            "explainer_llm": SERVER,
            "judge_llm": SERVER,
            "scorers": ["detection", "fuzzing", "intruder"],
            "controls": {"n_shuffled": 200, "n_planted": 120, "duplicate_share": 0.1},
        },
    ),
    "delphi": (
        "the defaults of EleutherAI's delphi: 10M tokens, 40 + 50 + 50 windows of 32 tokens, 5 a prompt",
        {
            "seed": 22,
            "windows": {"n_tokens": 10_000_000, "context_length": 256, "window_length": 32},
            "sampling": {"n_latents": "all"},
            "examples": {"min_windows": 200, "n_explain": 40, "n_positives": 50, "n_negatives": 50, "n_hard": 0},
            "reconstruction": {},
            "explainer": {"use": "default", "n_examples": 40, "mark_share": 0.3},
            "explainer_llm": SERVER,
            "judge_llm": SERVER,
            "scorers": [{"use": "fuzzing", "n_per_question": 5}, {"use": "detection", "n_per_question": 5}],
            "controls": {},
        },
    ),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("path", type=Path, nargs="?", default=Path("study.yaml"), help="default: study.yaml")
    listed = "; ".join(f"{name}: {meaning}" for name, (meaning, _) in PRESETS.items())
    parser.add_argument("--preset", choices=list(PRESETS), default="quick", help=listed.replace("%", "%%"))


def run(args: argparse.Namespace) -> int:
    """Write the file; one that exists is left alone."""
    from autointerp.console import note
    from autointerp.errors import StudyError

    text = study_file(args.preset)
    try:
        with args.path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise StudyError(f"{args.path} exists; name another file or delete it") from error
    except OSError as error:
        raise StudyError(f"{args.path} cannot be written: {error.strerror}") from error
    note(f"wrote {args.path}")
    if args.preset != "quick":
        note("edit             subject, corpus, dictionaries, explainer_llm, judge_llm")
    note(f"cost             autointerp score {args.path} --dry-run")
    note(f"run              autointerp score {args.path}")
    return 0


def study_file(preset: str) -> str:
    """Return a preset's study as commented YAML, followed by every other member as comments."""
    from autointerp.experiment.study import EMBEDDED, read_study, validate_study

    meaning, changed = PRESETS[preset]
    study = validate_study({**read_study(EMBEDDED / "study.yaml"), **changed}, source=f"preset {preset}")
    lines = [f"{HEADER}# Preset {preset}: {meaning}.\n", *_model(study, 0), APPENDIX.rstrip("\n"), *_others(study)]
    return "\n".join(lines) + "\n"


def _others(study: "BaseModel") -> Iterator[str]:
    """Yield the members that a study does not use as comments."""
    from autointerp import plugins

    for section, family in FAMILIES.items():
        used = {one.use for one in _members(study) if one.family == family}
        for name in plugins.names(family):
            if name not in used:
                module = plugins.load(family, name)
                yield f"#\n# === {section}: {(module.__doc__ or '').strip().splitlines()[0]}"
                yield from (f"#   {line}" for line in [f"use: {name}", *_fields(module.Config, None, 0)])


def _members(study: "BaseModel") -> list[Any]:
    values = [getattr(study, name) for name in type(study).model_fields]
    return [one for value in values for one in (value if isinstance(value, tuple) else [value]) if hasattr(one, "use")]


def _model(value: "BaseModel", depth: int) -> Iterator[str]:
    """Yield a model's settings as YAML lines, each with its description above it."""
    if hasattr(value, "use"):
        yield f"{'  ' * depth}use: {value.use}"  # type: ignore[attr-defined]
        value = value.settings  # type: ignore[attr-defined]
    yield from _fields(type(value), value, depth)


def _fields(model: "type[BaseModel]", value: "BaseModel | None", depth: int) -> Iterator[str]:
    """Yield settings with their values, or their defaults where `value` is None."""
    from pydantic import BaseModel

    for name, field in model.model_fields.items():
        item = getattr(value, name) if value is not None else _default(field)
        yield from _comment(field, depth)
        if isinstance(item, BaseModel):
            lines = list(_model(item, depth + 1))
            yield f"{'  ' * depth}{name}:{'' if lines else ' {}'}"
            yield from lines
        elif isinstance(item, tuple) and item and isinstance(item[0], BaseModel):
            yield f"{'  ' * depth}{name}:"
            yield from _items(item, depth + 1)
        else:
            yield from _plain(name, value, item, depth)


def _default(field: "FieldInfo") -> Any:
    return None if field.is_required() else field.get_default(call_default_factory=True)


def _comment(field: "FieldInfo", depth: int) -> Iterator[str]:
    from pydantic_core import PydanticUndefined

    required = " (required)" if field.default is PydanticUndefined and field.default_factory is None else ""
    pad = "  " * depth
    yield from textwrap.wrap(
        f"{field.description}{required}", 118, initial_indent=f"{pad}# ", subsequent_indent=f"{pad}#   "
    )


def _plain(name: str, value: "BaseModel | None", item: Any, depth: int) -> Iterator[str]:
    """Yield one setting whose value is not a model."""
    from autointerp.run import yaml_files

    dumped = item if value is None else value.model_dump(mode="json")[name]
    text = yaml_files.dump({name: list(dumped) if isinstance(dumped, tuple) else dumped}, width=100)
    yield from ("  " * depth + line for line in text.rstrip("\n").split("\n"))


def _items(items: "tuple[BaseModel, ...]", depth: int) -> Iterator[str]:
    """Yield a list of models: the first of a kind with every setting, the others with what they change."""
    from autointerp.run import yaml_files

    seen: set[Any] = set()
    for item in items:
        kind = getattr(item, "use", type(item))
        if kind in seen:
            changed = item.model_dump(mode="json", exclude_defaults=True)
            yield f"{'  ' * depth}- {yaml_files.dump(changed, default_flow_style=True, width=10**6).strip()}"
            continue
        seen.add(kind)
        first, *rest = _after_dash(list(_model(item, depth + 1)))
        yield from first
        yield from rest


def _after_dash(lines: list[str]) -> Iterator[Any]:
    """Put the dash of a list item before its first setting, comments above it kept."""
    at = next(place for place, line in enumerate(lines) if not line.lstrip().startswith("#"))
    indent = len(lines[at]) - len(lines[at].lstrip())
    dashed = [line[2:] for line in lines[:at]] + [f"{' ' * (indent - 2)}- {lines[at].lstrip()}"]
    yield dashed
    yield from lines[at + 1 :]
