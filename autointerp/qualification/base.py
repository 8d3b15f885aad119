"""Settings and results of a qualification. Light."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Mode = Literal["stop", "warn", "off", "auto"]
Verdict = Literal["passed", "failed", "undecided", "not checked"]


class QualifyConfig(BaseModel):
    """Whether explainer and judge must show on planted rules that they can do their work; `qualify: warn` for short."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    mode: Mode = Field(
        default="stop",
        description="stop below a limit; warn and go on; off; auto: stop, and choose the judge's prompt form",
    )
    judge_limit: float = Field(
        default=0.6, ge=-1, le=1, description="least sensitivity + specificity - 1 with true explanations"
    )
    explainer_limit: float = Field(
        default=0.3, ge=-1, le=1, description="least sensitivity + specificity - 1 with the explainer's explanations"
    )
    n_rules: int = Field(default=32, ge=4, description="most planted rules that are judged")
    n_explained: int = Field(default=12, ge=4, description="planted rules that are explained")
    n_contexts: int = Field(default=5, ge=2, description="activating, and silent, contexts judged per rule")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: object) -> object:
        # YAML reads a bare `off` as False.
        if isinstance(value, str | bool):
            return {"mode": "off" if value is False else value}
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One judged context of a planted rule.

    `words` says whose explanation was judged: `true`, or the explainer's `own`. `reply` is the reply's text.
    """

    scorer: str
    words: Literal["true", "own"]
    rule: int
    grade: str
    question: str
    position: int
    n_shown: int
    truth: bool
    yes: bool | None
    probability: float | None
    reply: str
    few_shot: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityRow:
    """How well the judge answered, over one scorer, explanation source and grade (`all`: every grade).

    `informedness` is sensitivity + specificity - 1 (0 at chance) with its interval; `calibration_error` the mean
    absolute gap between P(yes) and the share of true contexts over ten equal bins; `constant_lists` the share of
    prompts with several contexts of both classes that got one and the same answer for all; `position_effect` the
    largest difference between two positions in mean (answer - truth). None where nothing can be computed.
    """

    scorer: str
    words: str
    grade: str
    n_rules: int
    n: int
    sensitivity: float | None
    specificity: float | None
    informedness: float | None
    low: float | None
    high: float | None
    auroc: float | None
    calibration_error: float | None
    yes_share: float | None
    constant_lists: float | None
    position_effect: float | None
    unreadable: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Qualification:
    """Result of a qualification.

    Attributes:
        judge: verdict on the judge.
        explainer: verdict on the explainer.
        causes: what was wrong, a sentence each.
        advice: what to do about it.
        rows: quality by scorer, source of explanations and grade.
        explanations: one entry per explained rule: rule, grade, text, status, flags.
        usage: calls, tokens and seconds by role.
        form: the judge's prompt form, where `auto` chose one.
    """

    judge: Verdict = "not checked"
    explainer: Verdict = "not checked"
    causes: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()
    rows: tuple[QualityRow, ...] = ()
    explanations: tuple[Mapping[str, Any], ...] = ()
    usage: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    form: str = ""

    @property
    def failed(self) -> bool:
        """Whether explainer or judge is below its limit."""
        return "failed" in (self.judge, self.explainer)
