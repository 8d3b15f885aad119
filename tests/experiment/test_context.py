"""What the stages share of a study."""

from pathlib import Path

import pytest

from autointerp.errors import StudyError
from autointerp.experiment.context import Experiment
from autointerp.experiment.study import EMBEDDED, load_study
from autointerp.run.store import Run


def test_two_scorers_of_one_name_are_refused(tmp_path: Path) -> None:
    """Their judgements could not be told apart: the second's would stand for both."""
    twice = ["scorers=[{use: detection, n_per_question: 5}, {use: detection, n_per_question: 10}]"]
    study = load_study(EMBEDDED / "study.yaml", twice)
    with pytest.raises(StudyError, match="twice: detection"):
        _ = Experiment(study=study, run=Run(tmp_path)).scorers
