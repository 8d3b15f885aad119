"""Training study of `autointerp train`, from a file or from flags."""

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from autointerp.cli import _study
from autointerp.console import Bar, note
from autointerp.errors import StudyError
from autointerp.experiment.settings import override, validated
from autointerp.experiment.study import CorpusMember
from autointerp.run import yaml_files
from autointerp.subject.base import SubjectConfig
from autointerp.train.base import Arm, TrainConfig


class TrainStudy(BaseModel):
    """A training run of dictionaries on a subject."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    subject: SubjectConfig = Field(description="model to train dictionaries for")
    corpus: CorpusMember = Field(description="the text that is trained on")
    held_out: CorpusMember | None = Field(default=None, description="text never trained on; equal texts are left out")
    training: TrainConfig = Field(description="which dictionaries, and how")


def study_of(args: argparse.Namespace) -> TrainStudy:
    """Return the training study that the arguments describe.

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
    return validated(TrainStudy, override(values, [*_flags(args), *args.overrides]), source=args.what)


def _flags(args: argparse.Namespace) -> list[str]:
    """Return the flags as overrides of the study."""
    lists = {
        "sites": args.site,
        "architectures": args.architecture,
        "latents": args.latents,
        "k": args.k,
        "seeds": args.seeds,
    }
    given = [f"training.{name}=[{text}]" for name, text in lists.items() if text]
    if args.tokens is not None:
        given.append(f"training.n_tokens={args.tokens}")
    if args.data:
        corpus: dict[str, Any] = _study.corpus_of(args.data)
        given.append(f"corpus={yaml_files.dump(corpus, default_flow_style=True, width=10**6).strip()}")
    return given


def texts(member: CorpusMember, without: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield a corpus's texts except those in `without`."""
    documents = (document.text for document in member.module.documents(member.settings))
    return itertools.filterfalse(without.__contains__, documents)


def train_dictionaries(study: TrainStudy, out: Path) -> dict[Arm, Path]:
    """Train the study's dictionaries in one pass over its corpus; return the folder of each."""
    from autointerp.subject import model, sites
    from autointerp.train.contexts import write_contexts
    from autointerp.train.run import Reads, train

    config = study.training
    subject = model.load(study.subject)
    reads = {
        name: Reads(sites.resolve(subject.model, name, "input"), sites.resolve(subject.model, name, "output"))
        for name in config.sites
    }
    without = frozenset(texts(study.held_out)) if study.held_out else frozenset[str]()
    out.mkdir(parents=True, exist_ok=True)
    with Bar("tokenise", total=config.n_tokens, unit="tokens") as bar:
        kept = texts(study.corpus, without)
        contexts = write_contexts(kept, subject.tokenizer, config, out / "contexts.bin", bar.advance)
    if contexts.n_mended:
        note(f"train: {contexts.n_mended:,} texts had unpaired surrogates, now replacement characters")
    return train(subject, reads, contexts, config, out)
