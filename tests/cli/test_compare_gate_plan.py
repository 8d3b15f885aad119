"""compare, gate and plan as a person runs them, on written run directories."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest

from autointerp.__main__ import main
from tests.helpers.simulate import Arm, Run, simulate, write_run

ARMS = [Arm(name="sae", mean=0.7), Arm(name="tc", architecture="transcoder", mean=0.8)]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write_run(simulate(ARMS, seed=1), tmp_path / "base")


def worse(run: Run, by: float, control: str = "none") -> Run:
    """The same run with a share of the right answers under one control turned over."""
    table = run.judgements.copy()
    right = (table["control"] == control) & (table["truth"] == (table["answer"] == "yes"))
    turned = table[right].sample(frac=by, random_state=0).index
    table.loc[turned, "answer"] = table.loc[turned, "answer"].map({"yes": "no", "no": "yes"})
    return Run(judgements=table, latents=run.latents, dictionaries=run.dictionaries, reconstruction=run.reconstruction)


def test_compare_writes_parquet_csv_latex_and_json(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(base)]) == 0
    assert "better" in capsys.readouterr().out
    written = {path.name for path in (base / "compare").iterdir()}
    assert {"estimates.parquet", "comparisons.csv", "comparisons.tex", "summary.json"} <= written
    assert "toprule" in (base / "compare" / "comparisons.tex").read_text()
    assert (
        not pd.read_csv(base / "compare" / "comparisons.csv", keep_default_na=False)
        .select_dtypes("number")
        .isna()
        .to_numpy()
        .any()
    )


def test_compare_refuses_another_protocol_by_naming_the_setting_and_allow_says_so(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_run(simulate(ARMS, seed=2), tmp_path / "other", protocol_hash="q", protocol={"n_explain": 20})
    assert main(["compare", str(base), str(other)]) == 2
    assert "n_explain" in capsys.readouterr().err.replace("\n", "")
    assert main(["compare", str(base), str(other), "--allow", "--json"]) == 0
    assert "n_explain" in json.loads(capsys.readouterr().out)["summary"]["allowed"][0]


def test_compare_refuses_another_context_pool(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = write_run(simulate(ARMS, seed=2), tmp_path / "other", context_pool_hash="other")
    assert main(["compare", str(base), str(other)]) == 2
    assert "another text, seed or number of tokens?" in capsys.readouterr().err.replace("\n", " ")


@pytest.mark.parametrize("verb", ["compare", "gate"])
def test_a_refusal_names_the_seed_that_differs(verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not the hash of what follows from it."""
    runs = [
        write_run(simulate(ARMS, seed=seed), tmp_path / f"r{seed}", context_pool_hash=f"c{seed}", context_pool=pool)
        for seed, pool in ((0, {"seed": 0, "pool_windows": 9}), (1, {"seed": 1, "pool_windows": 9}))
    ]
    words = [str(runs[0]), str(runs[1])] if verb == "compare" else [str(runs[0]), "--baseline", str(runs[1])]
    assert main([verb, *words]) == 2
    said = capsys.readouterr().err.replace("\n", " ")
    assert "seed: 0 against 1" in said or "seed: 1 against 0" in said
    assert "hash" not in said


def test_compare_refuses_documents_in_both_splits(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = pd.DataFrame(
        {"dictionary": "sae", "site": "s", "latent": 3, "split": ["explain", "held_out"], "document_id": 7}
    )
    rows.to_parquet(base / "examples.parquet")
    assert main(["compare", str(base)]) == 2
    assert "both splits" in capsys.readouterr().err.replace("\n", " ")


def test_a_replay_passes_the_gate_and_a_worse_one_fails_it(base: Path, tmp_path: Path) -> None:
    run = simulate(ARMS, seed=1)
    same = write_run(run, tmp_path / "same")
    bad = write_run(worse(run, 0.25), tmp_path / "bad")
    assert main(["gate", str(same), "--baseline", str(base)]) == 0
    assert main(["gate", str(bad), "--baseline", str(base)]) == 1


def test_a_failed_control_makes_the_gate_invalid(base: Path, tmp_path: Path) -> None:
    leaking = write_run(simulate(ARMS, seed=1, shuffled=0.8), tmp_path / "leaking")
    assert main(["gate", str(leaking), "--baseline", str(base)]) == 3


def test_too_few_latents_are_inconclusive(base: Path, tmp_path: Path) -> None:
    other = write_run(simulate(ARMS, seed=2), tmp_path / "other")
    assert main(["gate", str(other), "--baseline", str(base), "--max-dead", ".2"]) == 2


def test_gate_writes_junit_and_step_summary(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = write_run(worse(simulate(ARMS, seed=1), 0.25), tmp_path / "bad")
    junit, summary = tmp_path / "gate.xml", tmp_path / "summary.md"
    main(["gate", str(bad), "--baseline", str(base), "--junit", str(junit), "--summary", str(summary), "--json"])
    suite = ElementTree.parse(junit).getroot()[0]
    assert int(suite.get("failures") or 0) >= 1
    assert int(suite.get("tests") or 0) == len(suite)
    assert "| sae | detection |" in summary.read_text()
    assert json.loads(capsys.readouterr().out)["exit_code"] == 1


def test_plan_prints_a_size_from_a_pilot(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--pilot", str(base), "--kind", "ni", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert 0.05 < found["components"]["tau"] < 0.15
    assert found["plan"]["n_latents"] > 100


def test_a_wrong_setting_is_one_line_and_code_2(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(base), "--margin", "0.7"]) == 2
    assert "margin" in capsys.readouterr().err
    assert main(["plan", "--rho", "3"]) == 2


# sensitivity + specificity - 1 is .9; turning a share q of the .95 right answers takes 2 x .95 q: .038 and .114.
@pytest.mark.parametrize(("share", "code"), [(0.02, 0), (0.06, 3)])
def test_a_judge_that_knows_planted_latents_less_than_in_the_baseline_makes_gate_and_compare_invalid(
    base: Path, tmp_path: Path, share: float, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """It still knows them well enough (.6), but it is not the judge it was."""
    later = write_run(worse(simulate(ARMS, seed=1), share, "planted"), tmp_path / "later")
    assert main(["gate", str(later), "--baseline", str(base)]) == code
    assert ("not the same judge any more" in capsys.readouterr().out) is bool(code)
    assert main(["compare", str(base), str(later), "--json"]) == code
    found = json.loads(capsys.readouterr().out)["summary"]["controls"]
    assert (found["verdict"] == "INVALID") is bool(code)
    assert any("from base" in reason for reason in found["reasons"]) is bool(code)


def test_another_judge_is_not_held_to_the_baselines_planted_latents(base: Path, tmp_path: Path) -> None:
    """Only one judge's answers must agree with its own earlier ones."""
    llms = {"judge": {"use": "other"}}
    other = write_run(worse(simulate(ARMS, seed=1), 0.06, "planted"), tmp_path / "other", llms=llms)
    assert main(["gate", str(other), "--baseline", str(base)]) == 0
