"""LLM calls per gate decision when nothing changed, against a fixed design of 50 + 50 contexts judged for both sides.

    python -m tests.benchmarks.calls_per_decision [--replicates 200]

One dictionary, two scorers (detection, fuzzing), margin .02, power .8, 5 contexts per prompt. The fixed design judges
as many latents of both checkpoints as one test at that power takes (`statistics.planning.plan`, unpaired); a second
fixed design promises that power for both scorers together, as the gate does. The others judge the candidate alone, on
the baseline's latents, as far as the gate's looks ask (`gate.decide`, the same rules as `score --gate`), in simulated
worlds (`tests.helpers.gates`): true spread .13, correlation of true scores .56. All prompts count: explanations, own
questions with hard negatives, duplicates, shuffled, empty and planted controls. Each row changes one thing more; the
first three are settings of a study, the last three are not built into `score --gate`. Prints CSV: prompts per decision,
their standard error, the ratios to both fixed designs, and how often the gate passes (by both scorers together).
"""

import argparse
import csv
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy import optimize, stats

from autointerp.gate.base import GateConfig
from autointerp.scorers.base import ControlsConfig
from autointerp.statistics.intervals import t_quantile
from autointerp.statistics.planning import plan
from tests.helpers.gates import World, gated

PER_PROMPT, SD, CORRELATION, MARGIN, POWER = 5, 0.13, 0.56, 0.02, 0.8
# Share of yes answers to explanations of other latents: recorded judges answer no to most.
YES_TO_SHUFFLED = 0.12
CONTROLS = ControlsConfig()


@dataclass(frozen=True, kw_only=True)
class Design:
    """What is asked per latent and by which controls.

    `explained` is the share of the variance of a latent's difference that cheap scores of all latents explain.
    """

    name: str
    items: int = 20
    n_hard: int = 10
    n_planted: int = CONTROLS.n_planted
    n_empty: int = CONTROLS.n_empty
    sequential_shuffled: bool = False
    explained: float = 0.0

    def prompts(self, *, hard: bool) -> int:
        """Prompts about one latent by both scorers; hard negatives are detection's."""
        contexts = 2 * self.items + (self.n_hard if hard else 0), 2 * self.items
        return sum(math.ceil(n / PER_PROMPT) for n in contexts)


def fixed_calls(power: float) -> int:
    """Prompts of a fixed design: both sides judged on 50 + 50 contexts, no controls counted; `power` of each test."""
    settings = {"margin": MARGIN, "tau": SD, "n_positive": 50, "n_negative": 50, "n_per_question": PER_PROMPT}
    return plan(**settings, kind="ni", power=power, adjusted=False, scorers=2, arms=2, proportional_share=0.0).n_calls


def power_of_each() -> float:
    """Power of each of two scorers' tests whose joint power is `POWER`, at the simulated worlds' correlation."""
    rho = World().endpoint_correlation
    joint = stats.multivariate_normal(cov=np.array([[1, rho], [rho, 1]]))
    return float(stats.norm.cdf(optimize.brentq(lambda z: float(joint.cdf(np.array([z, z]))) - POWER, 0, 3)))


def shuffled(design: Design, n: int, rng: np.random.Generator) -> int:
    """Latents judged by another's explanation: all that may be, or until the 90 % interval lies in .5 +- .02."""
    most = min(n, CONTROLS.n_shuffled)
    if not design.sequential_shuffled:
        return most
    yes = rng.binomial(design.items, YES_TO_SHUFFLED, (2, 2, most)) / design.items
    scores = (yes[0] + 1 - yes[1]) / 2  # two scorers
    for look in range(20, most, 20):
        part = scores[:, :look]
        half = t_quantile(0.95, look - 1) * part.std(1, ddof=1) / math.sqrt(look)
        if (np.abs(part.mean(1) - 0.5) + half < 0.02).all():
            return look
    return most


def calls(design: Design, rng: np.random.Generator) -> tuple[int, bool]:
    """Prompts of one simulated decision, and whether it passed."""
    # Cheap scores of all latents take their share out of the variance of differences: as if both sides correlated more.
    noise = 0.75 * 0.25 / (2 * design.items)
    variance = 2 * SD**2 * (1 - CORRELATION) + 2 * noise
    correlation = min(0.99, CORRELATION + design.explained * variance / (2 * SD**2))
    world = World(sd=SD, correlation=correlation, items=design.items)
    found = gated(world, rng, GateConfig(power=POWER, margin=MARGIN))
    n = max(row.n for row in found.rows)
    own, without_hard = design.prompts(hard=True), design.prompts(hard=False)
    asked = n * (1 + own * (1 + CONTROLS.duplicate_share)) + (shuffled(design, n, rng) + design.n_empty) * own
    return round(asked + design.n_planted * without_hard), found.decision == "PASS"


def designs(explained: float) -> Iterator[Design]:
    """The default, then one change after another."""
    design = Design(name="default: 20 + 20 contexts, 10 hard, all controls asked")
    yield design
    for name, change in (
        ("10 + 10 contexts (n_positives, n_negatives)", {"items": 10}),
        ("no hard negatives (n_hard: 0): they do not enter the decision", {"n_hard": 0}),
        ("planted and empty controls of the same judge kept", {"n_planted": 0, "n_empty": 0}),
        ("shuffled control until decided", {"sequential_shuffled": True}),
        (f"two-phase, cheap scores that explain {explained:.0%} of the differences", {"explained": explained}),
    ):
        design = replace(design, name=f"+ {name}", **change)
        yield design


def main() -> None:
    """Print a row per design."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicates", type=int, default=200)
    parser.add_argument("--explained", type=float, default=0.15, help="R2 of cheap scores, as `compare --phase-one`")
    wanted = parser.parse_args()
    fixed = [fixed_calls(POWER), fixed_calls(power_of_each())]
    writer = csv.writer(sys.stdout)
    writer.writerow(["design", "prompts", "se", "to one test", "to both", "passes"])
    for name, n in zip(("one test", "both scorers"), fixed, strict=True):
        writer.writerow(
            [f"fixed: 50 + 50 contexts, both sides, {name}", n, 0, *(f"1/{one / n:.1f}" for one in fixed), POWER]
        )
    for design in designs(wanted.explained):
        rng = np.random.default_rng(0)
        found = [calls(design, rng) for _ in range(wanted.replicates)]
        n = np.array([asked for asked, _ in found])
        passed = float(np.mean([ok for _, ok in found]))
        se = n.std(ddof=1) / math.sqrt(len(n))
        ratios = (f"1/{one / n.mean():.1f}" for one in fixed)
        writer.writerow([design.name, round(n.mean()), round(se), *ratios, f"{passed:.2f}"])


if __name__ == "__main__":
    main()
