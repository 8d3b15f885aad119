"""Is a candidate no worse than a baseline? Non-inferiority on latents, at once or in looks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from autointerp.errors import TableError
from autointerp.statistics.base import CHANCE, GateConfig
from autointerp.statistics.intervals import Difference, mean, unpaired
from autointerp.statistics.pairing import join_pairs, same_latents
from autointerp.statistics.planning import z_sum
from autointerp.statistics.populations import usable
from autointerp.statistics.sequential import GroupDesign, gs_design, hsd, median_unbiased, stagewise_p

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
# Correlation of a latent's scores at two checkpoints that a plan assumes before it is measured; .50 was observed on 237
# latents that were explained and judged twice.
ASSUMED_RHO = 0.5
# So many pairs without any difference are a replay of the same judgements, not a sample that happens not to vary.
LEAST_REPLAY = 10
REPLAY_SE = 1e-6
# Z of a p value that underflows.
LARGEST_Z = 37.0


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
        return int(np.ceil(self.design.fractions[self.look] * self.n_planned))

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
    design = gs_design(
        config.looks, alpha=config.alpha, power=config.power,
        efficacy=hsd(config.alpha, config.efficacy_gamma), futility=hsd(1 - config.power, config.futility_gamma),
    )  # fmt: skip
    needed = n_planned or _planned(base, config, design, rho)
    planned = needed if n_available is None else max(1, min(needed, n_available))
    if planned < needed:
        design = replace(design, lower=(*([-LARGEST_Z] * (len(design.lower) - 1)), design.lower[-1]))
    return GateState(
        config=config, design=design, base=base, candidate=base.iloc[:0], n_planned=planned, n_needed=needed,
        calls_per_latent=calls_per_latent,
    )  # fmt: skip


def _planned(base: pd.DataFrame, config: GateConfig, design: GroupDesign, rho: float) -> int:
    largest = 0.0
    for endpoint in config.endpoints:
        rows = usable(base[base["scorer"] == endpoint])
        if rows.empty:
            there = ", ".join(pd.unique(base["scorer"]))
            raise TableError(f"gate: the baseline has no {endpoint} scores; it has: {there or 'none'}")
        largest = max(largest, *(mean(part["score"].to_numpy(float)).sd ** 2 for _, part in rows.groupby("dictionary")))
    n = 2 * largest * (1 - rho) * z_sum("ni", config.alpha, config.power) ** 2 / config.margin**2
    return max(config.looks * 2, int(np.ceil(n * design.inflation)))


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


def worst(decisions: Sequence[Decision]) -> Decision:
    """Return the decision that settles several endpoints, all of which must pass."""
    return min(set(decisions), key=ORDER.index) if decisions else "INVALID"


def _endpoint(state: GateState, name: str, endpoint: str) -> dict[str, object]:
    """Test one endpoint at the current look."""
    n_wanted, k = state.wanted, state.look
    sides = [_arm(side, name, endpoint) for side in (state.base, state.candidate)]
    difference, n, rho, design = difference_of(sides[0], sides[1], n_wanted)
    p = difference.p_not_inferior(state.config.margin)
    z = float(np.clip(stats.norm.isf(p), -LARGEST_Z, LARGEST_Z))
    upper, lower = state.design.upper[k], state.design.lower[k]
    decision: Decision = "PASS" if z >= upper else "INCONCLUSIVE"
    last = k + 1 >= len(state.design.fractions)
    if decision != "PASS" and (z <= lower or last):
        decision = "INCONCLUSIVE" if state.n_planned < state.n_needed else "FAIL_futility"
    if decision != "PASS" and (difference.value + state.config.margin) / difference.se < -upper:
        decision = "FAIL_inferior"
    reach = float(stats.t.isf(stats.norm.sf(upper), difference.df)) * difference.se
    root = float(np.sqrt(state.design.fractions[k]))
    unbiased = median_unbiased(state.design, k, float(np.clip(z, -8, 8))) * difference.se * root - state.config.margin
    calls = round(n * state.calls_per_latent)
    values = (
        name, endpoint, k + 1, n, state.n_planned, state.design.fractions[k], design, difference.value, unbiased,
        difference.se, difference.df, z, upper, lower, stagewise_p(state.design, k, z), difference.value - reach,
        state.config.margin, rho, calls, max(0, round((state.n_planned - n) * state.calls_per_latent)), decision,
        explain(decision, endpoint, difference, state.config.margin),
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def _arm(side: pd.DataFrame, name: str, endpoint: str) -> pd.DataFrame:
    rows = usable(side[(side["dictionary"] == name) & (side["scorer"] == endpoint)])
    if rows.empty:
        there = ", ".join(map(str, pd.unique(side["dictionary"])))
        raise TableError(f"gate: {name} has no {endpoint} scores; dictionaries with scores: {there or 'none'}")
    return rows


def explain(decision: Decision, endpoint: str, difference: Difference, margin: float, *, last: bool = True) -> str:
    """Say in words what a decision about one score means."""
    words: dict[Decision, str] = {
        "PASS": "not worse by the margin",
        "FAIL_inferior": "worse than the margin allows",
        "FAIL_futility": "not shown to be within the margin, and more latents would hardly show it",
        "INCONCLUSIVE": "the data cannot tell: judge more latents" if last else "undecided so far",
        "INVALID": "not to be read",
    }
    return f"{endpoint} {difference.value:+.3f} (margin -{margin:g}): {words[decision]}"


def difference_of(
    base: pd.DataFrame, candidate: pd.DataFrame, n: int | None = None
) -> tuple[Difference, int, float, Literal["paired", "unpaired"]]:
    """Return candidate minus baseline over eligible latents, the number of latents, the correlation and the design.

    Paired on the latent's index where both dictionaries are of one training run (equal architecture and site) and share
    their sampled latents, in the baseline's look order; otherwise Welch's difference of independent samples.
    """
    both = join_pairs(base, candidate)
    if both is not None:
        kept = both.sort_values("look_order_a").head(n) if n else both
        d = (kept["score_b"] - kept["score_a"]).to_numpy(float)
        if len(d) >= LEAST_REPLAY and not d.any():
            return Difference(value=0.0, se=REPLAY_SE, df=float(len(d) - 1)), len(d), 1.0, "paired"
        inner = mean(d, 1 / kept["inclusion_probability_a"].to_numpy(float))
        varies = kept["score_a"].nunique() > 1 and kept["score_b"].nunique() > 1
        rho = float(np.corrcoef(kept["score_a"], kept["score_b"])[0, 1]) if varies and len(kept) > 2 else 0.0
        return Difference(value=inner.value, se=inner.se, df=inner.df), len(kept), rho, "paired"
    sides = [side.sort_values("look_order").head(n) if n else side for side in (base, candidate)]
    means = [mean(side["score"].to_numpy(float), 1 / side["inclusion_probability"].to_numpy(float)) for side in sides]
    return unpaired(means[0], means[1]), min(len(side) for side in sides), 0.0, "unpaired"


def with_lost(base: pd.DataFrame, candidate: pd.DataFrame, latents: pd.DataFrame) -> pd.DataFrame:
    """Add baseline latents that are no longer eligible in the candidate, scored chance: dying must not hide a loss.

    Only where the two are checkpoints of one training run, as the firing rates of their latents tell.

    Args:
        base: baseline's scores.
        candidate: candidate's scores.
        latents: the candidate's latents table.
    """
    rates = base.merge(latents, on=["dictionary", "latent"], suffixes=("_a", "_b"))
    key = ["dictionary", "latent", "scorer", "control"]
    related = [
        name for name, part in rates.groupby("dictionary", sort=False, observed=True)
        if same_latents(part["firing_rate_token_a"], part["firing_rate_token_b"])
    ]  # fmt: skip
    gone = latents.loc[
        ~latents["eligible"].to_numpy(bool) & latents["dictionary"].isin(related), ["dictionary", "latent"]
    ]
    lost = base.merge(gone, on=["dictionary", "latent"])
    lost = lost[~pd.MultiIndex.from_frame(lost[key]).isin(pd.MultiIndex.from_frame(candidate[key]))]
    chance = lost.get("chance", CHANCE)
    lost = lost.assign(score=chance, score_low=chance, score_high=chance, noise_variance=0.0, n_items=0, n_unanswered=0)
    return pd.concat([candidate, lost[candidate.columns.intersection(lost.columns)]], ignore_index=True)


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
            found.append(difference_of(usable(mine), usable(theirs))[2])
    return min(max(0.0, min(found, default=0.0)), 0.999)


def _fixed(base: pd.DataFrame, candidate: pd.DataFrame, config: GateConfig, calls_per_latent: float) -> GateResult:
    rows = []
    critical = float(stats.norm.isf(config.alpha))
    for name in pd.unique(base["dictionary"]):
        for endpoint in config.endpoints:
            first, second = (_arm(side, str(name), endpoint) for side in (base, candidate))
            difference, n, rho, design = difference_of(first, second)
            p = difference.p_not_inferior(config.margin)
            z = float(np.clip(stats.norm.isf(p), -LARGEST_Z, LARGEST_Z))
            decision: Decision = (
                "PASS" if p < config.alpha else "FAIL_inferior" if p > 1 - config.alpha else "INCONCLUSIVE"
            )
            reach = float(stats.t.isf(config.alpha, difference.df)) * difference.se
            values = (
                str(name), endpoint, 1, n, n, 1.0, design, difference.value, difference.value, difference.se,
                difference.df, z, critical, -critical, p, difference.value - reach, config.margin, rho,
                round(n * calls_per_latent), 0, decision, explain(decision, endpoint, difference, config.margin),
            )  # fmt: skip
            rows.append(dict(zip(COLUMNS, values, strict=True)))
    return GateResult(decision=worst([row["decision"] for row in rows]), endpoints=pd.DataFrame(rows, columns=COLUMNS))
