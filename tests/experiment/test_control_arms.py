"""Control arms in a whole run: rates as on the survey, rows in every table, a verdict, a place in the figure."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from autointerp import open_run
from autointerp.experiment import pipeline
from autointerp.experiment.study import load_study, validate_study
from autointerp.report.drawing import page_figures
from autointerp.report.figures import controls
from autointerp.run.store import Run

ARMS = ("directions", "encoder", "subject")
ARCHITECTURES = [f"random-{arm}" for arm in ARMS]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, world: Path) -> Run:
    """A run of one dictionary behind a block of the subject, and its three control arms."""
    site = "model.layers.1.mlp.output"
    study = validate_study(
        {
            "name": "arms",
            "subject": {"model": str(world / "subject")},
            "corpus": {"use": "text", "path": str(world / "text.txt"), "split": "blank_lines"},
            "windows": {"n_tokens": 24_000, "context_length": 32, "window_length": 8},
            "dictionaries": [
                {"name": "sae", "source": f"{world}/noise/embed", "site_in": site, "site_out": site, "accept": True},
                *({"name": arm, "source": "sae", "control": f"random_{arm}"} for arm in ARMS),
            ],
            "collection": {"shard_tokens": 4000},
            "sampling": {"n_latents": "all", "survey_share": 0.4},
            "examples": {"min_windows": 30, "n_explain": 10, "n_positives": 10, "n_negatives": 10, "n_hard": 2},
            "reconstruction": {"n_documents": 10, "n_bootstrap": 100},
            "explainer": "pattern",
            "explainer_llm": "pattern",
            "judge_llm": "pattern",
            "controls": {"n_planted": 0},
        },
        source="test",
    )
    return pipeline.score(study, tmp_path_factory.mktemp("arms") / "run")


def test_rates_are_those_of_the_trained_latents(run: Run) -> None:
    """Of the arms with matched rates each latent fires as often as the trained one in its place: on the whole corpus,
    of which two fifths were the survey, within a tenth and five standard errors."""
    latents = run.read("latents").pivot(index="latent", columns="dictionary", values="firing_rate_token")
    assert (latents["sae"] > 0.02).any()
    for arm in ("directions", "subject"):
        off = np.abs(latents[arm] - latents["sae"])
        error = np.sqrt(latents["sae"] * (1 - latents["sae"]) / 9600)
        assert (off < 0.1 * latents["sae"] + 5 * error).all(), arm
    assert (latents["encoder"].sum() / latents["sae"].sum()) == pytest.approx(1, abs=0.05), "top 1 of as many"


def test_the_redrawn_subject_is_another_one(run: Run) -> None:
    """Its activations are not the trained subject's, though windows, tokens and shards are the same."""
    trained, redrawn = (
        [load_file(path) for path in sorted((run / folder / "shards").glob("*.safetensors"))]
        for folder in ("activations", "activations-random-subject")
    )
    assert len(trained) == len(redrawn) == 7
    assert all((one["n"] == other["n"]).all() for one, other in zip(trained, redrawn, strict=True))
    ours, theirs = (
        np.concatenate([np.asarray(part[key]) for part in parts])
        for parts, key in ((trained, "sae/positions"), (redrawn, "subject/positions"))
    )
    assert len(np.intersect1d(ours, theirs)) < 0.9 * len(ours)


def test_each_arm_has_rows_and_a_verdict_of_its_own(run: Run) -> None:
    """In dictionaries, latents, judgements and estimates; in the controls' table and the report; compared with none."""
    assert run.read("dictionaries")["architecture"].tolist() == ["sae", *ARCHITECTURES]
    for table in ("latents", "judgements", "estimates"):
        assert {"sae", *ARMS} <= set(run.read(table)["dictionary"]), table
    table = run.read("controls")
    arms = table[table["control"].isin(ARCHITECTURES)]
    assert sorted(arms["control"].unique()) == sorted(ARCHITECTURES)
    assert len(arms) == 6
    assert set(arms["status"]) <= {"passed", "failed"}
    assert run.read("comparisons").empty
    assert set(run.read("reconstruction")["dictionary"]) == {"sae"}
    page = (run / "report.html").read_text()
    assert all(name in page for name in ARCHITECTURES)


def test_the_figure_shows_arms_beside_their_dictionary(run: Run) -> None:
    """A row per arm and scorer: its stored estimate and, to compare, that of the trained dictionary."""
    opened = open_run(run.path)
    table = controls.data(opened)
    arms = table[table["kind"] == "arm"]
    assert len(arms) == 6
    means = opened.estimates[opened.estimates["statistic"] == "score"]
    own = means[means["population"] == "eligible"].set_index(["dictionary", "scorer"])["value"]
    for row in arms.to_dict("records"):
        arm = str(row["control"]).split(" ")[0]
        assert row["value"] == own[arm, row["scorer"]]
        assert row["expected"] == own["sae", row["scorer"]]
        assert row["low"] <= row["value"] <= row["high"]
    panels = next(figure["panels"] for figure in page_figures(opened) if figure["name"] == "controls")
    assert all(f"{arm} (random-{arm})</text>" in panel for arm in ARMS for panel in panels)
    assert "Control arms" in controls.caption(table)


def test_an_arm_is_taken_up_again(run: Run) -> None:
    """A second start finds everything done, and the same marks."""
    before = (run / "judgements.parquet").stat().st_mtime_ns
    pipeline.score(load_study(run.path / "study.yaml"), run.path)
    assert (run / "judgements.parquet").stat().st_mtime_ns == before
