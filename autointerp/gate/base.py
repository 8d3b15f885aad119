"""Settings of a gate, its decisions with their exit codes, and the table of its looks. Imports nothing heavy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from autointerp.errors import StudyError, TableError
from autointerp.statistics.base import Limits

if TYPE_CHECKING:
    import pandas as pd

Decision = Literal["PASS", "FAIL", "INCONCLUSIVE", "INVALID"]
EXIT_CODES: Mapping[Decision, int] = {"PASS": 0, "FAIL": 1, "INCONCLUSIVE": 2, "INVALID": 3}
# A gate with endpoints of several decisions has the first of these.
ORDER: tuple[Decision, ...] = ("INVALID", "FAIL", "INCONCLUSIVE", "PASS")
DEFAULT_ENDPOINTS = ("detection", "fuzzing")


class GateConfig(BaseModel):
    """When a candidate may replace a baseline. The error rates and the power are those of the whole gate."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    margin: float = Field(default=0.02, gt=0, lt=0.5, description="loss of score that still counts as not worse")
    alpha: float = Field(
        default=0.05,
        gt=0,
        lt=0.5,
        description="chance of PASS when an endpoint is worse by the margin, and of FAIL when nothing changed",
    )
    power: float = Field(default=0.9, gt=0.5, lt=1, description="chance of PASS when nothing changed")
    looks: int = Field(default=5, ge=1, le=20, description="times at which the gate may stop")
    spending_gamma: float = Field(
        default=1.0, ge=-20, le=20, description="Hwang-Shih-DeCani parameter: how early alpha is spent"
    )
    endpoints: tuple[str, ...] = Field(default=DEFAULT_ENDPOINTS, min_length=1, description="scorers that must pass")
    limits: Limits = Field(default=Limits(), description="bounds on controls, dead latents and cross-entropy")


def settings(scorers: Sequence[str], endpoints: Sequence[str] | None = None, **values: object) -> GateConfig:
    """Build a gate's settings; without `endpoints`, detection and fuzzing as far as the baseline scored them.

    Args:
        scorers: the baseline's scorers.
        endpoints: scorers that must pass.
        values: other fields of `GateConfig`.

    Raises:
        TableError: an endpoint was not scored.
        StudyError: a value outside its range.
    """
    chosen = tuple(endpoints) if endpoints else tuple(name for name in DEFAULT_ENDPOINTS if name in scorers)
    missing = [name for name in chosen if name not in scorers]
    if missing or not chosen:
        raise TableError(
            f"gate: the baseline has no scores of {', '.join(missing or DEFAULT_ENDPOINTS)}; it has scores of "
            f"{', '.join(dict.fromkeys(scorers)) or 'nothing'}"
        )
    try:
        return GateConfig.model_validate({"endpoints": chosen, **values})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise StudyError(f"gate: {name}: {first['msg']}; you gave {first['input']!r}") from error


class Cell(NamedTuple):
    """One test of the gate: a scorer's scores of one dictionary."""

    dictionary: str
    endpoint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One endpoint at one look; `gate.parquet` has these columns.

    An endpoint passes where its lower confidence bound (one-sided, `alpha` over all looks) lies above `-margin`. It
    fails where it does not pass and its upper bound (one-sided, `alpha` over all looks and all endpoints) lies below 0.
    `z` is (diff + margin) / se on the normal scale; it passes from `z_upper` and fails up to `z_lower`. For dead
    latents and cross-entropy, where more is worse, `diff` is baseline minus candidate.
    """

    dictionary: str
    endpoint: str
    look: int
    n: int  # latents tested at this look (documents or windows of an endpoint without an LLM)
    n_planned: int  # latents needed for the requested power, by the variance at this look
    info_frac: float  # information at this look / planned information
    design: str  # paired | unpaired | documents | windows | intervals
    diff: float  # candidate minus baseline, of the n latents
    se: float
    df: float
    z: float
    z_upper: float
    z_lower: float
    lower: float  # confidence bounds of the difference that decide, adjusted for looks
    upper: float
    margin: float
    rho: float  # correlation of the scores of one latent at both checkpoints
    n_more: int  # further latents that would decide at this difference; 0 where decided or unknown
    decision: Decision
    n_judged: int = 0  # all latents judged when the gate ended
    diff_judged: float = 0.0  # difference over all of these
    low_judged: float = 0.0  # its 95 % interval
    high_judged: float = 0.0
    llm_calls: int = 0
    llm_calls_saved: int = 0  # against judging all of the baseline's latents

    @property
    def has_looks(self) -> bool:
        """Whether this is a score's row, not one of dead latents or cross-entropy."""
        return self.design in {"paired", "unpaired"}


COLUMNS = [one.name for one in fields(Row)]


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """The decision, one row per endpoint and look, and notes on both."""

    decision: Decision
    rows: tuple[Row, ...] = ()
    reasons: tuple[str, ...] = field(default=())

    @property
    def exit_code(self) -> int:
        """PASS 0, FAIL 1, INCONCLUSIVE 2, INVALID 3."""
        return EXIT_CODES[self.decision]

    @property
    def last(self) -> list[Row]:
        """Each endpoint's last look."""
        return list({(row.dictionary, row.endpoint): row for row in self.rows}.values())

    @property
    def endpoints(self) -> "pd.DataFrame":
        """One row per endpoint and look, columns of `Row`."""
        import pandas as pd

        return pd.DataFrame([[getattr(row, name) for name in COLUMNS] for row in self.rows], columns=COLUMNS)


def worst(decisions: Sequence[Decision]) -> Decision:
    """Combine the endpoints' decisions into the gate's: all endpoints must pass."""
    return min(decisions, key=ORDER.index) if decisions else "INVALID"
