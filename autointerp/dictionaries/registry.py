"""Published dictionaries by the names people use: SAELens' registry and Neuronpedia ids, resolved without a network.

    saelens:gpt2-small-res-jb/blocks.8.hook_resid_pre     RELEASE/ID of SAELens' registry; the prefix may be left out
    np:gemma-2-2b/20-gemmascope-res-16k                   Neuronpedia's MODEL/LAYER-SET, the same
    gemma-2-2b/20-gemmascope-res-16k/123                  one latent of it

The index is made from the registry file of a released sae-lens (MIT licence) by `tests/helpers/saelens_registry.py`.
The library itself would bring a hundred packages and other versions of transformers, and names would mean what the
version at hand says.
"""

import difflib
import gzip
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from autointerp.errors import DictionaryError

INDEX = Path(__file__).parent / "saelens_registry.json.gz"
PREFIXES = ("saelens", "np")
# The registry's loader -> format here. Loaders that are missing read nothing that can be read here.
FORMATS = {
    "": "saelens",
    "gemma_2": "gemma_scope",
    "gemma_2_transcoder": "gemma_scope",
    "gemma_3": "gemma_scope_2",
    "dictionary_learning_1": "dictionary_learning",
    "qwen_scope": "qwen_scope",
    "llama_scope": "llama_scope",
    "llama_scope_r1_distill": "llamascopium",
    "mwhanna_transcoder": "circuit_tracer",
    "mntss_clt_layer_transcoder": "circuit_tracer",
}
REFUSED = {
    "temporal": "a temporal SAE: a latent's activation depends on earlier tokens, which no row of activations shows",
    "goodfire": "a Goodfire SAE: its file says neither its site nor how its inputs were scaled",
    "deepseek_r1": "an autoencoder's bare state dict: nothing says its activation function or its inputs' scale",
    "connor_rob_hook_z": "a PyTorch file with a configuration of its own next to it, which is not read; its authors' "
    "later attention SAEs are in SAELens' format",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One dictionary of the registry.

    Attributes:
        release: the registry's release, and `id` the dictionary's in it.
        id: see above.
        repo: the hub repository, and `path` the folder or file in it.
        path: see above.
        loader: how the library reads it; "" for its own format.
        model: the subject, as the registry names it.
        l0: mean L0 that the registry records, 0 for none.
        neuronpedia: its id there, "" for none.
        scale: factor on activations before encoding (`norm_scaling_factor`), None for none.
        explained: share of variance explained that the registry records, None for none.
        overrides: settings that the library puts in place of the checkpoint's own.
    """

    release: str
    id: str
    repo: str
    path: str
    loader: str
    model: str
    l0: float = 0.0
    neuronpedia: str = ""
    scale: float | None = None
    explained: float | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Return what a study writes for it."""
        return f"saelens:{self.release}/{self.id}"

    @property
    def file(self) -> str:
        """Return the path in the repository of the folder or file that is read."""
        return f"W_enc_{self.path}.safetensors" if self.loader == "mntss_clt_layer_transcoder" else self.path

    @property
    def format(self) -> str:
        """Return the format that reads it, "" where none does."""
        return FORMATS.get(self.loader, "")

    @property
    def refusal(self) -> str:
        """Return why it is not read; "" where it is."""
        return (
            "" if self.format else REFUSED.get(self.loader, f"the library's loader {self.loader!r} is not known here")
        )


@dataclass(frozen=True, slots=True)
class Named:
    """A resolved name: a dictionary, and one of its latents or None."""

    entry: Entry
    latent: int | None = None


@dataclass(frozen=True, slots=True)
class Index:
    """The registry: its entries by (release, id), and by Neuronpedia id."""

    version: str
    releases: dict[str, dict[str, Entry]]
    neuronpedia: dict[str, Entry]

    def __iter__(self) -> Iterator[Entry]:
        for release in self.releases.values():
            yield from release.values()


@cache
def index() -> Index:
    """Read the index."""
    with gzip.open(INDEX) as file:
        loaded = json.load(file)
    releases: dict[str, dict[str, Entry]] = {}
    for release, about in loaded["releases"].items():
        common = {"release": release, "repo": about["repo"], "loader": about["loader"], "model": about["model"]}
        releases[release] = {row[0]: _entry(row, common, about.get("overrides", {})) for row in about["entries"]}
    entries = [one for release in releases.values() for one in release.values()]
    return Index(loaded["version"], releases, {one.neuronpedia: one for one in entries if one.neuronpedia})


def _entry(row: list[Any], common: dict[str, str], overrides: dict[str, Any]) -> Entry:
    id, path, l0, neuronpedia, scale, explained = [*row, *[None] * (6 - len(row))]
    return Entry(
        id=id,
        path=id if path is None else path,
        l0=l0 or 0.0,
        neuronpedia=neuronpedia or "",
        scale=scale,
        explained=explained,
        overrides=overrides,
        **common,
    )


def look_up(source: str) -> Named | None:
    """Return what a name in a study stands for; None for a local path and for names of other kinds.

    Raises:
        DictionaryError: it begins like one and there is no such entry; the message gives the three nearest.
    """
    prefix, colon, name = source.partition(":")
    if colon and prefix not in PREFIXES:
        return None
    name = name if colon else source
    if not colon and (name.startswith((".", "/", "~")) or Path(name).exists()):
        return None
    release, _, id = name.partition("/")
    found, latent = index(), re.fullmatch(r"(.+)/(\d+)", name)
    if id in found.releases.get(release, {}):
        return Named(found.releases[release][id])
    if name in found.neuronpedia:
        return Named(found.neuronpedia[name])
    if latent and latent[1] in found.neuronpedia:
        return Named(found.neuronpedia[latent[1]], int(latent[2]))
    if colon or release in found.releases or any(one.startswith(f"{release}/") for one in found.neuronpedia):
        raise DictionaryError(f"{source[:200]}: {_unknown(release, name)}")
    return None


def nearest(name: str, names: list[str] | dict[str, Any]) -> str:
    """Name the three nearest of some names, for a message; "" where none is near."""
    close = difflib.get_close_matches(name, list(names), n=3, cutoff=0.4)
    return f"; nearest: {', '.join(close)}" if close else ""


def _unknown(release: str, name: str) -> str:
    found = index()
    where = f"SAELens' registry (sae-lens {found.version})"
    if release in found.releases:
        near = nearest(name, {f"{release}/{id}": 0 for id in found.releases[release]})
        return f"no such dictionary in release {release!r} of {where}{near}"
    models = {one.partition("/")[0] for one in found.neuronpedia}
    if release in models:
        near = nearest(name, [one for one in found.neuronpedia if one.startswith(f"{release}/")])
        return f"no such Neuronpedia id in {where}{near}"
    near = nearest(release, [*found.releases, *models])
    return f"no such release or Neuronpedia model in {where}{near}; write RELEASE/ID or MODEL/LAYER-SET[/INDEX]"
