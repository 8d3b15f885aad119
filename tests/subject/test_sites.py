"""Every vocabulary's site names, on a tiny random model of every family."""

import pytest
import torch
from torch import Tensor, nn

from autointerp.errors import SiteError
from autointerp.records import Site
from autointerp.subject import hooks, sites
from autointerp.subject.model import HookedSubject
from autointerp.subject.points import points_of
from tests.helpers.architectures import hollow, tiny

FAMILIES = (
    "gpt2 gpt_neo gpt_neox llama mistral qwen2 qwen3 gemma gemma2 gemma3_text olmo olmo2 olmo3 opt bloom gptj phi phi3 "
    "stablelm starcoder2 smollm3 ministral cohere cohere2 glm4"
).split()
# Attention and MLP side by side: nothing lies between them.
PARALLEL = ("gpt_neox", "gptj", "phi", "cohere", "cohere2", "falcon")


# Mixtures of experts, linear attention, multi-modal models, factors on what is added.
NEWER = (
    "llama4_text llama4 gemma3 gemma4_text gemma4 qwen3_5_text qwen3_5 qwen3_moe qwen3_5_moe_text mixtral olmoe "
    "gpt_oss deepseek_v3 granite falcon"
).split()


def capture(model: nn.Module, wanted: list[Site]) -> dict[Site, Tensor]:
    seen: dict[Site, Tensor] = {}

    def keep(site: Site, x: Tensor) -> None:
        seen[site] = x.detach().clone().view(1, 10, -1)

    with torch.no_grad(), hooks.attached({site: model.get_submodule(site.module) for site in wanted}, keep):
        model(input_ids=torch.arange(3, 13)[None], use_cache=False)
    return seen


@pytest.mark.parametrize("kind", [*FAMILIES, *NEWER])
def test_contributions_add_up_to_the_residual(kind: str) -> None:
    """resid_pre + all contributions = resid_post (times Gemma 4's layer scalar), and resid_mid lies between."""
    model = tiny(kind)
    for index in (0, 1):
        names = ("hook_resid_pre", "hook_attn_out", "hook_mlp_out", "hook_resid_post")
        pre, attention, mlp, post = (sites.resolve(model, f"blocks.{index}.{name}") for name in names)
        others = points_of(model).blocks[index].others
        seen = capture(model, [pre, attention, mlp, post, *others])
        total = sum((seen[site] for site in others), seen[pre] + seen[attention] + seen[mlp])
        scalar = getattr(model.get_submodule(post.module), "layer_scalar", 1.0)
        torch.testing.assert_close(total * scalar, seen[post], atol=1e-5, rtol=1e-5)
        if kind not in PARALLEL:
            mid = sites.resolve(model, f"blocks.{index}.hook_resid_mid")
            torch.testing.assert_close(seen[pre] + seen[attention], capture(model, [mid])[mid], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", [*FAMILIES, *NEWER, "mamba", "granitemoeshared"])
def test_a_model_without_weights_has_the_same_sites(kind: str) -> None:
    """`autointerp sites` reads a configuration only, experts that cannot run without values included."""
    assert sites.list_sites(hollow(kind)) == sites.list_sites(tiny(kind))


@pytest.mark.parametrize("kind", NEWER)
def test_an_identity_splice_changes_nothing(kind: str) -> None:
    """Bit for bit, also where the site is a module's output times a factor; and zeros do change the output."""
    subject = HookedSubject(tiny(kind), None, fingerprint="")
    ids = torch.arange(3, 13)[None]
    names = ("hook_attn_out", "hook_mlp_out", "hook_resid_post")
    changed = [sites.resolve(subject.model, f"blocks.1.{name}") for name in names]
    clean = subject.run(ids, None, [], changed)
    for site in changed:
        same = clean.activations[site]
        assert torch.equal(subject.replaced(clean, site, same[None])[0], clean.hidden)
        assert not torch.allclose(subject.replaced(clean, site, torch.zeros_like(same)[None])[0], clean.hidden)


@pytest.mark.parametrize(
    "kind, words", [("mamba", "no MLP .it adds mixer"), ("granitemoeshared", "sum of several modules")]
)
def test_a_block_without_an_mlp_says_what_it_adds(kind: str, words: str) -> None:
    """The residual stream can be read in any model with blocks; what a block does not have is refused by reason."""
    model = tiny(kind)
    with pytest.raises(SiteError, match=words):
        sites.resolve(model, "blocks.1.hook_mlp_out")
    assert str(sites.resolve(model, "blocks.1.hook_resid_post")).endswith("layers.1.output")
    assert any("MLP" in why or "modules" in why for why in sites.unlisted(model).values())


def test_a_block_that_normalises_after_adding_has_its_stream_only() -> None:
    """OPT-350m's layout: its output is no sum of its input and contributions."""
    model = tiny("opt", do_layer_norm_before=False)
    assert {entry.alias.split(".")[-1] for entry in sites.list_sites(model)} == {"hook_resid_pre", "hook_resid_post"}
    with pytest.raises(SiteError, match="normalises after adding"):
        sites.resolve(model, "blocks.0.hook_mlp_out")


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
        ("granite", "blocks.1.hook_mlp_out", "model.layers.1.mlp.output:x0.22"),
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
        ("llama", "model.layers.1.mlp.output:post_gain", "unknown 'post_gain'"),
        ("gpt_neox", "blocks.0.hook_resid_mid", "no such site"),
        ("olmo2", "blocks.0.ln2.hook_normalized", "no such site"),
        ("gpt2", "hook_embed", "does not exist"),
        ("phi", "blocks.0.hook_resid_mid", "no such site"),
        ("phi3", "blocks.0.mlp.hook_pre", "no such site"),
        ("granite", "blocks.0.mlp.hook_nothing", "does not exist"),
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
    listed = sites.list_sites(model)
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
