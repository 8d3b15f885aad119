"""Memory of collection: large buffers, allocated once and returned to the system, keep the peak near what is needed.

glibc's heap keeps resident what is freed below something that is still in use. Of a batch, temporaries of several MB
are freed and a little is kept: with each batch's share a block of its own in the heap there were gaps between them, and
how much they held depended on the addresses of the day (results/reference/collection-speed).
"""

import ctypes
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

# Entries of a column. 4 bytes each: blocks above 32 MiB never lie in glibc's heap, and what is not yet written
# of them takes no memory.
PIECE = 2**23 + 2**10


class Workspace:
    """The memory in which tiles of pre-activations take turns, one piece per type of number."""

    def __init__(self) -> None:
        self._pieces: dict[tuple[torch.dtype, torch.device], Tensor] = {}

    def __call__(self, shape: tuple[int, int], dtype: torch.dtype, device: torch.device) -> Tensor:
        """Return memory for a tile; its content is anything, and the next call's is the same memory."""
        n = shape[0] * shape[1]
        piece = self._pieces.pop((dtype, device), None)
        if piece is None or len(piece) < n:
            del piece  # before another is taken
            piece = torch.empty(n, dtype=dtype, device=device)
        self._pieces[dtype, device] = piece
        return piece[:n].view(shape)


class Columns:
    """Columns of equal length on the CPU that grow at their end in large pieces."""

    def __init__(self) -> None:
        self._parts: list[list[Tensor]] = []
        self._pieces: list[Tensor] = []  # those that have room, one per column
        self._room = 0  # entries left in them

    def extend(self, columns: Sequence[Tensor]) -> None:
        """Append [n] entries to each column."""
        n = len(columns[0])
        while n or not self._parts:
            if not self._room:
                self._pieces = [torch.empty(PIECE, dtype=column.dtype) for column in columns]
                self._parts.append([])
                self._room = PIECE
            taken, end = min(n, self._room), PIECE - self._room
            for piece, column in zip(self._pieces, columns, strict=True):
                piece[end : end + taken] = column[:taken]
            self._parts[-1] = [piece[: end + taken] for piece in self._pieces]
            columns = [column[taken:] for column in columns]
            n, self._room = n - taken, self._room - taken

    def all(self) -> list[Tensor]:
        """Return each column."""
        assert self._parts, "nothing was appended, not even nothing"
        if len(self._parts) == 1:
            return self._parts[0]
        return [torch.cat(parts) for parts in zip(*self._parts, strict=True)]


def give_back() -> None:
    """Let glibc return free heap memory to the system; does nothing with other C libraries."""
    if sys.platform.startswith("linux") and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)


def peak_memory() -> int:
    """Return the most memory this process held at once, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # `ru_maxrss` would begin with what the parent process held
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
