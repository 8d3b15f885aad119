"""Patterns, layers and folders of a whole tree: every dictionary meant, named, in order, of one subject."""

import json
from pathlib import Path

import pytest
import torch

from autointerp import dictionaries
from autointerp.dictionaries.globs import expanded, parse_layers
from autointerp.errors import DictionaryError
from tests.helpers.checkpoints import CASES
from tests.helpers.hub import Hub, pointed, serving

BY_NAME = {case.name: case for case in CASES}


def tree(folder: Path, case: str, *places: str, subject: str = "") -> Path:
    for place in places:
        (folder / place).mkdir(parents=True)
        BY_NAME[case].write(folder / place, torch.Generator().manual_seed(0))
    if subject:
        (folder / "config.json").write_text(json.dumps({"model": subject}))
    return folder


def names(*sources: object) -> list[str]:
    return [one["name"] for one in expanded(sources)]


@pytest.fixture
def sparsify(tmp_path: Path) -> Path:
    """A run of sparsify with 12 layers' MLPs, two residual streams and a copy of the best."""
    places = [*(f"layers.{layer}.mlp" for layer in range(12)), "layers.0", "layers.1", "best/layers.3.mlp"]
    return tree(tmp_path / "layer_9_run", "sparsify:sae", *places, subject="gpt2")


def test_a_pattern_names_every_match_in_order_of_layers(sparsify: Path) -> None:
    """Layer 10 comes after 2; the copies in best/ are left out; each loads from what stands in the study."""
    found = expanded([{"name": "sae", "source": f"{sparsify}/layers.*.mlp"}])
    assert [one["name"] for one in found] == [f"sae-L{layer}" for layer in range(12)]
    for one in found[:3]:
        assert dictionaries.load(one["source"]).site_out == f"layers.{one['name'][-1]}.mlp.output"
    assert names({"source": f"{sparsify}/layers.*.mlp"})[:2] == ["layers.0.mlp", "layers.1.mlp"]


@pytest.mark.parametrize("layers, wanted", [("3-5", [3, 4, 5]), ("0,11", [0, 11]), ("2", [2]), ("0, 4-5", [0, 4, 5])])
def test_layers_keep_those(sparsify: Path, layers: str, wanted: list[int]) -> None:
    found = names({"name": "a", "source": f"{sparsify}/layers.*.mlp", "layers": layers})
    assert found == [f"a-L{layer}" for layer in wanted]
    assert sorted(parse_layers(layers)) == wanted


def test_a_folder_is_every_dictionary_in_it(sparsify: Path, tmp_path: Path) -> None:
    """Sparsify, Gemma Scope and circuit-tracer trees; a single dictionary stays one."""
    assert len(names({"name": "run", "source": str(sparsify)})) == 14
    scope = tree(
        tmp_path / "scope", "gemma_scope:res", "layer_0/width_16k/average_l0_9", "layer_1/width_16k/average_l0_8"
    )
    assert names({"name": "res", "source": str(scope)}) == ["res-L0", "res-L1"]
    tracer = tree(tmp_path / "tracer", "circuit_tracer:relu", ".")
    (tracer / "layer_10.safetensors").write_bytes((tracer / "layer_1.safetensors").read_bytes())
    assert names({"name": "plt", "source": str(tracer)}) == ["plt-L1", "plt-L10"]
    single = {"name": "one", "source": str(sparsify / "layers.0.mlp")}
    assert expanded([single, {"name": "c", "source": "one", "control": "random_encoder"}])[0] == single


def test_releases_of_the_registry() -> None:
    """By pattern and by layers, without a network."""
    source = "saelens:gemma-scope-2-1b-pt-mlp-all/layer_*_width_16k_l0_small"
    found = expanded([{"name": "sae", "source": source}])
    assert [one["name"] for one in found] == [f"sae-L{layer}" for layer in range(26)]
    assert found[3]["source"] == "saelens:gemma-scope-2-1b-pt-mlp-all/layer_3_width_16k_l0_small"
    assert names({"name": "x", "source": source, "layers": "24-25"}) == ["x-L24", "x-L25"]


@pytest.mark.parametrize(
    "source, layers, words",
    [
        ("layers.*.attn", None, r"no dictionary matches 'layers\.\*\.attn'; it holds layers\.0, layers\.0\.mlp"),
        ("layers.*.mlp", "10-13", r"no dictionary of layer 12; it has layers 0, 1, 2"),
        ("layers.*.mlp", "3-", "write them as 0-33"),
        ("layers.*.mlp", "5-3", "write them as 0-33"),
    ],
)
def test_what_matches_nothing_says_what_there_is(sparsify: Path, source: str, layers: str | None, words: str) -> None:
    with pytest.raises(DictionaryError, match=words) as told:
        expanded([{"name": "a", "source": f"{sparsify}/{source}", **({"layers": layers} if layers else {})}])
    assert "\n" not in str(told.value)


def test_dictionaries_of_several_subjects_are_refused(sparsify: Path) -> None:
    """By what the runs' configurations say, and by the registry."""
    tree(sparsify.parent / "other", "sparsify:sae", "layers.0.mlp", subject="EleutherAI/pythia-70m")
    with pytest.raises(DictionaryError, match=r"2 subjects .EleutherAI/pythia-70m, gpt2."):
        expanded([{"name": "a", "source": f"{sparsify.parent}/*/layers.0.mlp"}])


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::ResourceWarning")
def test_a_repository_on_the_hub(sparsify: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pattern and layers below a repository; the sources name the commit that was listed; no weights are fetched."""
    with serving(Hub()) as hub:
        pointed(monkeypatch, hub.url, tmp_path / "cache")
        commit = hub.publish("org/repo", sparsify, "d4", "main")
        found = expanded([{"name": "sae", "source": "org/repo:layers.*.mlp", "layers": "0-1"}])
        assert [one["source"] for one in found] == [f"org/repo@{commit}:layers.{layer}.mlp" for layer in (0, 1)]
        assert not [name for name in hub.fetched if name.endswith("safetensors")]
