"""A model without its weights, and how much of it a pass needs that only reads: the blocks up to the last site."""

import re
from collections.abc import Sequence
from typing import Any

import torch
import transformers
from torch import nn

from autointerp.errors import SiteError, SubjectError
from autointerp.records import Site
from autointerp.subject.base import located
from autointerp.subject.blocks import block_list

# By transformers' model_type: models that are the same up to block i however many blocks they have, with settings that
# count blocks in `num_hidden_layers` and may list their kinds in `layer_types`. Others are loaded whole.
SHORTENED = frozenset(
    (
        "gpt2 gpt_neox llama mistral qwen2 qwen3 gemma gemma2 gemma3_text olmo olmo2 olmo3 opt bloom qwen3_moe mixtral "
        "olmoe gpt_oss granite granitemoeshared phi phi3 qwen3_5_text qwen3_5_moe_text falcon deepseek_v3 starcoder2 "
        "smollm3 stablelm cohere cohere2 glm4 ministral"
    ).split()
)


def skeleton(name: str, revision: str | None, *, trust_remote_code: bool) -> nn.Module:
    """Build the model without weights, on torch's meta device.

    Raises:
        SubjectError: it has no configuration of a causal language model.
    """
    try:
        config = transformers.AutoConfig.from_pretrained(
            located(name), revision=revision, trust_remote_code=trust_remote_code
        )
        with torch.device("meta"):
            model = transformers.AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, ImportError, KeyError) as error:
        reason = " ".join(str(error).split())[:300]
        raise SubjectError(f"subject {name!r}: no causal language model's configuration there ({reason})") from error
    return model.eval()


def blocks_needed(model: nn.Module, sites: Sequence[Site]) -> int | None:
    """Return how many of its first blocks a model needs to give these sites; None where it needs all, or may."""
    if getattr(getattr(model, "config", None), "model_type", "") not in SHORTENED:
        return None
    try:
        prefix, n_blocks = block_list(model)
    except SiteError:
        return None
    found = [re.match(rf"{re.escape(prefix)}\.(\d+)(?:\.|$)", site.module) for site in sites]
    needed = max((int(match[1]) + 1 for match in found if match), default=n_blocks)
    return needed if all(found) and needed < n_blocks else None


def shorten(settings: Any, n_blocks: int) -> dict[str, Any]:
    """Make a model's settings those of its first blocks; return what was changed, as it was."""
    before = settings.to_dict()
    if getattr(settings, "layer_types", None):
        settings.layer_types = settings.layer_types[:n_blocks]
    settings.num_hidden_layers = n_blocks
    after = settings.to_dict()
    return {key: value for key, value in before.items() if after.get(key) != value}
