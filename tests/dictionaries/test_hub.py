"""Checkpoints by hub name, through huggingface_hub's own code, from a hub on the loopback."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub.constants as constants
import pytest
import torch

from autointerp import dictionaries
from autointerp.dictionaries import files
from autointerp.errors import DictionaryError
from autointerp.experiment import pins
from autointerp.experiment.study import study_yaml, validate_study
from tests.helpers.checkpoints import CASES
from tests.helpers.hub import Hub, pointed, serving

# The client warns of what a loopback server has not.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::ResourceWarning")
CASE = next(case for case in CASES if case.name == "sparsify:sae")
NEEDED = ["layers.1.mlp/cfg.json", "layers.1.mlp/sae.safetensors"]


def repository(folder: Path, seed: int) -> Path:
    """Two dictionaries, with files beside them that nobody needs."""
    for name in ("layers.1.mlp", "layers.2.mlp"):
        (folder / name).mkdir(parents=True)
        CASE.write(folder / name, torch.Generator().manual_seed(seed))
        (folder / name / "optimizer.pt").write_bytes(b"0" * 1000)
    (folder / "README.md").write_text("two dictionaries")
    return folder


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving(Hub()) as served:
        served.publish("org/repo", repository(tmp_path / "old", 0), "a1", "v1", "refs/pr/3")
        served.publish("org/repo", repository(tmp_path / "new", 1), "b2", "main")
        pointed(monkeypatch, served.url, tmp_path / "cache")
        yield served


def test_only_what_is_read_is_fetched_and_the_commit_is_kept(hub: Hub, tmp_path: Path) -> None:
    """Two files of a repository of seven; a branch is resolved once, and its commit stands in the provenance."""
    opened = dictionaries.load("org/repo:layers.1.mlp")
    assert sorted(hub.fetched) == NEEDED
    assert opened.provenance.revision == "b2" * 20
    assert opened.provenance.source == f"org/repo@{'b2' * 20}:layers.1.mlp"
    local = dictionaries.load(tmp_path / "new/layers.1.mlp")
    assert opened.provenance.files == local.provenance.files
    assert torch.equal(opened.W_dec, local.W_dec)
    assert opened.site_in == "layers.1.mlp.output"


@pytest.mark.parametrize("revision", ["v1", "refs/pr/3", "a1" * 20])
def test_a_revision_is_that_revision(hub: Hub, revision: str, tmp_path: Path) -> None:
    """A tag, a pull request or a commit."""
    opened = dictionaries.load(f"org/repo@{revision}:layers.1.mlp")
    assert opened.provenance.revision == "a1" * 20
    assert torch.equal(opened.W_dec, dictionaries.load(tmp_path / "old/layers.1.mlp").W_dec)


def test_a_second_load_fetches_nothing(hub: Hub) -> None:
    """The cache holds a commit's files for good."""
    dictionaries.load("org/repo:layers.1.mlp")
    hub.fetched.clear()
    dictionaries.load("org/repo:layers.1.mlp")
    assert hub.fetched == []


@pytest.mark.parametrize("how", ["offline", "unreachable"])
def test_the_cache_serves_without_a_hub(hub: Hub, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HF_HUB_OFFLINE, or a hub that is down: what was loaded before loads again, and what was not says so."""
    before = dictionaries.load("org/repo:layers.1.mlp").provenance
    if how == "offline":
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    else:
        pointed(monkeypatch, "http://127.0.0.1:9", tmp_path / "cache")
    assert dictionaries.load("org/repo:layers.1.mlp").provenance == before
    with pytest.raises(DictionaryError, match=r"layers\.2\.mlp") as told:
        dictionaries.load("org/repo:layers.2.mlp")
    assert "\n" not in str(told.value)
    with pytest.raises(DictionaryError, match="its cache has none") as told:
        dictionaries.load("org/other:layers.1.mlp")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "source, refused, words",
    [
        ("org/nothing:layers.1.mlp", None, "org/nothing.*check the name"),
        ("org/repo@v9:layers.1.mlp", None, "org/repo@v9"),
        ("org/repo:layers.7.mlp", None, r"no folder or file 'layers\.7\.mlp'; it has: README\.md"),
        ("org/repo:layers.1.mlp", (401, "RepoNotFound"), "HF_TOKEN"),
        ("org/repo:layers.1.mlp", (403, "GatedRepo"), r"gated: accept the licence at http\S+/org/repo, .*HF_TOKEN"),
        ("org/repo:layers.1.mlp", (429, ""), "429"),
        ("org/repo:../other", None, "outside"),
        ("org/repo", None, r"name one: org/repo@b2b2\w+:layers\.1\.mlp"),
    ],
)
def test_what_the_hub_refuses_is_one_line(
    hub: Hub, source: str, refused: tuple[int, str] | None, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missing, private, gated, too many requests: what was asked, what the hub said, what to do."""
    if refused:
        hub.refuses["org/repo"] = refused
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(DictionaryError, match=words) as told:
        dictionaries.load(source)
    assert "\n" not in str(told.value)
    assert hub.fetched == []


def test_a_file_name_that_leads_out_is_refused(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub's listing is not trusted with paths."""
    import huggingface_hub

    real = huggingface_hub.HfApi.model_info

    def listing(*args: object, **kwargs: object) -> object:
        info = real(*args, **kwargs)  # type: ignore[arg-type]
        assert info.siblings
        info.siblings[0].rfilename = "../../etc/cron.d/x"
        return info

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", listing)
    with pytest.raises(DictionaryError, match="outside"):
        dictionaries.load("org/repo:layers.1.mlp")
    assert hub.fetched == []


def test_a_download_that_breaks_off_is_one_line(hub: Hub, tmp_path: Path) -> None:
    """The listing promises a file that is then gone."""
    (tmp_path / "new/layers.1.mlp/sae.safetensors").unlink()
    (tmp_path / "new/layers.1.mlp/sae.safetensors").mkdir()
    (tmp_path / "new/layers.1.mlp/sae.safetensors/x").write_text("x")
    with pytest.raises(DictionaryError) as told:
        dictionaries.load("org/repo:layers.1.mlp")
    assert "\n" not in str(told.value)


def test_the_command_line_loads_by_name_with_hf_endpoint(hub: Hub, tmp_path: Path) -> None:
    """As a user runs it: a process of its own that is told of the hub by HF_ENDPOINT alone."""
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(
        [sys.executable, "-m", "autointerp", "inspect", "org/repo@v1:layers.1.mlp"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"org/repo@{'a1' * 20}:layers.1.mlp" in done.stdout
    assert sorted(hub.fetched) == NEEDED


def test_a_large_download_is_announced_and_needs_its_space(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Size and place before it begins; a disk that is too small is one line, and nothing is fetched."""
    monkeypatch.setattr(files, "LARGE_BYTES", 500)
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: SimpleNamespace(free=900))
    with pytest.raises(DictionaryError, match=r"sae\.safetensors has .* GB free; set HF_HOME") as told:
        dictionaries.load("org/repo:layers.1.mlp")
    assert "\n" not in str(told.value)
    assert [name for name in hub.fetched if name.endswith("safetensors")] == []
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: SimpleNamespace(free=10**12))
    dictionaries.load("org/repo:layers.1.mlp")
    assert "org/repo: downloading layers.1.mlp/sae.safetensors, 0.0 GB" in capsys.readouterr().err
    dictionaries.load("org/repo:layers.1.mlp")
    assert capsys.readouterr().err == ""


def test_a_run_keeps_the_commit_it_began_with(hub: Hub, tmp_path: Path) -> None:
    """A new run pins the commit of main; when the branch moves, it goes on with it, and another run takes the new."""
    values = {
        "name": "a",
        "subject": {"model": "embedded/subject"},
        "corpus": {"use": "docstrings"},
        "dictionaries": [
            {"name": "hub", "source": "org/repo:layers.1.mlp"},
            {"name": "fixed", "source": "org/repo@v1:layers.1.mlp"},
            {"name": "local", "source": "embedded/dictionaries/sae/layers.2.mlp/seed0"},
        ],
        "explainer_llm": "pattern",
        "judge_llm": "pattern",
    }
    study = validate_study(values, source="test")
    first = pins.pinned(study, tmp_path / "study.yaml")
    assert [one.revision for one in first.dictionaries] == ["b2" * 20, None, None]
    assert first.subject.revision is None
    (tmp_path / "study.yaml").write_text(study_yaml(first))
    hub.publish("org/repo", tmp_path / "old", "c3", "main")
    assert pins.pinned(study, tmp_path / "study.yaml") == first
    assert pins.pinned(study, tmp_path / "other.yaml").dictionaries[0].revision == "c3" * 20
    assert dictionaries.load("org/repo:layers.1.mlp", revision="b2" * 20).provenance.revision == "b2" * 20
