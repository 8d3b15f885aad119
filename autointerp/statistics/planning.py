"""What an experiment needs before it is paid for: latents, items per latent, calls, and the power they buy."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from autointerp.statistics.verdict_power import Aim, Study, effective_share

# Variance components of detection on 237 GPT-2 latents (public judgements of 2024): stated defaults, not laws; measure
# yours with `varcomp` on a pilot of about 100 latents.
DEFAULT_TAU = 0.13
DEFAULT_RECALL = 0.8
DEFAULT_SPECIFICITY = 0.8
# Spread of log firing rates; about 2 in the dictionaries measured here. The share of draws in proportion to the rate is
# the default of the study's `sampling.proportional_share`.
DEFAULT_RATE_SD = 2.0
DEFAULT_PROPORTIONAL_SHARE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A sample size and what it buys.

    `power_all` is the power of a comparison's verdict by all scorers at once; `n_comparisons` share the error rate.
    `study` holds what is to be shown, the sampling (`share` is n_eff / n), and the variance of one latent's difference;
    `variance` is that of one latent's score. `n_latents` is per arm (or pairs). `n_calls` counts explanations and
    questions of all arms that must be judged.
    """

    study: Study
    power_all: float
    n_comparisons: int
    variance: float
    n_latents: int
    n_calls: int
    n_questions: int


def score_variance(tau: float, recall: float, specificity: float, n_positive: int, n_negative: int) -> float:
    """Return the variance of one latent's balanced accuracy: true spread plus judging noise."""
    noise = recall * (1 - recall) / n_positive + specificity * (1 - specificity) / n_negative
    return tau**2 + noise / 4


def z_sum(kind: Aim, alpha: float, power: float) -> float:
    """Return the sum of normal quantiles that a sample size rests on: error plus power, by what is to be shown."""
    if kind == "superiority":
        return float(stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(power))
    if kind == "tost":  # both one-sided tests must pass at a true difference of 0
        return float(stats.norm.ppf(1 - alpha) + stats.norm.ppf((1 + power) / 2))
    return float(stats.norm.ppf(1 - alpha) + stats.norm.ppf(power))


def plan(
    *,
    margin: float = 0.02,
    kind: Aim = "ni",
    tau: float = DEFAULT_TAU,
    recall: float = DEFAULT_RECALL,
    specificity: float = DEFAULT_SPECIFICITY,
    n_positive: int = 20,
    n_negative: int = 20,
    rho: float | None = None,
    alpha: float = 0.05,
    power: float = 0.8,
    arms: int = 2,
    scorers: int = 2,
    n_per_question: int = 5,
    proportional_share: float = DEFAULT_PROPORTIONAL_SHARE,
    rate_sd: float = DEFAULT_RATE_SD,
    n_eff_share: float | None = None,
    adjusted: bool = True,
) -> Plan:
    """Size an experiment in latents per arm so that the verdict that will be printed has the power.

    One test of a simple random sample takes 2 Var(S) (z_alpha + z_beta)^2 / margin^2 latents per arm; paired, Var(d) =
    2 tau^2 (1 - rho) + 2 noise in place of 2 Var(S). A verdict takes more, by simulation (`verdict_power.Study`).

    Args:
        margin: smallest difference that matters; for `superiority` the difference to be detected.
        kind: `ni` not worse by the margin (one-sided), `tost` equivalent, `superiority` two-sided.
        tau: true spread of latents' scores.
        recall, specificity: mean shares of activating and of other contexts recognised.
        n_positive, n_negative: such contexts judged per latent and scorer.
        rho: correlation of a latent's TRUE scores between two checkpoints; given means a paired design.
        alpha: error rate.
        power: chance to succeed when there is no difference (`ni`, `tost`) or one of the margin (`superiority`).
        arms: dictionaries that must be judged; 1 where a baseline's judgements are at hand.
        scorers, n_per_question: scorers per latent, contexts per prompt.
        proportional_share, rate_sd: share of latents drawn in proportion to their firing rate; sd of its logarithm.
        n_eff_share: n_eff / n of the sampling if known, as from a pilot; else from the two above.
        adjusted: False for the power of one unadjusted test in place of that of the verdict.

    Raises:
        ValueError: a setting outside its range.
    """
    _check(margin, tau, alpha, power, n_positive, n_negative, rho)
    variance = score_variance(tau, recall, specificity, n_positive, n_negative)
    spread = 2 * variance if rho is None else 2 * (variance - rho * tau**2)
    share = effective_share(proportional_share, rate_sd) if n_eff_share is None else n_eff_share
    study = Study(kind=kind, margin=margin, alpha=alpha, spread=spread, share=share, arms=max(2, arms), scorers=scorers)
    n = int(np.ceil(spread * z_sum(kind, alpha, power) ** 2 / margin**2 / share))
    n = study.n_for(power, n) if adjusted else n
    questions = arms * n * scorers * int(np.ceil((n_positive + n_negative) / n_per_question))
    return Plan(
        study=study,
        power_all=study.power(n)[1] if adjusted else power,
        n_comparisons=study.n_comparisons if adjusted else 1,
        variance=variance,
        n_latents=n,
        n_calls=questions + arms * n,
        n_questions=questions,
    )


def _check(
    margin: float, tau: float, alpha: float, power: float, n_positive: int, n_negative: int, rho: float | None
) -> None:
    if not 0 < margin < 1:
        raise ValueError(f"plan: margin {margin:g} must lie between 0 and 1")
    if not 0 < alpha < 0.5 or not 0.5 <= power < 1:
        raise ValueError(f"plan: alpha {alpha:g} must lie in (0, .5) and power {power:g} in [.5, 1)")
    if tau < 0 or min(n_positive, n_negative) < 1:
        raise ValueError("plan: tau must be at least 0, and items per latent at least 1 of each class")
    if rho is not None and not -1 <= rho <= 1:
        raise ValueError(f"plan: rho {rho:g} is a correlation, between -1 and 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """How many items to judge per latent: `n_items` for the least variance at a cost, split into classes.

    `curve` lists (items, variance relative to the best at the same cost).
    """

    n_items: int
    n_positive: int
    n_negative: int
    curve: tuple[tuple[int, float], ...]


def allocate(
    *,
    tau: float = DEFAULT_TAU,
    recall: float = DEFAULT_RECALL,
    specificity: float = DEFAULT_SPECIFICITY,
    cost_explain: float,
    cost_item: float,
    rho: float | None = None,
) -> Allocation:
    """Find the items per latent that give the least variance of a mean for the money.

    Var = (tau^2 + v / n) / N at cost N (c_e + n c_s) is least at n = sqrt(c_e / c_s * v / tau^2); paired, with 2 v and
    2 tau^2 (1 - rho).

    Args:
        tau: true spread of latents' scores.
        recall: mean recall.
        specificity: mean specificity.
        cost_explain: cost of one explanation.
        cost_item: cost of one judged context.
        rho: correlation of true scores between two checkpoints, for a paired design.
    """
    if tau <= 0 or cost_explain < 0 or cost_item <= 0:
        raise ValueError("allocate: tau and cost_item must be above 0, cost_explain at least 0")
    a, b = recall * (1 - recall), specificity * (1 - specificity)
    v = (a + b) / 2
    signal = tau**2 if rho is None else tau**2 * max(1e-9, 1 - rho)
    best = max(2.0, float(np.sqrt(cost_explain / cost_item * v / signal)))

    def relative(n: float) -> float:
        return (signal + v / n) * (cost_explain + n * cost_item)

    share = float(np.sqrt(a) / (np.sqrt(a) + np.sqrt(b))) if a + b > 0 else 0.5
    n = max(2, round(best))
    n_positive = min(n - 1, max(1, round(n * share)))
    curve = tuple((m, relative(m) / relative(best)) for m in (4, 10, 20, 40, 60, 100, 200))
    return Allocation(n_items=n, n_positive=n_positive, n_negative=n - n_positive, curve=curve)


def seeds_needed(
    *, margin: float, seed_sd: float, se_mean: float = 0.0, kind: Aim = "tost", alpha: float = 0.05, power: float = 0.8
) -> int:
    """Return the training seeds per arm that a claim about architectures needs, dictionaries' means being the data.

    Power is by numerical integration over the spread that is estimated from the same few seeds.

    Args:
        margin: equivalence margin, or the difference to be detected.
        seed_sd: spread of dictionaries' true means between training seeds.
        se_mean: standard error of one dictionary's mean, sqrt(Var(S) / latents).
        kind: what is to be shown.
        alpha: error rate.
        power: chance to succeed.

    Raises:
        ValueError: more than 200 would be needed.
    """
    spread = float(np.hypot(seed_sd, se_mean))
    for n in range(2, 201):
        if _seed_power(n, margin, spread, kind, alpha) >= power:
            return n
    raise ValueError(
        f"plan: more than 200 seeds per arm would be needed at a seed spread of {seed_sd:g} for margin {margin:g}"
    )


def _seed_power(n: int, margin: float, seed_sd: float, kind: Aim, alpha: float) -> float:
    df = 2 * n - 2
    se = seed_sd * np.sqrt(2 / n)
    estimated = se * np.sqrt(stats.chi2.ppf((np.arange(4000) + 0.5) / 4000, df) / df)
    if kind == "superiority":
        t = stats.t.ppf(1 - alpha / 2, df)
        return float(
            (stats.norm.sf((t * estimated - margin) / se) + stats.norm.cdf((-t * estimated - margin) / se)).mean()
        )
    t = stats.t.ppf(1 - alpha, df)
    reach = (margin - t * estimated) / se
    if kind == "ni":
        return float(stats.norm.cdf(reach).mean())
    return float(np.maximum(0, 2 * stats.norm.cdf(reach) - 1).mean())
