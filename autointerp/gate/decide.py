"""Is a candidate no worse than a baseline? Non-inferiority on latents, at once or in looks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial

import numpy as np
import pandas as pd
from scipy import stats

from autointerp.errors import TableError
from autointerp.gate.verdicts import COLUMNS, Decision, GateResult, explain, worst
from autointerp.statistics.base import GateConfig
from autointerp.statistics.intervals import mean
from autointerp.statistics.pairing import Contrast, difference_of
from autointerp.statistics.planning import z_sum
from autointerp.statistics.populations import usable
from autointerp.statistics.sequential import GroupDesign, gs_design, hsd, median_unbiased, stagewise_p

# Correlation of a latent's scores at two checkpoints that a plan assumes before it is measured; .50 was observed on 237
# latents that were explained and judged twice.
ASSUMED_RHO = 0.5
# Fewer latents are no look of their own, and never enough to call more of them futile: how many would be needed is read
# from their own spread. The last look may hold fewer; its t quantiles keep the error rate (`test_gate_errors`).
LEAST_LATENTS = 20
# Z of a p value that underflows.
LARGEST_Z = 37.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GateState:
    """A gate under way; the next look needs `wanted` latents per dictionary, in look order (0 once decided).

    `n_needed` is what the wished power takes, `n_planned` the last look: fewer where the baseline has no more. Then
    nothing is called futile, and a gate that never crosses a bound ends INCONCLUSIVE.
    """

    config: GateConfig
    design: GroupDesign
    base: pd.DataFrame
    candidate: pd.DataFrame
    n_planned: int
    n_needed: int
    calls_per_latent: float
    look: int = 0
    rows: tuple[dict[str, object], ...] = ()
    decisions: Mapping[tuple[str, str], Decision] = field(default_factory=dict)
    decision: Decision | None = None

    @property
    def wanted(self) -> int:
        """Latents per dictionary that the next look needs."""
        if self.decision is not None:
            return 0
        return _n_at(self.design.fractions[self.look], self.n_planned)

    @property
    def undecided(self) -> tuple[str, ...]:
        """Dictionaries of which some endpoint has not passed: only they need more latents."""
        if self.decision is not None:
            return ()
        names = [str(name) for name in pd.unique(self.base["dictionary"])]
        return tuple(
            name for name in names
            if any(self.decisions.get((name, endpoint)) != "PASS" for endpoint in self.config.endpoints)
        )  # fmt: skip

    @property
    def n_asked(self) -> Mapping[str, int]:
        """Latents of each dictionary that have been handed over."""
        n = self.candidate.groupby("dictionary", observed=True)["latent"].nunique()
        return {str(name): int(n.get(name, 0)) for name in pd.unique(self.base["dictionary"])}

    @property
    def calls_saved(self) -> int:
        """Calls that stopping early has saved, over all dictionaries; 0 while undecided."""
        if self.decision is None:
            return 0
        return round(sum(max(0, self.n_planned - n) for n in self.n_asked.values()) * self.calls_per_latent)

    def result(self, reasons: Sequence[str] = ()) -> GateResult:
        """Return the decision so far; INCONCLUSIVE while none has been reached."""
        table = pd.DataFrame(list(self.rows), columns=COLUMNS)
        return GateResult(decision=self.decision or "INCONCLUSIVE", endpoints=table, reasons=tuple(reasons))


def gate_start(
    base: pd.DataFrame,
    *,
    config: GateConfig | None = None,
    n_planned: int | None = None,
    rho: float = ASSUMED_RHO,
    calls_per_latent: float = 0.0,
    n_available: int | None = None,
) -> GateState:
    """Lay down a gate before the candidate is judged.

    Args:
        base: baseline's `latent_scores` (control none), all dictionaries and endpoints.
        config: margin, errors, looks, endpoints.
        n_planned: latents per dictionary at the last look; else from the baseline's variance, `rho` and the power.
        rho: assumed correlation of a latent's scores at two checkpoints; 0 plans an unpaired design.
        calls_per_latent: calls an explained and judged latent costs, for the account of what was saved.
        n_available: latents per dictionary that could be judged at most; more are never planned.

    Raises:
        TableError: an endpoint was not scored in the baseline.
    """
    config = GateConfig() if config is None else config
    needed = n_planned or _planned(base, config, _design(config, None), rho)
    planned = needed if n_available is None else max(1, min(needed, n_available))
    design = _design(config, planned)
    if planned < needed:
        design = replace(design, lower=(*([-LARGEST_Z] * (len(design.lower) - 1)), design.lower[-1]))
    return GateState(
        config=config, design=design, base=base, candidate=base.iloc[:0], n_planned=planned, n_needed=needed,
        calls_per_latent=calls_per_latent,
    )  # fmt: skip


def _design(config: GateConfig, n_planned: int | None) -> GroupDesign:
    """Space the looks evenly, without those that would hold fewer than `LEAST_LATENTS` of the planned latents."""
    times = [(k + 1) / config.looks for k in range(config.looks)]
    if n_planned is not None:
        times = [t for t in times[:-1] if _n_at(t, n_planned) >= LEAST_LATENTS] + times[-1:]
    return _bounds(tuple(times), config.alpha, config.power, config.efficacy_gamma, config.futility_gamma)


@lru_cache(maxsize=64)
def _bounds(times: tuple[float, ...], alpha: float, power: float, efficacy: float, futility: float) -> GroupDesign:
    return gs_design(
        len(times), alpha=alpha, power=power, efficacy=hsd(alpha, efficacy), futility=hsd(1 - power, futility),
        fractions=times,
    )  # fmt: skip


def _n_at(fraction: float, n_planned: int) -> int:
    """Latents at an information fraction; a sum of fractions that is a hair above a whole number is that number."""
    return int(np.ceil(fraction * n_planned - 1e-9))


def _planned(base: pd.DataFrame, config: GateConfig, design: GroupDesign, rho: float) -> int:
    largest = 0.0
    for endpoint in config.endpoints:
        rows = usable(base[base["scorer"] == endpoint])
        if rows.empty:
            there = ", ".join(pd.unique(base["scorer"]))
            raise TableError(f"gate: the baseline has no {endpoint} scores; it has: {there or 'none'}")
        largest = max(largest, *(mean(part["score"].to_numpy(float)).sd ** 2 for _, part in rows.groupby("dictionary")))
    n = 2 * largest * (1 - rho) * z_sum("ni", config.alpha, config.power) ** 2 / config.margin**2
    return max(LEAST_LATENTS, int(np.ceil(n * design.inflation)))


def gate_step(state: GateState, new_scores: pd.DataFrame, *, complete: bool = False) -> GateState:
    """Take the candidate's newly scored latents and look once more, if there are enough of them.

    Args:
        state: from `gate_start` or an earlier step.
        new_scores: `latent_scores` (control none) of candidate latents that earlier steps have not had.
        complete: all that this look wanted were asked, though some may have no score: look now.

    Returns:
        The next state: decided (`decision`), or asking for `wanted` latents per dictionary.

    Raises:
        TableError: a latent comes twice, or a dictionary of the baseline has no scores.
    """
    if state.decision is not None:
        return state
    candidate = pd.concat([state.candidate, new_scores], ignore_index=True) if len(state.candidate) else new_scores
    if candidate.duplicated(["dictionary", "latent", "scorer", "control"]).any():
        raise TableError("gate: a candidate latent was handed over twice; hand only new ones to each step")
    state = replace(state, candidate=candidate)
    return _look(state) if complete or _n_ready(state) >= state.wanted else state


def _n_ready(state: GateState) -> int:
    """Count the candidate latents of the undecided dictionary and endpoint that has fewest, answered or not."""
    counts = state.candidate.groupby(["dictionary", "scorer"], observed=True).size()
    return min(
        (int(counts.get((name, endpoint), 0)) for name in state.undecided for endpoint in state.config.endpoints),
        default=0,
    )


def _look(state: GateState) -> GateState:
    """Test every endpoint of every dictionary that has not passed yet."""
    decisions, rows = dict(state.decisions), list(state.rows)
    for name in pd.unique(state.base["dictionary"]):
        for endpoint in state.config.endpoints:
            if decisions.get((str(name), endpoint)) == "PASS":
                continue
            row = _endpoint(state, str(name), endpoint)
            rows.append(row)
            decisions[str(name), endpoint] = row["decision"]  # type: ignore[assignment]
    found = worst(list(decisions.values()))
    last = state.look + 1 >= len(state.design.fractions)
    final = found if found != "INCONCLUSIVE" or last else None
    return replace(
        state,
        rows=tuple(rows),
        decisions=decisions,
        decision=final,
        look=state.look if final or last else state.look + 1,
    )


def _endpoint(state: GateState, name: str, endpoint: str) -> dict[str, object]:
    """Test one endpoint at the current look."""
    k, margin = state.look, state.config.margin
    sides = [_arm(side, name, endpoint) for side in (state.base, state.candidate)]
    found = difference_of(sides[0], sides[1], state.wanted)
    difference, n = found.difference, found.n
    z = _z(difference.p_not_inferior(margin))
    upper, lower = state.design.upper[k], state.design.lower[k]
    decision = _decide(state, found, z)
    reach = float(stats.t.isf(stats.norm.sf(upper), difference.df)) * difference.se
    root = float(np.sqrt(state.design.fractions[k]))
    unbiased = median_unbiased(state.design, k, float(np.clip(z, -8, 8))) * difference.se * root - margin
    calls = round(n * state.calls_per_latent)
    values = (
        name, endpoint, k + 1, n, state.n_planned, state.design.fractions[k], found.design, difference.value, unbiased,
        difference.se, difference.df, z, upper, lower, stagewise_p(state.design, k, z), difference.value - reach,
        margin, found.rho, calls, max(0, round((state.n_planned - n) * state.calls_per_latent)), decision,
        explain(decision, endpoint, difference, margin, replay=found.replay),
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def _z(p: float) -> float:
    """Put a p value of Student's t on the scale of the bounds."""
    return float(np.clip(stats.norm.isf(p), -LARGEST_Z, LARGEST_Z))


def _decide(state: GateState, found: Contrast, z: float) -> Decision:
    """Hold Z against the bounds of the current look.

    Futility says that the plan's latents would hardly pass it; that needs a spread to plan by, enough latents to know
    it, and a plan of the wished power.
    """
    upper, lower = state.design.upper[state.look], state.design.lower[state.look]
    if z >= upper:
        return "PASS"
    if z <= -upper:
        return "FAIL_inferior"
    stopped = z <= lower or state.look + 1 >= len(state.design.fractions)
    known = found.n >= LEAST_LATENTS and not found.constant and state.n_planned >= state.n_needed
    return "FAIL_futility" if stopped and known else "INCONCLUSIVE"


def _arm(side: pd.DataFrame, name: str, endpoint: str) -> pd.DataFrame:
    rows = usable(side[(side["dictionary"] == name) & (side["scorer"] == endpoint)])
    if rows.empty:
        there = ", ".join(map(str, pd.unique(side["dictionary"])))
        raise TableError(f"gate: {name} has no {endpoint} scores; dictionaries with scores: {there or 'none'}")
    return rows


def gate(
    base: pd.DataFrame,
    candidate: pd.DataFrame,
    *,
    config: GateConfig | None = None,
    n_planned: int | None = None,
    calls_per_latent: float = 0.0,
) -> GateResult:
    """Test two finished sets of scores for non-inferiority of the candidate, endpoint by endpoint.

    Latents are taken in look order, and the gate stops as it would have done had it asked for them. With `looks = 1`
    all are tested at once, which is more powerful where nobody looked before: PASS where the one-sided interval
    excludes a loss of the margin, FAIL where it excludes anything better than that loss, INCONCLUSIVE between.

    Args:
        base: baseline's `latent_scores` (control none).
        candidate: candidate's, of the same dictionaries.
        config: margin, errors, looks, endpoints.
        n_planned: latents per dictionary at the last look; else all that are there.
        calls_per_latent: calls a latent costs, for the account of what stopping early saves.
    """
    config = GateConfig() if config is None else config
    if config.looks == 1:
        return _fixed(base, candidate, config, calls_per_latent)
    fewest = min(
        len(_arm(side, str(name), endpoint))
        for side in (base, candidate) for name in pd.unique(base["dictionary"]) for endpoint in config.endpoints
    )  # fmt: skip
    start = partial(gate_start, base, config=config, calls_per_latent=calls_per_latent)
    state = start(n_planned=n_planned, rho=_rho(base, candidate), n_available=fewest)
    if n_planned is None and state.n_needed < fewest:  # all that is there is used
        state = start(n_planned=fewest)
    state = gate_step(state, candidate, complete=True)
    while state.decision is None:
        state = _look(state)
    return state.result(shortage(state))


def shortage(state: GateState) -> tuple[str, ...]:
    """Say that the baseline has fewer latents than the wished power takes, where it has."""
    if state.n_planned >= state.n_needed:
        return ()
    return (
        f"a power of {state.config.power:g} at margin {state.config.margin:g} takes {state.n_needed:,} latents per "
        f"dictionary; there are {state.n_planned:,}",
    )


def _rho(base: pd.DataFrame, candidate: pd.DataFrame) -> float:
    """Correlation of scores at the two checkpoints, the least over dictionaries and scorers; 0 where unpaired."""
    found = []
    for key, mine in base.groupby(["dictionary", "scorer"], sort=False, observed=True):
        theirs = candidate[(candidate["dictionary"] == key[0]) & (candidate["scorer"] == key[1])]  # type: ignore[index]
        if not theirs.empty and not usable(mine).empty and not usable(theirs).empty:
            found.append(difference_of(usable(mine), usable(theirs)).rho)
    return min(max(0.0, min(found, default=0.0)), 0.999)


def _fixed(base: pd.DataFrame, candidate: pd.DataFrame, config: GateConfig, calls_per_latent: float) -> GateResult:
    rows = []
    critical = float(stats.norm.isf(config.alpha))
    for name in pd.unique(base["dictionary"]):
        for endpoint in config.endpoints:
            first, second = (_arm(side, str(name), endpoint) for side in (base, candidate))
            found = difference_of(first, second)
            difference, n = found.difference, found.n
            p = difference.p_not_inferior(config.margin)
            decision: Decision = (
                "PASS" if p < config.alpha else "FAIL_inferior" if p > 1 - config.alpha else "INCONCLUSIVE"
            )
            reach = float(stats.t.isf(config.alpha, difference.df)) * difference.se
            values = (
                str(name), endpoint, 1, n, n, 1.0, found.design, difference.value, difference.value, difference.se,
                difference.df, _z(p), critical, -critical, p, difference.value - reach, config.margin, found.rho,
                round(n * calls_per_latent), 0, decision,
                explain(decision, endpoint, difference, config.margin, replay=found.replay),
            )  # fmt: skip
            rows.append(dict(zip(COLUMNS, values, strict=True)))
    return GateResult(decision=worst([row["decision"] for row in rows]), endpoints=pd.DataFrame(rows, columns=COLUMNS))
