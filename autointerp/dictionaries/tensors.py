"""Tensors of a checkpoint file: no pickle executed, sizes checked before memory is taken, none lost in silence."""

import math
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from autointerp.dictionaries.files import shortened
from autointerp.errors import DictionaryError

# Larger than any published dictionary file; a header that claims more is broken or hostile.
MAX_BYTES = 2**40
# Weights hardly pack: an array that deflate packed more than this, and that is not small, is a bomb.
PACKED, SMALL = 16, 2**24


class Tensors:
    """Named tensors of one file. Before `finish`, each must be taken or named as ignored."""

    def __init__(self, tensors: Mapping[str, Tensor], origin: str, extras: Mapping[str, object] | None = None) -> None:
        self.origin = origin
        self.extras = dict(extras or {})
        self._tensors = dict(tensors)
        self._taken: set[str] = set()

    @property
    def names(self) -> tuple[str, ...]:
        """Every tensor's name."""
        return tuple(self._tensors)

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of one tensor.

        Raises:
            DictionaryError: it is missing.
        """
        if name not in self._tensors:
            raise DictionaryError(
                f"{self.origin}: tensor {name} is missing; it has: {shortened((*self.names, *self.extras))}"
            )
        return tuple(self._tensors[name].shape)

    def matrix(self, name: str) -> tuple[int, int]:
        """Shape of one matrix.

        Raises:
            DictionaryError: it is missing or not a matrix.
        """
        shape = self.shape(name)
        if len(shape) != 2 or 0 in shape:
            raise DictionaryError(f"{self.origin}: {name} has shape {list(shape)}, expected a matrix")
        return shape[0], shape[1]

    def take(self, name: str, *shape: int) -> Tensor:
        """Return one floating tensor of exactly this shape.

        Raises:
            DictionaryError: missing, of another shape or type, or holding NaN or infinity.
        """
        seen = self.shape(name)
        if seen != shape:
            turned = "; it looks transposed" if seen == shape[::-1] else ""
            raise DictionaryError(f"{self.origin}: {name} has shape {list(seen)}, expected {list(shape)}{turned}")
        tensor = self._tensors[name]
        if not tensor.is_floating_point() or tensor.element_size() < 2:
            raise DictionaryError(f"{self.origin}: {name} is {tensor.dtype}, expected float16, bfloat16, float32 or 64")
        self._taken.add(name)
        if not finite(tensor):
            raise DictionaryError(f"{self.origin}: {name} holds NaN or infinity: the checkpoint is damaged or diverged")
        # Nothing is gained by 64 bits, and half the speed lost.
        return tensor.float() if tensor.dtype == torch.float64 else tensor

    def number(self, name: str) -> float:
        """Return a tensor of one element as a number.

        Raises:
            DictionaryError: missing, or of several elements.
        """
        if int(np.prod(self.shape(name))) != 1:
            raise DictionaryError(f"{self.origin}: {name} has shape {list(self.shape(name))}, expected one number")
        self._taken.add(name)
        value = float(self._tensors[name])
        if not math.isfinite(value):
            raise DictionaryError(f"{self.origin}: {name} is {value}: the checkpoint is damaged or diverged")
        return value

    def integer(self, name: str) -> int:
        """Return a tensor of one element as a whole number.

        Raises:
            DictionaryError: missing, of several elements, or not whole.
        """
        value = self.number(name)
        if value != int(value):
            raise DictionaryError(f"{self.origin}: {name} is {value:g}, expected a whole number")
        return int(value)

    def integers(self, name: str) -> list[int]:
        """Return a vector of integers.

        Raises:
            DictionaryError: missing, or something else.
        """
        if len(self.shape(name)) != 1 or self._tensors[name].is_floating_point():
            raise DictionaryError(f"{self.origin}: {name} is not a vector of integers")
        self._taken.add(name)
        return [int(value) for value in self._tensors[name]]

    def ignore(self, *names: str) -> None:
        """Mark names as known and unused, whether present or not."""
        self._taken.update(names)

    def finish(self) -> None:
        """Check that every tensor was used.

        Raises:
            DictionaryError: some were not: the checkpoint is of another kind than it was read as.
        """
        left = [name for name in self._tensors if name not in self._taken]
        if left:
            raise DictionaryError(
                f"{self.origin}: tensors {shortened(left)} are not part of this format; read without them it could be "
                "another dictionary than the one that was trained"
            )


def finite(tensor: Tensor, rows: int = 4096) -> bool:
    """Whether no element is NaN or infinite; looks at a few rows at a time, so a mapped file is not copied."""
    parts = tensor.split(rows) if tensor.ndim > 1 else (tensor,)
    return all(bool(torch.isfinite(part).all()) for part in parts)


def read_tensors(path: Path) -> Tensors:
    """Open a `.safetensors`, `.npz` or PyTorch `.pt` / `.pth` / `.bin` file; memory-mapped, but for npz.

    Raises:
        DictionaryError: of another type, truncated, damaged, or holding anything that would have to be executed.
    """
    readers = {".safetensors": _safetensors, ".npz": _npz, ".pt": _torch, ".pth": _torch, ".bin": _torch}
    if path.suffix not in readers:
        raise DictionaryError(f"{path}: unknown file type {path.suffix!r}; known: {', '.join(readers)}")
    if path.stat().st_size == 0:
        raise DictionaryError(f"{path}: the file is empty; was the download or copy cut short?")
    return readers[path.suffix](path)


def _safetensors(path: Path) -> Tensors:
    # The library checks the header against the file's length before it allocates anything.
    try:
        with safe_open(path, framework="pt") as file:
            return Tensors({name: file.get_tensor(name) for name in file.keys()}, str(path))  # noqa: SIM118
    except (SafetensorError, ValueError, TypeError, OSError) as error:
        raise DictionaryError(f"{path}: not a whole safetensors file ({error}); was the download cut short?") from error


def _npz(path: Path) -> Tensors:
    tensors = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                tensors[member.filename.removesuffix(".npy")] = _npy(archive, member, path)
    except (
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        EOFError,
        OSError,
        ValueError,
        NotImplementedError,
        RuntimeError,
        TypeError,
        SyntaxError,
    ) as error:
        if isinstance(error, DictionaryError):
            raise
        raise DictionaryError(f"{path}: not a whole npz file ({error}); was the download cut short?") from error
    return Tensors(tensors, str(path))


def _npy(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> Tensor:
    """Read one array after checking its header against the file's size."""
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
        if dtype.kind not in "fiub" and not dtype.hasobject:
            raise DictionaryError(f"{path}: {member.filename} holds {dtype.str}, expected numbers")
        if dtype.hasobject:
            raise DictionaryError(f"{path}: {member.filename} holds Python objects; those can run code, never loaded")
        claimed = int(np.prod(shape, dtype=object)) * dtype.itemsize
        compressed = member.compress_type != zipfile.ZIP_STORED
        held = member.compress_size * PACKED + SMALL if compressed else member.compress_size
        if claimed > min(member.file_size, held, MAX_BYTES):
            raise DictionaryError(
                f"{path}: {member.filename} claims shape {list(shape)}, {claimed:,} bytes, but the file holds "
                f"{member.compress_size:,}: truncated or hostile"
            )
    with archive.open(member) as file:
        return torch.from_numpy(np.lib.format.read_array(file, allow_pickle=False))


def _torch(path: Path) -> Tensors:
    _check_archive(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except UnpicklingError as error:
        raise DictionaryError(
            f"{path}: holds Python objects besides tensors{_named(path)}; loading those can run any code, and is never "
            "done. If you trust the file, convert it once: load it with its own library, save its state_dict as "
            "safetensors"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DictionaryError(f"{path}: not a whole PyTorch file ({reason})") from error
    if not isinstance(content, Mapping):
        raise DictionaryError(f"{path}: holds a {type(content).__name__}, not a mapping of tensors")
    tensors = {str(name): value.detach() for name, value in content.items() if isinstance(value, Tensor)}
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
            raise DictionaryError(f"{path}: {name} is not a plain tensor ({tensor.layout}, {tensor.device}): not read")
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise DictionaryError(f"{path}: {name} claims shape {list(tensor.shape)}, more than the file holds")
    extras = {str(name): value for name, value in content.items() if not isinstance(value, Tensor)}
    return Tensors(tensors, str(path), extras)


def _check_archive(path: Path) -> None:
    """Check the directory and the checksums of a PyTorch file, which PyTorch itself does not."""
    try:
        if not zipfile.is_zipfile(path):
            raise DictionaryError(
                f"{path}: not a PyTorch zip file: truncated, or saved by a PyTorch older than 1.6 (a bare pickle is "
                "never loaded); save it again as safetensors"
            )
        with zipfile.ZipFile(path) as archive:
            if any(member.file_size > member.compress_size + 1024 for member in archive.infolist()):
                raise DictionaryError(f"{path}: compressed members: PyTorch does not write those; refused as hostile")
            damaged = archive.testzip()
    except (
        zipfile.BadZipFile,
        struct.error,
        EOFError,
        OSError,
        ValueError,
        NotImplementedError,
        RuntimeError,
    ) as error:
        if isinstance(error, DictionaryError):
            raise
        raise DictionaryError(f"{path}: not a whole PyTorch file ({error}); was the download cut short?") from error
    if damaged is not None:
        raise DictionaryError(f"{path}: the checksum of {damaged[:100]!r} is wrong: the file is damaged; get it again")


def _named(path: Path) -> str:
    """Name the Python objects of a PyTorch file for a message, without loading it."""
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # whatever a hostile pickle makes its reader do, the refusal stands
        return ""
    hint = " (transcoder_circuits: its cfg is a pickled class)" if any("sae_training" in name for name in names) else ""
    return f" ({shortened(names, 4)}){hint}" if names else ""
