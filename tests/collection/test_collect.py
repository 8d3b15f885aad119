"""Collection gives exactly what a naive dense loop gives, and gives it again after any interruption."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autointerp.collection.base import CollectConfig, SamplingConfig
from autointerp.collection.collect import Collection
from autointerp.collection.device import Placed
from autointerp.errors import DictionaryError, SiteError, StudyError, SubjectError
from autointerp.records import Site
from autointerp.subject.model import HookedSubject
from tests.helpers import interrupted, tiny
from tests.helpers.collecting import MLP, arms, run, subject, texts
from tests.helpers.dictionaries import dictionary
from tests.helpers.naive import assert_same, collected, naive


def sampled(collection: Collection) -> list[tuple[str, int]]:
    rows = collection.latents[collection.latents["sampled"]]
    return list(zip(rows["dictionary"].tolist(), rows["latent"].tolist(), strict=True))


@settings(max_examples=6, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n_documents=st.integers(4, 14),
    packed=st.booleans(),
    bos=st.booleans(),
    batch=st.sampled_from([1, 40, 200]),
    shard=st.sampled_from([16, 100, 10**6]),
)
def test_the_same_set_as_a_naive_dense_loop(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    n_documents: int,
    packed: bool,
    bos: bool,
    batch: int,
    shard: int,
) -> None:
    """Every (document, position, latent, value), for all architectures at once, whatever batches and shards.

    Besides `arms`: a k above the number of active latents, the embedding read, and a dictionary that never fires.
    """
    silent = dictionary("silent", "sae", "relu", seed=9)
    silent.b_enc.sub_(1000)
    more = [
        Placed(dictionary("wide", "transcoder", k=64, seed=8), Site(MLP, "input")),
        Placed(dictionary("embedding", seed=10), Site("model.embed_tokens", "output")),
        Placed(silent, Site(MLP, "output")),
    ]
    documents = ["the cat sat on the mat", "a dog ran after it", *texts(n_documents, seed)] * 2
    windows = {"packing": "packed" if packed else "documents", "bos": "auto" if bos else "none", "held_out_share": 0.4}
    config = CollectConfig(batch_tokens=batch, shard_tokens=shard)
    found = run(tmp_path_factory.mktemp("run"), documents, [*arms(), *more], windows, collection=config)
    for name, theirs in naive(documents, [*arms(), *more], bos=bos, packed=packed).items():
        assert bool(theirs) == (name != "silent")
        assert_same(collected(found, documents, name), theirs)


def test_counts_of_every_latent_are_those_of_the_naive_loop(tmp_path: Path) -> None:
    """Tokens and windows in which a latent fires, kept or not; windows are cut from each context's start."""
    documents = texts(30, 7)
    lengths = np.array([len(ids) for ids in tiny.tokenizer()(documents, add_special_tokens=False)["input_ids"]])
    found = run(tmp_path, documents, arms(), sampling=SamplingConfig(n_latents=5, survey_share=1e-6))
    for name, activations in naive(documents, arms()).items():
        mine = found.latents[found.latents["dictionary"] == name].set_index("latent")
        theirs = pd.DataFrame(activations.keys(), columns=["document", "offset", "latent"])
        n_tokens = found.counts["tokens"]
        fires = theirs["latent"].value_counts().reindex(range(64), fill_value=0)
        np.testing.assert_allclose(mine["firing_rate_token"], fires / n_tokens)
        # Contexts of 16 are whole windows of 4, so a document's windows lie at multiples of 4; its tail is none.
        whole = theirs[theirs["offset"] // 4 < lengths[theirs["document"]] // 4]
        windows = whole.assign(window=whole["offset"] // 4).drop_duplicates(["document", "window", "latent"])
        expected = windows["latent"].value_counts().reindex(range(64), fill_value=0)
        np.testing.assert_array_equal(mine["n_windows"], expected)
        np.testing.assert_allclose(mine["firing_rate_window"], expected / (lengths // 4).sum())
        assert (mine["alive"] == (fires > 0)).all()


def test_a_sample_keeps_what_all_would_have_kept_of_it(tmp_path: Path) -> None:
    """Sampled latents' activations are the same as with all latents kept; survey and main pass join without a seam."""
    documents = texts(40, 1)
    whole = run(tmp_path / "all", documents, arms())
    some = run(tmp_path / "some", documents, arms(), sampling=SamplingConfig(n_latents=9, survey_share=1e-6))
    assert 9 * len(arms()) >= some.counts["drawn"] >= some.counts["sampled"] > 9 * 4
    for dictionary_, latent in sampled(some):
        mine, theirs = (run_.firing(dictionary_, latent) for run_ in (some, whole))
        np.testing.assert_array_equal(mine.positions, theirs.positions)
        np.testing.assert_array_equal(mine.values, theirs.values)
    for name in whole.latents["dictionary"].unique():
        kept = {latent for latent in range(64) if len(some.firing(name, latent).positions) > 0}
        mine = some.latents[some.latents["dictionary"] == name]
        drawn = set(mine.loc[mine["look_order"] >= 0, "latent"])
        assert len(drawn) <= 9
        assert kept <= drawn | set(some.references[name].tolist())
    assert not list((tmp_path / "some" / "survey").glob("*.safetensors"))


def test_more_latents_keep_the_ones_before_and_another_dictionary_changes_none(tmp_path: Path) -> None:
    """Five, then nine latents, then nine with other dictionaries beside: the first five are the same, in order."""
    documents = texts(40, 1)

    def order(folder: str, n: int, placed: list[Placed]) -> list[int]:
        found = run(tmp_path / folder, documents, placed, sampling=SamplingConfig(n_latents=n, survey_share=1e-6))
        mine = found.latents[(found.latents["dictionary"] == "sae") & (found.latents["look_order"] >= 0)]
        return mine.sort_values("look_order")["latent"].tolist()

    few, many, beside = order("a", 5, arms()[:1]), order("b", 9, arms()[:1]), order("c", 9, arms()[:3])
    assert (len(few), len(many)) == (5, 9)
    assert many[:5] == few
    assert beside == many
    assert order("a", 9, arms()[:1]) == many


def test_chosen_latents_are_sampled_and_no_others(tmp_path: Path) -> None:
    """By dictionary; one that is not named is drawn as ever."""
    config = SamplingConfig(n_latents=9, survey_share=1e-6, latents={"relu": (3, 60)})
    found = run(tmp_path, texts(40, 1), [arms()[0], arms()[3]], sampling=config)
    chosen = found.latents[found.latents["dictionary"] == "relu"]
    assert chosen.loc[chosen["look_order"] >= 0, "latent"].tolist() == [3, 60]
    assert chosen.loc[chosen["inclusion_probability"] > 0, "latent"].tolist() == [3, 60]
    assert (found.latents["look_order"] >= 0).sum() == 11


def test_a_sample_taken_from_another_run_is_that_run_s(tmp_path: Path) -> None:
    """A later checkpoint is judged on the same latents with the same probabilities; another width is refused."""
    documents, site = texts(40, 1), Site(MLP, "output")
    first = run(tmp_path / "a", documents, [Placed(dictionary("sae"), site)], sampling=SamplingConfig(n_latents=9))
    first.latents.to_parquet(tmp_path / "latents.parquet")
    config = SamplingConfig(same_as=str(tmp_path))
    later = run(tmp_path / "b", documents, [Placed(dictionary("sae", seed=8), site)], sampling=config)
    assert set(sampled(later)) <= set(sampled(first))
    assert later.counts["drawn"] == first.counts["sampled"] == 9
    assert later.latents["inclusion_probability"].tolist() == first.latents["inclusion_probability"].tolist()
    with pytest.raises(StudyError, match=r"no dictionary 'other' of 64 latents; it has: sae \(64\)"):
        run(tmp_path / "c", documents, [Placed(dictionary("other"), site)], sampling=config)


@pytest.mark.parametrize("n_latents", ["all", 9])
def test_resumed_after_any_number_of_shards_gives_the_same_files(tmp_path: Path, n_latents: int | str) -> None:
    """Whatever was finished is taken up; whatever was half written is done again."""
    documents, sampling = texts(40, 2), SamplingConfig(n_latents=n_latents, survey_share=1e-6)  # type: ignore[arg-type]
    run(tmp_path / "a", documents, arms(), sampling=sampling)
    whole = {path.name: path.read_bytes() for path in (tmp_path / "a/shards").iterdir()}
    assert len(whole) > 4
    for number in (0, 2, len(whole) - 1):
        for path in sorted((tmp_path / "a/shards").iterdir())[number:]:
            path.unlink()
        (tmp_path / "a/shards/000001.safetensors.partial").write_bytes(b"half")
        again = run(tmp_path / "a", documents, arms(), sampling=sampling)
        mine = {path.name: path.read_bytes() for path in (tmp_path / "a/shards").glob("*.safetensors")}
        assert mine == whole
        assert again.counts["tokens_computed"] > 0
    done = run(tmp_path / "a", documents, arms(), sampling=sampling)
    assert done.counts["tokens_computed"] == 0


def test_another_study_s_shards_are_not_taken_up(tmp_path: Path) -> None:
    """Other weights, another text, another sample: computed anew."""
    documents = texts(20, 3)
    first = run(tmp_path, documents, arms())
    assert run(tmp_path, documents, arms()).counts["tokens_computed"] == 0
    other = [Placed(dictionary("sae", "sae", seed=77), arms()[0].site), *arms()[1:]]
    second = run(tmp_path, documents, other)
    assert second.counts["tokens_computed"] == second.counts["tokens"]
    third = run(tmp_path, [*documents[:-1], "the zebra ran"], other, windows={"n_tokens": 10**6})
    assert third.counts["tokens_computed"] > 0
    assert len({first.fingerprint, second.fingerprint, third.fingerprint}) == 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_low_precision_subjects_and_stores_are_near(tmp_path: Path, dtype: torch.dtype) -> None:
    """A subject in half precision, values kept in float16: nearly the same sums of activation per latent."""
    documents, placed = texts(30, 4), [Placed(dictionary("relu", "sae", "relu", seed=3), Site(MLP, "output"))]
    exact = run(tmp_path / "a", documents, placed)
    config = CollectConfig(batch_tokens=64, shard_tokens=128, values="float16")
    near = run(tmp_path / "b", documents, placed, under=subject(dtype), collection=config)
    sums = [np.array([run_.firing("relu", i).values.astype(float).sum() for i in range(64)]) for run_ in (exact, near)]
    np.testing.assert_allclose(sums[1], sums[0], rtol=0.1, atol=0.05 * sums[0].max())
    assert near.firing("relu", 0).values.dtype == np.float16


def test_values_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    """float16 ends at 65,504: no infinity is stored."""
    big = dictionary("big", "sae", "relu")
    big.W_enc.mul_(1e5)
    config = CollectConfig(batch_tokens=64, shard_tokens=128, values="float16")
    with pytest.raises(StudyError, match="does not fit into float16"):
        run(tmp_path, texts(10), [Placed(big, Site(MLP, "output"))], collection=config)


def test_activations_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    """NaN is above nothing, so without a check it would count as silence."""
    under = HookedSubject(tiny.model("llama").double(), tiny.tokenizer(), fingerprint="broken")
    with torch.no_grad():
        under.model.model.layers[0].mlp.down_proj.weight[0, 0] = torch.nan
    with pytest.raises(SubjectError, match="not finite"):
        run(tmp_path, texts(10), arms()[:1], under=under)


def test_out_of_memory_halves_the_batch_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A device on which only small batches fit gives the same shards."""
    documents, placed = texts(20, 5), arms()
    exact = run(tmp_path / "a", documents, placed)
    tight = HookedSubject(tiny.model("llama").double(), tiny.tokenizer(), fingerprint="tight")
    plain = tight.capture

    def capture(ids: torch.Tensor, *rest: object) -> object:
        if ids.numel() > 40:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return plain(ids, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(tight, "capture", capture)
    config = CollectConfig(batch_tokens=160, shard_tokens=128)
    found = run(tmp_path / "b", documents, placed, under=tight, collection=config)
    for latent in range(64):
        mine, theirs = found.firing("sae", latent), exact.firing("sae", latent)
        np.testing.assert_array_equal(mine.positions, theirs.positions)
        np.testing.assert_allclose(mine.values, theirs.values, rtol=1e-6)
    assert "out of memory; going on with batches of 40 tokens" in capfd.readouterr().err

    monkeypatch.setattr(tight, "capture", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError("CUDA")))
    with pytest.raises(SubjectError, match="out of memory with a single context"):
        run(tmp_path / "c", documents, placed, under=tight)


def test_what_does_not_fit_is_one_clear_line(tmp_path: Path) -> None:
    site = Site("model.embed_tokens", "output")
    with pytest.raises(DictionaryError, match="names of their own"):
        run(tmp_path, texts(9), [arms()[0], arms()[0]])
    with pytest.raises(DictionaryError, match=r"reads 16 numbers per token, but site .*gate_proj.output has 32"):
        run(tmp_path, texts(9), [Placed(dictionary("sae"), Site(MLP + ".gate_proj", "output"))])
    with pytest.raises(SiteError, match="no module"):
        run(tmp_path, texts(9), [Placed(dictionary("sae"), Site("model.layers.9.mlp", "output"))])
    with pytest.raises(StudyError, match="longer than the subject's 64 positions; set it to 63 or less"):
        run(tmp_path, texts(9, longest=200), [Placed(dictionary("sae"), site)], {"context_length": 64})


def test_padding_beyond_a_sliding_window_does_not_reach_the_text(tmp_path: Path) -> None:
    """Contexts of 60 beside short ones, a window of 32: the same as each context alone."""
    under = HookedSubject(tiny.model("gemma2").double(), tiny.tokenizer(), fingerprint="sliding")
    documents = [text * times for text in ("the cat sat on the mat ", "a dog ran after it ") for times in (1, 8, 1, 8)]
    placed = [Placed(dictionary("relu", "sae", "relu"), Site("model.layers.2", "output"))]
    kinds = [CollectConfig(batch_tokens=batch, shard_tokens=10**6) for batch in (1, 10**6)]
    runs = [
        run(tmp_path / str(i), documents, placed, {"context_length": 60}, under, collection=config)
        for i, config in enumerate(kinds)
    ]
    firings = [[found.firing("relu", latent) for found in runs] for latent in range(64)]
    # The encoder sums d_in float32 products in an order that depends on the batch: gamma_n = n * eps per summand.
    largest = max(float(alone.values.max(initial=0)) for alone, _ in firings)
    atol = placed[0].dictionary.d_in * np.finfo(np.float32).eps * largest
    for alone, beside in firings:
        np.testing.assert_array_equal(alone.positions, beside.positions)
        np.testing.assert_allclose(alone.values, beside.values, rtol=0, atol=atol)


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("n", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_random_moments_it_ends_the_same(tmp_path: Path, n: int) -> None:
    """kill -9, n times, while it tokenises, surveys, thins, computes or writes: the files are those of one run."""
    command = [sys.executable, "-m", "tests.helpers.interrupted", str(tmp_path / "killed"), str(n)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=2900)
    assert done.returncode == 0, done.stderr
    n_killed = int(done.stdout.split()[-1])
    assert n_killed >= n / 2, "most runs ended before they were killed: the test tests little"
    whole = interrupted.work(tmp_path / "whole")
    resumed = interrupted.work(tmp_path / "killed")
    assert resumed.counts["tokens_computed"] == 0
    pd.testing.assert_frame_equal(whole.latents, resumed.latents)
    names = sorted(path.name for path in (tmp_path / "whole/shards").glob("*.safetensors"))
    assert len(names) > 10
    for name in names:
        assert (tmp_path / "killed/shards" / name).read_bytes() == (tmp_path / "whole/shards" / name).read_bytes()
