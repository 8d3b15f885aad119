"""The paper's four claims: each takes over its comparison's interval and verdict, and only a verdict decides it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.multitest import multipletests

from autointerp.__main__ import main
from autointerp.run import secondary_tables, tables
from autointerp.statistics.claims import claims
from tests.helpers.simulate import Arm, Run, simulate, write_run

SAE, TC, SKIP = "sae", "transcoder", "skip-transcoder"
SCORES = {SAE: 0.65, TC: 0.8, SKIP: 0.8}
LOSSES = {SAE: 0.05, TC: 0.08, SKIP: 0.06}


def study(shuffled: float = 0.5) -> Run:
    """Three architectures, k of 8 and 32, three seeds: a run that bears out claims a, c and d."""
    arms = [
        Arm(name=f"{name}-k{k}-s{seed}", architecture=name, mean=score, k=k, seed=seed, n_sampled=40)
        for name, score in SCORES.items()
        for k in (8, 32)
        for seed in (0, 1, 2)
    ]
    made = simulate(arms, seed=1, shuffled=shuffled, scorers=("detection",))
    rng = np.random.default_rng(0)
    loss = {arm.name: LOSSES[arm.architecture] * (4 if arm.k == 8 else 1) + rng.normal(0, 0.0005) for arm in arms}
    kept = made.reconstruction[made.reconstruction["metric"] == "ce_increase"]
    value = kept["dictionary"].map(loss)
    kept = kept.assign(value=value, low=value - 0.002, high=value + 0.002)
    return Run(judgements=made.judgements, latents=made.latents, dictionaries=made.dictionaries, reconstruction=kept)


def compared(folder: Path, run: Run, code: int = 0) -> pd.DataFrame:
    path = write_run(run, folder / "run", llms={"judge": {"use": "pattern"}})
    assert main(["compare", str(path), "--out", str(folder)]) == code
    return pd.read_csv(folder / "claims.csv", keep_default_na=False, na_values=[""])


def test_compare_answers_the_claims_about_architectures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every k has its row for a, b and c; d has one per contrast; seeds are what is counted; the judge is named."""
    table = compared(tmp_path, study())
    assert list(table.columns) == list(tables.CLAIMS)
    assert table.groupby("claim").size().to_dict() == {"a": 2, "b": 2, "c": 2, "d": 2}
    assert (table["scope"] == "architecture").all()
    assert (table[["n_a", "n_b"]] == 3).to_numpy().all()
    holds = table.groupby("claim")["holds"].unique().map(list).to_dict()
    assert (holds["a"], holds["c"], holds["d"]) == (["yes"], ["yes"], ["yes"])
    assert set(holds["b"]) <= {"yes", "undecided"}
    assert set(table.loc[table["claim"] != "c", "judge"]) == {"pattern"}
    assert table.loc[table["claim"] == "c", "diff"].tolist() == pytest.approx([-0.08, -0.02], abs=0.002)
    printed = capsys.readouterr().out
    answers = printed[printed.index("Claim a: transcoders score higher than SAEs") : printed.index("controls: ")]
    assert "transcoder - sae, 3 v 3 seeds, scores judged by pattern" in answers
    assert max(len(line.rstrip()) for line in answers.splitlines()) <= 80
    front = pd.read_parquet(tmp_path / "frontier.parquet")
    assert list(front.columns) == list(secondary_tables.FRONTIER)
    tested = front[front["contrast"].str.endswith(" - sae")]
    assert tested["p_diff_adj"].to_numpy() == pytest.approx(multipletests(tested["p_diff"], method="holm")[1])
    assert set(front["contrast"]) == {"transcoder - sae", "skip-transcoder - sae", "skip-transcoder - transcoder"}


def test_a_failed_control_decides_no_claim_about_scores(tmp_path: Path) -> None:
    """Shuffled explanations that score .7: everything that rests on scores is invalid; the cross-entropy is not."""
    table = compared(tmp_path, study(shuffled=0.7), 3).set_index("claim")
    assert set(table.loc[["a", "b", "d"], "verdict"]) == {"invalid"}
    assert set(table.loc[["a", "b", "d"], "holds"]) == {"undecided"}
    assert table.loc[["c"], "holds"].unique().tolist() == ["yes"]


@pytest.mark.parametrize(
    ("verdict", "a", "b"),
    [
        ("better", "yes", "no"),
        ("worse", "no", "no"),
        ("equivalent", "no", "yes"),
        ("better_but_negligible", "yes", "yes"),
        ("worse_but_negligible", "no", "yes"),
        ("inconclusive", "undecided", "undecided"),
        ("invalid", "undecided", "undecided"),
    ],
)
def test_only_a_verdict_decides(verdict: str, a: str, b: str) -> None:
    """An undecided comparison never speaks for "the same" nor against a difference."""
    common = {"over": "dictionaries", "layer": 2, "k": 8, "scorer": "detection", "scope": "architecture", "n_a": 3,
              "n_b": 3, "diff": 0.0, "ci95_lo": -1.0, "ci95_hi": 1.0, "margin": 0.02, "verdict": verdict,
              "population": "eligible"}  # fmt: skip
    rows = pd.DataFrame(
        [{**common, "contrast": "transcoder - sae"}, {**common, "contrast": "skip-transcoder - transcoder"}]
    )
    measured = pd.DataFrame(columns=list(tables.RECONSTRUCTION_COMPARISONS))
    found = claims(rows, measured, pd.DataFrame(columns=list(secondary_tables.FRONTIER)), ["pattern"])
    assert found.set_index("claim")["holds"].to_dict() == {"a": a, "b": b}


def test_the_reproduction_s_page_shows_its_claims_as_they_are_filed() -> None:
    """Every row of the committed claims.csv stands on the page with its numbers, verdict and answer."""
    folder = Path(__file__).parents[2] / "results" / "reference" / "reproduction"
    page = (folder / "README.md").read_text(encoding="utf-8")
    lines = [[cell.strip() for cell in line.strip("| ").split("|")] for line in page.splitlines() if line[:1] == "|"]
    shown = {(row[0], row[1], row[2], row[3]): row for row in lines if len(row) == 10}
    filed = pd.read_csv(folder / "claims.csv")
    for row in filed.to_dict("records"):
        by = row["quantity"] if pd.isna(row["scorer"]) else row["scorer"]
        cells = shown[row["claim"], row["contrast"], str(row["k"] or "all"), by]
        assert cells[6:8] == [row["verdict"], row["holds"]]
        assert cells[4] == "-" if pd.isna(row["diff"]) else cells[4].startswith(f"{row['diff']:+.4f} [")
    assert len(shown) == len(filed) + 2  # and the heading with its rule
