"""How often a whole gate passes, fails and stays open, by simulation with known truth.

The generator of looks is driven by arrays; `test_decide` shows that tables get the same decisions. Allowed is the
promised rate plus three Monte Carlo standard errors: .0207 at r = 1,000 and a rate of .05.
"""

from collections import Counter

import numpy as np
import pytest

from autointerp.gate.base import GateConfig
from tests.helpers.gates import World, gated

SLOW = pytest.mark.slow


def rates(world: World, looks: int, r: int, seed: int) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    counts = Counter(gated(world, rng, GateConfig(looks=looks)).decision for _ in range(r))
    return {name: counts[name] / r for name in ("PASS", "FAIL", "INCONCLUSIVE")}


def slack(rate: float, r: int) -> float:
    return 3 * float(np.sqrt(rate * (1 - rate) / r))


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("looks", [1, 5])
@pytest.mark.parametrize(
    ("n_dictionaries", "correlation", "r"),
    [
        (1, 0.56, 100),
        (3, 0.4, 40),
        *(pytest.param(d, rho, 1000, marks=SLOW) for d in (1, 3, 10) for rho in (0.4, 0.56, 0.8)),
    ],
)
def test_unchanged_checkpoints_pass_nine_in_ten_and_fail_one_in_twenty_at_most(
    n_dictionaries: int, correlation: float, r: int, looks: int
) -> None:
    """The baseline holds enough latents: more dictionaries need more each."""
    n = 1400 if n_dictionaries < 10 else 2600
    world = World(n_dictionaries=n_dictionaries, correlation=correlation, n_baseline=n)
    found = rates(world, looks, r, seed=n_dictionaries)
    assert found["FAIL"] <= 0.05 + slack(0.05, r)
    assert found["PASS"] >= 0.9 - slack(0.9, r)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("looks", [1, 5])
@pytest.mark.parametrize("gain", [0.0, 0.05])
@pytest.mark.parametrize(("n_dictionaries", "r"), [(1, 100), *(pytest.param(d, 1000, marks=SLOW) for d in (1, 3))])
def test_a_loss_of_the_margin_in_one_endpoint_passes_one_in_twenty_at_most(
    n_dictionaries: int, r: int, gain: float, looks: int
) -> None:
    """Whatever the others gain."""
    world = World(n_dictionaries=n_dictionaries, loss=0.02, gain=gain)
    found = rates(world, looks, r, seed=50 + n_dictionaries)
    assert found["PASS"] <= 0.05 + slack(0.05, r)
    assert found["FAIL"] > 0.7
