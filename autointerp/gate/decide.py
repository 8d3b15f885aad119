"""Is a candidate no worse than a baseline? Non-inferiority on latents, in looks, with error rates of the whole gate.

`looks` is a generator: it asks for the next look's latents of each dictionary, receives the differences of their
scores, and returns the rows of its tests. It never reads a table, so finished runs (`gate.offline`), an experiment
under way (`experiment.gated`) and a simulation drive the same rules:

* PASS: in every dictionary, at one look, the lower bound of every endpoint lies above -margin. All endpoints must pass,
  so each bound is one-sided at `alpha` over all looks, and P(PASS) <= alpha if any endpoint is worse by the margin.
* FAIL: some endpoint does not pass, and its upper bound lies below 0. That bound is one-sided at
  RESERVE * alpha / tests over all looks (Bonferroni), so P(FAIL) <= alpha if no endpoint is worse.
* INCONCLUSIVE: neither, at the last look or when the latents that are left would hardly decide.

Sample sizes follow information: the first look estimates the variance of the differences (it contains the correlation
with the baseline, judging noise and the design effect of the sampling weights) and the correlation of the endpoints;
each further look holds as many latents as its share of the planned information takes. Alpha is spent by the information
that was reached, so a wrong estimate costs power, not error rate.

Source:
    Lan and DeMets (1983), spending; Mehta and Tsiatis (2001), Flexible sample size considerations using
    information-based interim monitoring.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy import optimize, special

from autointerp.gate.base import Cell, Decision, GateConfig, GateResult, Row, worst
from autointerp.statistics.intervals import Difference, Floats, mean, t_quantile
from autointerp.statistics.pairing import Contrast
from autointerp.statistics.sequential import SpentBound, hsd, passing_drift

# An interim look of fewer latents says too little of the variance that the plan rests on.
LEAST_LATENTS = 20
# An interim look stops when the chance that the latents left decide, either way, is below this, shared by all tests.
FUTILE = 0.02
# A bound this near to the margin lies at it, but for rounding.
ROUNDING = 1e-9
# Share of the wrong decisions on an unchanged candidate (FAIL, and misses that `power` allows) that the bounds and the
# plan use up: the rest is for variances that are only estimated, from weighted and skewed scores.
RESERVE = 0.75
# Z of a p value that underflows.
LARGEST_Z = 37.0
# Estimated correlations of endpoints are rounded down to multiples of this: a plan needs no more.
CORRELATION_STEP = 0.1
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(40)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Differences of the latents asked for so far, and the correlation of two endpoints' differences over latents.

    `ended`: no further latents were scored, though the gate may want some: this look is the last.
    """

    contrasts: Mapping[Cell, Contrast]
    correlation: float = 0.0
    ended: bool = False


Looks = Generator[Mapping[str, int], Scored, list[Row]]


@dataclass(slots=True, kw_only=True)
class Path:
    """One dictionary under test: latents and share of alpha spent at each look so far."""

    available: int
    n: list[int] = field(default_factory=list)
    spent: list[float] = field(default_factory=list)
    planned: int = 0
    closed: bool = False
    to_pass: SpentBound = field(default_factory=SpentBound)
    to_fail: SpentBound = field(default_factory=SpentBound)


def run(looks: Looks, answer: Callable[[Mapping[str, int]], Scored]) -> GateResult:
    """Drive a gate to its end.

    Args:
        looks: from `looks`.
        answer: scores the latents asked for (per dictionary, the first n in look order), returns all differences.
    """
    wanted = next(looks)
    while True:
        try:
            wanted = looks.send(answer(wanted))
        except StopIteration as stop:
            return GateResult(decision=decision_of(stop.value), rows=tuple(stop.value))


def decision_of(rows: list[Row]) -> Decision:
    """Return the decision of the last look of every endpoint."""
    last: dict[Cell, Decision] = {Cell(row.dictionary, row.endpoint): row.decision for row in rows}
    return worst(list(last.values()))


def looks(
    available: Mapping[str, int], config: GateConfig, first: Mapping[str, int] | None = None, n_more_tests: int = 0
) -> Looks:
    """Test every endpoint of every dictionary, look by look.

    Args:
        available: latents of each dictionary that could be judged.
        config: margin, error rates, looks, endpoints.
        first: latents of the first look; all that are available if None.
        n_more_tests: further tests (dead latents, cross-entropy) that share alpha.

    Yields:
        How many latents of each dictionary must be scored in all, by the baseline's look order; of a dictionary that
        has been decided, as many as it has.
    """
    paths = {name: Path(available=n) for name, n in available.items()}
    wanted = dict(available if first is None else {name: min(n, first[name]) for name, n in available.items()})
    n_cells, rows, drift = len(paths) * len(config.endpoints), [], 0.0
    alphas = config.alpha, RESERVE * config.alpha / (n_cells + n_more_tests)
    while True:
        scored = yield dict(wanted)
        drift = drift or planned_drift(config, len(paths), scored.correlation)
        for name, path in paths.items():
            if path.closed:
                continue
            cells = {e: scored.contrasts[Cell(name, e)] for e in config.endpoints}
            _take(path, wanted[name], cells, config, drift)
            fresh = _tested(path, name, cells, config, alphas, drift)
            rows += fresh
            passed = all(row.decision == "PASS" for row in fresh)
            path.closed |= (
                passed or path.spent[-1] >= 1 or scored.ended or _futile(path, fresh, config, FUTILE / n_cells)
            )
            if not path.closed:
                wanted[name] = _next(path, config)
        if decision_of(rows) == "FAIL" or all(path.closed for path in paths.values()):
            return rows


def planned_drift(config: GateConfig, n_dictionaries: int, correlation: float = 0.0) -> float:
    """Return margin / standard error that the last look needs for the requested power of the whole gate.

    Endpoints of one dictionary are taken as equally correlated, dictionaries as independent. Whatever they are, it is
    at most what Bonferroni takes; negative correlations count as 0.
    """
    misses = RESERVE * (1 - config.power)
    rho = np.floor(np.clip(correlation, 0, 0.9) / CORRELATION_STEP + 1e-9) * CORRELATION_STEP
    n_endpoints = len(config.endpoints)

    def joint(z: float) -> float:
        """P(all endpoints of all dictionaries lie below z), by the factor that endpoints of one dictionary share."""
        inner = special.ndtr((z + np.sqrt(rho) * NODES) / np.sqrt(1 - rho)) ** n_endpoints
        return float(WEIGHTS @ inner / WEIGHTS.sum()) ** n_dictionaries - (1 - misses)

    bonferroni = float(special.ndtri(1 - misses / (n_endpoints * n_dictionaries)))
    z = float(optimize.brentq(joint, 0.0, bonferroni + 1e-6))
    power = round(float(special.ndtr(z)), 6)
    return passing_drift(config.looks, config.spending_gamma, config.alpha, power)


def needed(
    scores: Floats, weights: Floats, noise_variance: Floats, config: GateConfig, n_dictionaries: int
) -> tuple[int, int]:
    """Return the least and the most latents that the requested power can need, by the baseline's scores alone.

    The correlation of a latent's scores at both checkpoints is not known before the first look. It is at most the
    reliability of the baseline's scores (least), and is taken to be at least 0 (most). The design effect of the
    sampling weights is included.

    Args:
        scores: [latents] of one dictionary and endpoint.
        weights: [latents] 1 / inclusion probability.
        noise_variance: [latents] of the scores, from their number of items.
        config: margin, error rates, looks, endpoints.
        n_dictionaries: under the gate.
    """
    inner = mean(scores, weights)
    drift = planned_drift(config, n_dictionaries)
    reliability = max(0.0, 1 - float(np.nan_to_num(noise_variance).mean()) / inner.sd**2) if inner.sd > 0 else 0.0
    most = 2 * len(scores) * inner.se**2 * (drift / config.margin) ** 2
    low, high = (max(LEAST_LATENTS, int(np.ceil(min(n, 1e9)))) for n in (most * (1 - reliability), most))
    return low, high


def first_look(sizes: tuple[int, int], config: GateConfig) -> int:
    """Return the latents of the first look: an even share of the least that may be needed; of one look, the most."""
    return sizes[1] if config.looks == 1 else max(LEAST_LATENTS, -(-sizes[0] // config.looks))


def _take(path: Path, n: int, cells: Mapping[str, Contrast], config: GateConfig, drift: float) -> None:
    """Enter a look: its latents, and how much of the planned information the least informed endpoint has."""
    reached = min(float((config.margin / found.difference.se / drift) ** 2) for found in cells.values())
    path.planned = max(1, int(np.ceil(min(n / max(reached, 1e-9), 1e9) - 1e-6)))
    last = n >= path.available or len(path.n) + 1 >= config.looks or reached >= 1
    share = 1.0 if last else float(hsd(1.0, config.spending_gamma)(np.array(reached)))
    path.n.append(n)
    path.spent.append(max([share, *path.spent]))


def _next(path: Path, config: GateConfig) -> int:
    """Return the latents of the next look: its share of the plan, as it is estimated now."""
    share = (len(path.n) + 1) / config.looks
    n = max(int(np.ceil(share * path.planned - 1e-9)), path.n[-1] + LEAST_LATENTS)
    # The remainder is too small for a separate look.
    return path.available if n + LEAST_LATENTS > path.available else n


def _tested(
    path: Path, name: str, cells: Mapping[str, Contrast], config: GateConfig, alphas: tuple[float, float], drift: float
) -> list[Row]:
    to_pass, to_fail = (
        bound.next(path.n[-1], alpha * path.spent[-1])
        for bound, alpha in ((path.to_pass, alphas[0]), (path.to_fail, alphas[1]))
    )
    rule = Rule(margin=config.margin, to_pass=to_pass, to_fail=to_fail, drift=drift)
    return [
        row_of(Cell(name, endpoint), found, rule, n=path.n[-1], n_planned=path.planned, look=len(path.n))
        for endpoint, found in cells.items()
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Bounds that a difference is held against, as quantiles of the normal distribution.

    `drift` is margin / standard error that the wanted power takes.
    """

    margin: float
    to_pass: float
    to_fail: float
    drift: float


def row_of(cell: Cell, contrast: Contrast, rule: Rule, *, n: int, n_planned: int, look: int) -> Row:
    """Test one difference against its bounds."""
    found, margin = contrast.difference, rule.margin
    below, above = (_quantile(z, found.df) * found.se for z in (rule.to_pass, rule.to_fail))
    decision: Decision = "INCONCLUSIVE"
    if found.value - below >= -margin - ROUNDING:
        decision = "PASS"
    elif found.value + above < 0:
        decision = "FAIL"
    z, at_zero = (_z(value / found.se, found.df) for value in (found.value + margin, margin))
    return Row(
        dictionary=cell.dictionary,
        endpoint=cell.endpoint,
        look=look,
        n=n,
        n_planned=n_planned,
        info_frac=min(1.0, n / max(n_planned, 1)),
        design=contrast.design,
        diff=found.value,
        se=found.se,
        df=found.df,
        z=z,
        z_upper=rule.to_pass,
        z_lower=at_zero - rule.to_fail,
        lower=found.value - below,
        upper=found.value + above,
        margin=margin,
        rho=contrast.rho,
        n_more=_more(found, margin, n, rule.drift) if decision == "INCONCLUSIVE" else 0,
        decision=decision,
    )


def _quantile(z: float, df: float) -> float:
    """Return Student's t quantile that is exceeded as often as this normal one."""
    return -t_quantile(float(special.ndtr(-min(z, LARGEST_Z))), df)


def _z(t: float, df: float) -> float:
    """Put Student's t on the normal scale."""
    p = float(special.stdtr(df, -abs(t)))
    return float(np.sign(t) * min(LARGEST_Z, -special.ndtri(max(p, 1e-300))))


def _more(found: Difference, margin: float, n: int, drift: float) -> int:
    """Return how many more latents would decide, if the difference is what it is estimated at."""
    distance = max(found.value + margin, -found.value, ROUNDING)
    total = n * (drift * found.se / distance) ** 2
    return max(LEAST_LATENTS, int(np.ceil(min(total, 1e9))) - n)


def _futile(path: Path, rows: list[Row], config: GateConfig, chance: float) -> bool:
    """Return whether some endpoint can hardly pass by the last look, nor any endpoint fail.

    Passing is given the benefit of no true difference, failing that of the difference seen.
    """
    end = min(path.planned, path.available)
    if end <= path.n[-1]:
        return False
    seen, left = path.n[-1] / end, 1 - path.n[-1] / end
    passing, failing = 1.0, 0.0
    for row in rows:
        last = row.se * np.sqrt(seen)  # standard error at the end
        spread = last * np.sqrt(left)
        passing = min(passing, special.ndtr((seen * row.diff + config.margin - row.z_upper * last) / spread))
        failing = max(failing, special.ndtr((-row.diff - (row.upper - row.diff) / row.se * last) / spread))
    return passing < chance and failing < chance
