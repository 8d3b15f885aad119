"""One pass trains all arms; a killed run goes on bit by bit; bad input stops with the last good checkpoint kept."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from autointerp import dictionaries
from autointerp.errors import CorpusError, DictionaryError, RunDirectoryError, StudyError, SubjectError
from autointerp.records import Site
from autointerp.subject.model import HookedSubject
from autointerp.train.arms import Weights
from autointerp.train.base import TrainConfig
from autointerp.train.contexts import Contexts, write_contexts
from autointerp.train.run import Reads, train
from tests.helpers import tiny

READS = {"layers.1.mlp": Reads(Site("model.layers.1.mlp", "input"), Site("model.layers.1.mlp", "output"))}
TEXTS = [f"the cat {i} sat on the mat and the dog ran after {i * 7} cats" for i in range(200)]
ROOT = Path(__file__).parents[2]


def config(**changes: Any) -> TrainConfig:
    settings = {
        "sites": ["layers.1.mlp"],
        "latents": [32],
        "k": [4],
        "n_tokens": 4000,
        "context_length": 32,
        "contexts_per_step": 5,
        "lr": 0.01,
        "log_steps": 5,
    }
    return TrainConfig.model_validate({**settings, **changes})


def subject() -> HookedSubject:
    return HookedSubject(tiny.model("llama"), tiny.tokenizer(), fingerprint="tiny")


def contexts(folder: Path, wanted: TrainConfig) -> Contexts:
    folder.mkdir(parents=True, exist_ok=True)
    return write_contexts(TEXTS, tiny.tokenizer(), wanted, folder / "contexts.bin", lambda _: None)


def weights(out: Path) -> dict[str, dict[str, torch.Tensor]]:
    return {str(path.relative_to(out)): load_file(path) for path in sorted(out.rglob("sae.safetensors"))}


def log(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def test_all_arms_learn_in_one_pass_over_the_subject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """3 architectures x 2 k x 2 seeds see each batch's activations, computed once; each ends better than the mean."""
    wanted, calls = config(k=[2, 4], seeds=[0, 1]), []
    capture = HookedSubject.capture
    monkeypatch.setattr(HookedSubject, "capture", lambda *args: calls.append(1) or capture(*args))
    found = train(subject(), READS, contexts(tmp_path, wanted), wanted, tmp_path)
    n_steps = 4000 // (5 * 32)
    assert len(calls) == n_steps
    assert len(found) == 12
    last = {(line["architecture"], line["k"], line["seed"]): line for line in log(tmp_path)}
    assert all(line["fvu"] < 1 for line in last.values())
    for (architecture, k, seed), line in last.items():
        if k == 2:
            assert line["fvu"] > last[(architecture, 4, seed)]["fvu"]


def test_checkpoints_are_read_back_as_what_was_trained(tmp_path: Path) -> None:
    """The loader finds site, architecture, k and seed; its FVU on the last batch is near the log's."""
    wanted = config(seeds=[3])
    model = subject()
    rows = contexts(tmp_path, wanted)
    for arm, folder in train(model, READS, rows, wanted, tmp_path).items():
        read = dictionaries.load(folder, name="d")
        assert (read.architecture, read.k, read.n_latents, read.seed) == (arm.architecture, 4, 32, 3)
        assert not read.pre_bias_open
        assert not read.remarks
        ids, text = rows.batch(wanted, 24)
        acts = model.capture(ids, None, [READS["layers.1.mlp"].site_in, READS["layers.1.mlp"].site_out])
        y = acts[READS["layers.1.mlp"].site_out][text]
        x = y if arm.architecture == "sae" else acts[READS["layers.1.mlp"].site_in][text]
        fvu = ((read.reconstruct(x) - y).square().sum() / (y - y.mean(0)).square().sum()).item()
        logged = [line["fvu"] for line in log(tmp_path) if line["architecture"] == arm.architecture][-1]
        assert fvu == pytest.approx(logged, rel=0.2)


SCRIPT = "import sys; from pathlib import Path; from tests.train import test_run; test_run.long_run(Path(sys.argv[1]))"


def long_run(out: Path) -> None:
    """75 steps with AuxK on, a checkpoint after each."""
    torch.set_num_threads(1)
    wanted = config(checkpoint_s=1e-9, n_tokens=12000, epochs=9, auxk_weight=0.1, dead_after=300)
    train(subject(), READS, contexts(out, wanted), wanted, out)


def test_a_killed_run_goes_on_bit_by_bit(tmp_path: Path) -> None:
    """kill -9 part-way, start again: weights and log are those of a run that was never stopped."""
    stopped = tmp_path / "stopped"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(stopped)], env=environment, stderr=subprocess.DEVNULL)
    while not (stopped / "log.jsonl").exists() or len((stopped / "log.jsonl").read_text().splitlines()) < 12:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert 0 < torch.load(stopped / "state.pt", weights_only=True)["step"] < 75
    threads = torch.get_num_threads()
    long_run(stopped)
    long_run(tmp_path / "whole")
    torch.set_num_threads(threads)
    one, other = weights(tmp_path / "whole"), weights(stopped)
    assert len(one) == 3
    assert one.keys() == other.keys()
    for name, tensors in one.items():
        assert all(torch.equal(tensor, other[name][key]) for key, tensor in tensors.items())
    lines, again = ([{**line, "seconds": 0} for line in log(out)] for out in (tmp_path / "whole", stopped))
    assert lines == again


@pytest.mark.parametrize("normalize", [True, False])
def test_the_scale_of_training_is_folded_back(tmp_path: Path, normalize: bool) -> None:
    """What is saved gives, on raw activations, what the trained weights give on scaled ones."""
    wanted, model = config(normalize=normalize), subject()
    rows = contexts(tmp_path, wanted)
    found = train(model, READS, rows, wanted, tmp_path)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    read = READS["layers.1.mlp"]
    acts = [model.capture(rows.batch(wanted, step)[0], None, [read.site_in, read.site_out]) for step in (0, 7)]
    mask = rows.batch(wanted, 0)[1]
    for (arm, folder), kept in zip(found.items(), state["arms"], strict=True):
        site = read.site_out if arm.architecture == "sae" else read.site_in
        scale_in, scale_out = (
            float(acts[0][s][mask].square().mean().sqrt()) if normalize else 1.0 for s in (site, read.site_out)
        )
        weights = Weights(arm, 16, torch.zeros(16))
        weights.load_state_dict(kept["weights"])
        x = acts[1][site].flatten(0, 1)
        ours = dictionaries.load(folder, name="d").reconstruct(x)
        assert torch.allclose(ours, weights(x / scale_in) * scale_out, rtol=1e-3, atol=1e-4 * scale_out)


def test_other_settings_are_refused_and_named(tmp_path: Path) -> None:
    wanted = config(architectures=["sae"])
    train(subject(), READS, contexts(tmp_path, wanted), wanted, tmp_path)
    changed = config(architectures=["sae"], lr=0.02)
    with pytest.raises(RunDirectoryError, match=r"lr: 0\.01 -> 0\.02"):
        train(subject(), READS, contexts(tmp_path, changed), changed, tmp_path)


def test_too_little_text_says_what_would_do(tmp_path: Path) -> None:
    wanted = config(n_tokens=10**6)
    with pytest.raises(
        CorpusError, match=r"less than the budget n_tokens = 1,000,000: give more text, raise epochs to"
    ):
        train(subject(), READS, contexts(tmp_path, wanted), wanted, tmp_path)
    with pytest.raises(CorpusError, match="less than one context"):
        write_contexts(["cat"], tiny.tokenizer(), wanted, tmp_path / "none.bin", lambda _: None)


def test_halves_of_utf16_pairs_are_mended_and_counted(tmp_path: Path) -> None:
    """Text with a lone surrogate makes the rows of the same text with the replacement character; nothing else moves."""
    wanted, tokenizer = config(n_tokens=640), tiny.tokenizer()
    broken = [*TEXTS[:5], "a cat \ud83d sat", "a \ud83d\ude00 sat", *TEXTS[5:]]
    whole = [*TEXTS[:5], "a cat \ufffd sat", "a \U0001f600 sat", *TEXTS[5:]]
    with pytest.raises((TypeError, UnicodeEncodeError)):
        tokenizer(broken[5:6])
    found, expected = (
        write_contexts(texts, tokenizer, wanted, tmp_path / f"{n}.bin", lambda _: None)
        for n, texts in enumerate((broken, whole))
    )
    assert found.rows.tolist() == expected.rows.tolist()
    assert found.fingerprint == expected.fingerprint
    assert (found.n_mended, expected.n_mended) == (2, 0)


def test_nan_activations_stop_it_and_say_where(tmp_path: Path) -> None:
    broken = subject()
    with torch.no_grad():
        broken.model.model.layers[1].mlp.up_proj.weight[0, 0] = torch.nan
    wanted = config()
    says = r"layers\.1\.mlp\.output: \d+ of \d+ tokens have NaN .* at step 0; no checkpoint was written yet"
    with pytest.raises(SubjectError, match=says):
        train(broken, READS, contexts(tmp_path, wanted), wanted, tmp_path)


def test_activations_that_overflow_part_way_leave_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An infinity in the batch of step 7: the checkpoint before it is whole, and training goes on."""
    wanted, capture, calls = config(checkpoint_s=1e-9), HookedSubject.capture, []

    def overflows(self: HookedSubject, *args: Any) -> dict[Site, torch.Tensor]:
        calls.append(1)
        found = dict(capture(self, *args))
        if len(calls) == 8:
            site = READS["layers.1.mlp"].site_in
            found[site] = found[site].clone()
            found[site][0, 3, 2] = torch.inf
        return found

    monkeypatch.setattr(HookedSubject, "capture", overflows)
    rows = contexts(tmp_path, wanted)
    says = r"mlp\.input: 1 of \d+ tokens have NaN or infinite activations at step 7; the checkpoint of step 7 in"
    with pytest.raises(SubjectError, match=says):
        train(subject(), READS, rows, wanted, tmp_path)
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] == 7
    found = train(subject(), READS, rows, wanted, tmp_path)
    whole = train(subject(), READS, contexts(tmp_path / "whole", wanted), wanted, tmp_path / "whole")
    for one, other in zip(found.values(), whole.values(), strict=True):
        tensors, again = (load_file(folder / "sae.safetensors") for folder in (one, other))
        assert all(torch.equal(tensor, again[name]) for name, tensor in tensors.items())


def test_a_diverged_loss_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    """A rate of 1e12 overflows float32 within a few steps; no checkpoint holds weights whose loss is not finite."""
    wanted = config(architectures=["transcoder"], lr=1e12, checkpoint_s=1e-9, warmup_steps=3)
    rows, model = contexts(tmp_path, wanted), subject()
    with pytest.raises(DictionaryError, match=r"transcoder_m32_k4_seed0 .* at step \d+; .*checkpoint.*Lower lr"):
        train(model, READS, rows, wanted, tmp_path)
    if (tmp_path / "state.pt").exists():
        kept = torch.load(tmp_path / "state.pt", weights_only=True)
        weights = Weights(wanted.arms()[0], 16, torch.zeros(16))
        weights.load_state_dict(kept["arms"][0]["weights"])
        x = torch.randn(50, 16, generator=torch.Generator().manual_seed(0))
        assert torch.isfinite(weights.loss(x, x, wanted, torch.zeros(32, dtype=torch.bool)).total)


def test_no_diverged_weights_are_saved(tmp_path: Path) -> None:
    """The very first step overflows: nothing is written, and the message says so."""
    wanted = config(architectures=["transcoder"], lr=1e30, checkpoint_s=1e-9, warmup_steps=0)
    with pytest.raises(DictionaryError, match=r"at step 1; no checkpoint was written yet"):
        train(subject(), READS, contexts(tmp_path, wanted), wanted, tmp_path)
    assert not (tmp_path / "state.pt").exists()
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_site_without_variance_is_refused(tmp_path: Path) -> None:
    silent = subject()
    with torch.no_grad():
        silent.model.model.layers[1].mlp.down_proj.weight.zero_()
    wanted = config(architectures=["sae"])
    with pytest.raises(DictionaryError, match=r"same vector for all .* nothing to reconstruct"):
        train(silent, READS, contexts(tmp_path, wanted), wanted, tmp_path)


@pytest.mark.parametrize("names", [{"seeds": [0, 0]}, {"k": [4, 4]}, {"architectures": ["sae", "sae"]}])
def test_an_arm_named_twice_is_refused(names: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="is there twice; name each once"):
        config(**names)


def test_a_run_begun_before_a_setting_was_there_goes_on(tmp_path: Path) -> None:
    """Its state lacks the setting: it counts as the default, and any other value is refused."""
    wanted = config(architectures=["sae"])
    rows = contexts(tmp_path, wanted)
    train(subject(), READS, rows, wanted, tmp_path)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    del state["identity"]["autocast"]
    torch.save(state, tmp_path / "state.pt")
    train(subject(), READS, rows, wanted, tmp_path)
    changed = config(architectures=["sae"], autocast="bfloat16")
    with pytest.raises(RunDirectoryError, match="autocast: 'auto' -> 'bfloat16'"):
        train(subject(), READS, rows, changed, tmp_path)


@pytest.mark.filterwarnings("default")  # of TensorBoard's own dependencies
def test_tensorboard_shows_what_the_log_tells(tmp_path: Path) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="no tensorboard")
    wanted = config(architectures=["transcoder"], tensorboard=True)
    train(subject(), READS, contexts(tmp_path, wanted), wanted, tmp_path)
    events = reader.EventAccumulator(str(tmp_path / "tensorboard/layers.1.mlp/transcoder_m32_k4_seed0")).Reload()
    seen = [(event.step, event.value) for event in events.Scalars("fvu")]
    assert seen == [(line["step"], pytest.approx(line["fvu"], rel=1e-6)) for line in log(tmp_path)]


def test_tensorboard_that_is_not_installed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    wanted = config(architectures=["sae"], tensorboard=True)
    with pytest.raises(StudyError, match="pip install tensorboard"):
        train(subject(), READS, contexts(tmp_path, wanted), wanted, tmp_path)


def test_training_in_bfloat16_follows_training_in_float32(tmp_path: Path) -> None:
    """The path a GPU takes, on the CPU: products in bfloat16, weights and loss in float32; each FVU within a tenth."""
    ends = {}
    for autocast in ("off", "bfloat16"):
        wanted = config(autocast=autocast, auxk_weight=0.1, dead_after=300, multi_topk=True)
        found = train(subject(), READS, contexts(tmp_path / autocast, wanted), wanted, tmp_path / autocast)
        ends[autocast] = {line["architecture"]: line["fvu"] for line in log(tmp_path / autocast)}
        for folder in found.values():
            assert all(tensor.dtype == torch.float32 for tensor in load_file(folder / "sae.safetensors").values())
    assert ends["bfloat16"] != ends["off"]
    assert ends["bfloat16"] == pytest.approx(ends["off"], rel=0.1)


@pytest.mark.parametrize("architecture", ["transcoder", "skip-transcoder"])
def test_a_module_that_changes_the_width_is_refused(tmp_path: Path, architecture: str) -> None:
    """An SAE has one width, that of the output it reads and reconstructs."""
    reads = {"up": Reads(Site("model.layers.1.mlp.up_proj", "input"), Site("model.layers.1.mlp.up_proj", "output"))}
    wanted = config(sites=["up"], architectures=[architecture])
    with pytest.raises(DictionaryError, match=r"up_proj.input is 16 wide, .*up_proj.output 32"):
        train(subject(), reads, contexts(tmp_path, wanted), wanted, tmp_path)
    sae = config(sites=["up"], architectures=["sae"])
    (folder,) = train(subject(), reads, contexts(tmp_path / "sae", sae), sae, tmp_path / "sae").values()
    assert load_file(folder / "sae.safetensors")["b_dec"].shape == (32,)


def test_every_row_is_bos_and_text_and_no_row_repeats_in_an_epoch(tmp_path: Path) -> None:
    """BOS is no text; the 25 steps of 5 rows cover 125 different rows."""
    wanted = config()
    rows = contexts(tmp_path, wanted)
    seen = []
    for step in range(rows.n_steps(wanted)):
        ids, text = rows.batch(wanted, step)
        assert (ids[:, 0] == 0).all()
        assert torch.equal(text, ids != 0)
        seen += [tuple(row.tolist()) for row in ids]
    assert len(seen) == 125
    assert len(set(seen)) > 120


def test_text_that_looks_like_a_special_token_stays_text(tmp_path: Path) -> None:
    """A corpus that speaks of the end of a text does not end it: only the BOS between documents is special."""
    tokenizer = tiny.tokenizer()
    forged = f"cat {tokenizer.bos_token} sat"
    wanted = config(n_tokens=640)
    found = write_contexts([forged] * 400, tokenizer, wanted, tmp_path / "rows.bin", lambda _: None)
    ids = tokenizer(forged, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert tokenizer.bos_token_id not in ids
    stream = [token for row in found.rows for token in row[1:]]
    assert stream[: 2 * len(ids) + 1] == [*ids, tokenizer.bos_token_id, *ids]
