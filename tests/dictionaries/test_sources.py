"""Where a checkpoint may come from: paths, links, the hub; what leads out or does not exist is refused."""

from pathlib import Path

import huggingface_hub.constants
import pytest
import torch

from autointerp import dictionaries
from autointerp.dictionaries.files import find, inside
from autointerp.errors import DictionaryError
from tests.helpers.broken import FILES, SPARSIFY, TRACER, load, written
from tests.helpers.checkpoints import Case

LAUGHS = "\n".join(["a0: &a0 [x, x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12))])


@pytest.mark.parametrize(
    "case, name, text",
    [
        (SPARSIFY, "cfg.json", "[" * 10**6),
        (SPARSIFY, "cfg.json", "null"),
        (SPARSIFY, "cfg.json", '{"d_in": 6, "num_latents": 12, "k": ' + "9" * 4000 + "}"),
        (SPARSIFY, "cfg.json", '{"d_in": 6, "num_latents": 12, "k": 3, "activation": "' + "x" * 10**5 + '"}'),
        (SPARSIFY, "cfg.json", '{"d_in": 6, "num_latents": -12, "k": 3}'),
        (TRACER, "config.yaml", LAUGHS + "\nmodel_kind: *a11\n"),
        (TRACER, "config.yaml", "!!python/object/apply:os.system ['true']"),
    ],
    ids=["deep", "null", "many digits", "long", "negative", "a billion laughs", "python"],
)
def test_a_hostile_configuration_is_one_short_line(case: Case, name: str, text: str, tmp_path: Path) -> None:
    """Whatever a file makes of itself, the message stays readable."""
    folder = written(case, tmp_path)
    (folder / name).write_text(text)
    with pytest.raises(DictionaryError, match=name) as told:
        load(case, folder)
    assert len(str(told.value)) < 600
    assert "\n" not in str(told.value)


def test_links_are_followed_to_files_only(tmp_path: Path) -> None:
    """A linked file is read (hub caches are made of links); loops, devices and links to nothing are no files."""
    folder = written(SPARSIFY, tmp_path)
    weights = folder / FILES["sparsify"]
    weights.rename(tmp_path / "blob")
    weights.symlink_to(tmp_path / "blob")
    (folder / "loop").symlink_to(folder)
    load(SPARSIFY, folder)
    for target in ("/dev/zero", tmp_path / "nothing"):
        weights.unlink()
        weights.symlink_to(target)
        with pytest.raises(DictionaryError, match="no known dictionary format"):
            load(SPARSIFY, folder)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../b", "..\\x", "C:\\x"])
def test_a_path_that_leads_out_is_refused(name: str) -> None:
    with pytest.raises(DictionaryError, match="outside"):
        inside(name)


def test_a_hub_path_that_leads_out_is_refused_before_any_request() -> None:
    with pytest.raises(DictionaryError, match="outside"):
        find("org/repo:../../etc")


def test_a_hub_cache_serves_while_the_hub_is_out_of_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With HF_HUB_OFFLINE a cached repository loads at its commit, and one that is not cached says so in one line."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    cache = tmp_path / "models--org--repo"
    folder = cache / "snapshots" / commit / "layers.1.mlp"
    folder.mkdir(parents=True)
    SPARSIFY.write(folder, torch.Generator().manual_seed(0))
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text(commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    dictionary = dictionaries.load("org/repo:layers.1.mlp")
    assert (dictionary.site_in, dictionary.provenance.revision) == ("layers.1.mlp.input", commit)
    with pytest.raises(DictionaryError, match=r"no folder or file .layers\.2\.mlp"):
        dictionaries.load("org/repo:layers.2.mlp")
    with pytest.raises(DictionaryError, match="its cache has none"):
        dictionaries.load("org/other")


def test_a_file_is_asked_for_inside_the_folder_only(tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text("{}")
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    with pytest.raises(DictionaryError, match=r"outside|missing"):
        find(str(folder)).path("../secret.json")


@pytest.mark.parametrize("source", ["/nowhere/at/all", "./nothing", "a b c", "one", "", "a/" * 5000])
def test_what_does_not_exist_is_said_so(source: str) -> None:
    with pytest.raises(DictionaryError, match="no such folder or file"):
        dictionaries.load(source)


def test_an_unknown_format_lists_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(DictionaryError, match="saelens, sparsify"):
        dictionaries.load(tmp_path, format="sparsfy")
    (tmp_path / "model.bin").write_bytes(b"x")
    with pytest.raises(DictionaryError, match=r"no known dictionary format.*model\.bin"):
        dictionaries.load(tmp_path)
