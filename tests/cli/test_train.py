"""`autointerp train` and `autointerp evaluate` from the command line, on a tiny model."""

import json
from pathlib import Path

import pandas as pd
import pytest

from autointerp import dictionaries
from autointerp.__main__ import main
from autointerp.run.tables import RECONSTRUCTION
from tests.helpers import script, tiny

RECIPE = Path(__file__).parents[2] / "results/reference/embedded-training/train_subject.py"
SMALL = "--latents 32 --k 4 --tokens 2k --set training.context_length=32 --set training.contexts_per_step=4".split()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a model and a text file."""
    tiny.save(tmp_path / "model")
    texts = [json.dumps({"text": f"the cat {i} sat on the mat and the dog ran after {i * 7} cats"}) for i in range(150)]
    (tmp_path / "texts.jsonl").write_text("\n".join(texts))
    return tmp_path


def test_train_then_evaluate(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three dictionaries are trained, printed, and measured together; the table is kept and is a table of ours."""
    model, data = str(place / "model"), str(place / "texts.jsonl")
    command = ["train", model, "--data", data, "--site", "layers.1.mlp", *SMALL, "--out", str(place / "run")]
    assert main(command) == 0
    folders = capsys.readouterr().out.split()
    assert len(folders) == 3
    named = [f"{dictionaries.load(folder).architecture}={folder}" for folder in folders]
    windows = ["--set", "windows.context_length=32", "--set", "windows.window_length=8", "--tokens", "2k"]
    assert main(["evaluate", model, *named, "--data", data, *windows, "--documents", "20", "--out", str(place)]) == 0
    assert "ce_increase" in capsys.readouterr().out
    table = pd.read_parquet(place / "reconstruction.parquet")
    assert list(table.columns) == list(RECONSTRUCTION)
    assert set(table["dictionary"]) == {"sae", "transcoder", "skip-transcoder"}
    assert (table["n_documents"] == 20).all()
    fvu = table[table["metric"] == "fvu"].set_index("dictionary")["value"]
    assert ((fvu > 0) & (fvu < 1)).all()


def test_a_recipe_trains_the_subject_first_and_embeds_it(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A study file with a recipe; a second start finds all done; the float16 copies are read as one study would."""
    study = place / "study.yaml"
    study.write_text(
        "recipe: {vocabulary: 300, width: 16, head_width: 8, layers: 2, context: 16, rows: 4, n_tokens: 640}\n"
        f"corpus: {{use: jsonl, path: {place / 'texts.jsonl'}}}\n"
        f"held_out: {{use: jsonl, path: {place / 'held.jsonl'}}}\n"
        "training: {sites: [layers.1.mlp], latents: [32], k: [4], seeds: [0, 1], n_tokens: 500, context_length: 16}\n"
    )
    (place / "held.jsonl").write_text("\n".join((place / "texts.jsonl").read_text().splitlines()[:20]))
    recipe = script.module(RECIPE)
    recipe.train_all(study, place / "run", place / "default")
    first = (place / "run/subject/model/model.safetensors").read_bytes()
    recipe.train_all(study, place / "run", place / "default")
    assert (place / "run/subject/model/model.safetensors").read_bytes() == first
    folders = capsys.readouterr().out.split()
    assert len(folders) == 6
    assert folders[:3] == folders[3:]
    log = [json.loads(line) for line in (place / "run/subject/log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [10]
    assert log[-1]["held_out_loss"] < 6  # log(300) = 5.7 knows nothing
    for folder in folders[:3]:
        assert dictionaries.load(folder).W_dec.dtype.itemsize == 2
    data = [
        "--data",
        str(place / "held.jsonl"),
        *"--set windows.context_length=16 --set windows.window_length=8".split(),
    ]
    assert main(["evaluate", str(place / "default/subject"), folders[0], *data]) == 0


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (["--site", "layers.9.mlp"], "layers.9.mlp"),
        (["--k", "64"], "k = 64 is more than the 32 latents"),
        (["--architecture", "autoencoder"], "skip-transcoder"),
        (["--tokens", "5M"], "less than the budget n_tokens = 5,000,000"),
        (["--data", "nowhere/at/all.jsonl"], "nowhere/at/all.jsonl"),
        (["--set", "training.rate=3"], "training.rate: unknown setting"),
    ],
)
def test_bad_input_is_one_line_and_code_2(
    place: Path, capsys: pytest.CaptureFixture[str], changes: list[str], says: str
) -> None:
    data = ["--data", str(place / "texts.jsonl"), "--site", "layers.1.mlp", "--out", str(place / "run")]
    command = ["train", str(place / "model"), *data, *SMALL, *changes]
    assert main(command) == 2
    told = capsys.readouterr().err
    assert says in " ".join(told.split())
    assert "Traceback" not in told
