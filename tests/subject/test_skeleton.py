"""A model of which only the first blocks are loaded gives the same activations under the same fingerprint."""

from pathlib import Path

import pytest
import torch
import transformers

from autointerp.records import Site
from autointerp.subject.base import SubjectConfig
from autointerp.subject.blocks import block_list
from autointerp.subject.model import HookedSubject, load
from autointerp.subject.skeleton import SHORTENED, blocks_needed, shorten
from tests.helpers import architectures, tiny


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox", "gemma2", "opt"])
def test_the_first_blocks_alone_give_the_same(tmp_path: Path, family: str, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tiny.save(tmp_path / family, family)
    whole = load(SubjectConfig(model=str(folder)))
    prefix, n_blocks = block_list(whole.model)
    sites = [Site(f"{prefix}.0", "output"), Site(f"{prefix}.1", "input")]
    needed = blocks_needed(whole.model, sites)
    assert (n_blocks, needed) == (3, 2)
    capfd.readouterr()
    part = load(SubjectConfig(model=str(folder)), needed)
    assert "UNEXPECTED" not in "".join(capfd.readouterr())
    assert block_list(part.model)[1] == 2
    assert part.fingerprint == whole.fingerprint
    ids, mask = torch.arange(2, 14).view(2, 6), torch.tensor([[1] * 6, [1] * 4 + [0] * 2])
    theirs, mine = whole.capture(ids, mask, sites), part.capture(ids, mask, sites)
    for site in sites:
        assert torch.equal(mine[site], theirs[site])


def test_what_may_need_all_blocks_gets_them() -> None:
    """The last block, what comes behind it, and models whose settings are not known to count blocks."""
    model = tiny.model("llama")
    assert blocks_needed(model, [Site("model.layers.2.mlp", "output")]) is None
    assert blocks_needed(model, [Site("model.layers.0.mlp", "output"), Site("model.norm", "output")]) is None
    assert blocks_needed(model, [Site("model.layers.0.mlp", "output")]) == 1
    model.config.model_type = "unheard-of"
    assert blocks_needed(model, [Site("model.layers.0.mlp", "output")]) is None


@pytest.mark.parametrize(
    "kind", ["qwen3_moe", "gpt_oss", "qwen3_5_text", "deepseek_v3", "granite", "falcon", "cohere2"]
)
def test_a_block_is_the_same_in_a_model_cut_after_it(kind: str) -> None:
    """Mixtures of experts and hybrids too: the first block's weights and output do not depend on how many follow."""
    assert kind in SHORTENED
    whole, settings = architectures.tiny(kind), architectures.settings(kind)
    shorten(settings, 1)
    part = transformers.AutoModelForCausalLM.from_config(settings).eval()
    weights = {name: value for name, value in whole.state_dict().items() if name in part.state_dict()}
    assert set(weights) == set(part.state_dict())
    part.load_state_dict(weights)
    site = Site(f"{block_list(whole)[0]}.0", "output")
    ids = torch.arange(3, 13)[None]
    theirs, mine = (HookedSubject(one, None, fingerprint="").capture(ids, None, [site]) for one in (whole, part))
    assert torch.equal(theirs[site], mine[site])
