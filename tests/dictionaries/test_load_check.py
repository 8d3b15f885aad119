"""The load gate: measured right, stops what is misread, decides what a checkpoint leaves open."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from autointerp import dictionaries
from autointerp.dictionaries import load_check
from autointerp.dictionaries.activations import Activation
from autointerp.dictionaries.spec import Dictionary
from autointerp.errors import DictionaryError
from autointerp.records import Site
from tests.helpers.checkpoints import CASES, D
from tests.helpers.shared import SHARED, STORIES, needs_shared

BY_NAME = {case.name: case for case in CASES}


def opened(name: str, tmp_path: Path, **settings: object) -> Dictionary:
    case = BY_NAME[name]
    folder = tmp_path / case.folder
    folder.mkdir(parents=True, exist_ok=True)
    case.write(folder, torch.Generator().manual_seed(0))
    return dictionaries.load(folder, **settings)  # type: ignore[arg-type]


def sample(n: int = 400, width: int = D) -> torch.Tensor:
    return torch.randn(n, width, generator=torch.Generator().manual_seed(5)) * 2 + 1


def signs(fvu: float, l0: float, alive_share: float, n_tokens: int = 8192) -> load_check.Vitals:
    return load_check.Vitals(fvu=fvu, l0=l0, alive_share=alive_share, dense_share=0.0, n_tokens=n_tokens)


def test_vital_signs_are_those_counted_by_hand(tmp_path: Path) -> None:
    """FVU, L0, alive and dense shares against numpy over dense activations."""
    dictionary, x, y = opened("sparsify:sae", tmp_path), sample(), sample() * 0.5
    vitals = load_check.measure(dictionary, x, y)
    acts = dictionary.encode_dense(x).double().numpy()
    target, guess = y.double().numpy(), dictionary.reconstruct(x).double().numpy()
    rate = (acts > 0).mean(axis=0)
    assert vitals.fvu == pytest.approx(((target - guess) ** 2).sum() / ((target - target.mean(axis=0)) ** 2).sum())
    assert vitals.l0 == pytest.approx((acts > 0).sum() / len(x))
    assert vitals.alive_share == pytest.approx((rate > 0).mean())
    assert vitals.dense_share == pytest.approx((rate > 0.1).mean())


def test_a_dictionary_at_its_own_site_passes(tmp_path: Path) -> None:
    """What a dictionary predicts, it explains: FVU 0 and no word."""
    dictionary = opened("sparsify:sae", tmp_path)
    x = sample()
    admitted = load_check.admit(dictionary, x, dictionary.reconstruct(x))
    assert admitted.vitals.fvu < 1e-9
    assert admitted.notes == ()


def test_the_open_pre_bias_is_decided_by_fvu_and_said(tmp_path: Path) -> None:
    """A transcoder trained either way is recognised by what it reconstructs, and a sentence gives both numbers."""
    open_one = opened("sparsify:transcoder", tmp_path)
    x = sample()
    for way in (True, False):
        trained = opened("sparsify:transcoder", tmp_path, pre_bias=way)
        admitted = load_check.admit(open_one, x, trained.reconstruct(x))
        assert admitted.vitals.fvu < 1e-9
        assert f"pre_bias: {str(way).lower()}" in admitted.notes[0]
        assert load_check.admit(trained, x, trained.reconstruct(x)).notes == ()


def test_a_pre_bias_that_the_study_set_wrongly_is_doubted(tmp_path: Path) -> None:
    """An explicit setting is obeyed, but not in silence where the other way explains more; the right one is silent."""
    x = sample()
    right, wrong = (opened("sparsify:transcoder", tmp_path, pre_bias=way) for way in (False, True))
    noise = torch.randn(len(x), D, generator=torch.Generator().manual_seed(6)) * 0.1
    y = right.reconstruct(x) + noise
    told = load_check.admit(wrong, x, y, accept=True).notes
    assert any("with b_dec left in its input" in words or "pre_bias: false" in words for words in told)
    assert load_check.admit(right, x, y).notes == ()


def test_a_wrong_scale_is_found(tmp_path: Path) -> None:
    """A dictionary trained on scaled activations is told apart, with the line that mends it."""
    dictionary, x = opened("saelens:standard", tmp_path), sample() / 30
    scale = D**0.5 / float(x.norm(dim=1).mean())
    y = replace(dictionary, input_scale=scale, output_scale=1 / scale).reconstruct(x)
    with pytest.raises(DictionaryError, match=f"input_scale: {scale:.4g}.*FVU is 0.000") as told:
        load_check.admit(dictionary, x, y)
    assert "accept: true" in str(told.value)


@pytest.mark.parametrize(
    "name, fvu, l0, alive, words",
    [
        ("sparsify:sae", 1.01, 3, 1, "FVU is 1.01"),
        ("sparsify:sae", float("nan"), 3, 1, "FVU is nan"),
        ("sparsify:sae", 0.2, 0.9, 1, "records 3"),
        ("dictionary_learning:BatchTopKSAE", 0.2, 10, 1, "records 3"),
        ("saelens:standard", 0.2, 5, 1, "not sparse"),
        ("sparsify:sae", 0.2, 3, 0.0, "0.00% of its latents"),
    ],
)
def test_each_impossible_sign_stops_with_the_way_on(
    name: str, fvu: float, l0: float, alive: float, words: str, tmp_path: Path
) -> None:
    """Every symptom is named, with the one line that overrides it; `accept` turns it into a warning."""
    dictionary = opened(name, tmp_path)
    with pytest.raises(DictionaryError, match=words) as told:
        load_check.diagnose(signs(fvu, l0, alive), dictionary)
    assert "accept: true" in str(told.value)
    assert words in (load_check.diagnose(signs(fvu, l0, alive), dictionary, accept=True) or "")


def test_plausible_signs_are_silent(tmp_path: Path) -> None:
    assert load_check.diagnose(signs(0.99, 2.9, 0.5), opened("sparsify:sae", tmp_path)) is None
    assert load_check.diagnose(signs(0.0, 2.0, 1.0), opened("saelens:standard", tmp_path)) is None


def test_few_tokens_on_a_million_latents_are_no_sign_of_death(tmp_path: Path) -> None:
    """50 tokens of 20 latents can wake a thousandth of a million at most; one latent that fires on all is a sign."""
    million = replace(
        opened("sparsify:sae", tmp_path),
        W_enc=torch.empty(D, 1).expand(D, 10**6),
        l0=20.0,
        activation=Activation(kind="jumprelu", threshold=torch.zeros(1)),
    )
    assert load_check.diagnose(signs(0.3, 20.0, 400 / 10**6, n_tokens=50), million) is None
    with pytest.raises(DictionaryError, match="fire at all"):
        load_check.diagnose(signs(0.3, 20.0, 20 / 10**6), million)
    with pytest.raises(DictionaryError, match="fire at all"):
        load_check.diagnose(signs(0.3, 20.0, 0.0, n_tokens=50), million)


def test_a_first_token_of_monstrous_length_does_not_decide(tmp_path: Path) -> None:
    """Without a BOS, the first token carries it: an attention sink. It is not among the rows."""

    class Sink:
        device = torch.device("cpu")

        def capture(self, ids: torch.Tensor, mask: None, sites: list[Site]) -> dict[Site, torch.Tensor]:
            acts = torch.ones(1, ids.shape[1], D)
            acts[:, 0] = 1e4
            return dict.fromkeys(sites, acts)

    site = Site("layers.1.mlp", "output")
    for bos in (None, 0):
        x, y = load_check.rows(Sink(), [np.arange(5), np.arange(3)], site, site, bos=bos)  # type: ignore[arg-type]
        assert x.max() == y.max() == 1
        assert len(x) == (6 if bos is None else 8)


def test_another_width_is_another_model(tmp_path: Path) -> None:
    with pytest.raises(DictionaryError, match=f"width {D} -> {D}"):
        load_check.measure(opened("sparsify:sae", tmp_path), sample(width=D + 1), sample())


@needs_shared
@pytest.mark.parametrize("name, published", [("sae", 0.159), ("transcoder", 0.228), ("skip_transcoder", 0.206)])
def test_real_dictionaries_have_their_published_fvu(name: str, published: float) -> None:
    """Trained dictionaries of a real model, on real text: the FVU that was measured when they were made."""
    from autointerp.subject import model, sites
    from autointerp.subject.base import SubjectConfig

    subject = model.load(SubjectConfig(model=str(STORIES), device="cpu"))
    stories = (SHARED / "text/tinystories.txt").read_text().split("<|endoftext|>")[-60:]
    ids = [
        np.array(subject.tokenizer(story.strip(), add_special_tokens=False, truncation=True, max_length=200).input_ids)
        for story in stories
    ]
    dictionary = dictionaries.load(STORIES / f"dictionaries/{name}_k16/layers.2.mlp")
    site_in, site_out = (sites.resolve(subject.model, site) for site in (dictionary.site_in, dictionary.site_out))
    x, y = load_check.rows(subject, ids, site_in, site_out, bos=subject.tokenizer.bos_token_id)
    admitted = load_check.admit(dictionary, x, y)
    assert admitted.vitals.fvu == pytest.approx(published, abs=0.015)
    assert admitted.dictionary.pre_bias is None or name == "sae"
    with pytest.raises(DictionaryError, match="does not work"):
        load_check.admit(dictionary, y * 5, x)
