"""Open a checkpoint: find its files, tell its format, read it, check it against what the study says."""

import zipfile
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Protocol, cast

import torch

from autointerp import plugins
from autointerp.dictionaries import registry_sites
from autointerp.dictionaries.base import DictionaryConfig
from autointerp.dictionaries.files import HALLMARKS, Files, find, shortened
from autointerp.dictionaries.refusals import refusal
from autointerp.dictionaries.spec import Dictionary
from autointerp.errors import AutointerpError, DictionaryError, StudyError
from autointerp.subject.base import located

FAMILY = "dictionaries.formats"
# What a damaged checkpoint can raise beyond the errors that formats give a reason for.
UNREAD = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RuntimeError,
    ArithmeticError,
    zipfile.BadZipFile,
    OSError,
)
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Format(Protocol):
    """A checkpoint format: one module `autointerp/dictionaries/formats/<format>.py`."""

    def recognises(self, files: Files) -> bool:
        """Return whether the folder looks like this format; reads names and small configuration files only."""
        ...

    def read(self, files: Files, config: DictionaryConfig) -> Dictionary:
        """Read it, or refuse with what is wrong.

        Raises:
            DictionaryError: the checkpoint is broken, or would be read wrongly.
        """
        ...


def open_dictionary(config: DictionaryConfig, *, device: str = "cpu") -> Dictionary:
    """Open the dictionary that a study names.

    Raises:
        DictionaryError: no such checkpoint, unknown format, or one that would be read wrongly.
    """
    files = find(located(config.source), config.revision)
    known = files.registry.format if files.registry else ""
    name = config.format if config.format != "auto" else known or recognise(files)
    try:
        member = cast(Format, plugins.load(FAMILY, name))
    except StudyError as error:
        raise DictionaryError(str(error)) from error
    try:
        dictionary = member.read(files, config)
    except UNREAD as error:
        if isinstance(error, AutointerpError):
            raise
        reason = " ".join(str(error).split())[:200]
        raise DictionaryError(
            f"{config.source}: cannot be read as {name} ({type(error).__name__}: {reason}); is the checkpoint damaged?"
        ) from error
    check(dictionary, config)
    registered = registry_sites.sites(files.registry) if files.registry else ("", "")
    sites = {
        "site_in": config.site_in or dictionary.site_in or registered[0],
        "site_out": config.site_out or dictionary.site_out or registered[1],
    }
    for side, site in sites.items():
        if not site:
            raise DictionaryError(
                f"{config.source}: the checkpoint does not say its site; add `{side}: <site>` "
                "(`autointerp sites MODEL` lists a model's)"
            )
    if files.registry and not dictionary.expected_l0:
        dictionary = replace(dictionary, l0=files.registry.l0)
    seed = config.seed if config.seed >= 0 else dictionary.seed
    dictionary = replace(dictionary, name=config.name, seed=seed, **sites)
    return dictionary.to(device, DTYPES.get(config.dtype))


def recognise(files: Files) -> str:
    """Detect the format of a checkpoint.

    Raises:
        DictionaryError: none, or several, recognise it.
    """
    members = plugins.names(FAMILY)
    found = [name for name in members if plugins.load(FAMILY, name).recognises(files)]
    if len(found) == 1:
        return found[0]
    if found:
        raise DictionaryError(f"{files.source}: could be {' or '.join(found)}; say which with `format: {found[0]}`")
    if why := refusal(files):
        raise DictionaryError(f"{files.source}: {why}")
    inside = sorted({str(PurePosixPath(name).parent) for name in files.names if PurePosixPath(name).name in HALLMARKS})
    held = f"Known: {', '.join(members)}. The folder has: {shortened(files.names)}"
    if inside and not files.focus:
        held = f"It holds dictionaries in {shortened(inside, 6)}; name one: {files.naming(inside[0])}"
    raise DictionaryError(f"{files.source}: no known dictionary format. {held}")


def check(dictionary: Dictionary, config: DictionaryConfig) -> None:
    """Check a dictionary against itself and against what the study says of it.

    Raises:
        DictionaryError: shapes, k or architecture do not fit together.
    """
    who, m, d, o = config.source, dictionary.n_latents, dictionary.d_in, dictionary.d_out
    shapes = {
        "b_enc": (dictionary.b_enc, (m,)),
        "W_dec": (dictionary.W_dec, (m, o)),
        "b_dec": (dictionary.b_dec, (o,)),
        "W_skip": (dictionary.W_skip, (o, d)),
        "pre_bias": (dictionary.pre_bias, (d,)),
        "threshold": (dictionary.activation.threshold, (m,)),
    }
    shapes |= {f"W_dec at {one.site}": (one.W_dec, (m, o)) for one in dictionary.writes}
    for name, (tensor, shape) in shapes.items():
        if tensor is not None and tuple(tensor.shape) != shape:
            raise DictionaryError(f"{who}: {name} has shape {list(tensor.shape)}, expected {list(shape)}")
    if dictionary.activation.competes and not 0 < dictionary.k <= m:
        raise DictionaryError(f"{who}: k = {dictionary.k}, expected 1..{m} (its number of latents)")
    if dictionary.activation.kind == "groupmax" and m % dictionary.k:
        raise DictionaryError(f"{who}: groupmax needs k that divides the {m} latents, not {dictionary.k}")
    if config.k is not None and config.k != dictionary.k:
        raise DictionaryError(f"{who}: the study says k: {config.k}, the checkpoint k = {dictionary.k}; remove one")
    if (config.activation == "relu") and dictionary.activation.kind != "relu":
        raise DictionaryError(
            f"{who}: the study says activation: relu, the checkpoint is a {dictionary.activation.kind}; remove one"
        )
    if config.architecture is not None and config.architecture != dictionary.architecture:
        raise DictionaryError(
            f"{who}: the study says architecture: {config.architecture}, the checkpoint is a {dictionary.architecture}"
        )
