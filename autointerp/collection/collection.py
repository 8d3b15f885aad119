"""Result of a pass over the subject: every latent's row, and the activations of the sampled ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autointerp.collection import shards
from autointerp.corpus.base import Windows
from autointerp.examples.base import Firing
from autointerp.run.store import fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """Result of collection.

    Attributes:
        windows: the corpus as judged windows.
        latents: `tables.LATENTS`; token_share and peak_token are filled by `select.describe`.
        references: by dictionary the latents, ascending, among which hard negatives look for neighbours.
        fingerprint: hash of all it depends on.
        counts: of documents, tokens, windows; of latents drawn and eligible; of what this process did.
        seconds: of this process, per part.
    """

    windows: Windows
    latents: pd.DataFrame
    references: Mapping[str, NDArray[np.int64]]
    fingerprint: str
    counts: dict[str, int]
    seconds: dict[str, float]
    shards: Sequence[shards.Shard]

    def firing(self, dictionary: str, latent: int) -> Firing:
        """Return a sampled latent's activations over the whole corpus."""
        parts = [shard.kept[dictionary] for shard in self.shards]
        slices = [part.of(latent) for part in parts]
        return Firing(
            positions=np.concatenate([part.positions[at] for part, at in zip(parts, slices, strict=True)]),
            values=np.concatenate([part.values[at] for part, at in zip(parts, slices, strict=True)]),
        )

    def release(self) -> None:
        """Release the memory of shard pages; they are read again when needed."""
        for shard in self.shards:
            shard.release()

    def joined(self, other: "Collection") -> "Collection":
        """Return this with what another subject's pass over the same tokens collected of other dictionaries."""
        assert self.windows.fingerprint == other.windows.fingerprint, "passes over one corpus"
        pairs = zip(self.shards, other.shards, strict=True)
        summed = ("latents", "eligible", "drawn", "sampled", "tokens_computed", "bytes_written", "bytes_kept")
        return Collection(
            windows=self.windows,
            latents=pd.concat([self.latents, other.latents], ignore_index=True),
            references={**self.references, **other.references},
            fingerprint=fingerprint(self.fingerprint, other.fingerprint),
            counts=self.counts
            | {name: self.counts[name] + other.counts[name] for name in summed}
            | {"peak_memory_bytes": other.counts["peak_memory_bytes"]},
            seconds={part: seconds + other.seconds[part] for part, seconds in self.seconds.items()},
            shards=[one.joined(more) for one, more in pairs],
        )
