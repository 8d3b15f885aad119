"""Every published interval against known truth: coverage in simulated dictionaries, judged and estimated as in a run.

Allowed is .95 +- .02 and the exact binomial 99.9 % band around both ends for the number of replicates: of 1,000, the
Monte Carlo standard error of .95 is .007. `python -m tests.statistics.test_coverage` prints the table of docs/rates.md.
"""

import numpy as np
import pytest
from scipy import special

from autointerp.statistics.populations import Arm
from autointerp.statistics.shares import share_reaching
from tests.helpers.bands import band
from tests.helpers.coverage import Judged, covered

ALLOWED = (0.93, 0.97)
SLOW = pytest.mark.slow
CASES = {
    "50 latents, rate sd 1": Judged(n=50, n_latents=2000),
    "50 latents, rate sd 2.6, slope .1": Judged(n=50, rate_sd=2.6, slope=0.1),
    "120 latents, rate sd 1, 100 documents": Judged(document_sd=0.7, n_documents=100),
    "120 latents, rate sd 2.6, 60 documents": Judged(rate_sd=2.6, document_sd=0.7, n_documents=60),
    "120 latents, two modes": Judged(modes=2.0, sd=0.25),
    "400 latents, rate sd 1": Judged(n=400, n_latents=8000),
    "400 latents, rate sd 2.6": Judged(n=400, n_latents=8000, rate_sd=2.6, document_sd=0.7, n_documents=100),
}
PUBLISHED = {
    ("score", "eligible"),
    ("score", "standardised"),
    ("score", "iti"),
    ("score", "freq"),
    ("recall", "eligible"),
    ("specificity", "eligible"),
    ("score_hard", "eligible"),
    ("auroc", "eligible"),
    ("skill", "eligible"),
    ("share_above_threshold", "eligible"),
    ("yield", "iti"),
    ("precision", "real"),
    ("f1", "real"),
    ("lr_plus", "real"),
    ("false_per_true", "real"),
}
# Two normal distributions of latents' true scores, of which the second has so large a share; else as named.
MODES = {
    "two modes far apart": ((0.55, 0.03), (0.9, 0.03), 0.5),
    "two modes near": ((0.6, 0.04), (0.82, 0.04), 0.5),
    "chance and good": ((0.52, 0.02), (0.93, 0.03), 0.2),
    "all at the threshold": ((0.75, 0.05), (0.75, 0.05), 0.5),
}
SHAPES = ("logistic normal", "uniform", *MODES)


def drawn(shape: str, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw true scores."""
    if shape == "uniform":
        return rng.uniform(0.5, 1, n)
    if shape == "logistic normal":
        return special.expit(rng.normal(1.4, 0.7, n))
    first, second, share = MODES[shape]
    return np.where(rng.random(n) < share, rng.normal(*second, n), rng.normal(*first, n)).clip(0.001, 0.999)


def allowed(r: int) -> tuple[float, float]:
    return band(ALLOWED[0], r)[0], band(ALLOWED[1], r)[1]


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("name", "r"), [(next(iter(CASES)), 20), *(pytest.param(name, 1000, marks=SLOW) for name in CASES)]
)
def test_every_published_interval_covers_at_its_level(name: str, r: int) -> None:
    """Means over all populations and columns, shares, and everything at real firing rates."""
    found = {key: (sides == 0).mean() for key, sides in covered(CASES[name], r).items()}
    assert found.keys() == PUBLISHED
    low, high = allowed(r)
    assert {key: rate for key, rate in found.items() if not low <= rate <= high} == {}


def of_shape(shape: str, n: int, rng: np.random.Generator, items: int = 20) -> Arm:
    """Judge latents of true scores of some distribution on so many items of each class."""
    true = drawn(shape, n, rng)
    recall, specificity = (rng.binomial(items, true) / items for _ in "rs")
    noise = (recall * (1 - recall) + specificity * (1 - specificity)) / (items - 1) / 4
    same = {name: np.full(n, float(items)) for name in ("n_positive", "n_negative")}
    columns = {"score": (recall + specificity) / 2, "noise_variance": noise, "inclusion_probability": np.full(n, 0.1)}
    return Arm(columns=columns | same, chance=0.5, share=1.0)


def shares_covered(shape: str, n: int, r: int) -> np.ndarray:
    """Sides of the intervals of r simulated dictionaries: 0 covers, -1 below the truth, 1 above."""
    rng = np.random.default_rng(4)
    truth = float((drawn(shape, 400_000, rng) >= 0.75).mean())
    found = [share_reaching(of_shape(shape, n, rng), 0.75) for _ in range(r)]
    return np.array([int(one.low > truth) - int(one.high < truth) for one in found])


@pytest.mark.parametrize("n", [50, pytest.param(120, marks=SLOW), pytest.param(400, marks=SLOW)])
@pytest.mark.parametrize("r", [40, pytest.param(1000, marks=SLOW)])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_share_of_latents_above_a_threshold_covers_whatever_the_distribution(shape: str, r: int, n: int) -> None:
    low, high = allowed(r)
    assert low <= (shares_covered(shape, n, r) == 0).mean() <= high


if __name__ == "__main__":
    for title, world in CASES.items():
        sides = covered(world, 1000)
        for (statistic, population), of_one in sides.items():
            print(f"| {title} | {statistic}, {population} | {(of_one == 0).mean():.3f} |", flush=True)
    for title in SHAPES:
        rates = [f"{(shares_covered(title, size, 1000) == 0).mean():.3f}" for size in (50, 120, 400)]
        print(f"| share above .75: {title} | n 50, 120, 400 | {', '.join(rates)} |", flush=True)
