"""How often a whole gate passes, fails and stays open, by simulation with known truth.

The generator of looks is driven by arrays; `test_decide` shows that tables get the same decisions. Allowed is the
promised rate plus three Monte Carlo standard errors: .0207 at r = 1,000 and a rate of .05, .0285 at a rate of .9.
`python -m tests.gate.test_rates` prints the table of docs/rates.md.
"""

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pytest

from autointerp.gate.base import GateConfig
from tests.helpers.gates import World, gated

SLOW = pytest.mark.slow
LOOKS = (1, 5)
CORRELATIONS = (0.4, 0.56, 0.8)
# Latents of a baseline that holds enough: more dictionaries need more each.
HELD = {1: 1400, 3: 1400, 10: 2600}
DECISIONS = ("PASS", "FAIL", "INCONCLUSIVE")


def rates(world: World, looks: int, r: int, seed: int) -> Mapping[str, float]:
    rng = np.random.default_rng(seed)
    counts = Counter(gated(world, rng, GateConfig(looks=looks)).decision for _ in range(r))
    return {name: counts[name] / r for name in DECISIONS}


def unchanged(n_dictionaries: int, correlation: float, looks: int, r: int) -> Mapping[str, float]:
    held = HELD[n_dictionaries]
    world = World(n_dictionaries=n_dictionaries, correlation=correlation, n_baseline=held)
    return rates(world, looks, r, seed=n_dictionaries + 7)


def inferior(n_dictionaries: int, gain: float, looks: int, r: int) -> Mapping[str, float]:
    """One endpoint of one dictionary loses the margin, the others gain."""
    world = World(n_dictionaries=n_dictionaries, loss=0.02, gain=gain)
    return rates(world, looks, r, seed=50 + n_dictionaries)


def slack(rate: float, r: int) -> float:
    return 3 * float(np.sqrt(rate * (1 - rate) / r))


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("looks", LOOKS)
@pytest.mark.parametrize(
    ("n_dictionaries", "correlation", "r"),
    [(1, 0.56, 60), (3, 0.4, 20), *(pytest.param(d, rho, 1000, marks=SLOW) for d in HELD for rho in CORRELATIONS)],
)
def test_unchanged_checkpoints_pass_nine_in_ten_and_fail_one_in_twenty_at_most(
    n_dictionaries: int, correlation: float, r: int, looks: int
) -> None:
    found = unchanged(n_dictionaries, correlation, looks, r)
    assert found["FAIL"] <= 0.05 + slack(0.05, r)
    assert found["PASS"] >= 0.9 - slack(0.9, r)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("looks", LOOKS)
@pytest.mark.parametrize("gain", [0.0, 0.05])
@pytest.mark.parametrize(("n_dictionaries", "r"), [(1, 60), *(pytest.param(d, 1000, marks=SLOW) for d in (1, 3))])
def test_a_loss_of_the_margin_in_one_endpoint_passes_one_in_twenty_at_most(
    n_dictionaries: int, r: int, gain: float, looks: int
) -> None:
    """Whatever the others gain."""
    found = inferior(n_dictionaries, gain, looks, r)
    assert found["PASS"] <= 0.05 + slack(0.05, r)
    assert found["FAIL"] > 0.7


if __name__ == "__main__":
    for d in HELD:
        for rho in CORRELATIONS:
            for k in LOOKS:
                shown = unchanged(d, rho, k, 1000)
                print(f"| unchanged | {d} | {rho:g} | {k} |", *(f"{rate:.3f} |" for rate in shown.values()), flush=True)
    for d in (1, 3):
        for k in LOOKS:
            shown = inferior(d, 0.0, k, 2000)
            print(
                f"| worse by the margin | {d} | .56 | {k} |", *(f"{rate:.3f} |" for rate in shown.values()), flush=True
            )
