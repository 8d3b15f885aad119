"""The one in-memory dictionary that every checkpoint format becomes.

With x a row of activations at `site_in`, D its width, M latents, O the width at `site_out`:

    z    = norm(x) * input_scale - pre_bias                    norm: none, center, layer_norm or rms, per token
    acts = activation(z @ W_enc + b_enc)                       W_enc [D, M]
    y    = unnorm((acts @ W_dec + b_dec) * output_scale) + x @ W_skip.T      W_dec [M, O], W_skip [O, D]
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autointerp.dictionaries.activations import Activation, Codes
from autointerp.dictionaries.base import Architecture

# Gives memory for a tile of this shape, type and device; the same for each tile.
Workspace = Callable[[tuple[int, int], torch.dtype, torch.device], Tensor]
InputNorm = Literal["none", "center", "layer_norm", "rms"]
# Elements of the pre-activation tile [tokens, M]: 2**25 floats are 134 MB. Few tokens a tile read the weights again and
# again: with M = 2**17, d = 2048 on one core, tiles of 2**22 took 3.3 times as long.
TILE_CPU = 2**25
TILE_GPU = 2**27
# Of layer_norm in OpenAI's sparse_autoencoder and in SAELens: added to the standard deviation, not under the root.
LAYER_NORM_EPS = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Provenance of a dictionary. `files` are (name, sha256) of every file read."""

    format: str
    source: str
    revision: str = ""
    files: tuple[tuple[str, str], ...] = ()

    @property
    def sha256(self) -> str:
        """One hash over all files."""
        return hashlib.sha256("\n".join(f"{name} {digest}" for name, digest in self.files).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Normalised:
    """Rows as the encoder sees them [n, D], and what undoes the normalisation: [n, 1] each, or None."""

    rows: Tensor
    mean: Tensor | None = None
    scale: Tensor | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Write:
    """What latents of a cross-layer transcoder write to a later layer: its site, and decoder W_dec [M, d_out]."""

    site: str
    W_dec: Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dictionary:
    """An SAE, a transcoder or a skip transcoder.

    Weights keep the type they were saved in; a computation runs in the wider of theirs and the activations'. `seed` is
    the training seed, -1 where unknown; `prepend_bos` is what the checkpoint says of training, None where nothing;
    `pre_bias_open` says that the checkpoint left open whether b_dec is subtracted from the input; `l0` is the mean L0
    the checkpoint records where that is not k, 0 where it tells none.
    `undo_norm` says whether the output gets back what the input's norm took. `remarks` are sentences for people about
    what the checkpoint left open and how it was read. A layer of a cross-layer transcoder also `writes` to later
    layers; `group` is the same for all of its layers, "" for every other dictionary.
    """

    name: str
    architecture: Architecture
    site_in: str
    site_out: str
    W_enc: Tensor
    b_enc: Tensor
    activation: Activation
    W_dec: Tensor
    b_dec: Tensor
    W_skip: Tensor | None = None
    pre_bias: Tensor | None = None
    input_norm: InputNorm = "none"
    undo_norm: bool = True
    input_scale: float = 1.0
    output_scale: float = 1.0
    prepend_bos: bool | None = None
    pre_bias_open: bool = False
    l0: float = 0.0
    seed: int = -1
    remarks: tuple[str, ...] = ()
    writes: tuple[Write, ...] = ()
    group: str = ""
    provenance: Provenance

    @property
    def d_in(self) -> int:
        """Width of the activation that it reads."""
        return self.W_enc.shape[0]

    @property
    def n_latents(self) -> int:
        """Number of latents."""
        return self.W_enc.shape[1]

    @property
    def d_out(self) -> int:
        """Width of the activation that it reconstructs."""
        return self.W_dec.shape[1]

    @property
    def k(self) -> int:
        """Latents per token; 0 where the activation has no k."""
        return self.activation.k

    @property
    def expected_l0(self) -> float:
        """Mean L0 that the checkpoint states; 0 if unknown."""
        return float(self.k) or self.l0

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.W_enc.device

    def encode(self, x: Tensor, workspace: Workspace | None = None) -> Codes:
        """Sparse activations of rows x [n, d_in]: values and indices [n, w], w = k, or the widest row's count.

        Works in tiles of rows: no buffer of [n, n_latents]. With a `workspace` (not if gradients are needed)
        tiles lie in it.
        """
        assert x.shape[1:] == (self.d_in,), f"{self.name}: rows {tuple(x.shape)}, expected [n, {self.d_in}]"

        def into(tile: Tensor) -> Tensor | None:
            if workspace is None:
                return None
            return workspace((len(tile), self.n_latents), self._dtype(tile), self.device)

        encoder = replace(self, W_enc=self.W_enc.to(self._dtype(x)))  # once, not for each tile
        # No variable for a tile: it would stay in memory during the next one.
        return Codes.cat(
            [self.activation.sparse(encoder.pre_activations(tile, out=into(tile))) for tile in self._tiles(x)]
        )

    def encode_dense(self, x: Tensor, latents: Tensor | None = None) -> Tensor:
        """Activations of rows x [n, d_in] as [n, n_latents], or [n, len(latents)] of some latents.

        Dictionaries without competing latents (relu, jumprelu, gated) read the weights of `latents` only.
        """
        if latents is None:
            return self.activation.dense(self.pre_activations(x))
        latents = latents.to(self.device)
        if self.activation.competes:
            return torch.cat([self.activation.dense(self.pre_activations(t))[:, latents] for t in self._tiles(x)])
        return self.activation.select(latents).dense(self.pre_activations(x, latents))

    def decode(self, codes: Codes, x: Tensor) -> Tensor:
        """Reconstruction [n, d_out] from codes; `x` [n, d_in] is what was encoded (for the skip and normalisation)."""
        dtype = self._dtype(x)
        weights = self.W_dec.to(dtype)
        y = torch.nn.functional.embedding_bag(
            codes.indices, weights, per_sample_weights=codes.values.to(dtype), mode="sum"
        )
        return self._finish(y + self.b_dec.to(dtype), x.to(self.device, dtype))

    def decode_dense(self, acts: Tensor, x: Tensor) -> Tensor:
        """Reconstruction [n, d_out] from dense activations [n, n_latents], for tests and training."""
        dtype = self._dtype(x)
        return self._finish(acts.to(dtype) @ self.W_dec.to(dtype) + self.b_dec.to(dtype), x.to(self.device, dtype))

    def writes_to(self, site: str) -> bool:
        """Whether latents of a cross-layer transcoder write to this later layer's site."""
        return any(one.site == site for one in self.writes)

    def written(self, codes: Codes, site: str) -> Tensor:
        """Return what a cross-layer transcoder's latents add at a later layer's site [n, d_out]."""
        weights = next(one.W_dec for one in self.writes if one.site == site)
        dtype = torch.promote_types(codes.values.dtype, weights.dtype)
        return torch.nn.functional.embedding_bag(
            codes.indices, weights.to(dtype), per_sample_weights=codes.values.to(dtype), mode="sum"
        )

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return its prediction at `site_out` [n, d_out] from rows x [n, d_in] at `site_in`."""
        return self.decode(self.encode(x), x)

    def directions(self, latents: Sequence[int] | NDArray[np.integer]) -> Tensor:
        """Return what one unit of each latent's activation adds at `site_out` [len(latents), d_out].

        Where the output gets back what the input's norm took, that is up to the token's own scale.
        """
        return (
            self.W_dec[torch.tensor(np.asarray(latents).tolist(), dtype=torch.long, device=self.device)]
            * self.output_scale
        )

    def to(self, device: str | torch.device, dtype: torch.dtype | None = None) -> "Dictionary":
        """Move the weights; a copy unless nothing changes."""

        def moved(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.to(device, dtype)

        names = ("W_enc", "b_enc", "W_dec", "b_dec", "W_skip", "pre_bias")
        changes: dict[str, Any] = {name: moved(getattr(self, name)) for name in names}
        changes["writes"] = tuple(Write(one.site, one.W_dec.to(device, dtype)) for one in self.writes)
        return replace(self, activation=self.activation.to(device, dtype), **changes)

    def _dtype(self, x: Tensor) -> torch.dtype:
        return torch.promote_types(x.dtype, self.W_enc.dtype)

    def _tiles(self, x: Tensor) -> Iterator[Tensor]:
        budget = TILE_CPU if self.device.type == "cpu" else TILE_GPU
        yield from x.split(max(1, budget // self.n_latents))

    def _normalise(self, x: Tensor) -> Normalised:
        mean = scale = None
        if self.input_norm in ("center", "layer_norm"):
            mean = x.mean(dim=-1, keepdim=True)
            x = x - mean
        if self.input_norm == "layer_norm":
            scale = x.std(dim=-1, keepdim=True) + LAYER_NORM_EPS
            x = x / scale
        elif self.input_norm == "rms":
            scale = x.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(x.dtype).tiny) / self.d_in**0.5
            x = x / scale
        return Normalised(x * self.input_scale if self.input_scale != 1 else x, mean, scale)

    def pre_activations(self, x: Tensor, latents: Tensor | None = None, out: Tensor | None = None) -> Tensor:
        """Return what the activation function is applied to, [n, n_latents] or [n, len(latents)], in one piece.

        `out` is memory for it.
        """
        dtype = self._dtype(x)
        z = self._normalise(x.to(self.device, dtype)).rows
        if self.pre_bias is not None:
            z = z - self.pre_bias.to(dtype)
        W_enc = self.W_enc if latents is None else self.W_enc[:, latents]
        b_enc = self.b_enc if latents is None else self.b_enc[latents]
        return torch.addmm(b_enc.to(dtype), z, W_enc.to(dtype), out=out)

    def _finish(self, y: Tensor, x: Tensor) -> Tensor:
        if self.output_scale != 1:
            y = y * self.output_scale
        if self.input_norm != "none" and self.undo_norm:
            undo = self._normalise(x)
            y = y * undo.scale if undo.scale is not None else y
            y = y + undo.mean if undo.mean is not None else y
        return y if self.W_skip is None else y + x @ self.W_skip.to(y.dtype).T
