"""One dictionary's results on one shard, batch by batch: firing counts of every latent, activations of some."""

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autointerp.collection.memory import Columns
from autointerp.collection.shards import Kept
from autointerp.errors import StudyError, SubjectError

# float16 ends here.
FLOAT16_MAX = 65504.0


class Codes(Protocol):
    """Sparse activations [n, w]; a value of 0 is padding."""

    @property
    def values(self) -> Tensor:
        """Activations."""
        ...

    @property
    def indices(self) -> Tensor:
        """The latent of each."""
        ...


class Keep:
    """The latents to record, as a lookup table on the device: other activations never leave it."""

    def __init__(self, n_latents: int, latents: NDArray[np.integer] | None, device: torch.device) -> None:
        self.n_latents = n_latents
        self.latents = np.arange(n_latents) if latents is None else np.sort(latents)
        self._places: Tensor | None = None
        if latents is not None:
            places = np.full(n_latents, -1, dtype=np.int64)
            places[self.latents] = np.arange(len(self.latents))
            self._places = torch.from_numpy(places).to(device)

    def places(self, indices: Tensor) -> Tensor:
        """Return the position of each index in `latents`, -1 for those not recorded."""
        return indices if self._places is None else self._places[indices]


class Tally:
    """Counts and activations of one dictionary on one shard. A latent fires where its activation is above zero."""

    def __init__(self, keep: Keep, device: torch.device) -> None:
        self._keep, n = keep, keep.n_latents
        self._tokens = torch.zeros(n + 1, dtype=torch.int64, device=device)
        self._windows = torch.zeros(2, n + 1, dtype=torch.int64, device=device)
        self._finite = torch.ones((), dtype=torch.bool, device=device)
        self._entries = Columns()  # index into `Keep.latents`, position in the shard, value; unordered

    def add(self, codes: Codes, positions: Tensor, window_rows: Tensor, held_out: Tensor) -> None:
        """Add a batch.

        Args:
            codes: [n, w] of the batch's content tokens.
            positions: [n] their positions in the shard.
            window_rows: [n_windows, window_length] rows of `codes` that make up each window.
            held_out: [n_windows] the split of each window, 0 or 1.
        """
        values, nothing = codes.values, self._keep.n_latents
        self._finite &= torch.isfinite(values).all()
        fires = values > 0
        latents = torch.where(fires, codes.indices, nothing)
        _add_counts(self._tokens, latents.flatten())
        if len(window_rows):
            per_window = latents[window_rows].flatten(1).sort(dim=1).values
            again = torch.zeros_like(per_window, dtype=torch.bool)
            again[:, 1:] = per_window[:, 1:] == per_window[:, :-1]
            split = held_out[:, None] * (nothing + 1)
            _add_counts(self._windows.view(-1), per_window.masked_fill(again, nothing).add_(split).flatten())
        places = self._keep.places(codes.indices)
        # 32 bits suffice in a shard, and a survey keeps all there is.
        at = positions.to(torch.int32)[:, None].expand_as(places)
        kept = (places >= 0) & fires
        self._entries.extend([column[kept].cpu() for column in (places.to(torch.int32), at, values)])

    def finish(self, offset: int, dtype: str, name: str) -> Kept:
        """Sort the recorded activations by latent and position; `offset` is the shard's first position.

        Raises:
            SubjectError: an activation is not a finite number.
            StudyError: an activation does not fit into the chosen type.
        """
        if not bool(self._finite):
            raise SubjectError(
                f"dictionary {name}: activations are not finite; the subject may overflow in its dtype: "
                "try subject.dtype: float32 (or bfloat16)"
            )
        columns, self._entries = self._entries.all(), Columns()
        place, position, value = columns[0].numpy(), columns[1].numpy(), columns[2].float().numpy()
        del columns
        order = np.argsort(place.astype(np.int64) << 32 | position)
        if dtype == "float16" and value.max(initial=0) > FLOAT16_MAX:
            raise StudyError(
                f"dictionary {name}: an activation of {value.max():.6g} does not fit into float16 "
                f"(at most {FLOAT16_MAX:.0f}); set collection.values: float32"
            )
        # Below float16's range a firing would round to zero, which means silence.
        kept = np.maximum(value[order].astype(dtype), np.finfo(dtype).smallest_subnormal)
        sizes = np.bincount(place, minlength=len(self._keep.latents))
        explain, held_out = self._windows[:, :-1].cpu().numpy()
        return Kept(
            latents=self._keep.latents,
            offsets=np.append(0, np.cumsum(sizes)),
            values=kept,
            positions=(position[order] + offset).astype(np.uint32),
            tokens=self._tokens[:-1].cpu().numpy(),
            explain=explain,
            held_out=held_out,
        )


def _add_counts(counts: Tensor, index: Tensor) -> None:
    """Add one to `counts` at each index."""
    counts += torch.bincount(index, minlength=len(counts))
