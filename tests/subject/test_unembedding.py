"""Logits of a direction are those that adding it to the residual stream gives where there is no final norm."""

import pytest
import torch

from autointerp.records import Site
from autointerp.subject import sites
from autointerp.subject.unembedding import extremes, obstacle
from tests.helpers import tiny

WRITE = {
    "llama": [
        "model.layers.1.mlp.output",
        "model.layers.1.output",
        "model.layers.1.input",
        "model.embed_tokens.output",
    ],
    "gpt2": ["transformer.h.1.mlp.output", "transformer.h.0.attn.output"],
    "gpt_neox": ["gpt_neox.layers.1.mlp.output", "gpt_neox.embed_in.output"],
    "gemma2": [
        "model.layers.1.post_feedforward_layernorm.output",
        "model.layers.1.output",
        "model.embed_tokens.output",
    ],
    "opt": ["model.decoder.layers.1.fc2.output"],
}
DO_NOT = {
    "llama": ["model.layers.1.mlp.input", "model.layers.1.mlp.gate_proj.output", "model.norm.output"],
    "gpt2": ["transformer.wte.output"],  # positions are added to it before it is the stream
    "gpt_neox": ["gpt_neox.layers.1.mlp.input"],
    "gemma2": ["model.layers.1.mlp.output"],  # normed before it is added
    "opt": ["model.decoder.layers.1.fc1.output"],
}


@pytest.mark.parametrize("family", WRITE)
def test_sites_that_write_to_the_stream_have_logits_and_others_a_reason(family: str) -> None:
    model = tiny.model(family)
    for name in WRITE[family]:
        assert obstacle(model, sites.resolve(model, name), 16) == "", name
    for name in DO_NOT[family]:
        assert "is not added to the residual stream" in obstacle(model, sites.resolve(model, name), 16), name


@pytest.mark.parametrize("family", ["llama", "gpt_neox"])
def test_what_counts_as_written_changes_the_stream_by_itself(family: str) -> None:
    """Adding v to what the last block's writers give adds v to the last block's output: the law behind the table."""
    model = tiny.model(family)
    prefix = "model.layers.2" if family == "llama" else "gpt_neox.layers.2"
    v, seen = torch.randn(16, generator=torch.Generator().manual_seed(0)), []
    block = model.get_submodule(prefix)
    block.register_forward_hook(lambda _, __, out: seen.append(out[0] if isinstance(out, tuple) else out))
    ids = torch.arange(6)[None]
    with torch.no_grad():
        model(ids)
        handle = model.get_submodule(f"{prefix}.mlp").register_forward_hook(lambda _, __, out: out + v)
        model(ids)
        handle.remove()
    torch.testing.assert_close(seen[1], seen[0] + v)


def test_tokens_are_those_of_a_loop_over_the_vocabulary() -> None:
    """By hand: one dot product per token; the 20 padding rows behind the tokenizer's 280 tokens never appear."""
    model = tiny.model("llama")
    weight = model.get_output_embeddings().weight.detach()
    directions = torch.randn(5, 16, generator=torch.Generator().manual_seed(1))
    for direction, found in zip(directions, extremes(model, directions, 280, n=4), strict=True):
        logits = [
            (sum(float(a * b) for a, b in zip(direction, weight[token], strict=True)), token) for token in range(280)
        ]
        assert [token for token, _ in found.top] == [token for _, token in sorted(logits, reverse=True)[:4]]
        assert [token for token, _ in found.bottom] == [token for _, token in sorted(logits)[:4]]
        assert [value for _, value in found.bottom] == pytest.approx(
            [value for value, _ in sorted(logits)[:4]], abs=1e-4
        )


def test_reasons_of_models_that_cannot_tell() -> None:
    """A width that is not the unembedding's, and a model without a list of blocks."""
    model = tiny.model("llama")
    site = Site("model.layers.1.mlp", "output")
    assert "reads 16 numbers, the site has 8" in obstacle(model, site, 8)
    blockless = tiny.model("llama")
    blockless.model.layers = blockless.model.layers[0]
    assert "residual stream is not known" in obstacle(blockless, site, 16)
