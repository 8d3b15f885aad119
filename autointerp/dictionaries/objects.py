"""Dictionaries that are objects in memory: of SAELens, sparsify, dictionary_learning, circuit-tracer, or your own.

An object is used as it is: its `encode` and `decode` are called, nothing is converted. It needs

    encode(x [n, d_in])  -> activations [n, n_latents], or sparse ones with `top_acts` and `top_indices` [n, k]
    decode(activations)  -> reconstruction [n, d_out]; `decode(top_acts, top_indices)` where encode is sparse;
                            with a parameter `input_acts`, it is also given x and adds the skip connection itself

and, if it has a skip connection, `W_skip` [d_out, d_in].

Sources: SAELens 6 `saes/sae.py`, `saes/transcoder.py`; eai-sparsify 1.3 `sparse_coder.py`; dictionary_learning 0.1
`dictionary.py`; circuit-tracer 0.5 `transcoder/single_layer_transcoder.py`.
"""

import hashlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from autointerp.dictionaries.activations import Activation, Codes, nonzero
from autointerp.dictionaries.spec import Dictionary, Provenance, Workspace
from autointerp.errors import DictionaryError

# Attributes that hold the input's width, and objects in which they are looked for.
WIDTHS = ("d_in", "activation_dim", "d_model", "input_dim")
# Latents whose decoder rows are computed at once where the object holds no decoder matrix.
ROWS = 1024
# Rows on which an object is tried before it is used.
TRIED = 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ObjectDictionary(Dictionary):
    """A dictionary whose activations and reconstructions are those of `module`.

    `W_dec` and `b_dec` are the object's; `W_enc` is a placeholder of the right shape and must not be read.
    """

    module: Any

    def encode(self, x: Tensor, workspace: Workspace | None = None) -> Codes:
        """See `Dictionary.encode`; a workspace is not used."""
        with torch.no_grad():
            return Codes.cat([_codes(self.module.encode(self._cast(tile))) for tile in self._tiles(x)])

    def encode_dense(self, x: Tensor, latents: Tensor | None = None) -> Tensor:
        """See `Dictionary.encode_dense`; the object computes all latents in either case."""
        dense = self.encode(x).dense(self.n_latents)
        return dense if latents is None else dense[:, latents.to(dense.device)]

    def decode(self, codes: Codes, x: Tensor) -> Tensor:
        """Return the object's reconstruction [n, d_out] of x [n, d_in]; `codes` must be `encode(x)`.

        x is encoded again, since objects may keep what decoding needs (such as a norm) from their last encoding.
        """
        with torch.no_grad():
            return torch.cat([_reconstruction(self.module, self._cast(tile)) for tile in self._tiles(x)])

    def to(self, device: str | torch.device, dtype: torch.dtype | None = None) -> "ObjectDictionary":
        """Return itself: an object stays where its owner has put it."""
        return self

    def plain(self) -> Dictionary:
        """Return the record without the object, for a control that replaces the encoder."""
        return Dictionary(**{each.name: getattr(self, each.name) for each in fields(Dictionary)})

    def _cast(self, x: Tensor) -> Tensor:
        return x.to(self.device, self.W_dec.dtype)


def from_object(
    module: Any, *, name: str, site_in: str | None = None, site_out: str | None = None, seed: int = -1
) -> Dictionary:
    """Make a dictionary of an object.

    Args:
        module: see above; a `Dictionary` is returned under its new name and sites.
        name: its name in tables.
        site_in: the site it reads; by default what its configuration says (SAELens).
        site_out: the site it reconstructs; by default as configured, else `site_in`.
        seed: training seed, -1 where unknown.

    Raises:
        DictionaryError: the object cannot encode or decode rows, or its site is unknown.
    """
    if not callable(getattr(module, "encode", None)):
        raise DictionaryError(f"{name}: a {type(module).__name__} has no encode(x); {_expected()}")
    about = _configuration(module)
    site_in = site_in or about.get("hook_name")
    site_out = site_out or about.get("hook_name_out") or site_in
    if not site_in or not site_out:
        raise DictionaryError(
            f"{name}: a {type(module).__name__} does not say which site it reads; give "
            '{"source": object, "site_in": "layers.5.mlp", "site_out": ...} (`autointerp sites MODEL` lists them)'
        )
    if about.get("hook_head_index") is not None:
        raise DictionaryError(f"{name}: reads one attention head of {site_in}; sites are whole activations")
    W_dec, b_dec, n_latents, d_in = _checked(module, name)
    skip = getattr(module, "W_skip", None)
    transcoder = "transcoder" if skip is None else "skip-transcoder"
    k = _integer(about.get("k"))
    return ObjectDictionary(
        name=name,
        architecture="sae" if site_in == site_out else transcoder,
        site_in=site_in,
        site_out=site_out,
        W_enc=torch.zeros(1, 1, device=W_dec.device, dtype=W_dec.dtype).expand(d_in, n_latents),
        b_enc=torch.zeros(1, device=W_dec.device).expand(n_latents),
        W_dec=W_dec,
        b_dec=b_dec,
        activation=Activation(kind="topk" if k else "relu", k=k),
        seed=seed,
        provenance=Provenance(
            format=f"object:{type(module).__module__}.{type(module).__qualname__}",
            source=f"object:{name}",
            files=(("object", fingerprint(module, W_dec)),),
        ),
        module=module,
    )


def fingerprint(module: Any, *more: Tensor) -> str:
    """Hash an object's class, weights and settings (numbers and words), so that a changed object is noticed."""
    found = hashlib.sha256(f"{type(module).__module__}.{type(module).__qualname__}".encode())
    state = module.state_dict() if hasattr(module, "state_dict") else {}
    for name, value in sorted(_settings(module)):
        found.update(f"{name}={value!r};".encode())
    tensors = [(name, value) for name, value in sorted(state.items()) if isinstance(value, Tensor)]
    for name, value in [*tensors, *(("", one) for one in more)]:
        found.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        found.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _settings(module: Any) -> Iterator[tuple[str, Any]]:
    """Yield the plain settings of an object, of its modules and of its configuration."""
    modules = module.named_modules() if hasattr(module, "named_modules") else [("", module)]
    owners = [*modules, *((name, getattr(module, name)) for name in ("cfg", "config") if hasattr(module, name))]
    for prefix, owner in owners:
        for key, value in getattr(owner, "__dict__", {}).items():
            if isinstance(value, bool | int | float | str) and key not in ("training", "device"):
                yield f"{prefix}.{key}", value


def _configuration(module: Any) -> dict[str, Any]:
    """Return what an object says of itself: k, width and hooks, wherever its library keeps them."""
    found: dict[str, Any] = {}
    cfg = getattr(module, "cfg", None)
    owners = (module, cfg, getattr(cfg, "metadata", None), getattr(module, "activation_function", None))
    for owner in owners:
        for key in ("k", "hook_name", "hook_name_out", "hook_head_index", *WIDTHS):
            value = getattr(owner, key, None)
            if value is not None and key not in found:
                found[key] = value
    return found


def _integer(value: Any) -> int:
    """Return a number that may be a tensor; 0 where it is none."""
    return int(value) if isinstance(value, int | float) or (isinstance(value, Tensor) and value.numel() == 1) else 0


def _codes(encoded: Any) -> Codes:
    """Return an object's activations as codes."""
    if hasattr(encoded, "top_acts"):
        return Codes(encoded.top_acts, encoded.top_indices)
    dense = encoded[0] if isinstance(encoded, tuple) else encoded
    return nonzero(dense.to_dense() if dense.layout != torch.strided else dense)


def _reconstruction(module: Any, x: Tensor) -> Tensor:
    """Return an object's reconstruction [n, d_out] of x [n, d_in], with its skip connection."""
    encoded = module.encode(x)
    adds_skip = "input_acts" in inspect.signature(module.decode).parameters
    if hasattr(encoded, "top_acts"):
        y = module.decode(encoded.top_acts, encoded.top_indices)
    else:
        acts = encoded[0] if isinstance(encoded, tuple) else encoded
        y = module.decode(acts, x) if adds_skip else module.decode(acts)
    skip = getattr(module, "W_skip", None)
    return y if skip is None or adds_skip else y + x @ skip.T


@torch.no_grad()
def _checked(module: Any, name: str) -> tuple[Tensor, Tensor, int, int]:
    """Try an object on a few rows; return W_dec [n_latents, d_out], b_dec [d_out], n_latents and d_in.

    Raises:
        DictionaryError: it cannot encode or decode them, or its activations of a row depend on other rows.
    """
    if not callable(getattr(module, "decode", None)):
        raise DictionaryError(f"{name}: a {type(module).__name__} has no decode(activations); {_expected()}")
    d_in, weight = _width(module, name), _weight(module)
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(TRIED, d_in, generator=draw).to(weight)
    try:
        whole, y = module.encode(x), _reconstruction(module, x)
        alone = [_codes(module.encode(row)) for row in x.split(1)]
        n_latents = _n_latents(module, whole)
        dense, single = (codes.dense(n_latents) for codes in (_codes(whole), Codes.cat(alone)))
        if dense.shape != (TRIED, n_latents) or y.shape[0] != TRIED or y.ndim != 2:
            raise DictionaryError(
                f"{name}: encode and decode of {TRIED} rows of {d_in} gave {list(dense.shape)} and {list(y.shape)}; "
                f"{_expected()}"
            )
        W_dec, b_dec = _decoder(module, n_latents, y)
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError, AssertionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DictionaryError(f"{name}: a {type(module).__name__} fails on rows [{TRIED}, {d_in}]: {reason}") from error
    tolerance = 64 * torch.finfo(dense.dtype).eps * float(dense.abs().max())
    if not torch.allclose(single, dense, rtol=0, atol=tolerance):
        raise DictionaryError(
            f"{name}: the activations of a {type(module).__name__} on a row depend on the other rows; "
            "only per-token encoders can be measured (BatchTopK: use its threshold, as at inference)"
        )
    return W_dec, b_dec, n_latents, d_in


def _weight(module: Any) -> Tensor:
    """Return a tensor of the type and device in which an object computes."""
    return next(iter(module.parameters()), torch.zeros(1)) if hasattr(module, "parameters") else torch.zeros(1)


def _n_latents(module: Any, encoded: Any) -> int:
    if not hasattr(encoded, "top_acts"):
        return int((encoded[0] if isinstance(encoded, tuple) else encoded).shape[-1])
    return int(getattr(module, "num_latents", None) or module.W_dec.shape[0])


def _width(module: Any, name: str) -> int:
    """Return the width of an object's input."""
    about = _configuration(module)
    for key in WIDTHS:
        if width := _integer(about.get(key)):
            return width
    encoder = getattr(module, "encoder", None)
    weight = getattr(encoder, "weight", None)
    if isinstance(weight, Tensor) and weight.ndim == 2:
        return int(weight.shape[1])
    raise DictionaryError(f"{name}: the input width of a {type(module).__name__} is unknown; set its attribute `d_in`")


def _decoder(module: Any, n_latents: int, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return decoder rows [n_latents, d_out] and bias [d_out]: the object's matrix, else what one unit adds."""
    known = getattr(module, "W_dec", None)
    transposed = getattr(getattr(module, "decoder", None), "weight", None)
    for matrix in (known, transposed.T if isinstance(transposed, Tensor) and transposed.ndim == 2 else None):
        if isinstance(matrix, Tensor) and matrix.shape == (n_latents, y.shape[1]):
            bias = getattr(module, "b_dec", None)
            if isinstance(bias, Tensor) and bias.shape == y.shape[1:]:
                return matrix.detach(), bias.detach()
            return matrix.detach(), y.new_zeros(y.shape[1])
    nothing = module.decode(y.new_zeros(1, n_latents))
    rows = []
    for some in torch.arange(n_latents, device=y.device).split(ROWS):
        units = torch.nn.functional.one_hot(some, n_latents).to(y.dtype)
        rows.append(module.decode(units) - nothing)
    return torch.cat(rows), nothing[0]


def _expected() -> str:
    return "it needs encode(x) [n, d_in] -> [n, n_latents] and decode(activations) -> [n, d_out]"
