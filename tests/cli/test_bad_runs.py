"""Broken or degenerate copies of a real run through `compare`, `gate` and `plan`: one clear line, or honest numbers."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from autointerp.__main__ import main

REAL = Path(__file__).parents[2] / "results" / "reference" / "embedded"
NUMBERS = re.compile(r"(?i)(?<![a-z])(nan|[-+]?inf(inity)?)(?![a-z])")
Change = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.fixture
def run(small: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(small, tmp_path / "run"))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two dictionaries of the reference run, twelve latents each."""
    folder = tmp_path_factory.mktemp("small") / "run"
    shutil.copytree(REAL, folder)
    # Without the record of its tables' hashes, so that what is changed below meets the tables' own laws.
    manifest = json.loads((folder / "manifest.json").read_text())
    unrecorded = {key: manifest[key] for key in manifest if key not in {"schema", "checksum", "tables", "stages"}}
    (folder / "manifest.json").write_text(json.dumps(unrecorded))
    latents = pd.read_parquet(folder / "latents.parquet")
    names = ["sae", "transcoder"]
    kept = latents[latents["sampled"] & latents["dictionary"].isin(names)].groupby("dictionary").head(12)
    keys = pd.MultiIndex.from_frame(kept[["dictionary", "latent"]])
    rows = pd.read_parquet(folder / "judgements.parquet")
    inside = pd.MultiIndex.from_frame(rows[["dictionary", "latent"]]).isin(keys) | (rows["control"] == "planted")
    rows[inside].to_parquet(folder / "judgements.parquet")
    only = latents[latents["dictionary"].isin(names)]
    sampled = pd.MultiIndex.from_frame(only[["dictionary", "latent"]]).isin(keys)
    only.assign(sampled=sampled).to_parquet(folder / "latents.parquet")
    table = pd.read_parquet(folder / "dictionaries.parquet")
    table[table["dictionary"].isin(names)].to_parquet(folder / "dictionaries.parquet")
    return folder


def change(run: Path, name: str, how: Change) -> None:
    path = run / f"{name}.parquet"
    how(pd.read_parquet(path)).to_parquet(path)


def own(rows: pd.DataFrame) -> pd.Series:
    return rows["control"] == "none"


def first_latent(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep the first latent of each dictionary (and the planted ones)."""
    first = rows[own(rows)].groupby("dictionary")["latent"].transform("min")
    kept = rows["latent"] == rows["dictionary"].map(rows[own(rows)].groupby("dictionary")["latent"].min())
    assert len(first)
    return rows[kept | (rows["control"] == "planted")]


REFUSED: dict[str, tuple[str, Change, str]] = {
    "no rows at all": ("judgements", lambda t: t.iloc[:0], "no judgements"),
    "duplicated rows": ("judgements", lambda t: pd.concat([t, t[own(t)].head(50)]), "repeat a judgement"),
    "probability above 1": ("judgements", lambda t: t.assign(probability=1.5), "probability 1.5"),
    "infinite probability": ("judgements", lambda t: t.assign(probability=-np.inf), "probability -inf"),
    "shares that do not sum": ("judgements", lambda t: t.assign(stratum_share=0.7), "must sum to 1"),
    "a share of zero": ("judgements", lambda t: t.assign(stratum_share=0.0), "stratum_share 0"),
    "a share that is not a number": ("judgements", lambda t: t.assign(stratum_share=np.nan), "stratum_share nan"),
    "an unknown answer": ("judgements", lambda t: t.assign(answer="perhaps"), "'perhaps' is unknown"),
    "no inclusion probability": ("latents", lambda t: t.assign(inclusion_probability=0.0), "is not in (0, 1]"),
    "latents twice": ("latents", lambda t: pd.concat([t, t]), "twice"),
    "latents of another run": ("latents", lambda t: t.assign(latent=t["latent"] + 10**6), "not in the latents table"),
    "a column missing": ("latents", lambda t: t.drop(columns="eligible"), "columns missing"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("verb", ["compare", "plan"])
def test_what_breaks_a_law_is_refused_in_one_line(
    run: Path, name: str, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    table, how, said = REFUSED[name]
    change(run, table, how)
    code = main([verb, str(run)] if verb == "compare" else [verb, "--pilot", str(run)])
    err = " ".join(capsys.readouterr().err.split())
    assert code == 2
    assert said in err
    assert "Traceback" not in err


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "null"])
def test_a_broken_manifest_is_refused(run: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    base = shutil.copytree(run, run.parent / "base")
    (run / "manifest.json").write_text(text)
    assert main(["compare", str(run)]) == 2
    assert "manifest.json" in capsys.readouterr().err.replace("\n", "")
    (run / "manifest.json").unlink()
    assert main(["gate", str(run), "--baseline", str(base)]) == 2
    assert "differ in" in capsys.readouterr().err


HONEST: dict[str, tuple[str, Change]] = {
    "as it is": ("judgements", lambda t: t),
    "one latent": ("judgements", first_latent),
    "all unanswered": ("judgements", lambda t: t.assign(answer="unanswered")),
    "own unanswered": ("judgements", lambda t: t.assign(answer=t["answer"].where(~own(t), "unanswered"))),
    "always yes": ("judgements", lambda t: t.assign(answer="yes")),
    "always right": ("judgements", lambda t: t.assign(answer=np.where(t["truth"], "yes", "no"))),
    "one arm empty": ("judgements", lambda t: t[t["dictionary"] != "transcoder"]),
    "one arm unanswered": (
        "judgements",
        lambda t: t.assign(answer=t["answer"].where(t["dictionary"] != "sae", "unanswered")),
    ),
    "no probabilities": ("judgements", lambda t: t.assign(probability=np.nan)),
    "only positives": ("judgements", lambda t: t[t["kind"] == "positive"]),
    "only controls": ("judgements", lambda t: t[~own(t)]),
    "one dictionary": ("dictionaries", lambda t: t.head(1)),
    "unknown layer and seed": ("dictionaries", lambda t: t.assign(layer=-1, seed=-1)),
    "nothing eligible": ("latents", lambda t: t.assign(eligible=False)),
    "nothing fires": ("latents", lambda t: t.assign(firing_rate_token=0.0, firing_rate_window=0.0)),
}


@pytest.mark.parametrize("name", HONEST)
def test_degenerate_runs_give_numbers_or_one_line_but_never_nan(
    run: Path, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(run, *HONEST[name])
    out = tmp_path / "out"
    code = main(["compare", str(run), "--out", str(out), "--by", "layer,k,seed"])
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err
    assert code in (0, 2, 3)
    if code == 2:
        assert shown.err.strip()
        return
    for file in out.iterdir():
        if file.suffix != ".parquet":
            assert not NUMBERS.search(file.read_text()), file
    assert not NUMBERS.search(shown.out)
    comparisons = pd.read_parquet(out / "comparisons.parquet")
    if len(comparisons):
        assert np.isfinite(comparisons[["diff", "se", "df", "ci95_lo", "ci95_hi", "p_diff", "p_tost"]]).all(axis=None)
    json.loads((out / "summary.json").read_text())


@pytest.mark.parametrize("name", ["one latent", "all unanswered", "one arm empty", "only controls", "always yes"])
def test_the_gate_never_passes_nor_fails_what_it_cannot_know(
    run: Path, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = tmp_path / "base"
    shutil.copytree(run, base)
    change(run, *HONEST[name])
    code = main(["gate", str(run), "--baseline", str(base), "--json"])
    shown = capsys.readouterr()
    assert code in (2, 3) if name != "always yes" else code in (1, 2, 3)
    assert not NUMBERS.search(shown.out)


def test_a_pilot_of_one_latent_is_too_small_to_plan_from(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(run, "judgements", first_latent)
    latents = pd.read_parquet(run / "latents.parquet")
    latents[latents["dictionary"] == "sae"].to_parquet(run / "latents.parquet")
    change(run, "judgements", lambda t: t[t["dictionary"] == "sae"])
    assert main(["plan", "--pilot", str(run)]) == 2
    assert "two latents" in " ".join(capsys.readouterr().err.split())
