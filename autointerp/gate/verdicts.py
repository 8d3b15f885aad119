"""What a gate can decide, the exit code of each decision, and the rows that say why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from autointerp.statistics.intervals import Difference

Decision = Literal["PASS", "FAIL_inferior", "FAIL_futility", "INCONCLUSIVE", "INVALID"]
EXIT_CODES: Mapping[Decision, int] = {
    "PASS": 0,
    "FAIL_inferior": 1,
    "FAIL_futility": 1,
    "INCONCLUSIVE": 2,
    "INVALID": 3,
}
# The worst decision of several endpoints is the gate's.
ORDER: tuple[Decision, ...] = ("INVALID", "FAIL_inferior", "FAIL_futility", "INCONCLUSIVE", "PASS")
COLUMNS = [
    "dictionary", "endpoint", "look", "n", "n_planned", "info_frac", "design", "diff", "diff_unbiased", "se", "df", "z",
    "z_upper", "z_lower", "p_adj", "lcb", "margin", "rho", "llm_calls", "llm_calls_saved", "decision", "reason",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """The decision with its endpoints, one row per endpoint and look, and what speaks for it."""

    decision: Decision
    endpoints: pd.DataFrame
    reasons: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """PASS 0, FAIL 1, INCONCLUSIVE 2, INVALID 3."""
        return EXIT_CODES[self.decision]


def worst(decisions: Sequence[Decision]) -> Decision:
    """Return the decision that settles several endpoints, all of which must pass."""
    return min(set(decisions), key=ORDER.index) if decisions else "INVALID"


def explain(decision: Decision, endpoint: str, difference: Difference, margin: float, *, replay: bool = False) -> str:
    """Say in words what a decision about one score means."""
    words: dict[Decision, str] = {
        "PASS": "the same dictionary with the same scores" if replay else "not worse by the margin",
        "FAIL_inferior": "worse than the margin allows",
        "FAIL_futility": "not shown to be within the margin, and more latents would hardly show it",
        "INCONCLUSIVE": "the data cannot tell: judge more latents",
        "INVALID": "not to be read",
    }
    return f"{endpoint} {difference.value:+.3f} (margin -{margin:g}): {words[decision]}"
