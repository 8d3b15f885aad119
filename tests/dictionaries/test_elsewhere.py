"""A dictionary at a plausible wrong site, or with a wrong k, is told where it belongs; one that is right is not."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from autointerp import dictionaries
from autointerp.dictionaries import elsewhere, load_check
from autointerp.dictionaries.spec import Dictionary
from autointerp.errors import DictionaryError
from autointerp.subject import model, neighbours, sites
from autointerp.subject.base import SubjectConfig
from autointerp.subject.model import HookedSubject
from tests.helpers.shared import SHARED, STORIES, needs_shared

pytestmark = needs_shared


@pytest.fixture(scope="module")
def subject() -> HookedSubject:
    return model.load(SubjectConfig(model=str(STORIES), device="cpu"))


def loaded(name: str) -> Dictionary:
    return dictionaries.load(STORIES / f"dictionaries/{name}_k16/layers.2.mlp")


def admitted(
    subject: HookedSubject, dictionary: Dictionary, reads: str, predicts: str, *, accept: bool = False
) -> load_check.Admitted:
    """Pass the gate at these sites, on real stories."""
    stories = (SHARED / "text/tinystories.txt").read_text().split("<|endoftext|>")[-20:]
    bos, tokenizer = subject.tokenizer.bos_token_id, subject.tokenizer
    ids = [np.array(tokenizer(story.strip(), add_special_tokens=False).input_ids[:200]) for story in stories]
    own = (sites.resolve(subject.model, reads), sites.resolve(subject.model, predicts))
    x, y = load_check.rows(subject, ids, *own, bos=bos, n_wanted=2048)
    place = elsewhere.Place(
        subject=subject, documents=ids, bos=bos, own=own, others=neighbours.elsewhere(subject.model, *own)
    )
    return load_check.admit(
        dictionary, x, y, accept=accept, elsewhere=partial(elsewhere.look, dictionary, place, doubtful=0)
    )


@pytest.mark.parametrize("reads", ["layers.1.mlp.output", "layers.3.mlp.output", "layers.2.output"])
def test_an_sae_at_another_site_is_refused_with_its_own(subject: HookedSubject, reads: str) -> None:
    """Every vital sign is plausible there (FVU about .4); the line names the site it was trained at."""
    with pytest.raises(DictionaryError, match=r"Set `site_in: model.layers.2.mlp.output`.*`accept: true`"):
        admitted(subject, loaded("sae"), reads, reads)
    allowed = admitted(subject, loaded("sae"), reads, reads, accept=True)
    assert allowed.misplaced
    assert any("model.layers.2.mlp.output" in words for words in allowed.notes)


@pytest.mark.parametrize("name", ["transcoder", "skip_transcoder"])
@pytest.mark.parametrize("block", [1, 3])
def test_a_transcoder_of_another_layer_is_refused(subject: HookedSubject, name: str, block: int) -> None:
    with pytest.raises(DictionaryError, match=r"0\.2\d at model.layers.2.mlp.input -> model.layers.2.mlp.output"):
        admitted(subject, loaded(name), f"layers.{block}.mlp.input", f"layers.{block}.mlp.output")


@pytest.mark.parametrize("name", ["sae", "transcoder", "skip_transcoder"])
def test_a_dictionary_at_its_own_site_hears_of_no_other(subject: HookedSubject, name: str) -> None:
    """Even where the look is forced, nothing explains clearly more."""
    reads = "layers.2.mlp.output" if name == "sae" else "layers.2.mlp.input"
    let_in = admitted(subject, loaded(name), reads, "layers.2.mlp.output")
    assert not let_in.misplaced
    assert not any("wrong" in words for words in let_in.notes)


def test_a_far_too_large_k_is_refused(subject: HookedSubject) -> None:
    """L0 equals the stated k, so only a smaller k that explains more can tell."""
    dictionary = loaded("sae")
    wrong = replace(dictionary, activation=replace(dictionary.activation, k=160))
    with pytest.raises(DictionaryError, match="with about 20 latents a token instead of 160"):
        admitted(subject, wrong, "layers.2.mlp.output", "layers.2.mlp.output")
