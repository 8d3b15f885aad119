"""Points of each block: the residual stream, what attention and MLP read, compute and add.

Derived from what a block adds to its residual stream (`autointerp.subject.residual`), so that an architecture needs no
entry in a table: a block whose output is its input plus what attention and an MLP (or a mixture of experts) give.
"""

import re
import weakref
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from autointerp.records import Site
from autointerp.subject.blocks import block_list
from autointerp.subject.residual import ONE, BlockTrace, Call, Factor, Sum, trace

# Every point, in the order of a block's computation.
POINTS = (
    "resid_pre",
    "ln1",
    "attn_in",
    "z",
    "attn_raw",
    "attn_out",
    "resid_mid",
    "ln2",
    "mlp_in",
    "mlp_pre",
    "mlp_post",
    "mlp_raw",
    "mlp_out",
    "resid_post",
)
ATTENTION = re.compile(r"attn|attention", re.IGNORECASE)
MLP = re.compile(r"mlp|ffn?|feed_forward|moe|expert", re.IGNORECASE)


@dataclass(slots=True)
class Block:
    """One block's points as sites, their widths, and why a point has no site.

    `others` are what the block adds to the residual stream besides attention and MLP.
    """

    sites: dict[str, Site] = field(default_factory=dict)
    widths: dict[str, int] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    others: list[Site] = field(default_factory=list)

    def put(self, point: str, path: str, side: str, width: int, transform: str = "") -> None:
        """Add a point at a module's input or output."""
        self.sites[point] = Site(path, "input" if side == "input" else "output", transform)
        self.widths[point] = width


@dataclass(frozen=True, slots=True)
class Points:
    """The points of a model's blocks, and the module whose output alone is the first block's input, "" for none."""

    blocks: list[Block]
    embedding: str
    embedding_scaled: bool


@dataclass(frozen=True, slots=True)
class Branch:
    """What a block adds in one step: the module that adds it, its factor, and the module that computes it."""

    adds: Call
    factor: Factor
    raw: Call

    @property
    def component(self) -> str:
        """The block's child in which it is computed."""
        return self.raw.path.split(".")[0]


_KNOWN: "weakref.WeakKeyDictionary[nn.Module, Points]" = weakref.WeakKeyDictionary()


def points_of(model: Any) -> Points:
    """Return the points of every block of a model, found by one pass of two tokens and then kept.

    Raises:
        SiteError: it has no list of blocks, or cannot be run.
    """
    if model not in _KNOWN:
        prefix, _ = block_list(model)
        seen = trace(model)
        blocks = [_block(one, f"{prefix}.{index}") for index, one in enumerate(seen.blocks)]
        first = seen.blocks[0].reads if seen.blocks else {}
        path = seen.outside.get(next(iter(first)), "") if len(first) == 1 else ""
        get = getattr(model, "get_input_embeddings", None)
        is_embedding = bool(path) and get is not None and model.get_submodule(path) is get()
        _KNOWN[model] = Points(blocks, path if is_embedding else "", list(first.values()) != [ONE])
    return _KNOWN[model]


def _block(seen: BlockTrace, prefix: str) -> Block:
    found = Block()
    found.put("resid_pre", prefix, "input", seen.width)
    found.put("resid_post", prefix, "output", seen.width)
    if seen.source not in seen.result:
        why = "a block's output here is not its input plus what modules give (it normalises after adding, or scales)"
        found.missing = dict.fromkeys(POINTS[1:-1], why)
        return found
    steps = _steps(seen)
    attention, mlp, others = _halves(seen, steps, found)
    if attention is not None:
        _attention(seen, attention, prefix, found)
    if mlp is not None:
        _mlp(seen, mlp, attention, prefix, found)
    for branch in others:
        if (transform := _transform(branch.factor)) is not None:
            found.others.append(Site(f"{prefix}.{branch.adds.path}", "output", transform))
    _between(seen, steps, prefix, found)
    found.sites = {point: found.sites[point] for point in POINTS if point in found.sites}
    return found


def _steps(seen: BlockTrace) -> list[list[int]]:
    """Return the atoms added to the residual stream, in steps between which some module reads the stream."""
    streams = [call.reads for call in seen.in_order() if seen.source in call.reads]
    held, steps = {seen.source}, []
    for stream in [*streams, seen.result]:
        if set(stream) > held:
            steps.append([atom for atom in stream if atom not in held])
            held = set(stream)
    return steps


def _branch(seen: BlockTrace, atom: int) -> Branch | None:
    """Return the modules that output an atom; None if no module does."""
    calls = seen.named(atom)
    if not calls:
        return None
    base, own = seen.result[seen.source], seen.result[atom]
    ids = list(own[1])
    for one in base[1]:
        if one in ids:
            ids.remove(one)
    raw = calls[-1]
    while not _computes(raw.module) and len(raw.reads) == 1 and (before := seen.named(next(iter(raw.reads)))):
        raw = before[-1]
    return Branch(calls[-1], (own[0] / base[0], tuple(ids)), raw)


def _computes(module: nn.Module) -> bool:
    """Whether a module is more than a norm: it has a matrix."""
    return any(parameter.ndim > 1 for parameter in module.parameters()) or any(
        buffer.ndim > 1 for buffer in module.buffers()
    )


def _halves(
    seen: BlockTrace, steps: list[list[int]], found: Block
) -> tuple[Branch | None, Branch | None, list[Branch]]:
    """Return what attention adds, what the MLP adds, and the rest; say in `found.missing` what has no site."""
    branches = [[_branch(seen, atom) for atom in step] for step in steps]
    started = seen.started
    if len(branches) == 1:  # parallel attention and MLP, or one half alone
        order = sorted((one for one in branches[0] if one), key=lambda one: started[one.raw.path])
        branches = [[one] for one in order] + [[None]] * (len(branches[0]) - len(order))
    named = [step[0] if len(step) == 1 else None for step in branches]
    at = next((i for i, one in enumerate(named) if one and ATTENTION.search(one.raw.path)), None)
    after = [i for i, one in enumerate(named) if i > (-1 if at is None else at)]
    mixer_first = at is None and len(named) > 1
    at_mlp = next((i for i in after if (one := named[i]) and MLP.search(one.raw.path)), None)
    if at_mlp is None and len(named) > 1:
        at_mlp = after[mixer_first] if len(after) > mixer_first else None
    _say_missing(found, named, at, at_mlp)
    others = [one for i, one in enumerate(named) if one and i not in (at, at_mlp)]
    return (None if at is None else named[at]), (None if at_mlp is None else named[at_mlp]), others


def _say_missing(found: Block, named: list[Branch | None], at: int | None, at_mlp: int | None) -> None:
    adds = ", ".join(one.raw.path for one in named if one) or "nothing"
    if at is None:
        why = f"this block has no attention (it adds {adds} to the residual stream)"
        found.missing |= dict.fromkeys(("attn_in", "z", "attn_raw", "attn_out"), why)
    if at_mlp is None:
        why = f"this block has no MLP (it adds {adds} to the residual stream)"
        found.missing |= dict.fromkeys(("mlp_in", "mlp_pre", "mlp_post", "mlp_raw", "mlp_out"), why)
    elif named[at_mlp] is None:
        why = "this block adds the sum of several modules after attention, which no single module gives"
        found.missing |= dict.fromkeys(("mlp_in", "mlp_pre", "mlp_post", "mlp_raw", "mlp_out"), why)


def _transform(factor: Factor) -> str | None:
    """Return a site's transform for a factor on a module's output; None where its value is not known."""
    if factor[1] or factor[0] != factor[0]:
        return None
    return "" if factor[0] == 1 else f"x{factor[0]:.9g}"


def _added(branch: Branch, point: str, prefix: str, found: Block) -> None:
    transform = _transform(branch.factor)
    if transform is None:
        found.missing[point] = "the model multiplies it by a scalar whose value is not known without weights"
        return
    found.put(point, f"{prefix}.{branch.adds.path}", "output", branch.adds.width_out, transform)


def _linear(call: Call) -> bool:
    weight = getattr(call.module, "weight", None)
    return not any(call.module.children()) and weight is not None and "Norm" not in type(call.module).__name__


def _call(seen: BlockTrace, path: str) -> Call:
    return next(call for call in seen.calls if call.path == path)


def _attention(seen: BlockTrace, branch: Branch, prefix: str, found: Block) -> None:
    raw, atom = branch.raw, branch.raw.gives
    _added(branch, "attn_out", prefix, found)
    found.put("attn_raw", f"{prefix}.{raw.path}", "output", raw.width_out)
    whole = _call(seen, branch.component)
    if whole.reads:
        found.put("attn_in", f"{prefix}.{whole.path}", "input", whole.width_in)
    projection = [
        call for call in seen.calls if _linear(call) and call.gives == atom and call.path.startswith(branch.component)
    ]
    if projection:
        found.put("z", f"{prefix}.{projection[0].path}", "input", projection[0].width_in)
    else:
        found.missing["z"] = "no single output projection follows the heads"


def _mlp(seen: BlockTrace, branch: Branch, attention: Branch | None, prefix: str, found: Block) -> None:
    raw = branch.raw
    _added(branch, "mlp_out", prefix, found)
    found.put("mlp_raw", f"{prefix}.{raw.path}", "output", raw.width_out)
    skipped = attention.component if attention else ""
    around = "" if branch.component == raw.path and _linear(raw) else f"{branch.component}."  # OPT has no MLP module
    linears = [
        call
        for call in seen.in_order()
        if _linear(call) and call.path.split(".")[0] != skipped and call.path.startswith(around)
    ]
    down = next((call for call in linears if call.gives == raw.gives), None)
    first = raw if not _linear(raw) else next(iter(linears), raw)
    found.put("mlp_in", f"{prefix}.{first.path}", "input", first.width_in)
    if down is None:
        why = "a mixture of experts has no single hidden layer"
        found.missing |= {"mlp_pre": why, "mlp_post": why}
        return
    found.put("mlp_post", f"{prefix}.{down.path}", "input", down.width_in)
    up = linears[0]
    if up.width_out == down.width_in:
        found.put("mlp_pre", f"{prefix}.{up.path}", "output", up.width_out)
    else:
        found.missing["mlp_pre"] = "gate and up projection are one matrix: no module gives the pre-activation alone"


def _between(seen: BlockTrace, steps: list[list[int]], prefix: str, found: Block) -> None:
    """Add what reads the residual stream: the norms, and the stream between attention and MLP."""
    before: Sum = {seen.source: ONE}
    reads_before = [call for call in seen.in_order() if call.reads == before]
    norms = [call for call in reads_before if "Norm" in type(call.module).__name__]
    if len(steps) > 1:
        middle = {seen.source, *steps[0]}
        readers = [call for call in seen.in_order() if set(call.reads) == middle]
        if readers:
            found.put("resid_mid", f"{prefix}.{readers[0].path}", "input", seen.width)
        norms = [*norms[:1], *[call for call in readers if "Norm" in type(call.module).__name__][:1]]
        names = ("ln1", "ln2") if len(norms) == 2 else ()
        names = names or (("ln1",) if norms and norms[0] in reads_before else ("ln2",))
    else:
        beside = len(steps) == 1 and len(steps[0]) > 1
        found.missing["resid_mid"] = (
            "attention and MLP are computed side by side: nothing lies between them"
            if beside
            else "this block adds to the residual stream once"
        )
        names = ("ln1", "ln2")
    for name, call in zip(names, norms, strict=False):
        found.put(name, f"{prefix}.{call.path}", "output", seen.width, "pre_gain")
