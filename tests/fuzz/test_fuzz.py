"""A few inputs of each fuzzer; more by `python -m tests.fuzz.NAME N SEED`."""

import pytest

from tests.fuzz import checkpoints, commands, runs, studies


def test_studies() -> None:
    found = studies.fuzz(150, seed=3)
    assert found.faults == []
    assert found.outcomes["accepted"] > 5
    assert found.outcomes["refused"] > 50


def test_run_directories() -> None:
    found = runs.fuzz(6, seed=5, n_verbs=2)
    assert found.faults == []


def test_checkpoints() -> None:
    found = checkpoints.fuzz(150, seed=2)
    assert found.faults == []
    assert found.outcomes["refused"] > 30
    assert found.outcomes["loaded"] > 20


@pytest.mark.slow
def test_commands() -> None:
    found = commands.fuzz(1, seed=8)
    assert found.faults == []
