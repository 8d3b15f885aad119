"""Settings of training, import-light so that a study file is checked before anything heavy is loaded."""

import itertools
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Architecture = Literal["sae", "transcoder", "skip-transcoder"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One dictionary to train: it reads the input and output of `module`, a module path."""

    module: str
    architecture: Architecture
    n_latents: int
    k: int
    seed: int

    @property
    def name(self) -> str:
        """Folder of its checkpoints: `skip-transcoder_m32768_k32_seed0`."""
        return f"{self.architecture}_m{self.n_latents}_k{self.k}_seed{self.seed}"


class TrainConfig(BaseModel):
    """Settings of training: everything but the subject and the text."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    sites: tuple[str, ...] = Field(min_length=1, description="modules to train on: layers.5.mlp")
    architectures: tuple[Architecture, ...] = Field(
        default=("sae", "transcoder", "skip-transcoder"), min_length=1, description="what is trained at each site"
    )
    latents: tuple[int, ...] = Field(default=(32768,), min_length=1, description="numbers of latents")
    k: tuple[int, ...] = Field(default=(32,), min_length=1, description="active latents per token")
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1, description="seeds of the weights")
    n_tokens: int = Field(default=10_000_000, ge=1, description="tokens every dictionary is trained on")
    epochs: int = Field(default=1, ge=1, description="times the text may be read to reach n_tokens")
    context_length: int = Field(default=256, ge=2, description="tokens of a context, BOS included")
    contexts_per_step: int = Field(default=16, ge=1, description="contexts in one batch")
    optimizer: Literal["adam", "signum"] = Field(
        default="adam", description="adam, or signum: the sign of the gradients' running mean"
    )
    lr: float | None = Field(
        default=None, gt=0, description="peak rate; none: 2e-4 (adam) or 5e-3 (signum) / sqrt(latents / 2^14)"
    )
    warmup_steps: int = Field(default=1000, ge=0, description="steps of rising rate; at most a tenth of all")
    decay_share: float = Field(default=1.0, ge=0, le=1, description="last share of steps, rate falling linearly to 0")
    normalize: bool = Field(
        default=True,
        description="train on activations of unit mean square, so that one rate fits any site; folded back",
    )
    clip: float = Field(default=1.0, gt=0, description="limit of each dictionary's gradient norm")
    autocast: Literal["auto", "bfloat16", "off"] = Field(
        default="auto", description="type of the matrix products: auto is bfloat16 on a GPU, off (float32) on a CPU"
    )
    auxk_weight: float = Field(default=0.0, ge=0, description="weight of AuxK, which revives dead latents; 0 is off")
    multi_topk: bool = Field(default=False, description="add the loss at 4 k, an eighth of it")
    dead_after: int = Field(default=10_000_000, ge=1, description="tokens without firing that make a latent dead")
    batch_seed: int = Field(default=0, description="seed of the order of contexts")
    checkpoint_s: float = Field(default=300, gt=0, description="seconds between checkpoints")
    log_steps: int = Field(default=20, ge=1, description="steps between two lines of the log")
    tensorboard: bool = Field(default=False, description="write the log as TensorBoard events too (its own package)")

    @model_validator(mode="after")
    def _each_arm_once(self) -> "TrainConfig":
        for name in ("sites", "architectures", "latents", "k", "seeds"):
            values: tuple[object, ...] = getattr(self, name)
            if twice := [value for value in values if values.count(value) > 1]:
                raise ValueError(f"{name}: {twice[0]} is there twice; name each once")
        return self

    @model_validator(mode="after")
    def _k_fits(self) -> "TrainConfig":
        if max(self.k) > min(self.latents):
            raise ValueError(
                f"k = {max(self.k)} is more than the {min(self.latents)} latents: lower one or raise the other"
            )
        if min(*self.k, *self.latents) < 1:
            raise ValueError("k and latents must be 1 or more")
        return self

    def arms(self) -> list[Arm]:
        """Every combination of site, architecture, latents, k and seed, in a fixed order."""
        axes = itertools.product(self.sites, self.architectures, self.latents, self.k, self.seeds)
        return [Arm(module=s, architecture=a, n_latents=m, k=k, seed=seed) for s, a, m, k, seed in axes]
