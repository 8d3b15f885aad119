"""Shards on disk: one file per unit of work, complete or absent, one latent's activations a slice of it.

`<number>.safetensors` holds, for each dictionary NAME:

    NAME/latents   [n]      the recorded latents, ascending
    NAME/offsets   [n + 1]  their activations are entries offsets[i]:offsets[i + 1] of the next two
    NAME/positions [nnz]    uint32, positions in the corpus's tokens, ascending per latent
    NAME/values    [nnz]    float16 or float32, > 0
    NAME/tokens, NAME/explain, NAME/held_out   [n_latents] of EVERY latent: tokens it fires on, windows of each split
    n              [3]      content tokens, explain windows and held-out windows of the shard

Its one entry of metadata is the fingerprint of all it depends on, and a checksum of its data: a file that a disk or a
copy broke is as good as absent. One entry, since safetensors writes several in no order; equal shards are equal files.
"""

import json
import mmap
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from autointerp.errors import RunDirectoryError
from autointerp.run.store import write_atomically

COUNTS = ("tokens", "explain", "held_out")
METADATA = "fingerprint and checksum"
CHUNK = 1 << 20
_DTYPES = {"U16": "u2", "U32": "u4", "I64": "i8", "F16": "f2", "F32": "f4"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One dictionary's part of a shard; the attributes are as on disk, above."""

    latents: NDArray[np.integer]
    offsets: NDArray[np.integer]
    positions: NDArray[np.integer]
    values: NDArray[np.floating]
    tokens: NDArray[np.integer]
    explain: NDArray[np.integer]
    held_out: NDArray[np.integer]

    def of(self, latent: int) -> slice:
        """Return the slice of the latent's activations; empty if they were not recorded."""
        place = int(np.searchsorted(self.latents, latent))
        if place == len(self.latents) or self.latents[place] != latent:
            return slice(0, 0)
        return slice(int(self.offsets[place]), int(self.offsets[place + 1]))

    def only(self, latents: NDArray[np.integer]) -> "Kept":
        """Restrict to some of the recorded latents (ascending); counts stay those of every latent."""
        places = np.searchsorted(self.latents, latents)
        sizes = np.diff(self.offsets)[places]
        offsets = np.append(0, np.cumsum(sizes))
        entries = np.repeat(self.offsets[places].astype(np.int64) - offsets[:-1], sizes) + np.arange(offsets[-1])
        return Kept(
            latents=latents.astype(np.uint32),
            offsets=offsets,
            positions=self.positions[entries],
            values=self.values[entries],
            tokens=self.tokens,
            explain=self.explain,
            held_out=self.held_out,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """All dictionaries' activations on one shard, and its numbers of tokens and windows per split.

    Attributes:
        kept: by dictionary.
        n: [3] content tokens, explain windows and held-out windows.
        maps: the memory-mapped files of `kept`; empty for a shard in memory.
    """

    kept: Mapping[str, Kept]
    n: NDArray[np.int64]
    maps: tuple[mmap.mmap, ...] = ()

    def release(self) -> None:
        """Release the memory of pages that were read."""
        for mapped in self.maps:
            mapped.madvise(mmap.MADV_DONTNEED)

    def joined(self, other: "Shard") -> "Shard":
        """Return this with another subject's activations on the same tokens."""
        return Shard(kept={**self.kept, **other.kept}, n=self.n, maps=self.maps + other.maps)


def write(path: Path, shard: Shard, fingerprint: str) -> int:
    """Write a shard atomically; return its bytes.

    Raises:
        RunDirectoryError: it cannot be written, for example since the disk is full.
    """
    arrays: dict[str, NDArray] = {"n": shard.n.astype(np.int64)}
    for name, kept in shard.kept.items():
        arrays |= {
            f"{name}/latents": kept.latents.astype(np.uint32),
            f"{name}/offsets": kept.offsets.astype(np.int64),
            f"{name}/positions": kept.positions,
            f"{name}/values": kept.values,
        }
        arrays |= {f"{name}/{count}": _small(getattr(kept, count)) for count in COUNTS}
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}

    def save(partial: Path) -> None:
        safetensors.numpy.save_file(arrays, partial, {METADATA: f"{fingerprint} {'0' * 8}"})
        with partial.open("r+b") as file:
            header = file.read(int.from_bytes(file.read(8), "little"))
            mark = f'"{METADATA}":"{fingerprint} '.encode()
            place = 8 + header.index(mark) + len(mark)
            found = _checksum(file)  # of what follows the header
            file.seek(place)
            file.write(found.encode())

    try:
        write_atomically(path, save)
    except (OSError, safetensors.SafetensorError) as error:
        raise RunDirectoryError(
            f"{path.parent} cannot be written ({error}); free some space and run the same command again: "
            "finished shards are kept"
        ) from error
    return path.stat().st_size


def read(path: Path, fingerprint: str) -> Shard | None:
    """Open a shard, memory-mapped; None where it is absent, broken or of another study."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, path.stat().st_size)))
            if header.pop("__metadata__")[METADATA] != f"{fingerprint} {_checksum(file)}":
                return None
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        data = memoryview(mapped)[8 + length :]
        arrays = {name: _view(data, entry) for name, entry in header.items()}
        names = sorted({name.rpartition("/")[0] for name in arrays} - {""})
        fields = ("latents", "offsets", "positions", "values", *COUNTS)
        kept = {name: Kept(**{field: arrays[f"{name}/{field}"] for field in fields}) for name in names}
        return Shard(kept=kept, n=arrays["n"], maps=(mapped,))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _checksum(file: BinaryIO) -> str:
    """CRC-32 of the rest of a file; read in pieces, so that nothing of it stays in memory."""
    found = 0
    while chunk := file.read(CHUNK):
        found = zlib.crc32(chunk, found)
    return f"{found:08x}"


def _view(data: memoryview, entry: dict) -> NDArray:
    first, last = entry["data_offsets"]
    if first == last:
        return np.empty(entry["shape"], dtype=_DTYPES[entry["dtype"]])
    return np.frombuffer(data[first:last], dtype=_DTYPES[entry["dtype"]]).reshape(entry["shape"])


def _small(counts: NDArray[np.integer]) -> NDArray[np.integer]:
    """Store counts as uint16 where they fit: they are of every latent, so they are most of a small shard."""
    return counts.astype(np.uint16 if counts.max(initial=0) < 2**16 else np.uint32)
