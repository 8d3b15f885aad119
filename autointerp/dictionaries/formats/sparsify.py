"""EleutherAI sparsify: `<run>/<hookpoint>/{cfg.json, sae.safetensors}`; SAEs, transcoders, skip transcoders.

Source: github.com/EleutherAI/sparsify, `sparsify/sparse_coder.py` and `config.py`. The folder's name is the hookpoint,
a module path below the model's trunk; an SAE reads that module's output, a transcoder its input, and both reconstruct
its output. Until commit f02711e (2025-02-12) transcoders subtracted b_dec from their input; cfg.json does not tell, so
a transcoder's `pre_bias` can be set in the study and the load gate looks at its FVU. `autointerp train` writes a key
`pre_bias` of its own into cfg.json, which the library passes over.
"""

import re
from pathlib import PurePosixPath

from pydantic import Field

from autointerp.dictionaries.activations import Activation
from autointerp.dictionaries.base import Architecture, DictionaryConfig
from autointerp.dictionaries.files import Files
from autointerp.dictionaries.formats import _common
from autointerp.dictionaries.formats._common import MOST, Count, Settings
from autointerp.dictionaries.spec import Dictionary
from autointerp.dictionaries.tensors import read_tensors
from autointerp.errors import DictionaryError

CONFIG, WEIGHTS = "cfg.json", "sae.safetensors"
QUIRK = (
    "transcoder read without subtracting b_dec from its input; one trained before 2025-02-12 (sparsify f02711e) needs "
    "`pre_bias: true`"
)


OLD = "no `activation` in cfg.json: read as topk, the only one of the versions of sparsify that did not write it"


class Saved(Settings):
    """cfg.json. Unknown keys are ignored, as the library itself does; those of a fork that change the sense refuse."""

    d_in: Count
    k: Count | None = None
    activation: str | None = None  # not written before groupmax was added
    expansion_factor: Count = 32
    num_latents: int = Field(default=0, ge=0, le=MOST)
    transcode: bool | None = None
    skip_connection: bool | None = None
    signed: bool = False
    pre_bias: bool | None = None  # of `autointerp train` only
    # Fork for cross-layer transcoders: anything but these values is another function.
    n_targets: int = 0
    n_sources: int = 0
    normalize_io: bool = False
    train_post_encoder: bool = False
    post_encoder_scale: bool = False
    coalesce_topk: str | bool = "none"
    topk_coalesced: bool = False


def recognises(files: Files) -> bool:
    """Whether the folder holds cfg.json and sae.safetensors."""
    return _common.beside(files, CONFIG, WEIGHTS)


def read(files: Files, config: DictionaryConfig) -> Dictionary:
    """Read one hookpoint's dictionary.

    Raises:
        DictionaryError: broken, or a cross-layer transcoder.
    """
    saved = _transcode_known(_config(files), config, files)
    tensors = read_tensors(files.path(WEIGHTS))
    n_latents, d_in = saved.num_latents or saved.d_in * saved.expansion_factor, saved.d_in
    W_enc = tensors.take("encoder.weight", n_latents, d_in).T
    b_enc, b_dec = tensors.take("encoder.bias", n_latents), tensors.take("b_dec", d_in)
    W_dec = tensors.take("W_dec", n_latents, d_in)
    W_skip = tensors.take("W_skip", d_in, d_in) if saved.skip_connection else None
    tensors.finish()
    stated = config.pre_bias if config.pre_bias is not None else saved.pre_bias
    pre_bias = stated if stated is not None else not saved.transcode
    if not saved.transcode and not pre_bias:
        raise DictionaryError(f"{files.source}: pre_bias: false, but sparsify's SAEs always subtract b_dec; remove it")
    hookpoint = hookpoint_of(files)
    return Dictionary(
        name=config.name,
        architecture=_architecture(saved),
        W_enc=W_enc,
        b_enc=b_enc,
        W_dec=W_dec,
        b_dec=b_dec,
        W_skip=W_skip,
        activation=_activation(saved, config, files),
        pre_bias=b_dec if pre_bias else None,
        site_in=f"{hookpoint}.{'input' if saved.transcode else 'output'}" if hookpoint else "",
        site_out=f"{hookpoint}.output" if hookpoint else "",
        seed=_seed(files),
        remarks=_remarks(saved, unknown_bias=bool(saved.transcode) and stated is None),
        pre_bias_open=bool(saved.transcode) and stated is None,
        provenance=_common.provenance("sparsify", files, CONFIG, WEIGHTS),
    )


def hookpoint_of(files: Files) -> str:
    """Module path that the folder is named after; of `.../layers.5.mlp/seed1` too; "" if it is not a module path."""
    name = _steps(files)[-1]
    return name if re.fullmatch(r"[A-Za-z_]\w*(\.\w+)+|embed\w*", name) else ""


def _steps(files: Files) -> list[str]:
    steps = [step for step in PurePosixPath(files.folder).parts if step not in ("/", "best")]
    if len(steps) > 1 and steps[-1].removeprefix("seed").isdigit():
        steps = steps[:-1]
    return steps or [""]


def _seed(files: Files) -> int:
    last = PurePosixPath(files.folder).name
    digits = last.removeprefix("seed")
    return int(digits) if last != digits and digits.isdigit() else -1


def _config(files: Files) -> Saved:
    saved = _common.saved(Saved, files, CONFIG)
    if saved.n_targets > 1 or saved.n_sources > 1:
        raise DictionaryError(
            f"{files.source}: a cross-layer transcoder (n_targets {saved.n_targets}, n_sources {saved.n_sources}): "
            "its latents write to several layers, which one site_in -> site_out cannot hold; per-layer ones are read"
        )
    changed = [
        name
        for name in ("normalize_io", "train_post_encoder", "post_encoder_scale", "topk_coalesced", "coalesce_topk")
        if getattr(saved, name) not in (False, "none", "")
    ]
    if changed:
        raise DictionaryError(f"{files.source}: {', '.join(changed)} set in {CONFIG}: a fork's function, not read here")
    return saved


def _transcode_known(saved: Saved, config: DictionaryConfig, files: Files) -> Saved:
    """Return the settings with `transcode` filled in: SAEs of versions before transcoders have neither of its keys."""
    if saved.transcode is not None:
        return saved
    if saved.skip_connection is None:
        return saved.model_copy(update={"transcode": False})
    if config.architecture is None:
        raise DictionaryError(
            f"{files.source}: {CONFIG} does not say `transcode`: SAE or transcoder? Add `architecture: sae`, "
            "`architecture: transcoder` or `architecture: skip-transcoder`"
        )
    return saved.model_copy(update={"transcode": config.architecture != "sae"})


def _architecture(saved: Saved) -> Architecture:
    if not saved.transcode:
        return "sae"
    return "skip-transcoder" if saved.skip_connection else "transcoder"


def _remarks(saved: Saved, *, unknown_bias: bool) -> tuple[str, ...]:
    return (*((QUIRK,) if unknown_bias else ()), *(() if saved.activation else (OLD,)))


def _activation(saved: Saved, config: DictionaryConfig, files: Files) -> Activation:
    if saved.activation not in (None, "topk", "groupmax"):
        raise DictionaryError(f"{files.source}: activation {saved.activation!r} in {CONFIG}; known: topk, groupmax")
    if saved.signed:
        raise DictionaryError(
            f"{files.source}: signed: true in {CONFIG}: signed latents of an early sparsify, not read"
        )
    k = saved.k or config.k
    if k is None:
        raise DictionaryError(f"{files.source}: no k in {CONFIG}; add `k: <number>`")
    return Activation(kind="groupmax" if saved.activation == "groupmax" else "topk", k=k)
