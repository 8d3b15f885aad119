"""Studies with any value in any place: a valid study that dumps to an equal one, or a short message."""

import random
from pathlib import Path
from typing import Any

import pytest

from autointerp.__main__ import main
from autointerp.collection.base import SamplingConfig
from autointerp.errors import StudyError
from autointerp.experiment.settings import override
from autointerp.experiment.study import EMBEDDED, Study, dump_study, load_study, read_study, study_yaml, validate_study
from autointerp.run import yaml_files
from autointerp.statistics.planning import DEFAULT_PROPORTIONAL_SHARE

VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2,
    10**9,
    10**39,
    -(10**39),
    0.5,
    -0.0,
    1e300,
    float("nan"),
    float("inf"),
    "",
    " ",
    "x",
    "yes",
    "..",
    "../x",
    "os.path",
    "./absent.py",
    "a" * 10_000,
    "\x00",
    "\x1b[31m",
    "é",
    [],
    [1],
    ["x"] * 2000,
    {},
    {"use": 7},
    {"use": "pattern"},
    {"use": ["x"]},
    {"a": {"b": {"c": 1}}},
    {1: 2},
    "pattern",
    "default",
)


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return (
        [path, *(place for key, value in inner for place in places(value, (*path, key)))]
        if path
        else [place for key, value in inner for place in places(value, (key,))]
    )


def put(node: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    copy = dict(node) if isinstance(node, dict) else list(node)
    copy[path[0]] = put(copy[path[0]], path[1:], value)
    return copy


def validated(values: Any) -> Study | str:
    try:
        return validate_study(values, source="mutant")
    except StudyError as error:
        return str(error)


def test_any_value_in_any_place_is_valid_or_said_shortly() -> None:
    """A study that is accepted comes back equal from the YAML that it is written as."""
    rng, whole = random.Random(0), dump_study(load_study(EMBEDDED / "study.yaml"))
    everywhere, accepted = places(whole), 0
    for _ in range(600):
        values = put(whole, rng.choice(everywhere), rng.choice(VALUES))
        study = validated(values)
        if isinstance(study, str):
            assert len(study) < 12_000, values
            assert all(len(line) < 600 for line in study.splitlines())
            continue
        accepted += 1
        assert validate_study(yaml_files.load(study_yaml(study)), source="again") == study
    assert accepted > 20


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("examples.n_hard=true", "examples.n_hard: should be int, not true"),
        ("limits.calls=true", "limits.calls: should be int, not true"),
        ("statistics.n_frequency_bins=1000000000", "less than or equal to 1000"),
        ("reconstruction.n_bootstrap=1000000000", "less than or equal to 100000"),
        ("dictionaries.0.seed=1" + "0" * 39, "dictionaries.0.seed"),
        ("dictionaries.-1.name=x", "not a position"),
        ("scorers.0.use=../x", "unknown"),
        ("scorers=[{use: os.path}]", "defines no `Config`, `build`"),
        ("name=[[[[[", "expected"),
        ("examples.n_hard.x=1", "cannot be set in 5"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(given: str, said: str) -> None:
    values = dump_study(load_study(EMBEDDED / "study.yaml"))
    with pytest.raises(StudyError) as raised:
        validate_study(override(values, [given]), source="study")
    assert said in str(raised.value)


def test_code_of_a_study_is_named_before_it_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The line comes first, although the file fails when it is imported; the failure is one line too."""
    code = tmp_path / "mine.py"
    code.write_text("print('ran')\nraise KeyError('x')\n")
    assert main(["score", "--dry-run", "--set", f"scorers=[{{use: {code}}}]", "--out", str(tmp_path / "run")]) == 2
    shown = capsys.readouterr()
    told = " ".join(shown.err.replace("\n", "").split())
    assert f"runs your code: {code}".replace(" ", "") in told.replace(" ", "")
    assert "fails when it is imported: KeyError" in told
    assert "Traceback" not in shown.err


def test_a_password_in_an_address_is_never_echoed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for address in ("http://me:s3cret@host:99999/v1", "ftp://me:s3cret@host", "http://me:s3cret@"):
        for where in ([], ["--set", "unknown=1"]):
            assert main(["score", "--explainer", address, *where, "--out", str(tmp_path / "run")]) == 2
            shown = capsys.readouterr()
            assert "s3cret" not in shown.err + shown.out


def test_an_unknown_reference_is_rejected_before_any_work() -> None:
    """The study knows its dictionaries, so the error comes with the study and not after the LLM calls."""
    with pytest.raises(StudyError, match=r"statistics.reference 'absent' is not a dictionary of this study.*sae"):
        load_study(EMBEDDED / "study.yaml", ["statistics.reference=absent"])
    assert load_study(EMBEDDED / "study.yaml", ["statistics.reference=sae"]).statistics.reference == "sae"


def test_plan_assumes_the_sampling_that_a_study_does_by_default() -> None:
    assert SamplingConfig().proportional_share == DEFAULT_PROPORTIONAL_SHARE


def test_init_writes_what_a_study_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also text that YAML 1.1 reads as a number, and line breaks that PyYAML folds outside double quotes."""
    values = read_study(EMBEDDED / "study.yaml")
    values["dictionaries"][0]["source"] = "1e5\x85\u2028/010"
    monkeypatch.setattr("autointerp.experiment.study.read_study", lambda _: values)
    assert main(["init", str(tmp_path / "study.yaml")]) == 0
    monkeypatch.undo()
    study = load_study(tmp_path / "study.yaml")
    assert study.dictionaries[0].source == "1e5\x85\u2028/010"
    assert study == validate_study(values, source="test")
