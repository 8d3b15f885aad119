"""Names of SAELens' registry and Neuronpedia: every entry resolves without a network; some are loaded from a hub."""

import importlib.util
import logging
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from autointerp import dictionaries, plugins
from autointerp.__main__ import main
from autointerp.dictionaries import registry, registry_sites
from autointerp.dictionaries.files import inside
from autointerp.dictionaries.loading import FAMILY
from autointerp.errors import DictionaryError
from tests.helpers import readme
from tests.helpers.checkpoints import CASES
from tests.helpers.hub import Hub, pointed, serving

BY_NAME = {case.name: case for case in CASES}
JB = "gpt2-small-res-jb/blocks.8.hook_resid_pre"


def test_every_entry_resolves_or_is_refused_by_name() -> None:
    """Repository, path, a format of this package and both sites, or a reason; counted as the documentation has it."""
    formats, counts = set(plugins.names(FAMILY)), Counter()
    for entry in registry.index():
        assert re.fullmatch(r"[\w.-]+/[\w.-]+", entry.repo)
        assert inside(entry.file)
        counts[entry.loader or "sae_lens", entry.format or "refused"] += 1
        if entry.refusal:
            assert len(entry.refusal) > 20
            continue
        assert entry.format in formats
        assert all(
            re.fullmatch(r"(blocks|model\.layers)\.\d+\.[\w.]+|hook_embed", site)
            for site in registry_sites.sites(entry)
        )
    page = (readme.ROOT / "docs" / "naming.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (?:`(\w+)`|refused[^|]*) \| ([\d,]+) \|", page, re.MULTILINE)
    assert {(loader, kind or "refused"): int(n.replace(",", "")) for loader, kind, n in rows} == counts
    assert f"sae-lens {registry.index().version}" in page


@pytest.mark.parametrize(
    "name, release, id, latent",
    [
        (f"saelens:{JB}", "gpt2-small-res-jb", "blocks.8.hook_resid_pre", None),
        (JB, "gpt2-small-res-jb", "blocks.8.hook_resid_pre", None),
        ("gpt2-small/8-res-jb", "gpt2-small-res-jb", "blocks.8.hook_resid_pre", None),
        ("np:gpt2-small/8-res-jb/123", "gpt2-small-res-jb", "blocks.8.hook_resid_pre", 123),
        (
            "gemma-scope-2b-pt-res-canonical/layer_20/width_16k/canonical",
            "gemma-scope-2b-pt-res-canonical",
            "layer_20/width_16k/canonical",
            None,
        ),
    ],
)
def test_names_people_use(name: str, release: str, id: str, latent: int | None) -> None:
    """With and without prefix, of the registry and of Neuronpedia, and single latents."""
    found = registry.look_up(name)
    assert found
    assert (found.entry.release, found.entry.id, found.latent) == (release, id, latent)
    assert registry.look_up(found.entry.name) == registry.Named(found.entry)


@pytest.mark.parametrize(
    "name", ["./saelens", "EleutherAI/sae-pythia-160m-32k", "org/repo@v1:layers.1", "hf:x", "alone"]
)
def test_other_names_are_left_to_the_hub(name: str) -> None:
    assert registry.look_up(name) is None


def test_a_local_path_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder named like a release or a Neuronpedia model is that folder."""
    (tmp_path / "gemma-2-2b" / "mine").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert registry.look_up("gemma-2-2b/mine") is None
    with pytest.raises(DictionaryError, match="no such Neuronpedia id"):
        registry.look_up("gemma-2-2b/other")


@pytest.mark.parametrize(
    "name, near",
    [
        ("saelens:gpt2-small-res-jb/blocks.8.hook_resid_prae", "gpt2-small-res-jb/blocks.8.hook_resid_pre"),
        ("saelens:gpt2-smal-res-jb/blocks.8.hook_resid_pre", "gpt2-small-res-jb"),
        ("np:gemma-2-2b/20-gemmascope-res-17k", "gemma-2-2b/20-gemmascope-res-16k"),
        ("gemma-2-2b/20-gemmascop-res-16k", "gemma-2-2b/20-gemmascope-res-16k"),
    ],
)
def test_an_unknown_name_gets_the_three_nearest(name: str, near: str) -> None:
    """In one line, by both ways in, and no request is made."""
    with pytest.raises(DictionaryError, match=re.escape(near)) as told:
        dictionaries.load(name)
    assert "\n" not in str(told.value)
    listed = str(told.value).partition("nearest: ")[2].partition(";")[0]
    assert len(listed.split(", ")) == 3


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving(Hub()) as served:
        pointed(monkeypatch, served.url, tmp_path / "cache")
        yield served


LOADED = {
    "gpt2-small-res_scl-ajt/blocks.2.hook_resid_pre": "saelens:flat standard",
    "pythia-70m-deduped/3-sae_bench-topk-res-4k__trainer_0_step_final": "dictionary_learning:AutoEncoderTopK",
    "gemma-2-2b/20-gemmascope-res-16k": "gemma_scope:res",
    "gemma-scope-2-1b-pt-transcoders-all/layer_9_width_16k_l0_small": "gemma_scope_2:no config",
    "qwen3-4b/1-transcoder-hp": "circuit_tracer:relu",
    "llama_scope_lxm_8x/l1m_8x": "llama_scope:sae",
}


def published(hub: Hub, name: str, case: str, folder: Path) -> registry.Entry:
    """Put a case's checkpoint on the hub where the registry says that the dictionary is."""
    named = registry.look_up(name)
    assert named
    path = folder / named.entry.path
    place = path.parent if Path(named.entry.path).suffix in (".pt", ".safetensors") else path
    place.mkdir(parents=True)
    BY_NAME[case].write(place, torch.Generator().manual_seed(0))
    hub.publish(named.entry.repo, folder, "c3", "main")
    return named.entry


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("name", list(LOADED))
def test_a_name_loads_from_the_hub_as_the_registry_says(name: str, hub: Hub, tmp_path: Path) -> None:
    """Repository and path by name alone; the sites are those the registry tells, by whichever vocabulary."""
    entry = published(hub, name, LOADED[name], tmp_path / "repo")
    opened = dictionaries.load(name)
    assert opened.provenance.format == entry.format
    assert opened.provenance.source.startswith(f"{entry.repo}@{'c3' * 20}:")
    assert opened.n_latents == 12
    if LOADED[name].startswith(("gemma", "qwen")):
        assert (opened.site_in, opened.site_out) == registry_sites.sites(entry)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::ResourceWarning")
def test_scale_and_overrides_of_the_registry_count(hub: Hub, tmp_path: Path) -> None:
    """`expected_average_only_in` gets the registry's number, a study's own goes first."""
    name = "gpt2-small-mlp-tm/blocks.0.hook_mlp_out"
    entry = published(hub, name, "saelens:expected average", tmp_path / "repo")
    (tmp_path / "repo" / entry.path / "activation_scaler.json").unlink()
    assert entry.scale is not None
    assert entry.scale == pytest.approx(1.049317316132615)
    with pytest.raises(DictionaryError, match="center_writing_weights"):  # the registry's override of this release
        dictionaries.load(name)
    without = SimpleNamespace(scale=entry.scale, overrides={})
    assert dictionaries.load(tmp_path / "repo" / entry.path, input_scale=2.0).input_scale == 2.0
    from autointerp.dictionaries.base import DictionaryConfig
    from autointerp.dictionaries.files import find
    from autointerp.dictionaries.formats import saelens

    found = find(str(tmp_path / "repo" / entry.path))
    object.__setattr__(found, "registry", without)
    read = saelens.read(found, DictionaryConfig(name="a", source="a"))
    assert (read.input_scale, read.output_scale) == (entry.scale, 1 / entry.scale)
    centred = published(hub, JB, "saelens:flat standard", tmp_path / "centred")
    assert centred.overrides == {"model_from_pretrained_kwargs": {"center_writing_weights": True}}


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::ResourceWarning")
def test_inspect_shows_where_registry_and_checkpoint_differ(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The registry says 16k latents at blocks 20, the checkpoint has 12; refused entries say why."""
    published(hub, "gemma-2-2b/20-gemmascope-res-16k", "gemma_scope:res", tmp_path / "repo")
    assert main(["inspect", "gemma-2-2b/20-gemmascope-res-16k/7"]) == 0
    told = capsys.readouterr()
    assert "saelens:gemma-scope-2b-pt-res-canonical/layer_20/width_16k/canonical" in told.out
    assert re.search(r"latent: +7", told.out)
    assert "width_16k, the weights have 12 latents" in told.err
    assert main(["inspect", "saelens:temporal-sae-gemma-2-2b/blocks.12.hook_resid_post"]) == 2
    assert "temporal SAE" in capsys.readouterr().err


@pytest.fixture(scope="module")
def library() -> Iterator[Any]:
    """SAELens' own modules for the registry and its loaders, without the rest of the library."""
    spec = importlib.util.find_spec("sae_lens")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("sae-lens is not installed in this environment")
    shell = ModuleType("sae_lens")
    shell.__path__ = list(spec.submodule_search_locations)
    vars(shell).update(__spec__=spec, __version__=registry.index().version, logger=logging.getLogger("sae_lens"))
    kept = {name: module for name, module in sys.modules.items() if name.startswith("sae_lens")}
    sys.modules["sae_lens"] = shell
    try:
        yield (
            importlib.import_module("sae_lens.loading.pretrained_saes_directory"),
            importlib.import_module("sae_lens.loading.pretrained_sae_loaders"),
        )
    finally:
        for name in [name for name in sys.modules if name.startswith("sae_lens")]:
            del sys.modules[name]
        sys.modules.update(kept)


@pytest.mark.slow
def test_the_index_is_the_library_s_registry(library: Any) -> None:
    """Every release and entry as SAELens' own directory has it: repository, path, loader, L0, scale, Neuronpedia id."""
    theirs = library[0].get_pretrained_saes_directory()
    ours = registry.index().releases
    assert set(ours) == set(theirs)
    for release, about in theirs.items():
        assert set(ours[release]) == set(about.saes_map)
        for id, entry in ours[release].items():
            assert (entry.repo, entry.path) == (about.repo_id, about.saes_map[id])
            assert (entry.model, entry.loader) == (about.model, about.conversion_func or "")
            assert entry.l0 == (about.expected_l0[id] or 0)
            assert entry.scale == about.norm_scaling_factor.get(id)
            assert entry.neuronpedia == (about.neuronpedia_id[id] or "")
            assert dict(entry.overrides) == (about.config_overrides or {})


@pytest.mark.slow
def test_sites_are_those_of_the_library_s_loaders(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """For every entry whose loader needs no file to tell its site (12,187 of them), by calling that loader."""
    loaders = library[1]

    def missing(*_: object, **__: object) -> str:
        raise loaders.EntryNotFoundError("no network in this test")

    monkeypatch.setattr(loaders, "hf_hub_download", missing)
    monkeypatch.setattr(loaders, "get_safetensors_tensor_shapes", lambda *_: {"w_enc": [6, 12], "w_dec": [12, 6]})
    counts: Counter[str] = Counter()
    for entry in registry.index():
        if entry.loader not in ("gemma_2", "gemma_2_transcoder", "gemma_3", "qwen_scope"):
            continue
        theirs = loaders.NAMED_PRETRAINED_SAE_CONFIG_GETTERS[entry.loader](entry.repo, entry.path, "cpu")
        named = "hf_hook_name" if entry.loader == "gemma_3" else "hook_name"
        reads = theirs[named]
        predicts = theirs.get(f"{named}_out") or reads
        assert registry_sites.sites(entry) == (reads, predicts), entry.name
        counts[entry.loader] += 1
    assert sum(counts.values()) == 12_187
