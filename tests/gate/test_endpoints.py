"""Dead latents and cross-entropy, tested over what they were measured on, against independent computations."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from autointerp.gate import endpoints
from autointerp.gate.base import GateConfig
from autointerp.run.reading import RunTables

CONFIG = GateConfig()


def losses(total: np.ndarray, weight: np.ndarray) -> pd.DataFrame:
    """`reconstruction_documents` of one dictionary."""
    return pd.DataFrame(
        {
            "dictionary": "d",
            "metric": "ce_increase",
            "document": np.arange(len(total)),
            "total": total,
            "weight": weight,
        }
    )


def run_of(documents: pd.DataFrame | None, latents: pd.DataFrame | None = None) -> RunTables:
    if latents is None:
        latents = pd.DataFrame({"dictionary": "d", "alive": [True] * 100, "n_windows": 50})
    return RunTables(
        names=("run",),
        judgements=pd.DataFrame(),
        latents=latents,
        reconstruction=None,
        documents=documents,
        dictionaries=pd.DataFrame({"dictionary": ["d"]}),
    )


def measured(rng: np.random.Generator, rise: float, n: int = 60) -> tuple[RunTables, RunTables]:
    """Two checkpoints on the same documents: losses differ much between documents, little between checkpoints."""
    weight = rng.integers(50, 400, n).astype(float)
    common = rng.gamma(4, 0.05, n)
    old, new = (weight * (common + rng.normal(shift, 0.01, n)) for shift in (0.0, rise))
    return run_of(losses(old, weight)), run_of(losses(new, weight))


def row(base: RunTables, new: RunTables, endpoint: str):
    return next(one for one in endpoints.limit_rows(base, new, CONFIG) if one.endpoint == endpoint)


def test_cross_entropy_is_compared_document_by_document() -> None:
    """The standard error is that of a bootstrap over documents, an independent computation."""
    rng = np.random.default_rng(0)
    base, new = measured(rng, 0.003)
    found = row(base, new, "ce_increase")
    assert found.design == "documents"
    assert base.documents is not None
    assert new.documents is not None
    old, now, weight = (
        one.to_numpy() for one in (base.documents["total"], new.documents["total"], new.documents["weight"])
    )
    draws = rng.integers(60, size=(4000, 60))
    rises = (now[draws] - old[draws]).sum(1) / weight[draws].sum(1)
    assert -found.diff == pytest.approx((now.sum() - old.sum()) / weight.sum())
    assert found.se == pytest.approx(rises.std(), rel=0.08)
    apart = run_of(losses(now, weight * 1.01))
    assert row(base, apart, "ce_increase").design == "intervals"
    # A baseline that read more of the same documents is compared on those that both read.
    longer = run_of(losses(np.append(old, [1.0, 2.0]), np.append(weight, [99.0, 98.0])))
    again = row(longer, new, "ce_increase")
    assert (again.design, again.diff, again.se) == (found.design, found.diff, found.se)
    assert row(base, apart, "ce_increase").se > 5 * found.se


@pytest.mark.parametrize("r", [300, pytest.param(3000, marks=pytest.mark.slow)])
def test_rises_at_the_limit_pass_and_no_rises_fail_at_most_at_alpha(r: int) -> None:
    rng = np.random.default_rng(1)
    at_limit = [row(*measured(rng, 0.005), "ce_increase").decision for _ in range(r)]
    equal = [row(*measured(rng, 0.0), "ce_increase").decision for _ in range(r)]
    allowed = 0.05 + 4 * np.sqrt(0.05 * 0.95 / r)
    assert np.mean([one == "PASS" for one in at_limit]) <= allowed
    assert np.mean([one == "FAIL" for one in equal]) <= allowed
    assert np.mean([one == "PASS" for one in equal]) > 0.7


def test_the_same_dictionary_passes_a_limit_of_zero_and_one_that_loses_fails() -> None:
    base, _ = measured(np.random.default_rng(0), 0.0)
    strict = CONFIG.model_copy(
        update={"limits": CONFIG.limits.model_copy(update={"ce_increase": 0.0, "dead_share": 0.0})}
    )
    assert {one.decision for one in endpoints.limit_rows(base, base, strict)} == {"PASS"}
    worse = row(*measured(np.random.default_rng(0), 0.05), "ce_increase")
    assert worse.decision == "FAIL"
    assert worse.upper < 0


def test_dead_latents_have_an_error_at_least_that_of_reading_other_text() -> None:
    """Independent: latents fire in Poisson numbers of windows; the difference of dead shares over many such corpora."""
    rng = np.random.default_rng(2)
    expected = np.exp(rng.normal(2, 2, 2000))

    def read() -> RunTables:
        counts = rng.poisson(expected)
        return run_of(None, pd.DataFrame({"dictionary": "d", "alive": counts > 0, "n_windows": counts}))

    rows = [row(read(), read(), "dead_share") for _ in range(200)]
    true = np.std([one.diff for one in rows])
    assert true <= np.mean([one.se for one in rows]) <= 3 * true
    assert np.mean([one.decision == "FAIL" for one in rows]) <= 0.05
    base = read()
    dying = base.latents.assign(alive=base.latents["alive"] & (np.arange(2000) % 10 > 0))
    assert row(base, replace(base, latents=dying), "dead_share").decision == "FAIL"


def test_runs_without_documents_use_their_intervals_and_without_losses_have_no_row() -> None:
    table = pd.DataFrame(
        {
            "dictionary": ["d"],
            "metric": "ce_increase",
            "value": 0.1,
            "low": 0.09,
            "high": 0.11,
            "level": 0.95,
            "n_documents": 60,
        }
    )
    base = replace(run_of(None), reconstruction=table)
    found = row(base, base, "ce_increase")
    assert (found.design, found.diff) == ("intervals", 0.0)
    assert found.se == pytest.approx(np.sqrt(2) * 0.01 / 1.959964)
    assert [one.endpoint for one in endpoints.limit_rows(run_of(None), run_of(None), CONFIG)] == ["dead_share"]
