"""Counts and kept activations of a batch are those of a loop."""

import numpy as np
import torch

from autointerp.collection.tally import Keep, Tally
from autointerp.dictionaries.activations import Codes


def test_counts_on_the_device_are_those_of_numpy() -> None:
    """Three tokens in one window of three: latent 4 fires on two of them, latent 1 on one, a value of 0 is padding."""
    codes = Codes(torch.tensor([[2.0, 0.0], [1.0, 3.0], [0.0, 0.0]]), torch.tensor([[4, 1], [4, 1], [4, 2]]))
    tally = Tally(Keep(6, np.array([1, 4]), torch.device("cpu")), torch.device("cpu"))
    tally.add(codes, torch.tensor([7, 3, 5]), torch.tensor([[0, 1, 2]]), torch.tensor([True]))
    kept = tally.finish(100, "float32", "d")
    assert kept.tokens.tolist() == [0, 1, 0, 0, 2, 0]
    assert kept.held_out.tolist() == [0, 1, 0, 0, 1, 0]
    assert kept.explain.tolist() == [0] * 6
    assert [(kept.of(i).stop - kept.of(i).start) for i in range(6)] == [0, 1, 0, 0, 2, 0]
    assert kept.positions.tolist() == [103, 103, 107]
    assert kept.values.tolist() == [3.0, 1.0, 2.0]
