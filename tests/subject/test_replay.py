"""A run that changes one activation equals the whole model run with that change, and computes only what it must."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from autointerp.records import Site
from autointerp.subject import replay
from autointerp.subject.blocks import block_list
from autointerp.subject.model import HookedSubject
from tests.helpers import tiny

FAMILIES = ("gemma2", "gpt2", "gpt_neox", "llama", "opt")
POINTS = ("mlp.input", "mlp.output", "input", "output")
IDS = torch.tensor([[0, 5, 9, 20, 7, 3], [0, 8, 6, 4, 0, 0]])
MASK = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])
TEXT = MASK.bool()


def subject(family: str) -> HookedSubject:
    """In float64: batches of another size round otherwise."""
    return HookedSubject(tiny.model(family).double(), tiny.tokenizer(), fingerprint=family)


def site(under: HookedSubject, block: int, point: str) -> Site:
    path, _ = block_list(under.model)
    point = point.replace("mlp", "fc2") if "opt" in path or "decoder" in path else point
    module, _, side = f"{path}.{block}.{point}".rpartition(".")
    return Site(module, "input" if side == "input" else "output")


def plain(under: HookedSubject, where: Site, change: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """Last hidden states of the whole model with plain hooks of torch."""

    def before(_: Any, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (change(args[0]), *args[1:])

    def after(_: Any, __: Any, output: Any) -> Any:
        return (change(output[0]), *output[1:]) if isinstance(output, tuple) else change(output)

    module = under.model.get_submodule(where.module)
    hook = module.register_forward_pre_hook(before) if where.side == "input" else module.register_forward_hook(after)
    with torch.no_grad():
        found = under.model.base_model(input_ids=IDS, attention_mask=MASK, use_cache=False)[0]
    hook.remove()
    return found


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_change_gives_what_the_whole_model_gives(family: str, point: str) -> None:
    """Two runs side by side, in the middle block; every family skips the blocks before."""
    under = subject(family)
    where = site(under, 1, point)
    clean = under.run(IDS, MASK, [], [where])
    y = clean.activations[where]
    new = torch.stack([y * 0.5, torch.zeros_like(y)])
    found = under.replaced(clean, where, new)
    for one, factor in zip(found, (0.5, 0.0), strict=True):
        expected = plain(under, where, lambda x, factor=factor: x * factor)
        torch.testing.assert_close(one[TEXT], expected[TEXT])
    assert under._first_block(where) == (2 if point == "output" else 1)


@pytest.mark.parametrize("family", FAMILIES)
def test_replacing_an_activation_by_itself_changes_exactly_nothing(family: str) -> None:
    """The same numbers, bit for bit, and a loss that differs by 0."""
    under = HookedSubject(tiny.model(family), tiny.tokenizer(), fingerprint=family)
    where = site(under, 1, "mlp.output")
    clean = under.run(IDS, MASK, [], [where])
    (same,) = under.replaced(clean, where, clean.activations[where][None])
    assert torch.equal(same[TEXT], clean.hidden[TEXT])
    first, second = under.predictions(IDS, MASK, [clean.hidden, same])
    assert torch.equal(first.ce.nan_to_num(), second.ce.nan_to_num())
    assert second.kl.nan_to_num().abs().max() == 0


def test_blocks_before_the_site_are_not_computed_and_nothing_stays_behind() -> None:
    """The MLP of block 1 is changed: that of block 0 never runs, those of 1 and 2 do; all hooks are gone after it."""
    under = subject("llama")
    where = site(under, 1, "mlp.output")
    clean = under.run(IDS, MASK, [], [where])
    entered: list[int] = []
    layers = under.model.model.layers
    handles = [layer.mlp.register_forward_pre_hook(lambda *_, i=i: entered.append(i)) for i, layer in enumerate(layers)]
    under.replaced(clean, where, clean.activations[where][None])
    for handle in handles:
        handle.remove()
    assert entered == [1, 2]
    assert not any("forward" in vars(module) for module in under.model.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in under.model.modules())


def test_a_model_whose_blocks_share_more_than_the_residual_is_run_whole() -> None:
    """Block 2 reads what block 0 computed beside the residual stream: skipping would give stale values."""
    under = subject("llama")
    first, _, last = under.model.model.layers
    seen: list[torch.Tensor] = []
    first.mlp.register_forward_hook(lambda _, args, output: seen.append(args[0].mean()))
    last.mlp.register_forward_hook(lambda _, args, output: output + seen.pop())
    where = site(under, 1, "mlp.output")
    clean = under.run(IDS, MASK, [], [where])
    assert under._first_block(where) == 0
    (found,) = under.replaced(clean, where, torch.zeros_like(clean.activations[where])[None])
    torch.testing.assert_close(found[TEXT], plain(under, where, torch.zeros_like)[TEXT])


def test_a_site_outside_the_blocks_skips_none() -> None:
    under = subject("llama")
    assert replay.first_block(under.model, Site("model.embed_tokens", "output")) == 0
    assert replay.first_block(under.model, Site("model.norm", "output")) == 0
    assert replay.first_block(under.model, Site("model.layers.2.mlp", "output")) == 2
