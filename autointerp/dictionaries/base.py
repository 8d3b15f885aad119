"""Settings of a dictionary in a study. Light: torch is not imported here.

The protocol that a checkpoint format keeps is `autointerp.dictionaries.loading.Format`.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Architecture = Literal[
    "sae",
    "transcoder",
    "skip-transcoder",
    "cross-layer-transcoder",
    "random-directions",
    "random-encoder",
    "random-subject",
]
ControlKind = Literal["random_directions", "random_encoder", "random_subject"]


class DictionaryConfig(BaseModel):
    """One dictionary of a study: its source, and settings that its checkpoint lacks or has wrong."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = Field(description="its name in every table", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)
    source: str = Field(
        description="local folder or file; hub `org/repo[@revision][:path in the repository]`; SAELens' `RELEASE/ID`; "
        "or Neuronpedia's `MODEL/LAYER-SET`"
    )
    revision: str | None = Field(default=None, description="branch, tag or commit on the hub")
    control: ControlKind | None = Field(
        default=None,
        description="makes it a control of the dictionary of this study that `source` names then: random_directions "
        "with its firing rates, its random_encoder, or its directions in a random_subject of redrawn weights (at the "
        "cost of a second pass over the corpus and a second model in memory)",
    )
    format: str = Field(
        default="auto", description="checkpoint format, one of `autointerp/dictionaries/formats/`; auto looks"
    )
    site_in: str | None = Field(
        default=None, description="site it reads, where the checkpoint does not say or is wrong"
    )
    site_out: str | None = Field(default=None, description="site it reconstructs, likewise")
    architecture: Architecture | None = Field(
        default=None, description="expected architecture; loading fails if the weights contradict it"
    )
    pre_bias: bool | None = Field(
        default=None, description="is b_dec subtracted from the input? Only for formats that do not record it"
    )
    k: int | None = Field(
        default=None, description="latents per token, where the checkpoint does not record it", gt=0, le=2**31
    )
    activation: Literal["relu"] | None = Field(
        default=None, description="confirms ReLU for a checkpoint that records no activation; for top-k set `k`"
    )
    input_scale: float | None = Field(
        default=None,
        description="factor on activations before encoding that training used and did not save",
        gt=0,
    )
    seed: int = Field(default=-1, ge=-1, lt=2**63, description="training seed; -1 is unknown")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto", description="weights' type; auto as saved"
    )
    accept: bool = Field(
        default=False, description="go on although FVU, L0 or alive share look like a misread checkpoint"
    )
