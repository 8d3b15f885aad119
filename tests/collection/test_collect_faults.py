"""Broken files, full disks, too little memory, hostile text: collection redoes, goes on, or says so in one line."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from autointerp.collection import shards
from autointerp.collection.base import CollectConfig, SamplingConfig
from autointerp.collection.device import Clock, Device
from autointerp.dictionaries.spec import Dictionary
from autointerp.errors import RunDirectoryError
from autointerp.records import Site
from autointerp.subject.model import HookedSubject
from autointerp.text import mend_surrogates
from tests.helpers import collecting, tiny
from tests.helpers.collecting import MLP, arms, run, subject, texts
from tests.helpers.dictionaries import dictionary
from tests.helpers.naive import assert_same, collected, naive

HOSTILE = [
    "", " ", "\n\n", "the\x00cat\x00", "half \ud83d of a pair", "\ude00", "\u202emirrored", "e\u0301" * 40,
    "the cat sat on the mat " * 300, "a" * 500, "😀" * 60, "<s> the cat </s>", "\x1b[31m", "日本語のテキスト" * 9,
]  # fmt: skip


@contextmanager
def files_end_at(n_bytes: int) -> Iterator[None]:
    """Let no file grow beyond a size, as a full disk would: writes then fail in the middle."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def small() -> shards.Shard:
    counts = np.array([1, 2, 0])
    kept = shards.Kept(
        latents=np.array([0, 1], np.uint32),
        offsets=np.array([0, 1, 3]),
        positions=np.array([5, 0, 7], np.uint32),
        values=np.array([1, 2, 3], np.float32),
        tokens=counts,
        explain=counts,
        held_out=counts,
    )
    return shards.Shard(kept={"d": kept}, n=np.array([9, 1, 1]))


def content(shard: shards.Shard) -> bytes:
    part = shard.kept["d"]
    names = ("latents", "offsets", "positions", "values", "tokens", "explain", "held_out")
    return b"".join(np.asarray(getattr(part, name), np.float64).tobytes() for name in names) + shard.n.tobytes()


def test_any_broken_byte_of_a_shard_makes_it_absent(tmp_path: Path) -> None:
    """Each bit that counts, flipped; each length it may be cut to: never other numbers, never an error."""
    path = tmp_path / "0.safetensors"
    shards.write(path, small(), "mark")
    whole = path.read_bytes()
    read = shards.read(path, "mark")
    assert read is not None
    expected = content(read)
    n_seen = 0
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        found = shards.read(path, "mark")
        n_seen += found is None
        assert found is None or content(found) == expected
        path.write_bytes(whole[:at])
        assert shards.read(path, "mark") is None
    assert n_seen > len(whole) / 2
    assert shards.read(path, "mark") is None
    path.write_bytes(whole)
    assert shards.read(path, "other") is None
    assert shards.read(path, "mark") is not None


def test_what_was_broken_is_done_again(tmp_path: Path) -> None:
    """A shard, the sample and the tokens, broken one by one: the run ends as if nothing had been."""
    documents, sampling = texts(12, 2), SamplingConfig(n_latents=9, survey_share=1e-6)
    first = run(tmp_path, documents, arms()[:2], sampling=sampling)
    whole = {path.name: path.read_bytes() for path in (tmp_path / "shards").iterdir()}
    for victim in (tmp_path / "shards/000001.safetensors", tmp_path / "sample.npz", tmp_path / "tokens/tokens.bin"):
        data = bytearray(victim.read_bytes())
        data[len(data) // 2] ^= 255
        for broken in (bytes(data), data[: len(data) // 2], b""):
            victim.write_bytes(broken)
            again = run(tmp_path, documents, arms()[:2], sampling=sampling)
            assert {path.name: path.read_bytes() for path in (tmp_path / "shards").glob("*.safetensors")} == whole
            assert again.latents.equals(first.latents)


@pytest.mark.parametrize("limit", [100, 3000])
def test_a_full_disk_is_one_line_and_the_next_run_goes_on(tmp_path: Path, limit: int) -> None:
    """Room for neither tokens nor shards, or for tokens alone: what was half written is gone, and space mends it."""
    documents, placed = texts(12, 2), arms()[:1]
    with files_end_at(limit), pytest.raises(RunDirectoryError, match="free some space and run the same") as caught:
        run(tmp_path / "full", documents, placed)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "full").rglob("*.safetensors"))
    assert not list((tmp_path / "full" / "shards").glob("*.partial"))
    run(tmp_path / "full", documents, placed)
    run(tmp_path / "roomy", documents, placed)
    for path in (tmp_path / "roomy/shards").iterdir():
        assert (tmp_path / "full/shards" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("packing", ["documents", "packed"])
def test_hostile_text_gives_what_the_naive_loop_gives(tmp_path: Path, packing: str) -> None:
    """Empty and giant documents, NULs, halves of pairs, forged special tokens; what was mended is counted."""
    found = run(tmp_path, HOSTILE, arms()[:2], {"packing": packing})
    readable = [mend_surrogates(text) for text in HOSTILE]
    for name, theirs in naive(readable, arms()[:2], packed=packing == "packed").items():
        assert_same(collected(found, readable, name), theirs)
    assert found.counts["documents"] == len(HOSTILE)
    assert found.counts["empty_documents"] == 1
    assert found.counts["mended_documents"] == 2
    assert run(tmp_path, HOSTILE, arms()[:2], {"packing": packing}).counts["mended_documents"] == 2


def test_memory_that_ends_in_an_encoder_halves_the_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The shard begins again with smaller batches: nothing is counted twice."""
    documents, placed = texts(10, 5), arms()[:2]
    exact = run(tmp_path / "a", documents, placed)
    plain = Dictionary.encode

    def encode(self: Dictionary, x: torch.Tensor, *rest: object) -> object:
        if self.name == "transcoder" and len(x) > 40:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return plain(self, x, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Dictionary, "encode", encode)
    tight = HookedSubject(tiny.model("llama").double(), tiny.tokenizer(), fingerprint="tight")
    found = run(
        tmp_path / "b", documents, placed, under=tight, collection=CollectConfig(batch_tokens=160, shard_tokens=128)
    )
    assert "out of memory; going on with batches of" in capfd.readouterr().err
    columns = ["firing_rate_token", "n_windows", "status"]
    assert found.latents[columns].equals(exact.latents[columns])


def test_a_shard_is_a_function_of_its_tokens_alone(tmp_path: Path) -> None:
    """Computed last to first by a worker that has seen no other: the same arrays as those of the run."""
    documents = texts(12, 6)
    found = run(tmp_path, documents, arms())
    tokens = collecting.read(tmp_path, documents)
    keep = {place.dictionary.name: None for place in arms()}
    for number in reversed(range(len(found.shards))):
        worker = Device(subject(), arms(), CollectConfig(batch_tokens=64, shard_tokens=128), Clock())
        part = tokens.shard(number, 128)
        assert part is not None
        with collecting.silent_bar() as bar:
            mine = worker.compute(part, keep, bar)
        shards.write(tmp_path / "mine.safetensors", mine, "mark")
        again = shards.read(tmp_path / "mine.safetensors", "mark")
        assert again is not None
        for name, kept in again.kept.items():
            for field in ("latents", "offsets", "positions", "values", *shards.COUNTS):
                np.testing.assert_array_equal(getattr(kept, field), getattr(found.shards[number].kept[name], field))


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "shards").write_text("a file where the folder should be")
    with pytest.raises(RunDirectoryError, match="cannot be written"):
        run(tmp_path, texts(9), [collecting.Placed(dictionary("sae"), Site(MLP, "output"))])
