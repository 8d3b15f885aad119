"""Alternative sites of a dictionary: the same kind of site in other blocks, other points of the same block."""

import re

from torch import nn

from autointerp.errors import SiteError
from autointerp.records import Site
from autointerp.subject import sites
from autointerp.subject.blocks import block_list, module_at

# The points that published dictionaries read and reconstruct, by TransformerLens' names.
POINTS = (
    "hook_mlp_out mlp.hook_in mlp.hook_out hook_resid_post hook_resid_pre hook_resid_mid hook_attn_out "
    "ln2.hook_normalized"
).split()


def elsewhere(model: nn.Module, site_in: Site, site_out: Site) -> list[tuple[Site, Site]]:
    """Return other pairs of sites that a dictionary may have been trained at; none where the sites are in no block.

    Both ends in every other block, nearest first; both in the block of one of them; each end at the other points of its
    block. The ends stay one site where they are one.
    """
    try:
        n_blocks = block_list(model)[1]
    except SiteError:
        return []
    here_in, here_out = sites.layer(site_in), sites.layer(site_out)
    blocks = sorted((step for step in range(1 - n_blocks, n_blocks) if step), key=abs)
    pairs = [(_moved(model, site_in, here_in + step), _moved(model, site_out, here_out + step)) for step in blocks]
    pairs += [(_moved(model, site_in, here_out), site_out), (site_in, _moved(model, site_out, here_in))]
    if site_in == site_out:
        pairs += [(other, other) for other in _points(model, here_in)]
    pairs += [(other, site_out) for other in _points(model, here_out)]
    pairs += [(site_in, other) for other in _points(model, here_in)]
    found = [(one, other) for one, other in pairs if one is not None and other is not None]
    return [pair for pair in dict.fromkeys(found) if pair != (site_in, site_out)]


def _moved(model: nn.Module, site: Site, block: int) -> Site | None:
    """Return the same site in another block; None where there is none."""
    prefix, n_blocks = block_list(model)
    below = re.fullmatch(rf"{re.escape(prefix)}\.\d+(\..+)?", site.module)
    if below is None or not 0 <= block < n_blocks:
        return None
    module = f"{prefix}.{block}{below[1] or ''}"
    return Site(module, site.side, site.transform) if module_at(model, module) is not None else None


def _points(model: nn.Module, block: int) -> list[Site]:
    """Return the points of a block of a known family; none for others."""
    found = []
    for point in POINTS:
        try:
            found.append(sites.resolve(model, f"blocks.{block}.{point}"))
        except SiteError:
            continue
    return found
