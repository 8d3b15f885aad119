"""Control arms: random latents that fire as often as the trained ones and read the same rows."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from autointerp.dictionaries import random
from autointerp.dictionaries.activations import Activation
from autointerp.dictionaries.spec import Dictionary, Provenance
from autointerp.errors import DictionaryError, StudyError
from autointerp.experiment.study import validate_study

D, M, N = 12, 40, 3000


def topk(seed: int = 0) -> Dictionary:
    draw = torch.Generator().manual_seed(seed)
    W = torch.randn(D, M, generator=draw)
    return Dictionary(
        name="a",
        architecture="sae",
        site_in="x",
        site_out="x",
        W_enc=W,
        b_enc=torch.linspace(-30, 2, M),
        activation=Activation(kind="topk", k=3),
        W_dec=W.T.contiguous(),
        b_dec=torch.zeros(D),
        provenance=Provenance(format="test", source=""),
    )


X = torch.randn(N, D, generator=torch.Generator().manual_seed(1)) + 0.5


def test_random_directions_fire_as_often_as_the_trained_latents() -> None:
    """Counted densely, token by token: the very same number of rows for each latent, those that never fire included."""
    made = random.arm("random_directions", topk(), X, X, np.random.default_rng(0))
    wanted = (topk().encode_dense(X) > 0).sum(0)
    assert 0 in wanted.tolist()
    assert max(wanted.tolist()) > N / 4
    assert (made.encode_dense(X) > 0).sum(0).tolist() == wanted.tolist()
    assert made.architecture == "random-directions"
    assert not torch.allclose(made.W_enc, topk().W_enc)


def test_rates_hold_on_rows_that_were_not_seen() -> None:
    """On fresh rows of the same kind the rates are those of the survey, within five binomial standard errors."""
    made = random.arm("random_directions", topk(), X, X, np.random.default_rng(0))
    fresh = torch.randn(N, D, generator=torch.Generator().manual_seed(2)) + 0.5
    rates = [(one > 0).float().mean(0) for one in (made.encode_dense(fresh), made.encode_dense(X))]
    error = (2 * rates[1] * (1 - rates[1]) / N).sqrt() + 2 / N
    assert ((rates[0] - rates[1]).abs() < 5 * error).all()


def test_trained_directions_in_another_subject_fire_as_often() -> None:
    """On the rows of a redrawn subject, of another scale and place, each direction fires as often as at home."""
    own = 7 * torch.randn(N, D, generator=torch.Generator().manual_seed(5)).abs() - 40
    made = random.arm("random_subject", topk(), X, own, np.random.default_rng(0))
    assert (made.encode_dense(own) > 0).sum(0).tolist() == (topk().encode_dense(X) > 0).sum(0).tolist()
    assert torch.equal(made.W_enc, topk().W_enc)
    assert made.architecture == "random-subject"


def test_a_random_encoder_keeps_all_but_the_directions() -> None:
    """As many latents fire per token, weights are as long, nothing else differs; another seed draws others."""
    made = random.arm("random_encoder", topk(), X, X, np.random.default_rng(0))
    assert made.k == 3
    assert torch.allclose(made.W_enc.norm(dim=0), topk().W_enc.norm(dim=0), atol=1e-5)
    assert (made.encode_dense(X) > 0).sum(1).max() == 3
    assert not torch.equal(made.W_enc, random.arm("random_encoder", topk(), X, X, np.random.default_rng(1)).W_enc)
    assert torch.equal(made.W_enc, random.arm("random_encoder", topk(), X, X, np.random.default_rng(0)).W_enc)


def test_a_random_encoder_of_latents_that_do_not_compete_is_refused() -> None:
    """Its thresholds would mean nothing; the error says what to use instead."""
    relu = replace(topk(), activation=Activation(kind="relu"))
    with pytest.raises(DictionaryError, match="random_directions"):
        random.arm("random_encoder", relu, X, X, np.random.default_rng(0))


def test_a_control_names_a_dictionary_of_the_study() -> None:
    """A source that is no other dictionary's name is refused with those there are."""
    values = {
        "name": "s",
        "subject": {"model": "m"},
        "corpus": "docstrings",
        "explainer_llm": "pattern",
        "judge_llm": "pattern",
        "dictionaries": [{"name": "a", "source": "x"}, {"name": "b", "source": "y", "control": "random_directions"}],
    }
    with pytest.raises(StudyError, match="names a dictionary of this study, not 'y'; use one of: a"):
        validate_study(values, source="test")
