"""Which dictionaries are compared with which, and those left out by name."""

import pandas as pd
import pytest

from autointerp.errors import TableError
from autointerp.statistics import summarise
from autointerp.statistics.arms import pairs
from tests.helpers.simulate import Arm, dictionaries_table, simulate


def dictionaries(*arms: Arm) -> pd.DataFrame:
    return dictionaries_table(list(arms))


def test_all_pairs_of_one_site_are_compared_by_the_names_given() -> None:
    table = dictionaries(
        Arm(name="old"), Arm(name="new"), Arm(name="tc", architecture="transcoder"), Arm(name="far", layer=6)
    )
    listed, alone = pairs(table)
    assert [pair.contrast for pair in listed] == ["new - old", "tc - old", "tc - new"]
    assert [(one.dictionary, "no other dictionary reconstructs" in one.reason) for one in alone] == [("far", True)]
    listed, alone = pairs(table, reference="new")
    assert [pair.contrast for pair in listed] == ["old - new", "tc - new"]
    with pytest.raises(TableError, match="reference 'gone' is not a dictionary of this run; use one of: old, new"):
        pairs(table, reference="gone")


def test_two_runs_are_compared_dictionary_by_dictionary() -> None:
    names = {f"{run}:{name}": (run, name) for run in ("base", "new") for name in ("sae", "tc")}
    table = dictionaries(
        *(Arm(name=name, architecture="transcoder" if name.endswith("tc") else "sae") for name in names)
    )
    listed, alone = pairs(table, origins=names)
    assert [pair.contrast for pair in listed] == ["new:sae - base:sae", "new:tc - base:tc"]
    assert not alone


def test_a_dictionary_in_no_comparison_is_named_in_the_summary() -> None:
    run = simulate([Arm(name="sae"), Arm(name="tc", architecture="transcoder"), Arm(name="far", layer=6)], seed=13)
    found = summarise(run.tables)
    assert any("far" in line["what"] for line in found.summary["skipped"])  # type: ignore[union-attr]
