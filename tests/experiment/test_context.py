"""What the stages share of a study."""

import weakref
from pathlib import Path

import pytest
import torch

from autointerp.errors import StudyError
from autointerp.experiment.context import Experiment
from autointerp.experiment.study import EMBEDDED, load_study
from autointerp.llm import vllm
from autointerp.run.store import Run


def test_two_scorers_of_one_name_are_refused(tmp_path: Path) -> None:
    """Their judgements could not be told apart: the second's would stand for both."""
    twice = ["scorers=[{use: detection, n_per_question: 5}, {use: detection, n_per_question: 10}]"]
    study = load_study(EMBEDDED / "study.yaml", twice)
    with pytest.raises(StudyError, match="twice: detection"):
        _ = Experiment(study=study, run=Run(tmp_path)).scorers


@pytest.mark.parametrize(("device", "kept"), [("cuda", False), ("cpu", True)])
def test_an_engine_in_this_process_finds_the_gpu_free(
    device: str, kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is on the GPU has no reference left when the engine is opened; what is on the CPU stays."""

    class Weights:
        def __init__(self) -> None:
            self.device = torch.device(device)

    experiment = Experiment(study=load_study(EMBEDDED / "study.yaml"), run=Run(tmp_path))
    weights = Weights()
    vars(experiment)["subject"] = weights
    seen = weakref.ref(weights)
    del weights
    alive: list[bool] = []

    def opened(_: object) -> object:
        alive.append(seen() is not None)
        raise StudyError("opened")

    module = experiment.study.explainer_llm.module
    monkeypatch.setattr(module, "FILLS_GPU", vllm.FILLS_GPU, raising=False)
    monkeypatch.setattr(module, "open", opened)
    with pytest.raises(StudyError, match="opened"), experiment.asking("explainer"):
        pass
    assert alive == [kept]


def test_idle_engines_leave_the_gpu_before_a_subject_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`qualify` starts an engine before anything is collected."""
    experiment = Experiment(study=load_study(EMBEDDED / "study.yaml"), run=Run(tmp_path))
    module, order = experiment.study.judge_llm.module, list[str]()
    monkeypatch.setattr(module, "FILLS_GPU", True, raising=False)
    monkeypatch.setattr(module, "free_idle", lambda: order.append("engines closed"), raising=False)
    monkeypatch.setattr("autointerp.subject.model.load", lambda *given: order.append("subject"))
    _ = experiment.subject
    assert order == ["engines closed", "subject"]
