"""A redrawn subject: each tensor's mean and spread, none of its structure; embeddings as they were."""

import copy

import pytest
import torch

from autointerp.records import Site
from autointerp.subject.model import HookedSubject
from autointerp.subject.redraw import redrawn
from tests.helpers import tiny

IDS = torch.arange(12)[None]


def subject(family: str = "llama") -> HookedSubject:
    return HookedSubject(tiny.model(family, hidden_size=64), tiny.tokenizer(), fingerprint="trained")


@pytest.mark.parametrize("family", ["llama", "gpt_neox", "gpt2", "gemma2"])
def test_every_tensor_but_the_embeddings_is_drawn_with_its_mean_and_spread(family: str) -> None:
    """Each weight matrix has its old mean and standard deviation within five standard errors, and no old entry."""
    old = subject(family)
    before = {name: p.clone() for name, p in old.model.named_parameters()}
    new = redrawn(old, seed=0)
    embeddings = {id(new.model.get_input_embeddings().weight), id(new.model.get_output_embeddings().weight)}
    n_drawn = 0
    for name, parameter in new.model.named_parameters():
        was = before[name]
        if id(parameter) in embeddings:
            assert torch.equal(parameter, was), name
            continue
        if was.numel() < 100 or was.std() == 0:
            assert torch.isfinite(parameter).all()
            continue
        n_drawn += 1
        assert not (parameter == was).any(), name
        error = was.std() / was.numel() ** 0.5
        assert abs(parameter.mean() - was.mean()) < 5 * error, name
        assert abs(parameter.std() - was.std()) < 5 * error, name
    assert n_drawn >= 3


def test_the_draw_is_by_seed_and_name() -> None:
    """The same seed gives the same subject, from a part of the model too; another seed, or none, gives others."""
    sites = [Site("model.layers.0.mlp", "output")]

    def read(one: HookedSubject) -> torch.Tensor:
        return one.capture(IDS, None, sites)[sites[0]]

    first, again, other = (redrawn(subject(), seed) for seed in (0, 0, 1))
    assert torch.equal(read(first), read(again))
    assert not torch.allclose(read(first), read(other))
    assert not torch.allclose(read(first), read(subject()))
    part = subject()
    part.model = copy.deepcopy(part.model)
    part.model.model.layers = part.model.model.layers[:1]
    assert torch.equal(read(redrawn(part, seed=0)), read(first))
    assert len({first.fingerprint, other.fingerprint, "trained"}) == 3
