"""Control arms stand beside the trained dictionaries, never among them, and say loudly when they score as high."""

import numpy as np
import pandas as pd
import pytest

from autointerp.statistics.arms import pairs
from autointerp.statistics.random_arms import arm_rows

DICTIONARIES = pd.DataFrame({
    "dictionary": ["sae", "transcoder", "r"], "architecture": ["sae", "transcoder", "random-directions"],
    "layer": 3, "k": 16, "seed": -1, "site_out": "x", "source": ["/s", "/t", "sae"],
})  # fmt: skip


def own(means: dict[str, float]) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    parts = [
        pd.DataFrame({"dictionary": name, "scorer": "detection", "score": value + 0.1 * rng.standard_normal(100)})
        for name, value in means.items()
    ]
    return pd.concat(parts, ignore_index=True)


def test_control_arms_are_compared_with_none() -> None:
    """Of a study of two trained dictionaries and a control there is one comparison."""
    assert [(pair.a, pair.b) for pair in pairs(DICTIONARIES)[0]] == [("sae", "transcoder")]


@pytest.mark.parametrize("random, status", [(0.55, "passed"), (0.7, "failed"), (0.8, "failed")])
def test_a_control_as_good_as_its_dictionary_is_said(random: float, status: str) -> None:
    """The SAE scores .7: an arm at .55 is below it, one at .7 or .8 is reported as failed, with both numbers."""
    (row,) = arm_rows(own({"sae": 0.7, "transcoder": 0.9, "r": random}), DICTIONARIES)
    assert (row["status"], row["control"], row["dictionary"]) == (status, "random-directions", "sae")
    assert abs(float(str(row["value"])) - (0.7 - random)) < 0.05
    assert bool(row["reason"]) == (status == "failed")
    if row["reason"]:
        assert "does not show what training learned" in str(row["reason"])
