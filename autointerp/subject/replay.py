"""Runs that change one activation, started from an untouched run: blocks before the change are not computed again.

A block that is skipped returns what the last skipped block returned in the untouched run. This holds for models whose
blocks pass on nothing but the residual stream; `HookedSubject` tests it on a few tokens for each site, and runs the
whole model for those that fail.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from autointerp.errors import SiteError
from autointerp.records import Site
from autointerp.subject.blocks import block_list


def blocks(model: nn.Module) -> Sequence[nn.Module]:
    """Return the model's list of blocks; empty where none is known."""
    try:
        path, _ = block_list(model)
    except SiteError:
        return ()
    found = model.get_submodule(path)
    assert isinstance(found, nn.ModuleList)
    return list(found)


def first_block(model: nn.Module, site: Site) -> int:
    """Return the first block that a change at this site touches; 0 where the site is in no block."""
    try:
        path, _ = block_list(model)
    except SiteError:
        return 0
    match = re.match(rf"{re.escape(path)}\.(\d+)(\.|$)", site.module)
    if match is None:
        return 0
    return int(match[1]) + (not match[2] and site.side == "output" and not site.transform)


@contextmanager
def recorded(model: nn.Module, firsts: set[int]) -> Iterator[dict[int, Any]]:
    """Record, during one forward pass, the output of the block before each of `firsts`."""
    found: dict[int, Any] = {}
    handles = []

    def keep(first: int, output: Any) -> None:
        found[first] = _copied(output, 1)

    try:
        for first in firsts - {0}:
            block = blocks(model)[first - 1]
            # Prepended: a hook that replaces this block's output comes after it.
            handles.append(block.register_forward_hook(lambda *seen, first=first: keep(first, seen[-1]), prepend=True))
        yield found
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def skipped(model: nn.Module, first: int, output: Any, n_runs: int) -> Iterator[None]:
    """Let blocks before `first` return `output`, repeated for `n_runs` runs side by side, instead of computing."""
    before = blocks(model)[:first]
    try:
        for block in before:
            block.forward = lambda *_, **__: _copied(output, n_runs)
        yield
    finally:
        for block in before:
            del block.forward


def _copied(output: Any, n_runs: int) -> Any:
    """Copy a block's output, its batch repeated: the model may write over it.

    Raises:
        SiteError: it holds more than the residual stream.
    """
    if isinstance(output, torch.Tensor):
        return output.repeat(n_runs, *[1] * (output.ndim - 1))
    if isinstance(output, tuple) and output and not any(isinstance(part, torch.Tensor) for part in output[1:]):
        return (_copied(output[0], n_runs), *output[1:])
    raise SiteError(f"a block returns a {type(output).__name__} of more than the residual stream")
