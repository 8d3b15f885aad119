"""Tiny random models of many architectures, with random norms and biases, so that a site on a wrong side shows."""

from typing import Any

import torch
import transformers
from torch import nn

SMALL = {
    "vocab_size": 50,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 32,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
}
GPT2 = {"vocab_size": 50, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32, "bos_token_id": 0}
EXPERTS = {
    "num_experts": 4,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 8,
    "shared_expert_intermediate_size": 8,
}
LINEAR = {
    "linear_num_value_heads": 2,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "layer_types": ["linear_attention", "full_attention"],
}
# Settings by model type, beside or in place of SMALL's; those in REPLACED stand alone.
CHANGED: dict[str, dict[str, Any]] = {
    "llama4_text": EXPERTS | {"intermediate_size_mlp": 24, "interleave_moe_layer_step": 2},
    "qwen3_moe": EXPERTS,
    "mixtral": EXPERTS,
    "olmoe": EXPERTS,
    "gpt_oss": EXPERTS,
    "qwen3_5_text": LINEAR,
    "qwen3_5_moe_text": EXPERTS | LINEAR,
    "granite": {"residual_multiplier": 0.22},
    "deepseek_v3": EXPERTS
    | {
        "n_routed_experts": 4,
        "n_group": 1,
        "topk_group": 1,
        "first_k_dense_replace": 1,
        "q_lora_rank": 8,
        "kv_lora_rank": 8,
        "qk_rope_head_dim": 4,
        "qk_nope_head_dim": 4,
        "v_head_dim": 8,
        "head_dim": 4,
    },
    "gemma3_text": {"sliding_window": 16},
    "gemma4_text": {
        "hidden_size_per_layer_input": 4,
        "vocab_size_per_layer_input": 50,
        "num_kv_shared_layers": 0,
        "layer_types": ["sliding_attention", "full_attention"],
        "sliding_window": 16,
        "global_head_dim": 8,
    },
    "granitemoeshared": EXPERTS | {"shared_intermediate_size": 8},
    "mamba": {"state_size": 4},
}
REPLACED: dict[str, dict[str, Any]] = {
    "gpt2": GPT2,
    "gpt_neo": {
        "vocab_size": 50,
        "hidden_size": 16,
        "num_layers": 2,
        "num_heads": 2,
        "max_position_embeddings": 32,
        "attention_types": [[["global"], 2]],
        "bos_token_id": 0,
        "eos_token_id": 1,
    },
    "bloom": {"vocab_size": 50, "hidden_size": 16, "n_layer": 2, "n_head": 2, "bos_token_id": 0, "eos_token_id": 1},
    "gptj": GPT2 | {"rotary_dim": 4, "eos_token_id": 1},
    "falcon": {key: value for key, value in SMALL.items() if key not in ("head_dim", "num_key_value_heads")},
    "opt": {
        "vocab_size": 50,
        "hidden_size": 16,
        "ffn_dim": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 32,
        "word_embed_proj_dim": 16,
        "pad_token_id": 2,
        "bos_token_id": 0,
    },
}
# Multi-modal models whose text part is one of the above.
TEXT_PARTS = {"gemma3": "gemma3_text", "llama4": "llama4_text", "qwen3_5": "qwen3_5_text", "gemma4": "gemma4_text"}
VISION = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}


def settings(kind: str, **changes: object) -> Any:
    """Return the configuration of a model with 2 blocks of width 16."""
    if kind in TEXT_PARTS:
        text = settings(TEXT_PARTS[kind], **changes).to_dict()
        more = {"vision_config": VISION, "mm_tokens_per_image": 4} if kind == "gemma3" else {}
        return transformers.AutoConfig.for_model(kind, text_config=text, **more)
    base = REPLACED.get(kind, SMALL | CHANGED.get(kind, {}))
    return transformers.AutoConfig.for_model(kind, **{**base, **changes})


def tiny(kind: str, **changes: object) -> nn.Module:
    """Make a random model; its norms have random gains."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(settings(kind, **changes)).eval()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "embed" in name or "wte" in name:
                    parameter.mul_(50)  # so that a norm's epsilon is small beside what it normalises
                elif parameter.ndim > 2:
                    parameter.normal_(std=0.3)  # experts, some of which are made without values
                if "norm" in name or "ln_" in name:
                    parameter.add_(torch.randn_like(parameter))
            for name, buffer in model.named_buffers():
                if name.endswith("layer_scalar"):
                    buffer.fill_(0.7)
    return model


def hollow(kind: str) -> nn.Module:
    """Make the same model without weights, on the meta device."""
    with torch.device("meta"):
        return transformers.AutoModelForCausalLM.from_config(settings(kind)).eval()
