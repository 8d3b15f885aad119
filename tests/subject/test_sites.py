"""Every vocabulary's site names, on a tiny random model of every family."""

import pytest
import torch
import transformers
from torch import Tensor, nn

from autointerp.errors import SiteError
from autointerp.records import Site
from autointerp.subject import sites

SMALL = {
    "vocab_size": 50, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 32, "bos_token_id": 0, "eos_token_id": 1,
    "pad_token_id": 2,
}  # fmt: skip
# Settings that a family names differently.
OTHER_NAMES = {
    "gpt2": {"vocab_size": 50, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32, "bos_token_id": 0},
    "gpt_neo": {
        "vocab_size": 50, "hidden_size": 16, "num_layers": 2, "num_heads": 2, "max_position_embeddings": 32,
        "attention_types": [[["global"], 2]], "bos_token_id": 0, "eos_token_id": 1,
    },
    "bloom": {"vocab_size": 50, "hidden_size": 16, "n_layer": 2, "n_head": 2, "bos_token_id": 0, "eos_token_id": 1},
    "gptj": {
        "vocab_size": 50, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32, "rotary_dim": 4,
        "bos_token_id": 0, "eos_token_id": 1,
    },
    "opt": {
        "vocab_size": 50, "hidden_size": 16, "ffn_dim": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
        "max_position_embeddings": 32, "word_embed_proj_dim": 16, "pad_token_id": 2, "bos_token_id": 0,
    },
}  # fmt: skip
FAMILIES = (
    "gpt2 gpt_neo gpt_neox llama mistral qwen2 qwen3 gemma gemma2 gemma3_text olmo olmo2 olmo3 opt bloom gptj phi phi3 "
    "stablelm starcoder2 smollm3 ministral cohere cohere2 glm4"
).split()
# Attention and MLP side by side: nothing lies between them.
PARALLEL = ("gpt_neox", "gptj", "phi", "cohere", "cohere2")


def tiny(kind: str, **changes: object) -> nn.Module:
    """A random model whose norms have random gains, so that a site on the wrong side of one shows."""
    config = transformers.AutoConfig.for_model(kind, **{**OTHER_NAMES.get(kind, SMALL), **changes})
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "embed" in name or "wte" in name:
                parameter.mul_(50)  # so that a norm's epsilon is small beside what it normalises
            if "norm" in name or "ln_" in name:
                parameter.add_(torch.randn_like(parameter))
    return model


def capture(model: nn.Module, wanted: list[Site]) -> dict[Site, Tensor]:
    seen: dict[Site, Tensor] = {}
    handles = []
    for site in wanted:

        def hook(module: nn.Module, args: tuple, kwargs: dict, output: object, site: Site = site) -> None:
            seen[site] = sites.read(site, module, args, kwargs, output).clone().view(1, 10, -1)

        handles.append(model.get_submodule(site.module).register_forward_hook(hook, with_kwargs=True))
    with torch.no_grad():
        model(input_ids=torch.arange(3, 13)[None], use_cache=False)
    for handle in handles:
        handle.remove()
    return seen


@pytest.mark.parametrize("kind", FAMILIES)
def test_contributions_add_up_to_the_residual(kind: str) -> None:
    """resid_pre + attention's contribution + MLP's contribution = resid_post, whatever norms stand behind them."""
    model = tiny(kind)
    names = ("hook_resid_pre", "hook_attn_out", "hook_mlp_out", "hook_resid_post")
    pre, attention, mlp, post = (sites.resolve(model, f"blocks.1.{name}") for name in names)
    seen = capture(model, [pre, attention, mlp, post])
    torch.testing.assert_close(seen[pre] + seen[attention] + seen[mlp], seen[post], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", [kind for kind in FAMILIES if kind not in PARALLEL])
def test_resid_mid_is_the_residual_after_attention(kind: str) -> None:
    """resid_pre + attention's contribution = resid_mid where the two halves run one after the other."""
    model = tiny(kind)
    names = ("hook_resid_pre", "hook_attn_out", "hook_resid_mid")
    pre, attention, mid = (sites.resolve(model, f"blocks.0.{name}") for name in names)
    seen = capture(model, [pre, attention, mid])
    torch.testing.assert_close(seen[pre] + seen[attention], seen[mid], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", FAMILIES)
def test_the_raw_mlp_is_what_its_input_maps_to(kind: str) -> None:
    """Feeding mlp.hook_in's tensor through the MLP's own layers gives mlp.hook_out's."""
    model = tiny(kind)
    inner, outer = (sites.resolve(model, f"blocks.0.mlp.{name}") for name in ("hook_in", "hook_out"))
    seen = capture(model, [inner, outer])
    model.requires_grad_(False)
    if kind == "opt":
        first, act, second = (
            model.get_submodule(f"model.decoder.layers.0.{x}") for x in ("fc1", "activation_fn", "fc2")
        )
        again = second(act(first(seen[inner])))
    elif kind == "bloom":
        again = model.get_submodule("transformer.h.0.mlp")(seen[inner], torch.zeros(1, 10, 16))
    else:
        again = model.get_submodule(outer.module)(seen[inner])
    torch.testing.assert_close(again, seen[outer], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", [kind for kind in FAMILIES if not kind.startswith("olmo")])
def test_hook_normalized_is_before_the_gain(kind: str) -> None:
    """Rows of `hook_normalized` have mean square 1; the norm's own output, with its random gain, has not."""
    model = tiny(kind)
    site = sites.resolve(model, f"blocks.1.ln{1 if kind in PARALLEL[1:] else 2}.hook_normalized")
    gained = Site(site.module, "output")
    seen = capture(model, [site]) | capture(model, [gained])
    torch.testing.assert_close(seen[site].square().mean(dim=-1), torch.ones(1, 10), atol=2e-2, rtol=0)
    assert (seen[gained].square().mean(dim=-1) - 1).abs().max() > 0.1


def test_a_block_may_be_parallel_by_its_configuration() -> None:
    """StableLM adds attention and MLP together where its configuration says so; the sum still holds."""
    model = tiny("stablelm", use_parallel_residual=True)
    names = ("hook_resid_pre", "hook_attn_out", "hook_mlp_out", "hook_resid_post")
    pre, attention, mlp, post = (sites.resolve(model, f"blocks.1.{name}") for name in names)
    seen = capture(model, [pre, attention, mlp, post])
    torch.testing.assert_close(seen[pre] + seen[attention] + seen[mlp], seen[post], atol=1e-5, rtol=1e-5)
    with pytest.raises(SiteError, match="no such site"):
        sites.resolve(model, "blocks.1.hook_resid_mid")


@pytest.mark.parametrize(
    "kind, name, expected",
    [
        ("llama", "layers.1.mlp.input", "model.layers.1.mlp.input"),
        ("llama", "model.layers.1.mlp.output", "model.layers.1.mlp.output"),
        ("llama", "layers.1.mlp", "model.layers.1.mlp.output"),
        ("llama", "layers.1", "model.layers.1.output"),
        ("llama", "embed_tokens", "model.embed_tokens.output"),
        ("llama", "hook_embed", "model.layers.0.input"),
        ("llama", "resid_post_layer_1", "model.layers.1.output"),
        ("llama", "blocks.1.attn.hook_z", "model.layers.1.self_attn.o_proj.input"),
        ("llama", "model.language_model.layers.1.mlp.input", "model.layers.1.mlp.input"),
        ("gpt2", "h.0.mlp", "transformer.h.0.mlp.output"),
        ("gpt2", "blocks.1.mlp.hook_post", "transformer.h.1.mlp.c_proj.input"),
        ("gpt_neox", "layers.1.mlp", "gpt_neox.layers.1.mlp.output"),
        ("gpt_neox", "attn_out_layer_0", "gpt_neox.layers.0.attention.output"),
        ("gemma2", "blocks.1.hook_mlp_out", "model.layers.1.post_feedforward_layernorm.output"),
        ("gemma2", "blocks.1.mlp.hook_out", "model.layers.1.mlp.output"),
        ("gemma2", "blocks.1.ln2.hook_normalized", "model.layers.1.pre_feedforward_layernorm.output:pre_gain"),
        (
            "gemma3_text",
            "model.layers.1.pre_feedforward_layernorm.output",
            "model.layers.1.pre_feedforward_layernorm.output",
        ),
        ("opt", "blocks.0.hook_mlp_out", "model.decoder.layers.0.fc2.output"),
        ("bloom", "blocks.0.hook_mlp_out", "transformer.h.0.mlp.dense_4h_to_h.output"),
    ],
)
def test_names_of_every_vocabulary(kind: str, name: str, expected: str) -> None:
    """Each vocabulary's name means the same place; a resolved site's text resolves to itself."""
    model = tiny(kind)
    site = sites.resolve(model, name)
    assert str(site) == expected
    assert sites.resolve(model, str(site)) == site


def test_a_bare_module_takes_the_side_its_role_asks_for() -> None:
    """sparsify's hookpoint is a module: a transcoder reads its input, an SAE its output."""
    model = tiny("llama")
    assert str(sites.resolve(model, "layers.0.mlp", "input")) == "model.layers.0.mlp.input"
    assert str(sites.resolve(model, "layers.0.mlp.output", "input")) == "model.layers.0.mlp.output"


@pytest.mark.parametrize(
    "kind, name, words",
    [
        ("llama", "blocks.2.hook_mlp_out", "blocks 0..1"),
        ("llama", "model.layers.7.mlp.input", "model.layers.0 to model.layers.1"),
        ("llama", "model.layers.1.mpl.output", "model.layers.1.mlp"),
        ("llama", "blocks.1.hook_nonsense", "does not exist"),
        ("llama", "model.layers.1.mlp.output:post_gain", "pre_gain"),
        ("gpt_neox", "blocks.0.hook_resid_mid", "no such site"),
        ("olmo2", "blocks.0.ln2.hook_normalized", "no such site"),
        ("gpt2", "hook_embed", "does not exist"),
        ("phi", "blocks.0.hook_resid_mid", "no such site"),
        ("phi3", "blocks.0.mlp.hook_pre", "no such site"),
        ("granite", "blocks.0.hook_mlp_out", "model type 'granite'"),
        ("llama", "", "does not exist"),
    ],
)
def test_unknown_names_are_refused_with_what_there_is(kind: str, name: str, words: str) -> None:
    """A wrong name never falls back on a near one."""
    with pytest.raises(SiteError, match=words):
        sites.resolve(tiny(kind), name)


@pytest.mark.parametrize("kind", FAMILIES)
def test_every_listed_site_fires_with_its_width(kind: str) -> None:
    """`list_sites` names nothing that cannot be captured, and each alias resolves to its site."""
    model = tiny(kind)
    listed = sites.list_sites(model, widths=True)
    assert len(listed) > 10
    for entry in listed:
        assert entry.width > 0
        assert sites.resolve(model, entry.alias) == entry.site


@pytest.mark.parametrize(
    "site, expected",
    [
        ("model.layers.12.mlp.input", 12),
        ("h.0.mlp", 0),
        ("embed_tokens.output", -1),
        ("resid_post_layer_8", 8),
        ("blocks.3.hook_mlp_out", 3),
    ],
)
def test_layer_is_the_block_number(site: str, expected: int) -> None:
    assert sites.layer(site) == expected
