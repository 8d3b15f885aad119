"""Many dictionaries by one name: patterns, layers, and folders that hold a whole tree of them. Light: no torch.

./run/layers.*.mlp                                              every hookpoint that matches
./run                                                           every dictionary of a sparsify, Gemma Scope or
                                                                circuit-tracer tree
saelens:gemma-scope-2-1b-pt-mlp-all/layer_*_width_16k_l0_small  entries of a release
org/repo:layers.*.mlp                                           folders of a hub repository
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from autointerp.dictionaries.files import HALLMARKS, Files, find, layer_in, read_config, shortened
from autointerp.dictionaries.registry import PREFIXES, Entry, index
from autointerp.errors import DictionaryError
from autointerp.subject.base import located

PATTERN = re.compile(r"[*?\[]")
# Files that are one dictionary each, in a folder of several.
LAYER_FILES = re.compile(
    r"(?:params_)?layer_\d+\.safetensors|W_enc_\d+\.safetensors|layer\d+\.sae\.pt|autoencoders/\d+\.pt"
)
# Configuration files that name the subject, and where in them.
SUBJECTS = (
    ("cfg.json", ("metadata", "model_name")),
    ("cfg.json", ("model_name",)),
    ("config.json", ("trainer", "lm_name")),
    ("config.json", ("model",)),
    ("config.json", ("model_name",)),
    ("config.yaml", ("model_name",)),
)


def expanded(dictionaries: Iterable[Any]) -> list[Any]:
    """Return a study's dictionaries with those that stand for several written out, in order of their layers.

    A dictionary may have the setting `layers`, such as `0-33` or `0,4,8`, which keeps those of several.

    Raises:
        DictionaryError: nothing matches, layers that do not exist, or dictionaries of several subjects.
    """
    found = []
    for one in dictionaries:
        several = isinstance(one, Mapping) and isinstance(one.get("source"), str) and not one.get("control")
        found += _several(dict(one)) if several else [one]
    return found


def _several(one: dict[str, Any]) -> list[dict[str, Any]]:
    layers, source = one.pop("layers", None), one["source"]
    wanted = None if layers is None else parse_layers(str(layers), source)
    choices = _choices(located(source), one.get("revision"), wanted is not None)
    if choices is None:
        return [one]
    kept = [(place, at) for place, at in choices if wanted is None or layer_in(place) in wanted]
    missing = sorted((wanted or set()) - {layer_in(place) for place, _ in kept})
    if missing:
        there = sorted({layer for place, _ in choices if (layer := layer_in(place)) is not None})
        shown = ", ".join(map(str, there)) or "none that its names tell"
        raise DictionaryError(f"{source}: no dictionary of layer {missing[0]}; it has layers {shown}")
    kept.sort(key=lambda pair: (-1 if (layer := layer_in(pair[0])) is None else layer, pair[0]))
    names = _names(one.get("name") or "", [place for place, _ in kept])
    return [one | {"name": name, "source": at} for name, (_, at) in zip(names, kept, strict=True)]


def parse_layers(text: str, source: str = "--layers") -> set[int]:
    """Read `0-33`, `0,4,8` or `3`.

    Raises:
        DictionaryError: another form.
    """
    found: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,4})(?:\s*-\s*(\d{1,4}))?\s*", part)
        if not match or int(match[2] or match[1]) < int(match[1]):
            raise DictionaryError(f"{source}: layers {text[:100]!r}; write them as 0-33, 0,4,8 or 3")
        found |= set(range(int(match[1]), int(match[2] or match[1]) + 1))
    return found


def _choices(source: str, revision: str | None, several: bool) -> list[tuple[str, str]] | None:
    """Return (path below what was named, source) of every dictionary meant; None where a source names one."""
    prefix, colon, name = source.partition(":")
    pattern = PATTERN.search(source) and not Path(source).exists()
    release, _, id = (name if colon and prefix in PREFIXES else source).partition("/")
    entries = index().releases.get(release) if pattern or several else None
    if entries is not None:
        kept = [one for one in entries.values() if not pattern or fnmatchcase(one.id, id)]
        return _of_registry(source, release, kept)
    if pattern and not colon:
        return _of_folder(*_local_pattern(source))
    if pattern:
        return _of_folder(find(prefix, revision), name)
    if several or (Path(source).is_dir() and not HALLMARKS & set(_entries(source))):
        found = _of_folder(find(source, revision), "*")
        return found if several or len(found) > 1 else None
    return None


def _entries(folder: str) -> list[str]:
    return [path.name for path in Path(folder).iterdir()]


def _local_pattern(source: str) -> tuple[Files, str]:
    """Split a local pattern at its first step with a wildcard."""
    steps = PurePosixPath(source).parts
    at = next(i for i, step in enumerate(steps) if PATTERN.search(step))
    return find(str(PurePosixPath(*steps[:at])) if at else "."), "/".join(steps[at:])


def _of_registry(source: str, release: str, entries: list[Entry]) -> list[tuple[str, str]]:
    if not entries:
        raise DictionaryError(f"{source}: nothing in release {release!r} of SAELens' registry matches")
    _one_subject(source, {one.model for one in entries})
    return [(one.id, one.name) for one in entries]


def _of_folder(files: Files, pattern: str) -> list[tuple[str, str]]:
    places = [place for place in sorted(dictionaries_in(files)) if pattern == "*" or fnmatchcase(place, pattern)]
    if not places:
        held = shortened(sorted(dictionaries_in(files)), 6)
        raise DictionaryError(f"{files.source}: no dictionary matches {pattern!r}; it holds {held}")
    _one_subject(files.source, {subject for place in places if (subject := _subject(files, place))})
    return [(place, files.naming(place)) for place in places]


def dictionaries_in(files: Files) -> Iterator[str]:
    """Yield the folder or file of every dictionary below a folder; copies in sparsify's `best/` are left out."""
    seen: set[str] = set()
    for name in files.names:
        path = PurePosixPath(name)
        if LAYER_FILES.search(name):
            place = name
        elif path.name in HALLMARKS and str(path.parent) != ".":
            place = str(path.parent)
        else:
            continue
        twin = "/".join(step for step in PurePosixPath(place).parts if step != "best")
        beside = twin != place and any(other.startswith(f"{twin}/") for other in files.names)
        if place not in seen and not beside:
            seen.add(place)
            yield place


def _subject(files: Files, place: str) -> str:
    """Return the subject that a dictionary's own or its run's configuration names, "" where none does."""
    for folder in (PurePosixPath(place), *PurePosixPath(place).parents):
        for name, keys in SUBJECTS:
            path = str(folder / name)
            if path not in files.names:
                continue
            value: Any = read_config(files, path)
            for key in keys:
                value = value.get(key) if isinstance(value, dict) else None
            if isinstance(value, str) and value:
                return value
    return ""


def _one_subject(source: str, subjects: set[str]) -> None:
    if len(subjects) > 1:
        raise DictionaryError(
            f"{source}: dictionaries of {len(subjects)} subjects ({shortened(sorted(subjects), 4)}); a study has one: "
            "narrow the pattern"
        )


def _names(name: str, places: list[str]) -> list[str]:
    """Name dictionaries: a study's name and the layer, or the path where there is no name or a layer has several."""
    layers = [layer_in(place) for place in places]
    tails = [re.sub(r"[^\w.-]+", "-", place).removesuffix(".safetensors") for place in places]
    if not name:
        return tails
    by_layer = len(set(layers)) == len(layers) and None not in layers
    return [f"{name}-L{layer}" if by_layer else f"{name}-{tail}" for layer, tail in zip(layers, tails, strict=True)]
