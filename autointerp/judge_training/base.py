"""Settings of the judge's training, import-light so that they are checked before anything heavy is loaded."""

from pydantic import BaseModel, ConfigDict, Field


class JudgeTrainingConfig(BaseModel):
    """Settings of training a cross-encoder judge."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    steps: int = Field(default=3000, ge=1, description="optimiser steps")
    rules_per_step: int = Field(default=8, ge=1, description="rules of one batch")
    contexts_per_rule: int = Field(default=4, ge=2, description="contexts of each, about half of them activating")
    layers: int = Field(default=3, ge=1, description="layers of the encoder that are kept, the first ones")
    lr: float = Field(default=3e-4, gt=0, description="peak learning rate of AdamW")
    warmup_share: float = Field(default=0.05, ge=0, lt=1, description="share of steps with a rising rate")
    n_windows: int = Field(default=20_000, ge=100, description="most windows cut from each corpus")
    min_words: int = Field(default=8, ge=2, description="words of the shortest window")
    max_words: int = Field(default=24, ge=2, description="words of the longest window")
    seed: int = Field(default=0, ge=0, description="of weights, windows and rules")
    checkpoint_s: float = Field(default=120, gt=0, description="seconds between checkpoints")
    held_out_rules: int = Field(default=480, ge=1, description="rules the finished judge is measured on")
