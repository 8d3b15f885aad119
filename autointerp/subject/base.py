"""The subject model as other stages see it: its settings, and the two things that can be done with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from autointerp.records import Site

if TYPE_CHECKING:
    import torch

# What the package ships for `autointerp score` without arguments.
EMBEDDED = Path(__file__).parent.parent / "_default"


def located(text: str) -> str:
    """Return the path of a model or dictionary: `embedded/...` is in the package, anything else is unchanged."""
    head, _, rest = text.partition("/")
    return str(EMBEDDED / rest) if head == "embedded" else text


class SubjectConfig(BaseModel):
    """Settings of the model under study."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(description="a Hugging Face causal language model: a local folder or a hub id")
    revision: str | None = Field(default=None, description="branch, tag or commit on the hub")
    tokenizer: str | None = Field(default=None, description="folder or hub id of the tokenizer, if not the model's own")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto", description="auto: the checkpoint's own on a GPU, float32 on a CPU"
    )
    device: str = Field(default="auto", description="auto (a GPU if there is one), cpu, cuda, cuda:1, ...")
    attention: Literal["auto", "sdpa", "eager", "flash_attention_2"] = Field(
        default="auto", description="attention implementation; auto: sdpa where the model has it"
    )
    trust_remote_code: bool = Field(default=False, description="run model code that comes with the checkpoint")


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """The subject's predictions in one run, compared with its unmodified predictions.

    Attributes:
        ce: [batch, sequence - 1] cross-entropy (nats, float32) of each next token, NaN where that token is padding.
        kl: [batch, sequence - 1] KL(untouched || this run) of each next token's distribution in nats, NaN there too.
    """

    ce: torch.Tensor
    kl: torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanRun:
    """An untouched run over a batch.

    Attributes:
        ids: [batch, sequence] token ids.
        attention_mask: [batch, sequence], 1 for tokens and 0 for padding; None where nothing is padded.
        activations: [batch, sequence, d] of each site, in forward order.
        hidden: [batch, sequence, d] last hidden states.
        outputs: output of a block, as the model's own code received it, by the number of the block after it.
    """

    ids: torch.Tensor
    attention_mask: torch.Tensor | None
    activations: Mapping[Site, torch.Tensor]
    hidden: torch.Tensor
    outputs: Mapping[int, Any]


class Subject(Protocol):
    """A causal language model with readable activations at sites."""

    model: Any
    tokenizer: Any
    device: torch.device
    dtype: torch.dtype
    fingerprint: str

    def widths(self, sites: Sequence[Site]) -> dict[Site, int]:
        """Return the width of the activation at each site."""
        ...

    def capture(
        self, ids: torch.Tensor, attention_mask: torch.Tensor | None, sites: Sequence[Site]
    ) -> dict[Site, torch.Tensor]:
        """Return the activations [batch, sequence, d] at each site; nothing after the last site is computed."""
        ...
