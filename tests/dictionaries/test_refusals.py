"""Damaged checkpoints, and files that would run code or claim more than they hold: each refusal names what is wrong."""

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from autointerp import dictionaries
from autointerp.dictionaries.tensors import read_tensors
from autointerp.errors import DictionaryError
from tests.helpers.broken import (
    BY_NAME,
    FILES,
    LEARNING,
    ONE_EACH,
    largest,
    load,
    rewrite,
    tensors_of,
    written,
)
from tests.helpers.checkpoints import Case, D, M


@pytest.mark.parametrize("case", ONE_EACH, ids=lambda case: case.format)
@pytest.mark.parametrize(
    "what, change",
    [
        ("missing", None),
        ("expected", lambda tensor: tensor[:, :-1].clone()),
        ("expected", lambda tensor: tensor[:-1].clone()),
        ("expected", lambda tensor: tensor.T.clone()),
        ("NaN", lambda tensor: tensor.index_fill(0, torch.tensor([1]), float("nan"))),
        ("infinity", lambda tensor: tensor.index_fill(0, torch.tensor([1]), float("inf"))),
        ("expected", lambda tensor: tensor.int()),
    ],
    ids=["missing", "narrow", "short", "swapped", "nan", "infinite", "integer"],
)
def test_a_damaged_matrix_is_named(
    case: Case, what: str, change: Callable[[torch.Tensor], torch.Tensor] | None, tmp_path: Path
) -> None:
    """Missing, of another shape, turned, NaN, infinite or integer: refused with the tensor's name."""
    folder = written(case, tmp_path)
    path = folder / FILES[case.format]
    tensors = tensors_of(path)
    name = largest(tensors)
    if change is None:
        del tensors[name]
    else:
        tensors[name] = change(tensors[name])
    rewrite(path, tensors)
    with pytest.raises(DictionaryError, match=what):
        load(case, folder)


@pytest.mark.parametrize("case", ONE_EACH, ids=lambda case: case.format)
def test_an_unknown_tensor_is_not_dropped(case: Case, tmp_path: Path) -> None:
    """A tensor that the format does not have means that it is another dictionary than it is taken for."""
    folder = written(case, tmp_path)
    path = folder / FILES[case.format]
    rewrite(path, tensors_of(path) | {"W_second_layer": torch.ones(2, 2)})
    with pytest.raises(DictionaryError, match="W_second_layer"):
        load(case, folder)


@pytest.mark.parametrize("case", ONE_EACH, ids=lambda case: case.format)
@pytest.mark.parametrize("keep", [0, 10, 200])
def test_a_truncated_file_is_named(case: Case, keep: int, tmp_path: Path) -> None:
    """A download that was cut short is refused by the file's name, whatever its type."""
    folder = written(case, tmp_path)
    path = folder / FILES[case.format]
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DictionaryError, match=path.name):
        load(case, folder)


class Bomb:
    """Unpickled, this would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize(
    "case", [LEARNING, BY_NAME["openai:TopK"], BY_NAME["qwen_scope:residual"]], ids=lambda c: c.format
)
@pytest.mark.parametrize("bare", [False, True])
def test_a_pickle_is_never_executed(case: Case, bare: bool, tmp_path: Path) -> None:
    """A pickle bomb is refused, in a PyTorch file or bare, and does not go off."""
    folder = written(case, tmp_path)
    path, trace = folder / FILES[case.format], tmp_path / "it went off"
    state = {**tensors_of(path), "surprise": Bomb(trace)}
    if bare:
        path.write_bytes(pickle.dumps(state))
    else:
        torch.save(state, path)
    with pytest.raises(DictionaryError, match=r"Python objects|pickle"):
        load(case, folder)
    assert not trace.exists()
    pickle.loads(pickle.dumps(Bomb(trace)))
    assert trace.exists(), "the bomb is a dud: the test would prove nothing"


def test_an_npz_with_objects_is_refused(tmp_path: Path) -> None:
    """An object array is a pickle inside an npz."""
    trace = tmp_path / "it went off"
    array = np.empty(1, dtype=object)
    array[0] = Bomb(trace)
    np.savez(tmp_path / "params.npz", W_enc=array)
    with pytest.raises(DictionaryError, match="Python objects"):
        read_tensors(tmp_path / "params.npz")
    assert not trace.exists()


def test_an_npz_that_claims_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    """The claimed size is compared with the file before memory is taken: this one claims 7 TB."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**6, 2 * 10**6)})
    with zipfile.ZipFile(tmp_path / "params.npz", "w") as archive:
        archive.writestr("W_enc.npy", header.getvalue() + b"\0" * 64)
    with pytest.raises(DictionaryError, match="claims shape"):
        read_tensors(tmp_path / "params.npz")


def test_a_deflated_npz_bomb_is_refused(tmp_path: Path) -> None:
    """Zeros that inflate a thousandfold are not weights."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**7,)})
    with zipfile.ZipFile(tmp_path / "params.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("W_enc.npy", header.getvalue() + b"\0" * 64)
    with pytest.raises(DictionaryError, match="claims shape"):
        read_tensors(tmp_path / "params.npz")


def test_a_pt_that_claims_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    """A view with stride 0 claims a terabyte over four bytes."""
    torch.save({"encoder.weight": torch.ones(1).expand(10**6, 10**6)}, tmp_path / "ae.pt")
    with pytest.raises(DictionaryError, match="more than the file holds"):
        read_tensors(tmp_path / "ae.pt")


NOT_PLAIN = {
    "meta": lambda tensor: torch.empty(10**6, 10**6, device="meta"),
    "sparse": lambda tensor: torch.zeros(M, D).to_sparse(),
    "eight bits": lambda tensor: tensor.to(torch.float8_e4m3fn),
    "complex": lambda tensor: tensor.to(torch.complex64),
}


@pytest.mark.parametrize("kind", list(NOT_PLAIN))
def test_a_tensor_that_is_not_plain_is_refused(kind: str, tmp_path: Path) -> None:
    """Tensors without memory of their own, of another layout or type: no crash, no terabyte."""
    folder = written(LEARNING, tmp_path)
    state = torch.load(folder / "ae.pt", weights_only=True)
    torch.save(state | {"encoder.weight": NOT_PLAIN[kind](state["encoder.weight"])}, folder / "ae.pt")
    with pytest.raises(DictionaryError, match=r"encoder\.weight is"):
        load(LEARNING, folder)


def test_a_saved_parameter_is_a_tensor(tmp_path: Path) -> None:
    """A state dict of parameters computes like one of tensors, and asks for no gradient."""
    folder = written(LEARNING, tmp_path)
    x = torch.ones(2, D)
    plain = dictionaries.load(folder).reconstruct(x)
    state = torch.load(folder / "ae.pt", weights_only=True)
    torch.save(state | {"encoder.weight": torch.nn.Parameter(state["encoder.weight"])}, folder / "ae.pt")
    again = dictionaries.load(folder)
    assert not again.reconstruct(x).requires_grad
    torch.testing.assert_close(again.reconstruct(x), plain)


@pytest.mark.parametrize(
    "case, changes, words",
    [
        (LEARNING, {"k": torch.tensor(float("nan"))}, "k is nan"),
        (LEARNING, {"k": torch.tensor(3.5)}, "whole number"),
        (LEARNING, {"k": torch.tensor(4)}, "must agree"),
        (LEARNING, {"threshold": torch.tensor(float("inf"))}, "threshold is inf"),
        (LEARNING, {"threshold": torch.ones(3)}, "expected one number"),
        (BY_NAME["dictionary_learning:MatryoshkaBatchTopKSAE"], {"group_sizes": torch.tensor([-4, 16])}, "group_sizes"),
        (BY_NAME["dictionary_learning:MatryoshkaBatchTopKSAE"], {"group_sizes": torch.tensor([4, 9])}, "add up to 13"),
    ],
)
def test_a_number_that_cannot_be_is_named(
    case: Case, changes: dict[str, torch.Tensor], words: str, tmp_path: Path
) -> None:
    folder = written(case, tmp_path)
    torch.save(torch.load(folder / "ae.pt", weights_only=True) | changes, folder / "ae.pt")
    with pytest.raises(DictionaryError, match=words):
        load(case, folder)


@pytest.mark.parametrize("descr", ["<U4", "|V2", [("a", "<f4")]])
def test_an_npz_of_no_numbers_is_refused(descr: object, tmp_path: Path) -> None:
    """Text, records, and bfloat16 as NumPy saves what it does not know."""
    np.savez(tmp_path / "params.npz", W_enc=np.zeros(4, dtype=np.dtype(descr)))  # type: ignore[call-overload]
    with pytest.raises(DictionaryError, match="expected numbers"):
        read_tensors(tmp_path / "params.npz")


@pytest.mark.parametrize("setting", [{"k": 0}, {"k": -1}, {"input_scale": 0.0}, {"input_scale": float("nan")}])
def test_a_setting_out_of_range_is_one_line(setting: dict[str, float], tmp_path: Path) -> None:
    with pytest.raises(DictionaryError, match=next(iter(setting))) as caught:
        dictionaries.load(tmp_path, **setting)  # pyright: ignore[reportArgumentType]
    assert "\n" not in str(caught.value)
