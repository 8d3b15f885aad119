"""What leaves the device is what was to be kept, and nothing before it asks the device for a number."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autointerp.collection import device, memory, shards
from autointerp.collection.base import CollectConfig
from autointerp.collection.tally import Entries, Keep, Picked, Tally, true_places
from autointerp.dictionaries.activations import Codes, nonzero_within
from tests.helpers import collecting
from tests.helpers.dictionaries import dictionary


@settings(max_examples=40, deadline=None)
@given(st.lists(st.booleans(), max_size=40))
def test_true_places_are_those_of_a_loop(mask: list[bool]) -> None:
    found = true_places(torch.tensor(mask, dtype=torch.bool), sum(mask))
    assert found.tolist() == [place for place, true in enumerate(mask) if true]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=8), min_size=1, max_size=5))
def test_entries_of_all_batches_are_taken_once(batches: list[list[tuple[int, bool]]]) -> None:
    """The last batch too, which no other follows."""
    picked = Picked()
    for batch in batches:
        numbers = torch.tensor([number for number, _ in batch], dtype=torch.int32)
        picked.add(torch.tensor([wanted for _, wanted in batch], dtype=torch.bool), Entries(numbers, numbers, numbers))
    expected = [number for batch in batches for number, wanted in batch if wanted]
    found = picked.all()
    assert found.places.tolist() == found.positions.tolist() == found.values.tolist() == expected


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(-1, 2), min_size=5, max_size=5), max_size=5), st.integers(1, 7))
def test_rows_within_a_width_are_those_of_a_loop(rows: list[list[int]], width: int) -> None:
    """Where every row fits, the non-zero entries in order; the fullest row is told whether it fits or not."""
    acts = torch.tensor(rows, dtype=torch.float32).reshape(-1, 5)
    if not len(acts):
        return
    codes = nonzero_within(acts, width)
    assert codes.values.shape == codes.indices.shape == (len(acts), width)
    assert codes.fullest is not None
    assert int(codes.fullest) == max(sum(value != 0 for value in row) for row in rows)
    if int(codes.fullest) > width:
        return
    for row, values, indices in zip(rows, codes.values.tolist(), codes.indices.tolist(), strict=True):
        firing = [(i, value) for i, value in enumerate(row) if value]
        assert list(zip(indices, values, strict=True))[: len(firing)] == firing
        assert values[len(firing) :] == [0] * (width - len(firing))


def test_a_device_that_is_asked_once_gives_the_same_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """As on a GPU: room from the first batch, and a shard with a fuller row is done again with more, counted once."""
    documents = ["the the the"] * 9 + collecting.texts(25, 3)
    exact = collecting.run(tmp_path / "a", documents, collecting.arms())
    done_again = []

    class AskedOnce(device.Widths):
        def __init__(self, *, ask_always: bool) -> None:
            assert ask_always  # on a CPU
            super().__init__(ask_always=False)

        def sufficed(self) -> bool:
            done_again.append(not super().sufficed())
            return not done_again[-1]

        @staticmethod
        def _roomy(n: int) -> int:
            return n

    monkeypatch.setattr(device, "Widths", AskedOnce)
    config = CollectConfig(batch_tokens=18, shard_tokens=128)
    found = collecting.run(tmp_path / "b", documents, collecting.arms(), collection=config)
    assert 0 < sum(done_again) < len(done_again)
    assert capfd.readouterr().err.count(f"collect: {found.counts['tokens']:,} tokens") == 2
    for mine, theirs in zip(found.shards, exact.shards, strict=True):
        for name, kept in mine.kept.items():
            other = theirs.kept[name]
            np.testing.assert_allclose(kept.values, other.values, rtol=1e-6)
            for field in ("latents", "offsets", "positions", *shards.COUNTS):
                np.testing.assert_array_equal(getattr(kept, field), getattr(other, field))


@pytest.mark.parametrize("kind", ["topk", "abstopk", "groupmax", "relu", "jumprelu", "gated"])
def test_no_batch_waits_for_the_device(kind: str) -> None:
    """Tensors on the meta device have no values: asking for one, as a wait for a GPU does, is an error there."""
    meta = torch.device("meta")
    encoder = dictionary("d", "sae", kind).to(meta)
    tally = Tally(Keep(64, None, torch.device("cpu")), meta)
    codes = encoder.encode(torch.empty(24, 16, device=meta), memory.Workspace(), 9)
    assert codes.values.device == meta
    widths = device.Widths(ask_always=False)
    widths.saw("d", codes)
    assert widths.of("d") is not None
    positions, rows = (
        torch.empty(24, dtype=torch.int64, device=meta),
        torch.empty(6, 4, dtype=torch.int64, device=meta),
    )
    tally.add(codes, positions, rows, torch.empty(6, dtype=torch.bool, device=meta))
    mask = torch.empty(96, dtype=torch.bool, device=meta)
    assert true_places(mask, 7).shape == (7,)  # the number is there before the entries are taken
    with pytest.raises((RuntimeError, NotImplementedError)):
        int(mask.sum())  # what it would be


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
