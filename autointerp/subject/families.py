"""Architectures of subjects: where the points of a transformer block are, family by family."""

from dataclasses import dataclass, replace

from torch import nn

from autointerp.errors import SiteError


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Where the points of a block are, as module paths below the block with a side; "" where there is no such point."""

    attn_in: str
    z: str
    attn_raw: str
    attn_out: str
    mlp_in: str
    mlp_pre: str
    mlp_post: str
    mlp_raw: str
    mlp_out: str
    resid_mid: str
    resid_pre: str = "input"
    resid_post: str = "output"
    ln1: str = ""
    ln2: str = ""


LLAMA = Family(
    attn_in="self_attn.input", z="self_attn.o_proj.input", attn_raw="self_attn.output", attn_out="self_attn.output",
    mlp_in="mlp.input", mlp_pre="mlp.gate_proj.output", mlp_post="mlp.down_proj.input",
    mlp_raw="mlp.output", mlp_out="mlp.output", resid_mid="post_attention_layernorm.input",
    ln1="input_layernorm", ln2="post_attention_layernorm",
)  # fmt: skip
GEMMA = replace(
    LLAMA,
    attn_out="post_attention_layernorm.output",
    mlp_out="post_feedforward_layernorm.output",
    resid_mid="pre_feedforward_layernorm.input",
    ln2="pre_feedforward_layernorm",
)
OLMO2 = replace(
    LLAMA,
    attn_out="post_attention_layernorm.output",
    mlp_out="post_feedforward_layernorm.output",
    resid_mid="mlp.input",
    ln1="",
    ln2="",
)
GPT2 = Family(
    attn_in="attn.input", z="attn.c_proj.input", attn_raw="attn.output", attn_out="attn.output",
    mlp_in="mlp.input", mlp_pre="mlp.c_fc.output", mlp_post="mlp.c_proj.input",
    mlp_raw="mlp.output", mlp_out="mlp.output", resid_mid="ln_2.input", ln1="ln_1", ln2="ln_2",
)  # fmt: skip
NEOX = Family(
    attn_in="attention.input", z="attention.dense.input", attn_raw="attention.output", attn_out="attention.output",
    mlp_in="mlp.input", mlp_pre="mlp.dense_h_to_4h.output", mlp_post="mlp.dense_4h_to_h.input",
    mlp_raw="mlp.output", mlp_out="mlp.output", resid_mid="post_attention_layernorm.input",
    ln1="input_layernorm", ln2="post_attention_layernorm",
)  # fmt: skip
# OPT has no MLP module, and BLOOM's adds the residual itself: the linear layers are the only clean places.
OPT = Family(
    attn_in="self_attn.input", z="self_attn.out_proj.input", attn_raw="self_attn.output", attn_out="self_attn.output",
    mlp_in="fc1.input", mlp_pre="fc1.output", mlp_post="fc2.input", mlp_raw="fc2.output", mlp_out="fc2.output",
    resid_mid="final_layer_norm.input", ln1="self_attn_layer_norm", ln2="final_layer_norm",
)  # fmt: skip
BLOOM = Family(
    attn_in="self_attention.input", z="self_attention.dense.input", attn_raw="self_attention.dense.output",
    attn_out="self_attention.dense.output", mlp_in="mlp.dense_h_to_4h.input", mlp_pre="mlp.dense_h_to_4h.output",
    mlp_post="mlp.dense_4h_to_h.input", mlp_raw="mlp.dense_4h_to_h.output", mlp_out="mlp.dense_4h_to_h.output",
    resid_mid="post_attention_layernorm.input", ln1="input_layernorm", ln2="post_attention_layernorm",
)  # fmt: skip
# Attention and MLP read the same norm's output and are added together: nothing lies between them.
SIDE_BY_SIDE = replace(LLAMA, resid_mid="", ln2="")
PHI = replace(
    SIDE_BY_SIDE,
    z="self_attn.dense.input",
    mlp_pre="mlp.fc1.output",
    mlp_post="mlp.fc2.input",
)
GPTJ = replace(
    GPT2,
    z="attn.out_proj.input",
    mlp_pre="mlp.fc_in.output",
    mlp_post="mlp.fc_out.input",
    resid_mid="",
    ln2="",
)
# Gate and up projection in one matrix: no module gives the pre-activation alone.
PHI3 = replace(LLAMA, mlp_pre="")
GLM4 = replace(PHI3, attn_out="post_self_attn_layernorm.output", mlp_out="post_mlp_layernorm.output")
STARCODER2 = replace(LLAMA, mlp_pre="mlp.c_fc.output", mlp_post="mlp.c_proj.input")
# By transformers' model_type.
FAMILIES = {
    "gpt2": GPT2, "gpt_neo": replace(GPT2, z="attn.attention.out_proj.input"), "gpt_neox": NEOX,
    "llama": LLAMA, "mistral": LLAMA, "qwen2": LLAMA, "qwen3": LLAMA, "gemma": LLAMA, "olmo": LLAMA,
    "gemma2": GEMMA, "gemma3": GEMMA, "gemma3_text": GEMMA, "olmo2": OLMO2, "olmo3": OLMO2,
    "opt": OPT, "bloom": BLOOM, "gptj": GPTJ, "phi": PHI, "phi3": PHI3, "stablelm": LLAMA, "starcoder2": STARCODER2,
    "smollm3": LLAMA, "ministral": LLAMA, "cohere": SIDE_BY_SIDE, "cohere2": SIDE_BY_SIDE, "glm4": GLM4,
}  # fmt: skip
# Where a trunk keeps its blocks, tried in this order below the model and below its trunk.
BLOCK_LISTS = ("layers", "h", "decoder.layers", "language_model.layers", "text_model.layers")


def family_of(model: nn.Module) -> Family:
    """Return the table of a model's architecture.

    Raises:
        SiteError: not known, or a variant in which the table does not hold.
    """
    config = text_config(model)
    kind = getattr(config, "model_type", type(model).__name__)
    if kind not in FAMILIES:
        raise SiteError(
            f"model type {kind!r}: only module paths with a side can name its sites, such as "
            f"{some_modules(model)}; other names are known for {', '.join(sorted(FAMILIES))}"
        )
    if kind == "opt" and not getattr(config, "do_layer_norm_before", True):
        raise SiteError("this OPT normalises after adding (do_layer_norm_before false): name sites by module path")
    if kind == "bloom" and getattr(config, "apply_residual_connection_post_layernorm", False):
        raise SiteError("this BLOOM takes its residual after the norm: name sites by module path")
    if kind == "gpt_neox" and getattr(config, "use_parallel_residual", True):
        return replace(NEOX, resid_mid="")
    if kind == "stablelm" and getattr(config, "use_parallel_residual", False):
        return SIDE_BY_SIDE
    return FAMILIES[kind]


def block_list(model: nn.Module) -> tuple[str, int]:
    """Return the module path of the list of blocks, and how many there are.

    Raises:
        SiteError: none found.
    """
    for trunk in dict.fromkeys(("", getattr(model, "base_model_prefix", ""))):
        for tail in BLOCK_LISTS:
            path = ".".join(part for part in (trunk, tail) if part)
            found = module_at(model, path)
            if isinstance(found, nn.ModuleList):
                return path, len(found)
    raise SiteError(f"{type(model).__name__}: no list of blocks found; it has modules such as {some_modules(model)}")


def embeds_only(model: nn.Module) -> bool:
    """Whether the first block reads the token embedding and nothing else, so that `hook_embed` is its input."""
    return family_of(model) in (LLAMA, GEMMA, OLMO2) or getattr(text_config(model), "model_type", "") == "gpt_neox"


def module_at(model: nn.Module, path: str) -> nn.Module | None:
    """Return the module at a path, None where there is none."""
    try:
        return model.get_submodule(path)
    except AttributeError:
        return None


def text_config(model: nn.Module) -> object:
    """Return the configuration of the text part, of a multi-modal model too."""
    config = getattr(model, "config", None)
    return config.get_text_config() if config is not None and hasattr(config, "get_text_config") else config


def some_modules(model: nn.Module, limit: int = 8) -> str:
    """List a few module outputs for a message."""
    names = [
        f"{name}.output" for name, module in model.named_modules() if name and not isinstance(module, nn.ModuleList)
    ]
    return ", ".join(names[:limit]) + (f" and {len(names) - limit:,} more" if len(names) > limit else "")
