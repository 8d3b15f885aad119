"""Memory that is taken once holds what was put there, and lends no result its place."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autointerp.collection import memory
from autointerp.collection.memory import Columns, Workspace
from tests.helpers.dictionaries import dictionary


@given(st.lists(st.lists(st.integers(-9, 9), max_size=9), min_size=1, max_size=6))
def test_columns_are_all_that_was_appended(batches: list[list[int]]) -> None:
    """Pieces of four entries: batches end in, at and far behind a piece's end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "PIECE", 4)
        columns = Columns()
        for batch in batches:
            columns.extend([torch.tensor(batch, dtype=torch.int32), torch.tensor(batch, dtype=torch.float32)])
        whole, half = columns.all()
    assert whole.tolist() == half.tolist() == [number for batch in batches for number in batch]
    assert (whole.dtype, half.dtype) == (torch.int32, torch.float32)


@pytest.mark.parametrize("kind", ["relu", "topk", "abstopk", "groupmax", "jumprelu", "gated"])
def test_tiles_take_turns_and_codes_stay(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Codes of one batch are the same with and without a workspace, after the next batch has used it too."""
    monkeypatch.setattr("autointerp.dictionaries.spec.TILE_CPU", 64 * 5)  # five rows a tile
    encoder, memory, plain = dictionary("d", "sae", kind), Workspace(), torch.randn(2, 24, 16, dtype=torch.float64)
    with torch.inference_mode():
        codes = [encoder.encode(x, memory) for x in plain]
        for found, x in zip(codes, plain, strict=True):
            expected = encoder.encode(x)
            assert torch.equal(found.dense(64), expected.dense(64))
    first = memory((5, 64), torch.float64, torch.device("cpu"))
    assert first.data_ptr() == memory((3, 64), torch.float64, torch.device("cpu")).data_ptr()
    assert first.data_ptr() != memory((5, 64), torch.float32, torch.device("cpu")).data_ptr()
