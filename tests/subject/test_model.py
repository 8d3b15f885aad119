"""Reading at sites equals the model's own forward; predictions are the model's own."""

from pathlib import Path

import pytest
import torch

from autointerp.errors import SiteError, SubjectError
from autointerp.records import Site
from autointerp.subject.base import SubjectConfig
from autointerp.subject.model import HookedSubject, load
from tests.helpers import architectures, tiny
from tests.helpers.shared import STORIES, needs_shared

MLP = {
    "llama": "model.layers.1.mlp",
    "gpt_neox": "gpt_neox.layers.1.mlp",
    "gpt2": "transformer.h.1.mlp",
    "gemma2": "model.layers.1.mlp",
}
FAMILIES = sorted(MLP)
IDS = torch.tensor([[0, 5, 9, 20, 7, 3], [0, 8, 6, 4, 0, 0]])
MASK = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])


def subject(family: str) -> HookedSubject:
    return HookedSubject(tiny.model(family), tiny.tokenizer(), fingerprint=family)


def sites(family: str) -> tuple[Site, Site]:
    return Site(MLP[family], "input"), Site(MLP[family], "output")


@pytest.mark.parametrize("family", FAMILIES)
def test_capture_gives_what_the_module_itself_computes(family: str) -> None:
    """The captured output is the module applied to the captured input."""
    under = subject(family)
    before, after = sites(family)
    read = under.capture(IDS, MASK, [after, before])
    with torch.inference_mode():
        torch.testing.assert_close(under.model.get_submodule(MLP[family])(read[before]), read[after])


@pytest.mark.parametrize("family", FAMILIES)
def test_padding_changes_no_token(family: str) -> None:
    """A short context reads the same alone as beside a longer one."""
    under = subject(family)
    _, after = sites(family)
    beside = under.capture(IDS, MASK, [after])[after][1, :4]
    alone = under.capture(IDS[1:, :4], None, [after])[after][0]
    torch.testing.assert_close(beside, alone)


def test_a_model_whose_base_model_prefix_names_no_module_gives_its_own_losses() -> None:
    """`Llama4ForCausalLM.base_model` is the model itself, whose first output is logits."""
    model = architectures.tiny("llama4_text")
    under = HookedSubject(model, tiny.tokenizer(), fingerprint="llama4")
    ids = torch.tensor([[0, 5, 9, 20, 7, 3]])
    (clean,) = under.predictions(ids, None, [under.run(ids, None, []).hidden])
    with torch.inference_mode():
        own = model(input_ids=ids, labels=ids).loss
    torch.testing.assert_close(clean.ce.nanmean(), own)


def test_padding_beyond_a_sliding_window_changes_no_loss() -> None:
    """Beside a context longer than the window (32), a short one's losses are finite and those it has alone."""
    under = HookedSubject(tiny.model("gemma2").double(), tiny.tokenizer(), fingerprint="sliding")
    ids = torch.randint(1, 250, (2, 60), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[1, 4:] = 0
    (beside,) = under.predictions(ids, mask, [under.run(ids, mask, []).hidden])
    (alone,) = under.predictions(ids[1:, :4], None, [under.run(ids[1:, :4], None, []).hidden])
    torch.testing.assert_close(beside.ce[1, :3], alone.ce[0])


@pytest.mark.parametrize("family", FAMILIES)
def test_cross_entropy_is_the_model_s_own(family: str) -> None:
    """The mean over real targets equals the loss transformers computes with labels; padding is NaN."""
    under = subject(family)
    (clean,) = under.predictions(IDS, MASK, [under.run(IDS, MASK, []).hidden])
    labels = IDS.masked_fill(MASK == 0, -100)
    with torch.inference_mode():
        own = under.model(input_ids=IDS, attention_mask=MASK, labels=labels).loss
    assert clean.ce.isnan().sum() == 2
    torch.testing.assert_close(clean.ce.nanmean(), own)


def test_nothing_behind_the_last_site_is_computed() -> None:
    """A layer behind the site is never entered, and no hook stays behind."""
    under = subject("llama")
    entered = []
    handle = under.model.model.layers[2].register_forward_hook(lambda *_: entered.append(2))
    before, _ = sites("llama")
    under.widths([before])
    entered.clear()
    under.capture(IDS, MASK, [before])
    handle.remove()
    assert entered == []
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in under.model.modules())


def test_a_flattened_input_comes_back_in_batch_shape() -> None:
    """Sites whose module works on [tokens, d] still read [batch, sequence, d]."""
    under = subject("opt")
    site = Site("model.decoder.layers.1.fc2", "output")
    assert under.capture(IDS, MASK, [site])[site].shape == (2, 6, 16)


def test_normalised_read_leaves_out_the_gain() -> None:
    """The norm's output before its gain, times the gain, is the MLP's input."""
    under = subject("llama")
    norm = under.model.model.layers[1].post_attention_layernorm
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
    before = Site(MLP["llama"], "input")
    plain = Site("model.layers.1.post_attention_layernorm", "output", "pre_gain")
    read = under.capture(IDS, MASK, [plain, before])
    torch.testing.assert_close(read[plain] * norm.weight, read[before])


def test_a_misspelt_site_is_named_beside_those_that_exist() -> None:
    with pytest.raises(SiteError, match=r"model\.layers\.1\.mpl.*model\.layers\.1\.mlp"):
        subject("llama").capture(IDS, MASK, [Site("model.layers.1.mpl", "output")])


def test_a_site_that_does_not_fire_is_an_error() -> None:
    with pytest.raises(SiteError, match="fired 0 times"):
        subject("llama").capture(IDS, MASK, [Site("lm_head", "output")])


def test_a_site_that_fires_twice_is_an_error() -> None:
    """A module shared by two layers is no single site."""
    under = subject("llama")
    under.model.model.layers[2].mlp = under.model.model.layers[1].mlp
    with pytest.raises(SiteError, match="fired 2 times"):
        under.capture(IDS, MASK, [Site(MLP["llama"], "output")])


def test_load_reads_a_folder_and_fingerprints_what_matters(tmp_path: Path) -> None:
    """The same files in two places have one fingerprint; another dtype has another."""
    first, second = tiny.save(tmp_path / "a"), tiny.save(tmp_path / "b")
    one, two = (load(SubjectConfig(model=str(folder), device="cpu")) for folder in (first, second))
    half = load(SubjectConfig(model=str(first), device="cpu", dtype="bfloat16"))
    assert one.fingerprint == two.fingerprint != half.fingerprint
    assert half.dtype == torch.bfloat16


def test_a_folder_without_a_model_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SubjectError, match="cannot be loaded") as caught:
        load(SubjectConfig(model=str(tmp_path), device="cpu"))
    assert "\n" not in str(caught.value)


@needs_shared
def test_the_real_model_predicts_stories() -> None:
    """The pretrained model is far better than chance on its own kind of text (log 512 = 6.2 nats)."""
    under = load(SubjectConfig(model=str(STORIES), device="cpu"))
    ids = under.tokenizer("Once upon a time, there was a little girl named Lily.", return_tensors="pt").input_ids
    (found,) = under.predictions(ids, None, [under.run(ids, None, []).hidden])
    assert found.ce.mean() < 2.0
