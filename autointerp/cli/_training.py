"""What `autointerp train` is told: a training study, from a file or from flags."""

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from autointerp.cli import _study
from autointerp.errors import StudyError
from autointerp.experiment.settings import override
from autointerp.experiment.study import CorpusMember, problems
from autointerp.run import yaml_files
from autointerp.subject.base import SubjectConfig
from autointerp.train.base import SubjectRecipe, TrainConfig


class TrainStudy(BaseModel):
    """A training run: of dictionaries on a subject that exists, or on one that is trained first by a recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    subject: SubjectConfig | None = Field(default=None, description="the model whose dictionaries are trained")
    recipe: SubjectRecipe | None = Field(default=None, description="instead of `subject`: a model to be trained first")
    corpus: CorpusMember = Field(description="the text that is trained on")
    held_out: CorpusMember | None = Field(
        default=None, description="with `recipe`: text never trained on, for its loss; equal texts are left out above"
    )
    training: TrainConfig = Field(description="which dictionaries, and how")

    @model_validator(mode="after")
    def _one_subject(self) -> "TrainStudy":
        if (self.subject is None) == (self.recipe is None):
            raise ValueError("give one of `subject` (a model) and `recipe` (a model to be trained)")
        if self.recipe is not None and self.held_out is None:
            raise ValueError("a recipe needs `held_out`, text for the loss that its log tells")
        return self


def study_of(args: argparse.Namespace) -> TrainStudy:
    """Make the training study that the arguments ask for.

    Raises:
        StudyError: the arguments do not go together, or it is not valid.
    """
    if args.what.endswith(_study.YAML):
        try:
            values = yaml_files.load(Path(args.what).read_text(encoding="utf-8-sig"))
        except (OSError, ValueError) as error:
            raise StudyError(f"training study {args.what}: {' '.join(str(error).split())}") from error
        if not isinstance(values, dict):
            raise StudyError(
                f"training study {args.what} should hold settings such as `training:`, not {yaml_files.short(values)}"
            )
    else:
        if not args.data or not args.site:
            raise StudyError("--data and --site are needed with a model (or write a training study)")
        values = {"subject": {"model": args.what}, "training": {}}
    values = override(values, [*_flags(args), *args.overrides])
    try:
        return TrainStudy.model_validate(values)
    except ValidationError as error:
        lines = problems(error)
    raise StudyError(f"{args.what}: " + (lines[0] if len(lines) == 1 else "\n  " + "\n  ".join(lines)))


def _flags(args: argparse.Namespace) -> list[str]:
    """Turn the flags into overrides of the study."""
    lists = {"sites": args.site, "architectures": args.architecture, "latents": args.latents, "k": args.k,
             "seeds": args.seeds}  # fmt: skip
    given = [f"training.{name}=[{text}]" for name, text in lists.items() if text]
    if args.tokens is not None:
        given.append(f"training.n_tokens={args.tokens}")
    if args.data:
        corpus: dict[str, Any] = _study.corpus_of(args.data)
        given.append(f"corpus={yaml_files.dump(corpus, default_flow_style=True, width=10**6).strip()}")
    return given


def texts(member: CorpusMember, without: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield a corpus's texts, those in `without` left out."""
    found = (document.text for document in member.module.documents(member.settings))
    return itertools.filterfalse(without.__contains__, found)
