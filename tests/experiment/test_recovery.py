"""A damaged run directory is completed by the same command, to the same tables, from stored replies."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from autointerp import open_run
from autointerp.errors import RunDirectoryError
from autointerp.experiment import pipeline
from autointerp.experiment.study import Study, load_study
from autointerp.run.files import read_json
from autointerp.run.store import Run
from autointerp.run.tables import EXPLANATIONS
from tests.experiment.conftest import write_study

MEASURED = ["latency_s", "from_cache", "n_calls"]


@pytest.fixture(scope="module")
def whole(world: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Run]:
    folder = tmp_path_factory.mktemp("whole")
    study = load_study(write_study(world, folder / "study.yaml"))
    return study, pipeline.score(study, folder / "run")


def same(found: Run, expected: Run) -> None:
    for path in sorted(expected.path.glob("*.parquet")):
        mine, theirs = (run.read(path.stem).drop(columns=MEASURED, errors="ignore") for run in (found, expected))
        pd.testing.assert_frame_equal(mine, theirs)
    assert read_json(found / "summary.json") == read_json(expected / "summary.json")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def half(path: Path) -> None:
    rows = pd.read_parquet(path)
    rows.iloc[: len(rows) // 2].to_parquet(path)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("latents.parquet", Path.unlink),
        ("judgements.parquet", half),
        ("explanations.parquet", empty),
        ("examples.parquet", Path.unlink),
        ("questions.parquet", half),
        ("estimates.parquet", half),
        ("summary.json", Path.unlink),
        ("manifest.json", empty),
        ("stages/judge.json", empty),
        ("study.yaml", empty),
    ],
)
def test_what_is_damaged_is_done_again_without_a_call(
    whole: tuple[Study, Run], tmp_path: Path, name: str, damage: Any
) -> None:
    """Readers reject the damage; `score` again gives the tables of the undamaged run, and every reply was stored."""
    study, expected = whole
    path = Path(shutil.copytree(expected.path, tmp_path / "run"))
    damage(path / name)
    if name.endswith(".parquet"):
        with pytest.raises(RunDirectoryError):
            getattr(open_run(path), Path(name).stem)
    again = pipeline.score(study, path)
    same(again, expected)
    open_run(path).judgements  # noqa: B018
    asked = again.read("questions")
    assert set(asked["scorer"]) == {"explain", "detection", "fuzzing"}
    assert len(asked) == len(expected.read("questions"))


def test_new_judgements_make_new_estimates(whole: tuple[Study, Run], tmp_path: Path) -> None:
    """A stage whose input was written anew is done again, although its own settings and files are as they were."""
    study, expected = whole
    path = Path(shutil.copytree(expected.path, tmp_path / "run"))
    run = Run(path)
    rows = run.read("judgements")
    stages = run.stages()
    run.write("judgements", rows.assign(answer="yes"))
    run.finish("judge", stages["judge"]["fingerprint"], seconds=1, counts={}, inputs=stages["judge"]["inputs"])
    run.update_manifest()
    again = pipeline.score(study, path)
    own = again.read("estimates").query("population == 'eligible' and statistic == 'score' and scorer == 'detection'")
    assert own["value"].to_list() == pytest.approx([0.5] * len(own))


def test_a_refused_explanation_is_a_counted_row(whole: tuple[Study, Run], tmp_path: Path) -> None:
    """Its null text, which pandas 3 reads as NaN, reaches every later stage and reader."""
    study, expected = whole
    path = Path(shutil.copytree(expected.path, tmp_path / "run"))
    run, stages = Run(path), expected.stages()
    told = run.read("explanations").astype({"text": object, "raw": object})
    told.loc[0, ["text", "status", "raw"]] = [None, "refused", None]
    run.write("explanations", told, EXPLANATIONS)
    run.finish("explain", stages["explain"]["fingerprint"], seconds=1, counts={}, inputs=stages["explain"]["inputs"])
    run.update_manifest()
    again = pipeline.score(study, path)
    latents = again.read("latents").query("sampled")
    assert latents["status"].value_counts().to_dict() == {"scored": len(latents) - 1, "explanation_failed": 1}
    failed = latents[latents["status"] == "explanation_failed"].iloc[0]
    assert open_run(path).latent(failed["dictionary"], int(failed["latent"])).explanations["text"].isna().all()
