"""What each block of a model adds to its residual stream, measured in one forward pass of two tokens.

A block's output is its input plus contributions. The pass records, for every tensor of it, whether it is a sum of
the block's input and module outputs (times scalars), so that `blocks.3.hook_mlp_out` needs no table of architectures:
it is the module output that the second half of block 3 adds. The pass works on torch's meta device too: no value is
looked at. A module that cannot run there (an expert router that branches on values) is replaced by one that returns a
tensor of its input's shape, since what happens inside a module does not matter here.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from autointerp.errors import SiteError
from autointerp.subject.blocks import block_list, trunk_of

# Ops that give the same numbers in another shape or type; dropout too, since the model is in evaluation mode.
SAME = frozenset(
    {
        "view",
        "_unsafe_view",
        "_reshape_alias",
        "unsqueeze",
        "squeeze",
        "clone",
        "alias",
        "_to_copy",
        "detach",
        "reshape",
        "contiguous",
        "to",
        "lift_fresh",
        "dropout",
    }
)
# Tensors kept so that their ids stay theirs: larger ones are weights.
KEPT_NUMEL = 2**20
# Modules replaced because they cannot run without weights, before the pass is given up.
MAX_REPLACED = 16

# A factor on a contribution: a number, and the ids of scalars whose value is not known (on the meta device).
Factor = tuple[float, tuple[int, ...]]
# A sum of atoms with factors. An atom is a tensor that is not itself a sum.
Sum = dict[int, Factor]
ONE: Factor = (1.0, ())


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a module inside a block: its path below the block, the sums of its input and output, their widths."""

    path: str
    module: nn.Module
    reads: Sum
    gives: Sum
    width_in: int
    width_out: int


@dataclass(slots=True)
class BlockTrace:
    """One block's pass.

    Attributes:
        source: the atom of its input inside the block.
        width: of its input.
        reads: its input as a sum of what was computed before it.
        result: its output as a sum.
        calls: the calls of its modules in the order of their ends.
        started: module paths in the order in which they were first called.
    """

    source: int
    width: int
    reads: Sum
    result: Sum = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    started: dict[str, int] = field(default_factory=dict)

    def named(self, atom: int) -> list[Call]:
        """Return the calls of modules with weights whose output is an atom, outermost last."""
        return [call for call in self.calls if call.gives == {atom: ONE} and has_weights(call.module)]

    def in_order(self) -> list[Call]:
        """Return the calls in the order in which they started, outermost first."""
        return sorted(self.calls, key=lambda call: self.started[call.path])


@dataclass(frozen=True, slots=True)
class Trace:
    """All blocks, and the modules outside of them by the atom of their output."""

    blocks: list[BlockTrace]
    outside: dict[int, str]


class _Sums(TorchDispatchMode):
    """Keeps for each tensor the sum that it is."""

    def __init__(self) -> None:
        super().__init__()
        self.sums: dict[int, Sum] = {}
        self.kept: list[Tensor] = []
        self.atoms = itertools.count()

    def of(self, tensor: Tensor) -> Sum:
        if id(tensor) not in self.sums:
            self.put(tensor, {next(self.atoms): ONE})
        return self.sums[id(tensor)]

    def put(self, tensor: Tensor, found: Sum) -> None:
        self.sums[id(tensor)] = found
        if tensor.numel() <= KEPT_NUMEL:
            self.kept.append(tensor)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        before = self._combined(name, args, kwargs or {})
        out = func(*args, **(kwargs or {}))
        if isinstance(out, Tensor):
            self.put(out, before if before is not None else {next(self.atoms): ONE})
        for part in out if isinstance(out, tuple | list) else ():
            if isinstance(part, Tensor):
                self.put(part, {next(self.atoms): ONE})
        return out

    def _combined(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Sum | None:
        """Return the sum that an op gives; None where it gives no sum of what it takes."""
        bare, tensors = name.rstrip("_"), [arg for arg in args[:2] if isinstance(arg, Tensor)]
        if name in SAME and tensors:
            return self.of(args[0])
        if len(args) < 2 or not tensors or bare not in ("add", "mul", "div"):
            return None
        first, second = (args[0], args[1]) if isinstance(args[0], Tensor) else (args[1], args[0])
        if bare == "add" and len(tensors) == 2 and first.numel() == second.numel() and not kwargs:
            return _added(self.of(first), self.of(second))
        if bare in ("mul", "div") and _is_scalar(first) and isinstance(second, Tensor):
            first, second = second, first
        if bare in ("mul", "div") and _is_scalar(second):
            return _scaled(self.of(first), second, bare)
        return None


def has_weights(module: nn.Module) -> bool:
    """Whether a module has parameters or buffers: dropout and activation functions have none."""
    return next(module.parameters(), None) is not None or next(module.buffers(), None) is not None


def _is_scalar(value: Any) -> bool:
    return value.numel() == 1 if isinstance(value, Tensor) else isinstance(value, int | float)


def _scaled(found: Sum, scalar: Any, op: str) -> Sum:
    if isinstance(scalar, Tensor) and scalar.device.type == "meta":
        return {atom: (value, tuple(sorted((*ids, id(scalar))))) for atom, (value, ids) in found.items()}
    with _disable_current_modes():
        number = float(scalar)
    return {atom: (value * number if op == "mul" else value / number, ids) for atom, (value, ids) in found.items()}


def _added(one: Sum, other: Sum) -> Sum:
    total = dict(one)
    for atom, (value, ids) in other.items():
        held = total.get(atom)
        if held is not None and held[1] != ids:
            return {**total, atom: (float("nan"), ids)}
        total[atom] = (value + (held[0] if held else 0.0), ids)
    return total


def trace(model: Any) -> Trace:
    """Run two tokens through a model's trunk and return what every block adds.

    Args:
        model: a transformers model; it may be on the meta device.

    Raises:
        SiteError: it has no list of blocks, or cannot be run.
    """
    prefix, _ = block_list(model)
    hollow = next(model.parameters()).device.type == "meta"
    ways, why = (_without_values() if hollow else [{}]), ""
    with contextlib.ExitStack() as replaced:
        for _ in range(MAX_REPLACED):
            running: list[nn.Module] = []
            try:
                return _traced(model, prefix, running, ways[0])
            except Exception as error:  # whatever a model raises without values
                why = " ".join(str(error).split())[:120]
            if hollow and running and type(running[-1]) is not type(model.get_submodule(f"{prefix}.0")):
                for one in [one for one in model.modules() if type(one) is type(running[-1])]:
                    replaced.enter_context(_replaced(one))
            elif len(ways) > 1:
                ways = ways[1:]
            else:
                break
    raise SiteError(
        f"{type(model).__name__} cannot be traced ({why}); name sites by module path and side (`autointerp sites MODEL "
        "--modules` lists them)"
    )


def _without_values() -> list[dict[str, Any]]:
    """Return arguments with which models look at no values, to be tried in this order."""
    positions, mask = torch.zeros(1, 2, dtype=torch.long, device="meta"), torch.zeros(1, 1, 2, 2, device="meta")
    flat = torch.ones(1, 2, dtype=torch.long, device="meta")
    return [
        {"position_ids": positions, "attention_mask": mask},
        {"attention_mask": mask},
        {"attention_mask": flat},
        {},
    ]


@contextlib.contextmanager
def _replaced(module: nn.Module) -> Iterator[None]:
    """Let a module return an empty tensor of its input's shape."""

    def same_shape(x: Tensor, *_: Any, **__: Any) -> Tensor:
        return torch.empty_like(x)

    module.forward = same_shape  # type: ignore[method-assign]
    try:
        yield
    finally:
        del module.forward


def _traced(model: Any, prefix: str, running: list[nn.Module], shared: dict[str, Any]) -> Trace:
    sums, blocks, outside = _Sums(), [], {}
    current: list[BlockTrace] = []
    with contextlib.ExitStack() as hooks:
        for path, module in model.named_modules():
            below = path.removeprefix(f"{prefix}.") if path.startswith(f"{prefix}.") else ""
            index, _, inner = below.partition(".")
            if index and not inner:
                pair = _block_hooks(sums, blocks, current, running)
            elif inner:
                pair = _inner_hooks(sums, inner, current, running)
            elif not any(module.children()):
                pair = None, _outside_hook(sums, path, outside)
            else:
                continue
            if pair[0] is not None:
                hooks.callback(module.register_forward_pre_hook(pair[0], with_kwargs=True).remove)
            hooks.callback(module.register_forward_hook(pair[1]).remove)
        ids = torch.arange(2, device=next(model.parameters()).device)[None]
        with torch.inference_mode(), sums:
            trunk_of(model)(input_ids=ids, use_cache=False, **shared)
    return Trace(blocks, outside)


def first_tensor(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """Return a module's input, None if it is not a tensor."""
    given = (*args[:1], *(kwargs.get(name) for name in ("hidden_states", "input", "x")))
    return next((value for value in given if isinstance(value, Tensor)), None)


def _block_hooks(
    sums: _Sums, blocks: list[BlockTrace], current: list[BlockTrace], running: list[nn.Module]
) -> tuple[Callable[..., None], Callable[..., None]]:
    def before(module: nn.Module, args: Any, kwargs: Any) -> None:
        running.append(module)
        x = first_tensor(args, kwargs)
        if x is None:
            raise SiteError(f"{type(module).__name__}: the block is given no tensor")
        found = BlockTrace(next(sums.atoms), x.shape[-1], sums.of(x))
        sums.put(x, {found.source: ONE})
        current.append(found)

    def after(module: nn.Module, args: Any, output: Any) -> None:
        running.pop()
        found, out = current.pop(), output[0] if isinstance(output, tuple | list) else output
        found.result = sums.of(out)
        blocks.append(found)

    return before, after


def _inner_hooks(
    sums: _Sums, path: str, current: list[BlockTrace], running: list[nn.Module]
) -> tuple[Callable[..., None], Callable[..., None]]:
    given: list[tuple[Sum, int]] = []

    def before(module: nn.Module, args: Any, kwargs: Any) -> None:
        running.append(module)
        x = first_tensor(args, kwargs)
        given.append(({}, 0) if x is None else (dict(sums.of(x)), x.shape[-1]))
        if current:
            current[-1].started.setdefault(path, len(current[-1].started))

    def after(module: nn.Module, args: Any, output: Any) -> None:
        running.pop()
        (reads, width), out = given.pop(), output[0] if isinstance(output, tuple | list) and output else output
        if current and isinstance(out, Tensor):
            gives = sums.of(out)
            # A module that adds up several things (routed and shared experts) is one contribution.
            if has_weights(module) and current[-1].source not in gives and list(gives.values()) != [ONE]:
                gives = {next(sums.atoms): ONE}
                sums.put(out, gives)
            current[-1].calls.append(Call(path, module, reads, dict(gives), width, out.shape[-1]))

    return before, after


def _outside_hook(sums: _Sums, path: str, outside: dict[int, str]) -> Callable[..., None]:
    def after(module: nn.Module, args: Any, output: Any) -> None:
        if isinstance(output, Tensor) and has_weights(module):
            atom = next(sums.atoms)  # its own: Gemma's embedding is scaled inside the module
            sums.put(output, {atom: ONE})
            outside[atom] = path

    return after
