"""Sites of a subject: names of several vocabularies, resolved to `<module path>.<input|output>`.

Known names, for block i of a transformers model:

    model.layers.3.mlp.input        module path and side; also below the trunk (`layers.3.mlp.input`), and with the
                                    block list's name of another architecture's release (`model.layers` in a
                                    multi-modal model that keeps its blocks in `model.language_model.layers`)
    layers.3.mlp, h.3.mlp           sparsify: module path below the trunk, the side is implied by the dictionary's role
    blocks.3.hook_mlp_out           TransformerLens, SAELens, circuit-tracer
    resid_post_layer_3              dictionary_learning

Two traps that cost others wrong numbers. TransformerLens' block-level `hook_mlp_out` and `hook_attn_out` are what is
added to the residual stream, after a post-norm where the model has one (Gemma 2/3, OLMo-2), while `mlp.hook_out` is the
module's own output. `ln2.hook_normalized` is a norm's output before its gain, not the MLP's input. So resid_pre +
attention's contribution + MLP's contribution = resid_post is the law by which they are tested. Where the points are is
read off the model (`autointerp.subject.points`); a site `...:x0.22` is a module's output times the factor with which a
model adds it to the residual stream (Granite).
"""

import difflib
import re
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from autointerp.errors import SiteError
from autointerp.records import Site
from autointerp.subject.blocks import block_list, module_at, some_modules
from autointerp.subject.points import POINTS, points_of

Side = Literal["input", "output"]


# TransformerLens' name below `blocks.<i>.` -> point. Names of both its old hooks and its bridge's.
HOOKS = {
    "hook_resid_pre": "resid_pre", "hook_in": "resid_pre", "hook_resid_mid": "resid_mid", "hook_mlp_in": "resid_mid",
    "hook_resid_post": "resid_post", "hook_out": "resid_post", "hook_attn_out": "attn_out", "hook_mlp_out": "mlp_out",
    "attn.hook_in": "attn_in", "attn.hook_z": "z", "attn.hook_out": "attn_raw",
    "mlp.hook_in": "mlp_in", "mlp.hook_pre": "mlp_pre", "mlp.hook_post": "mlp_post", "mlp.hook_out": "mlp_raw",
}  # fmt: skip
NORMS = {"ln1.hook_normalized": "ln1", "ln2.hook_normalized": "ln2"}
# Names that a list shows: one for each point.
ALIASES = {hook: point for hook, point in HOOKS.items() if hook not in ("hook_in", "hook_out", "hook_mlp_in")} | NORMS
# dictionary_learning's name before `_layer_<i>` -> point; its attn and mlp are modules read by nnsight, so raw.
SUBMODULES = {
    "resid_pre": "resid_pre",
    "resid_post": "resid_post",
    "resid": "resid_post",
    "mlp_out": "mlp_raw",
    "mlp": "mlp_raw",
    "attn_out": "attn_raw",
    "attention_out": "attn_raw",
    "attn": "attn_raw",
}
# Points that are the residual stream, or are added to it unchanged.
WRITERS = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out")
# The input of the module that outputs a point.
BEFORE = {"resid_pre": "resid_pre", "resid_post": "resid_pre", "mlp_raw": "mlp_in", "attn_raw": "attn_in"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedSite:
    """A site as `autointerp sites` shows it: its TransformerLens name, and its width."""

    site: Site
    alias: str
    width: int


def resolve(model: nn.Module, name: str, role: Side | None = None) -> Site:
    """Turn any vocabulary's name into a site of this model.

    Args:
        model: a transformers model, with or without its head; it may be on the meta device.
        name: see the module's docstring.
        role: which side of a bare module path is meant; output where nothing says otherwise.

    Raises:
        SiteError: no such site, or the name's sense for this architecture is not known.
    """
    bare, _, transform = name.strip().partition(":")
    if transform not in ("", "pre_gain") and not factor_of(transform):
        raise SiteError(f"site {name!r}: unknown {transform!r} after the colon; use pre_gain, or a factor: x0.22")
    site = _literal(model, bare, role) or _alias(model, bare)
    if site is None:
        raise SiteError(_unknown(model, name))
    return replace(site, transform=transform) if transform else site


def list_sites(model: nn.Module) -> list[ListedSite]:
    """List the block-level sites of a model with their widths, in forward order; a pass of two tokens runs.

    Args:
        model: a transformers model; the meta device will do.

    Raises:
        SiteError: it has no list of blocks, or cannot be run; module paths can be named all the same.
    """
    found = []
    order = sorted(ALIASES.items(), key=lambda pair: POINTS.index(pair[1]))
    for index, block in enumerate(points_of(model).blocks):
        for hook, point in order:
            if point in block.sites:
                found.append(
                    ListedSite(site=block.sites[point], alias=f"blocks.{index}.{hook}", width=block.widths[point])
                )
    return found


def unlisted(model: nn.Module) -> dict[str, str]:
    """Return TransformerLens names that `list_sites` leaves out in some block, with the reason."""
    reasons: dict[str, str] = {}
    for index, block in enumerate(points_of(model).blocks):
        for hook, point in ALIASES.items():
            if point in block.missing:
                reasons.setdefault(f"blocks.{index}.{hook}", block.missing[point])
    return reasons


def writers(model: nn.Module) -> set[Site]:
    """Return the sites that are the residual stream or are added to it as they are.

    Raises:
        SiteError: it has no list of blocks, or cannot be run.
    """
    points = points_of(model)
    found = {block.sites[point] for block in points.blocks for point in WRITERS if point in block.sites}
    found |= {site for block in points.blocks for site in block.others}
    if points.embedding and not points.embedding_scaled:
        found.add(Site(points.embedding, "output"))
    return found


def factor_of(transform: str) -> float:
    """Return the factor of a transform such as `x0.22`, 0 for any other."""
    found = re.fullmatch(r"x(-?\d+(?:\.\d+)?(?:e-?\d+)?)", transform)
    return float(found[1]) if found else 0.0


def pre_gain(norm: nn.Module, x: Tensor) -> Tensor:
    """Normalise x as `norm` does, without its gain and bias: TransformerLens' `hook_normalized`.

    Computed from the norm's input, since dividing its output by the gain fails where a gain is near zero.

    Raises:
        SiteError: the module is no LayerNorm or RMSNorm.
    """
    if "LayerNorm" in type(norm).__name__ and isinstance(shape := getattr(norm, "normalized_shape", None), tuple):
        # OLMo's LayerNorm has neither gain nor an epsilon attribute; it uses PyTorch's default.
        return nn.functional.layer_norm(x, shape, eps=float(getattr(norm, "eps", 1e-5)))
    eps = getattr(norm, "variance_epsilon", getattr(norm, "eps", None))
    if type(norm).__name__ in ("CohereLayerNorm", "Cohere2LayerNorm") and isinstance(eps, float):
        return nn.functional.layer_norm(x, x.shape[-1:], eps=eps)
    if "RMSNorm" not in type(norm).__name__ or not isinstance(eps, float):
        raise SiteError(f"{type(norm).__name__} is not a LayerNorm or RMSNorm: `pre_gain` has no meaning there")
    wide = x.float()
    return (wide * torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + eps)).to(x.dtype)


def layer(site: Site | str) -> int:
    """Block that a site is in: the first number in its module path, -1 where there is none."""
    found = re.search(r"(?:^|[._])(\d+)(?:[._:]|$)", str(site))
    return int(found[1]) if found else -1


def _alias(model: nn.Module, name: str) -> Site | None:
    hook = re.fullmatch(r"blocks\.(\d+)\.(.+)", name)
    submodule = re.fullmatch(r"(\w+)_layer_(\d+)(\.input)?(?:\.output)?", name)
    if hook and hook[2] in {**HOOKS, **NORMS}:
        index, point = int(hook[1]), {**HOOKS, **NORMS}[hook[2]]
    elif submodule and submodule[1] in SUBMODULES:
        index, point = int(submodule[2]), SUBMODULES[submodule[1]]
        point = BEFORE[point] if submodule[3] else point
    elif name == "hook_embed" and points_of(model).embedding:
        index, point = 0, "resid_pre"
    else:
        return None
    blocks = points_of(model).blocks
    if index >= len(blocks):
        raise SiteError(f"site {name!r}: the model has blocks 0..{len(blocks) - 1}")
    if point not in blocks[index].sites:
        why = blocks[index].missing.get(point, "this block has no such norm")
        raise SiteError(f"site {name!r}: no such site: {why}; module paths name sites too (`--modules` lists them)")
    return blocks[index].sites[point]


def _literal(model: nn.Module, name: str, role: Side | None) -> Site | None:
    path, _, last = name.rpartition(".")
    side: Side = role or "output"
    if last in ("input", "output") and path:
        side = "input" if last == "input" else "output"
    else:
        path = name
    for candidate in _candidates(model, path):
        if candidate and module_at(model, candidate) is not None:
            return Site(candidate, side)
    return None


def _candidates(model: nn.Module, path: str) -> list[str]:
    """Ways to read a module path: as it stands, below the trunk, or with this model's own name of the block list."""
    trunk = getattr(model, "base_model_prefix", "")
    ways = [path, f"{trunk}.{path}", path.removeprefix(f"{trunk}.")]
    below = re.fullmatch(r"(?:[a-z_]+\.)*?(?:layers|h|blocks)\.(\d+)((?:\..+)?)", path)
    if below:
        try:
            ways.append(f"{block_list(model)[0]}.{below[1]}{below[2]}")
        except SiteError:
            return ways
    return ways


def _unknown(model: nn.Module, name: str) -> str:
    modules = [path for path, _ in model.named_modules() if path]
    bare = name.removesuffix(".input").removesuffix(".output")
    near = difflib.get_close_matches(bare, modules, n=3, cutoff=0.5)
    try:
        prefix, n_blocks = block_list(model)
        blocks = f"its blocks are {prefix}.0 to {prefix}.{n_blocks - 1}; "
    except SiteError:
        blocks = ""
    hint = f"near: {', '.join(f'{path}.input/.output' for path in near)}" if near else f"it has {some_modules(model)}"
    return f"site {name!r} does not exist in {type(model).__name__}: {blocks}{hint} (`autointerp sites` lists all)"
