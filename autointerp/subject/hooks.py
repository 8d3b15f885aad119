"""Hooks that show a module's input or output to a function, which may replace it."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from autointerp.errors import SiteError
from autointerp.records import Site
from autointerp.subject.sites import factor_of, pre_gain

# Receives one activation; a returned tensor replaces it.
See = Callable[[Site, torch.Tensor], torch.Tensor | None]


@contextlib.contextmanager
def attached(modules: Mapping[Site, nn.Module], see: See) -> Iterator[None]:
    """Call `see(site, activation)` at each site inside the block; hooks are removed on exit, also after errors."""
    handles = []
    try:
        for site, module in modules.items():
            watch = _times(see, factor_of(site.transform)) if factor_of(site.transform) else see
            if site.transform == "pre_gain":
                handles.append(module.register_forward_hook(_normalized_hook(site, see)))
            elif site.side == "input":
                handles.append(module.register_forward_pre_hook(_input_hook(site, watch), with_kwargs=True))
            else:
                handles.append(module.register_forward_hook(_output_hook(site, watch)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _times(see: See, factor: float) -> See:
    """Show an activation times a factor, and divide what replaces it; numbers left as they were stay exactly so."""

    def scaled(site: Site, x: torch.Tensor) -> torch.Tensor | None:
        shown = x * factor
        new = see(site, shown)
        return None if new is None else torch.where(new == shown, x, new / factor)

    return scaled


def _input_hook(site: Site, see: See) -> Callable[..., Any]:
    def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]] | None:
        name = "" if args else "hidden_states"
        if name and name not in kwargs:
            raise SiteError(f"site {site}: the module is not given its input as first argument or `hidden_states`")
        new = see(site, kwargs[name] if name else args[0])
        if new is None:
            return None
        return (args, {**kwargs, name: new}) if name else ((new, *args[1:]), kwargs)

    return hook


def _output_hook(site: Site, see: See) -> Callable[..., Any]:
    def hook(_: nn.Module, __: Any, output: Any) -> Any:
        is_tuple = isinstance(output, tuple)
        new = see(site, output[0] if is_tuple else output)
        if new is None:
            return None
        return (new, *output[1:]) if is_tuple else new

    return hook


def _normalized_hook(site: Site, see: See) -> Callable[..., Any]:
    """Read a norm's output before its gain and bias, computed from its input as TransformerLens does."""

    def hook(module: Any, args: tuple[Any, ...], _: Any) -> None:
        new = see(site, pre_gain(module, args[0]))
        if new is not None:
            raise SiteError(f"site {site}: a norm's output before its gain can be read but not replaced")

    return hook
