"""Every format computes the formula its layout stands for, and names its sites."""

import json
from pathlib import Path

import pytest
import torch

from autointerp import dictionaries, plugins
from autointerp.dictionaries.files import find
from autointerp.dictionaries.loading import recognise
from autointerp.dictionaries.spec import Dictionary
from autointerp.errors import DictionaryError
from tests.helpers.checkpoints import CASES, Case, D, Function, M


def written(case: Case, tmp_path: Path) -> tuple[Path, Function, Function]:
    folder = tmp_path / case.folder
    folder.mkdir(parents=True, exist_ok=True)
    encode, reconstruct = case.write(folder, torch.Generator().manual_seed(0))
    return folder / case.focus, encode, reconstruct


def opened(case: Case, source: Path) -> Dictionary:
    sites = {} if all(case.sites) else {"site_in": "layers.1.output", "site_out": "layers.1.output"}
    return dictionaries.load(source, **sites, **dict(case.settings))  # type: ignore[arg-type]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_checkpoint_computes_its_formula(case: Case, tmp_path: Path) -> None:
    """encode and reconstruct equal the layout's formula; sparse and dense codes are one and the same."""
    source, encode, reconstruct = written(case, tmp_path)
    dictionary = opened(case, source)
    x = torch.randn(40, D, generator=torch.Generator().manual_seed(1)) * 2
    torch.testing.assert_close(dictionary.encode_dense(x), encode(x), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(dictionary.encode(x).dense(M), encode(x), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(dictionary.reconstruct(x), reconstruct(x), atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(dictionary.decode_dense(encode(x), x), reconstruct(x), atol=2e-5, rtol=1e-5)
    assert (encode(x) != 0).any()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_checkpoint_says_what_it_is(case: Case, tmp_path: Path) -> None:
    """Format found without being told, architecture, sites, widths and hashes of what was read."""
    source, _, _ = written(case, tmp_path)
    assert recognise(find(str(source))) == case.format
    dictionary = opened(case, source)
    assert dictionary.architecture == case.architecture
    assert (dictionary.d_in, dictionary.n_latents) == (D, M)
    if all(case.sites):
        assert (dictionary.site_in, dictionary.site_out) == case.sites
    assert dictionary.provenance.format == case.format
    for name, digest in dictionary.provenance.files:
        assert len(digest) == 64
        assert (source.parent if case.focus else source).joinpath(name).is_file()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_some_latents_are_those_of_all(case: Case, tmp_path: Path) -> None:
    """`encode_dense(x, latents)` is the columns of the whole, whether or not the latents compete."""
    source, _, _ = written(case, tmp_path)
    dictionary = opened(case, source)
    x = torch.randn(9, D)
    latents = torch.tensor([7, 0, 3])
    torch.testing.assert_close(dictionary.encode_dense(x, latents), dictionary.encode_dense(x)[:, latents])


def test_every_format_has_a_case() -> None:
    """A new format file is tested the day it appears."""
    assert {case.format for case in CASES} == set(plugins.names("dictionaries.formats"))


def test_true_is_no_count(tmp_path: Path) -> None:
    """JSON's true would be read as k = 1."""
    case = next(case for case in CASES if case.name == "sparsify:sae")
    folder = tmp_path / case.folder
    folder.mkdir()
    case.write(folder, torch.Generator().manual_seed(0))
    settings = json.loads((folder / "cfg.json").read_text())
    (folder / "cfg.json").write_text(json.dumps({**settings, "k": True}))
    with pytest.raises(DictionaryError, match=r"k: .*truth value"):
        dictionaries.load(folder)
