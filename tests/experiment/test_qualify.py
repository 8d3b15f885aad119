"""Stage `qualify` in a whole run: it stops before anything is collected, warns, and chooses a prompt form."""

import json
from pathlib import Path
from typing import Any

import pytest

from autointerp.__main__ import main
from autointerp.experiment import outlook, pipeline
from autointerp.experiment.study import load_study
from autointerp.qualification import show
from autointerp.report import qualification
from tests.qualification import judges

JUDGES = "tests.qualification.judges"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep qualifications in a folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def roles(explainer: str, judge: str, **sections: Any) -> dict[str, Any]:
    """Sections of a study whose LLMs are functions of `tests.qualification.judges`."""
    asked = {"explainer_llm": explainer, "judge_llm": judge}
    llms = {role: {"use": "scripted", "answer": f"{JUDGES}.{name}"} for role, name in asked.items()}
    return {"explainer": "default", "scorers": ["detection", "fuzzing"], "qualify": "stop", **llms, **sections}


@pytest.mark.parametrize(
    ("explainer", "judge", "cause"),
    [("one_sentence", "always_yes", "answers yes to 100%"), ("copies_example", "perfect", "copy an example")],
)
def test_a_run_stops_before_anything_is_collected(
    study_of: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], explainer: str, judge: str, cause: str
) -> None:
    """Exit code 3 and one line with the cause; the same command stops again, from the replies that are kept."""
    path, out = study_of(**roles(explainer, judge)), tmp_path / "run"
    for _ in range(2):
        assert main(["score", str(path), "--out", str(out)]) == 3
        assert cause in capsys.readouterr().err.splitlines()[-1]
        assert not (out / "activations").exists()
        assert not (out / "explanations.parquet").exists()
    found = json.loads((out / "qualification.json").read_text(encoding="utf-8"))
    assert "failed" in (found["judge"], found["explainer"])
    assert found["rows"]


def test_a_warned_run_goes_on(study_of: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`qualify: warn` says the same and scores all the same."""
    path = study_of(**roles("one_sentence", "always_yes", qualify="warn"))
    run = pipeline.score(load_study(path), tmp_path / "run")
    assert "answers yes to 100%" in capsys.readouterr().err
    assert run.has("judgements")
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "Before any latent was paid for: judge failed" in page
    assert "answers yes to 100% of the contexts" in page
    # The file is read as it is: another verdict there is another verdict on the page and in the gate's notes.
    found = json.loads((run / "qualification.json").read_text(encoding="utf-8"))
    assert (
        qualification.qualified({**found, "judge": "passed"})
        .sentences[0]
        .startswith("Before any latent was paid for: judge passed")
    )
    (line,) = show.of_run(run.path)
    assert line.startswith("qualify: judge failed (sensitivity + specificity - 1: detection 0.00")


def test_auto_writes_the_chosen_form_into_the_protocol(study_of: Any, tmp_path: Path) -> None:
    """A judge that is good in every form is asked in lists, the cheapest; the manifest's protocol says which."""
    path = study_of(**roles("names_the_word", "perfect", qualify="auto"))
    assert judges.BY_EXPLANATION
    run = pipeline.score(load_study(path), tmp_path / "run")
    assert json.loads((run / "qualification.json").read_text(encoding="utf-8"))["form"] == "list"
    assert {scorer["form"] for scorer in run.manifest["protocol"]["scorers"]} == {"list"}


def test_a_clear_qualification_takes_the_calls_that_a_dry_run_says(study_of: Any, tmp_path: Path) -> None:
    """Explainer and judge that are always right: the least of the two numbers, within 3 %."""
    study = load_study(study_of(**roles("names_the_word", "perfect")))
    run = pipeline.score(study, tmp_path / "run")
    usage = run.manifest["usage"]
    stages = ("qualify_judge", "qualify_explainer", "qualify_judge_of_explanations")
    asked = [usage[stage][kind] for stage in stages for kind in ("calls", "cached_calls")]
    least, most = outlook.qualification_calls(study)
    assert sum(asked) == pytest.approx(least, rel=0.03)
    assert most > least
