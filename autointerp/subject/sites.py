"""Sites of a subject: every vocabulary's name for a place in the model, turned into `<module path>.<input|output>`.

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
attention's contribution + MLP's contribution = resid_post is the law that the tables are tested by.
"""

import difflib
import re
from dataclasses import dataclass, fields, replace
from typing import Literal

import torch
from torch import Tensor, nn

from autointerp.errors import SiteError
from autointerp.records import Site
from autointerp.subject.families import GEMMA, Family, block_list, embeds_only, family_of, module_at, some_modules

Side = Literal["input", "output"]


# TransformerLens' name below `blocks.<i>.` -> point. Names of both its old hooks and its bridge's.
HOOKS = {
    "hook_resid_pre": "resid_pre", "hook_in": "resid_pre", "hook_resid_mid": "resid_mid", "hook_mlp_in": "resid_mid",
    "hook_resid_post": "resid_post", "hook_out": "resid_post", "hook_attn_out": "attn_out", "hook_mlp_out": "mlp_out",
    "attn.hook_in": "attn_in", "attn.hook_z": "z", "attn.hook_out": "attn_raw",
    "mlp.hook_in": "mlp_in", "mlp.hook_pre": "mlp_pre", "mlp.hook_post": "mlp_post", "mlp.hook_out": "mlp_raw",
}  # fmt: skip
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
# Points whose tensor is the residual stream, or is added to it as it is.
WRITERS = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out")
# The input of the module whose output a point is.
BEFORE = {"resid_pre": "resid_pre", "resid_post": "resid_pre", "mlp_raw": "mlp_in", "attn_raw": "attn_in"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedSite:
    """A site as `autointerp sites` shows it: its TransformerLens name, and its width (0 where it did not fire)."""

    site: Site
    alias: str
    width: int = 0


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
    if transform not in ("", "pre_gain"):
        raise SiteError(f"site {name!r}: {transform!r} is unknown behind the colon; there is: pre_gain")
    site = _literal(model, bare, role) or _alias(model, bare)
    if site is None:
        raise SiteError(_unknown(model, name))
    return replace(site, transform="pre_gain") if transform else site


def list_sites(model: nn.Module, *, widths: bool = False) -> list[ListedSite]:
    """List the block-level sites of a model of a known family, in forward order.

    Args:
        model: a transformers model; a forward of 2 tokens runs where `widths` is asked for (the meta device will do).
        model: see above.
        widths: fill in the width of each site.

    Raises:
        SiteError: the family is not known; the message lists module paths, which can be named all the same.
    """
    family = family_of(model)
    prefix, n_blocks = block_list(model)
    names = [(hook, point) for hook, point in HOOKS.items() if hook not in ("hook_in", "hook_out", "hook_mlp_in")]
    names += [(f"{norm}.hook_normalized", norm) for norm in ("ln1", "ln2")]
    order = [field.name for field in fields(Family)]
    names.sort(key=lambda pair: order.index(pair[1]))
    found = []
    for index in range(n_blocks):
        for hook, point in names:
            site = _point(family, prefix, index, point)
            if site is not None:
                found.append(ListedSite(site=site, alias=f"blocks.{index}.{hook}"))
    return _measured(model, found) if widths else found


def writers(model: nn.Module) -> set[Site]:
    """Return the sites that are the residual stream or are added to it as they are, of a model of a known family.

    Raises:
        SiteError: the family is not known.
    """
    family = family_of(model)
    prefix, n_blocks = block_list(model)
    points = [_point(family, prefix, index, point) for index in range(n_blocks) for point in WRITERS]
    found = {site for site in points if site is not None}
    get = getattr(model, "get_input_embeddings", None)
    embedding = [name for name, module in model.named_modules() if get is not None and module is get()]
    if embeds_only(model) and family is not GEMMA:  # Gemma multiplies the embedding before it is the stream
        found |= {Site(name, "output") for name in embedding}
    return found


def read(site: Site, module: nn.Module, args: tuple, kwargs: dict[str, object], output: object) -> Tensor:
    """Take a site's tensor out of what a forward hook (`with_kwargs=True`) sees.

    It is [batch, sequence, width], but for OPT's MLP and the norm before it: [batch * sequence, width].

    Raises:
        SiteError: the module was called without a tensor there.
    """
    if site.transform == "pre_gain":
        value = pre_gain(module, _first_tensor(args, kwargs, site))
    elif site.side == "input":
        value = _first_tensor(args, kwargs, site)
    else:
        value = output[0] if isinstance(output, tuple | list) else output
    if not isinstance(value, Tensor):
        raise SiteError(
            f"site {site}: the module gives a {type(value).__name__}, not a tensor; name a module inside it"
        )
    return value


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


def _point(family: Family, prefix: str, index: int, point: str) -> Site | None:
    where = getattr(family, point)
    if not where:
        return None
    if point in ("ln1", "ln2"):
        return Site(f"{prefix}.{index}.{where}", "output", "pre_gain")
    module, _, side = f"{prefix}.{index}.{where}".rpartition(".")
    return Site(module, "input" if side == "input" else "output")


def _alias(model: nn.Module, name: str) -> Site | None:
    hook = re.fullmatch(r"blocks\.(\d+)\.(.+)", name)
    submodule = re.fullmatch(r"(\w+)_layer_(\d+)(\.input)?(?:\.output)?", name)
    if hook and hook[2] in HOOKS:
        index, point = int(hook[1]), HOOKS[hook[2]]
    elif hook and hook[2] in ("ln1.hook_normalized", "ln2.hook_normalized"):
        index, point = int(hook[1]), hook[2].partition(".")[0]
    elif submodule and submodule[1] in SUBMODULES:
        index, point = int(submodule[2]), SUBMODULES[submodule[1]]
        point = BEFORE[point] if submodule[3] else point
    elif name == "hook_embed" and embeds_only(model):
        index, point = 0, "resid_pre"
    else:
        return None
    family = family_of(model)
    prefix, n_blocks = block_list(model)
    if index >= n_blocks:
        raise SiteError(f"site {name!r}: the model has blocks 0..{n_blocks - 1}")
    site = _point(family, prefix, index, point)
    if site is None:
        raise SiteError(f"site {name!r}: this architecture has no such site (no norm there, or attention beside MLP)")
    return site


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


def _first_tensor(args: tuple, kwargs: dict[str, object], site: Site) -> Tensor:
    for value in (*args[:1], kwargs.get("hidden_states"), kwargs.get("input"), kwargs.get("x")):
        if isinstance(value, Tensor):
            return value
    raise SiteError(f"site {site}: the module was called without a tensor to read; name another side or module")


def _measured(model: nn.Module, sites: list[ListedSite]) -> list[ListedSite]:
    seen: dict[Site, int] = {}
    handles = []
    for site in {listed.site for listed in sites}:

        def hook(module: nn.Module, args: tuple, kwargs: dict, output: object, site: Site = site) -> None:
            seen[site] = read(site, module, args, kwargs, output).shape[-1]

        handles.append(model.get_submodule(site.module).register_forward_hook(hook, with_kwargs=True))
    device = next(model.parameters()).device
    ids = torch.ones(1, 2, dtype=torch.long, device=device)
    # A mask that is whole and positions that are told leave a model on the meta device no values to look at.
    told = {"attention_mask": torch.zeros(1, 1, 2, 2, device=device), "position_ids": ids.cumsum(1) - 1}
    try:
        with torch.inference_mode():
            model(input_ids=ids, use_cache=False, **(told if device.type == "meta" else {}))
    except (RuntimeError, ValueError, TypeError) as error:
        if device.type != "meta":
            raise
        raise SiteError(
            f"{type(model).__name__} cannot be run without weights ({' '.join(str(error).split())[:120]}); "
            "list its modules instead (--modules)"
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    return [replace(listed, width=seen.get(listed.site, 0)) for listed in sites]
