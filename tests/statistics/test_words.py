"""How often each word is printed where its claim is false, and where it is true as often as `plan` promised.

Allowed is the promised rate and the exact binomial 99.9 % band for the number of replicates; of 2,000, the Monte Carlo
standard error of .05 is .005, that of .8 is .009. `python -m tests.statistics.test_words` prints the table of
docs/rates.md.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from autointerp.statistics import compare, plan
from autointerp.statistics.planning import Aim
from tests.helpers.bands import band
from tests.helpers.words import World, comparisons, draw, moments, tables

DIFFERENT = ("better", "worse", "better_but_negligible", "worse_but_negligible")
SAME = ("equivalent", "better_but_negligible", "worse_but_negligible")
MARGIN = 0.04
SLOW = pytest.mark.slow
FEW_OR_MANY = [25, pytest.param(2000, marks=SLOW)]
# Words that are false of each world, and how many dictionaries and scorers could be said so of.
FALSE = {
    "three equal dictionaries": (World(n=50, shifts=(0.0, 0.0, 0.0)), DIFFERENT),
    "three equal ones, rate sd 1, a fifth of each dead": (
        World(rate_sd=1.0, shifts=(0.0, 0.0, 0.0), dead=(0.2, 0.2, 0.2)),
        DIFFERENT,
    ),
    "three equal ones, scorers that agree": (World(shifts=(0.0, 0.0, 0.0), scorer_correlation=0.7), DIFFERENT),
    "two that differ by the margin, one scorer": (
        World(n=300, shifts=(0.0, MARGIN), scorers=("detection",)),
        SAME,
    ),
    "two that differ by the margin": (World(n=300, shifts=(0.0, -MARGIN)), SAME),
}


def runs_of(world: World, r: int, seed: int) -> Iterator[pd.DataFrame]:
    rng = np.random.default_rng(seed)
    for _ in range(r):
        yield comparisons(draw(world, rng), MARGIN)


def false_words(name: str, r: int) -> float:
    """Rate of runs in which any row says what is not true."""
    world, words = FALSE[name]
    return float(np.mean([table["verdict"].isin(words).any() for table in runs_of(world, r, 0)]))


@pytest.mark.parametrize("r", FEW_OR_MANY)
@pytest.mark.parametrize("name", list(FALSE))
def test_a_false_word_is_printed_in_one_run_of_twenty_at_most(name: str, r: int) -> None:
    assert false_words(name, r) <= band(0.05, r)[1]


def single_tests(r: int) -> Mapping[str, float]:
    """Rate at which each test errs before adjustment, where its claim is just false: nominal .05."""
    equal = World(n=300, scorers=("detection",))
    apart = replace(equal, shifts=(0.0, -MARGIN))
    first = [table.iloc[0] for table in runs_of(equal, r, 1)]
    edge = [table.iloc[0] for table in runs_of(apart, r, 2)]
    return {
        "difference": float(np.mean([row["p_diff"] < 0.05 for row in first])),
        "equivalence": float(np.mean([row["p_tost"] < 0.05 for row in edge])),
        "not worse": float(np.mean([row["p_ni"] < 0.05 for row in edge])),
    }


@pytest.mark.parametrize("r", [60, pytest.param(4000, marks=SLOW)])
def test_each_test_errs_at_its_level(r: int) -> None:
    low, high = band(0.035, r)[0], band(0.065, r)[1]
    assert all(low <= rate <= high for rate in single_tests(r).values())


def realised(kind: Aim, rate_sd: float, r: int) -> tuple[int, float]:
    """Latents that were planned, and how often one scorer's verdict came: promised .8."""
    centre, tau = moments(World())
    n = plan(margin=MARGIN, kind=kind, tau=tau, recall=centre, specificity=centre, rate_sd=rate_sd).n_latents
    world = World(n=n, rate_sd=rate_sd, n_latents=8192, shifts=(0.0, MARGIN if kind == "superiority" else 0.0))
    shown = []
    for table in runs_of(world, r, 3):
        own = table[table["population"] == "eligible"]
        if kind == "ni":
            shown.append((own["p_ni_adj"] < 0.05).mean())
        else:
            shown.append((own["verdict"] == ("equivalent" if kind == "tost" else "better")).mean())
    return n, float(np.mean(shown))


@pytest.mark.parametrize("kind", ["tost", "superiority", "ni"])
@pytest.mark.parametrize(
    ("rate_sd", "r"), [(1.0, 20), pytest.param(1.0, 2000, marks=SLOW), pytest.param(2.0, 2000, marks=SLOW)]
)
def test_the_planned_power_is_that_of_the_printed_verdict(kind: Aim, rate_sd: float, r: int) -> None:
    """Two dictionaries by two scorers, sampled by default: the word comes as often as was planned (.8)."""
    assert abs(realised(kind, rate_sd, r)[1] - 0.8) <= 0.03 + 3 * 0.4 / np.sqrt(r)


@pytest.mark.parametrize("dead", [(), (0.0, 0.3)])
def test_tables_of_the_same_scores_get_the_same_words(dead: tuple[float, ...]) -> None:
    """So the rates that are simulated on arrays are those of runs."""
    arms = draw(World(n=80, shifts=(0.0, 0.05), dead=dead), np.random.default_rng(5))
    a, b = tables(arms)
    by_tables = compare(a, b, population=("eligible", "iti"), margin=MARGIN, design="unpaired")
    by_arrays = comparisons(arms, MARGIN)
    key = ["scorer", "population"]
    both = by_tables.merge(by_arrays, on=key, suffixes=("", "_array"), validate="one_to_one")
    assert len(both) == 4
    for name in ("diff", "se", "df", "p_diff_adj", "p_tost_adj", "p_ni_adj"):
        assert both[name].to_numpy(float) == pytest.approx(both[f"{name}_array"].to_numpy(float)), name
    assert both["verdict"].tolist() == both["verdict_array"].tolist()


if __name__ == "__main__":
    for title in FALSE:
        print(f"| any false word: {title} | <= .05 | {false_words(title, 1000):.3f} |", flush=True)
    for test, rate in single_tests(2000).items():
        print(f"| one test: {test} | .05 | {rate:.3f} |", flush=True)
    for aim in ("tost", "superiority", "ni"):
        for spread in (1.0, 2.0):
            size, power = realised(aim, spread, 1000)  # type: ignore[arg-type]
            print(
                f"| power of the verdict: {aim}, rate sd {spread:g}, {size} latents | .80 | {power:.3f} |", flush=True
            )
