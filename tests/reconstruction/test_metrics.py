"""What is measured agrees with plain torch in float64, written without any of the code under test."""

import dataclasses
from collections.abc import Callable
from typing import cast

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from autointerp import dictionaries
from autointerp.corpus.base import Windows
from autointerp.dictionaries.activations import Activation, Codes
from autointerp.dictionaries.spec import Dictionary, Provenance
from autointerp.errors import SiteError, SubjectError
from autointerp.reconstruction.base import Arm, Precision, ReconstructionConfig, held_out_documents
from autointerp.reconstruction.metrics import evaluate, evaluate_documents
from autointerp.records import Site
from autointerp.subject import sites
from autointerp.subject.base import SubjectConfig
from autointerp.subject.model import HookedSubject, load
from tests.helpers import tiny
from tests.helpers.shared import SHARED, needs_shared

SITE_IN, SITE_OUT = Site("model.layers.1.mlp", "input"), Site("model.layers.1.mlp", "output")
D, M, K = 16, 24, 3
Replace = Callable[[tuple[torch.Tensor], torch.Tensor], torch.Tensor]
CONFIG = ReconstructionConfig(n_documents=6, batch_tokens=40, n_bootstrap=200, ablations=("zero", "mean"))


def documents() -> list[NDArray[np.int64]]:
    """Six documents of unequal length."""
    rng = np.random.default_rng(0)
    return [rng.integers(1, tiny.VOCABULARY, size=n) for n in (9, 20, 5, 13, 20, 1)]


def skip_transcoder() -> Dictionary:
    rng = torch.Generator().manual_seed(1)
    enc, dec, skip = (torch.randn(*shape, generator=rng) * 0.4 for shape in ((D, M), (M, D), (D, D)))
    return Dictionary(
        name="skip",
        architecture="skip-transcoder",
        site_in=str(SITE_IN),
        site_out=str(SITE_OUT),
        W_enc=enc,
        b_enc=torch.zeros(M),
        W_dec=dec,
        b_dec=torch.ones(D) * 0.1,
        W_skip=skip,
        activation=Activation(kind="topk", k=K),
        provenance=Provenance(format="test", source=""),
    )


def subject() -> HookedSubject:
    """In float64, so that agreement is not limited by the subject."""
    return HookedSubject(tiny.model("llama").double(), tiny.tokenizer(), fingerprint="tiny")


class Exact:
    """A dictionary that gives back what it is given."""

    name, n_latents, group, site_out = "exact", 2, "", ""

    def encode(self, x: torch.Tensor) -> Codes:
        return Codes(torch.ones(len(x), 1), torch.zeros(len(x), 1, dtype=torch.int64))

    def decode(self, codes: object, x: torch.Tensor) -> torch.Tensor:
        return x


EXACT = cast(Dictionary, Exact())


def values(table: pd.DataFrame) -> dict[str, float]:
    return dict(zip(table["metric"], table["value"], strict=True))


def reference() -> dict[str, float]:
    """One document at a time, without padding, hooks of plain torch, everything in float64."""
    model, w = subject().model, skip_transcoder()
    mlp = model.model.layers[1].mlp
    xs, ys, losses = [], [], {"clean": [], "zero": [], "mean": [], "spliced": []}
    kls: list[torch.Tensor] = []

    def reconstruct(x: torch.Tensor) -> torch.Tensor:
        h = (x @ w.W_enc.double()).relu()
        code = h * torch.zeros_like(h).scatter_(-1, h.topk(K, dim=-1).indices, 1)
        assert w.W_skip is not None
        return code @ w.W_dec.double() + w.b_dec.double() + x @ w.W_skip.double().T

    def logits(ids: torch.Tensor, change: Callable[..., torch.Tensor | None] | None = None) -> torch.Tensor:
        hook = mlp.register_forward_hook(change) if change else None
        with torch.no_grad():
            found = model(input_ids=ids).logits[0].log_softmax(-1)
        if hook:
            hook.remove()
        return found

    rows = [torch.tensor([[0, *document.tolist()]]) for document in documents()]

    def keep(_: object, args: tuple[torch.Tensor], output: torch.Tensor) -> None:
        xs.append(args[0][0, 1:])
        ys.append(output[0, 1:])

    for ids in rows:
        logits(ids, keep)
    x, y = torch.cat(xs), torch.cat(ys)
    mean = y.mean(0)
    replacements: dict[str, Replace] = {
        "zero": lambda args, out: torch.zeros_like(out),
        "mean": lambda args, out: mean.expand_as(out),
        "spliced": lambda args, out: reconstruct(args[0]),
    }
    for ids in rows:
        clean = logits(ids)
        runs = {"clean": clean}
        for name, replace in replacements.items():

            def change(
                _: object, args: tuple[torch.Tensor], out: torch.Tensor, replace: Replace = replace
            ) -> torch.Tensor:
                new = replace(args, out).clone()
                new[:, 0] = out[:, 0]
                return new

            runs[name] = logits(ids, change)
        for name, run in runs.items():
            losses[name].append(-run[:-1].gather(1, ids[0, 1:, None])[:, 0])
        kls.append((clean.exp() * (clean - runs["spliced"])).sum(-1)[:-1])
    ce = {name: float(torch.cat(parts).mean()) for name, parts in losses.items()}
    predicted = reconstruct(x)
    fired = ((x @ w.W_enc.double()).relu().topk(K, dim=-1).values > 0).sum(1).double()
    return {
        "fvu": float((predicted - y).square().sum() / (y - mean).square().sum()),
        "cosine": float(torch.cosine_similarity(predicted, y).mean()),
        "l0": float(fired.mean()),
        "ce_increase": ce["spliced"] - ce["clean"],
        "kl": float(torch.cat(kls).mean()),
        "ce_recovered_zero": (ce["zero"] - ce["spliced"]) / (ce["zero"] - ce["clean"]),
        "ce_recovered_mean": (ce["mean"] - ce["spliced"]) / (ce["mean"] - ce["clean"]),
        "ce_clean": ce["clean"],
    }


def test_numbers_agree_with_a_plain_reference() -> None:
    """To 1e-5, over padded batches of several documents against one document at a time."""
    found = values(evaluate(subject(), [Arm(skip_transcoder(), SITE_IN, SITE_OUT)], documents(), CONFIG, bos=0, seed=0))
    for name, value in reference().items():
        assert found[name] == pytest.approx(value, abs=1e-5, rel=1e-5), name


def test_a_perfect_dictionary_changes_nothing() -> None:
    """FVU 0, cosine 1, CE increase exactly 0, KL 0, all of the loss recovered; one of two latents never fires."""
    found = values(evaluate(subject(), [Arm(EXACT, SITE_OUT, SITE_OUT)], documents(), CONFIG, bos=0, seed=0))
    assert found["ce_increase"] == 0.0
    assert found["fvu"] == 0.0
    assert found["kl"] == pytest.approx(0, abs=1e-6)
    assert found["cosine"] == pytest.approx(1)
    assert found["ce_recovered_zero"] == found["ce_recovered_mean"] == 1.0
    assert (found["l0"], found["dead_share"], found["dense_share"]) == (1.0, 0.5, 0.5)


def test_the_mean_as_reconstruction_has_fvu_one_and_recovers_nothing() -> None:
    """A transcoder without latents' weights whose b_dec is the tokens' mean is the mean ablation itself."""
    model, texts = subject(), documents()
    rows = [model.capture(torch.tensor([[0, *text.tolist()]]), None, [SITE_OUT])[SITE_OUT][0, 1:] for text in texts]
    w = skip_transcoder().to("cpu", torch.float64)
    assert w.W_skip is not None
    silent = Dictionary(
        name="mean",
        architecture="transcoder",
        site_in=w.site_in,
        site_out=w.site_out,
        W_enc=w.W_enc,
        b_enc=w.b_enc,
        W_dec=torch.zeros_like(w.W_dec),
        b_dec=torch.cat(rows).mean(0),
        activation=w.activation,
        provenance=w.provenance,
    )
    found = values(evaluate(model, [Arm(silent, SITE_IN, SITE_OUT)], texts, CONFIG, bos=0, seed=0))
    assert found["fvu"] == pytest.approx(1)
    assert found["ce_recovered_mean"] == pytest.approx(0, abs=1e-6)


def test_intervals_hold_their_value_and_are_the_seeds_own() -> None:
    table = evaluate(subject(), [Arm(skip_transcoder(), SITE_IN, SITE_OUT)], documents(), CONFIG, bos=0, seed=0)
    assert ((table["low"] <= table["value"]) & (table["value"] <= table["high"])).all()
    again = evaluate(subject(), [Arm(skip_transcoder(), SITE_IN, SITE_OUT)], documents(), CONFIG, bos=0, seed=0)
    pd.testing.assert_frame_equal(table, again)
    other = evaluate(subject(), [Arm(skip_transcoder(), SITE_IN, SITE_OUT)], documents(), CONFIG, bos=0, seed=1)
    assert not np.allclose(table["low"], other["low"])


def test_documents_sum_to_the_metrics() -> None:
    """sum(total) / sum(weight) over documents is the metric, for each metric that is a ratio of sums."""
    arms = [Arm(skip_transcoder(), SITE_IN, SITE_OUT)]
    found = evaluate_documents(subject(), arms, documents(), CONFIG, bos=0, seed=0)
    sums = found.documents.groupby("metric")[["total", "weight"]].sum()
    whole = found.table.set_index("metric")["value"]
    for metric in sums.index:
        total, weight = sums.loc[metric]
        assert total / weight == pytest.approx(whole.loc[metric], rel=1e-9)
    assert set(sums.index) == {"fvu", "ce_increase", "kl", "l0"}


def test_nan_activations_are_named() -> None:
    broken = subject()
    with torch.no_grad():
        broken.model.model.layers[1].mlp.up_proj.weight[0, 0] = torch.nan
    with pytest.raises(SubjectError, match=r"site model\.layers\.1\.mlp\.output: NaN"):
        evaluate(broken, [Arm(skip_transcoder(), SITE_IN, SITE_OUT)], documents(), CONFIG, bos=0, seed=0)


def test_held_out_documents_are_the_windows_of_their_split() -> None:
    """Documents 0 (3 windows), 1, 2; 0 and 2 are held out; a context of 6 cuts document 0 after 6 of its 12 tokens."""
    windows = Windows(
        tokens=np.arange(100, 125),
        starts=np.array([0, 4, 8, 13, 18]),
        length=4,
        documents=np.array([0, 0, 0, 1, 2]),
        held_out=np.array([True, True, True, False, True]),
        decode=lambda ids: (),
        fingerprint="",
    )
    found = held_out_documents(windows, ReconstructionConfig(), 6)
    assert [document.tolist() for document in found] == [[100, 101, 102, 103, 104, 105], [118, 119, 120, 121]]


PUBLISHED = {"sae": 0.159, "transcoder": 0.228, "skip_transcoder": 0.206}


@pytest.mark.slow  # a minute on one core
@needs_shared
def test_published_fvus_are_found_again() -> None:
    """Source: the README beside the dictionaries, on held-out stories; other stories here, so within .01."""
    model = load(SubjectConfig(model=str(SHARED / "stories260K"), device="cpu"))
    arms = []
    for name in PUBLISHED:
        one = dictionaries.load(SHARED / f"stories260K/dictionaries/{name}_k16/layers.2.mlp", name=name)
        arms.append(Arm(one, sites.resolve(model.model, one.site_in), sites.resolve(model.model, one.site_out)))
    stories = (SHARED / "text/tinystories.txt").read_text().split("<|endoftext|>")[-100:]
    ids = [np.asarray(model.tokenizer(text.strip(), add_special_tokens=False)["input_ids"][:256]) for text in stories]
    table = evaluate(model, arms, [one for one in ids if len(one)], ReconstructionConfig(), bos=1, seed=0)
    fvu = table[table["metric"] == "fvu"].set_index("dictionary")["value"]
    assert dict(fvu) == pytest.approx(PUBLISHED, abs=0.01)
    assert table.loc[table["metric"] == "dead_share", "value"].max() == 0


def many(n: int) -> list[NDArray[np.int64]]:
    rng = np.random.default_rng(1)
    return [rng.integers(1, tiny.VOCABULARY, size=int(k)) for k in rng.integers(5, 20, n)]


def test_measuring_stops_at_the_stated_precision_and_equals_that_of_the_documents_read() -> None:
    """The intervals are no wider than asked for, documents are the first ones, and the numbers are theirs alone."""
    arms, texts = [Arm(skip_transcoder(), SITE_IN, SITE_OUT)], many(120)
    precision = Precision(ce_increase=0.09, fvu=0.35)
    config = ReconstructionConfig(n_documents=120, batch_tokens=400, n_bootstrap=500, precision=precision)
    stopped = evaluate(subject(), arms, texts, config, bos=0, seed=0)
    n = int(stopped["n_documents"][0])
    assert 40 <= n < 120
    rows = stopped.set_index("metric")
    for metric, wanted in (("ce_increase", precision.ce_increase), ("fvu", precision.fvu)):
        # The rule is linearised with a normal quantile; the interval is a bootstrap's, with noise of its own.
        assert (rows["high"] - rows["low"])[metric] / 2 < 1.25 * wanted
    whole = config.model_copy(update={"precision": Precision(ce_increase=0)})
    pd.testing.assert_frame_equal(stopped, evaluate(subject(), arms, texts[:n], whole, bos=0, seed=0), rtol=1e-9)
    assert evaluate(subject(), arms, texts, whole, bos=0, seed=0)["n_documents"].eq(120).all()


def test_arms_of_several_sites_side_by_side_equal_each_alone() -> None:
    """Ten dictionaries at two sites, more of one site than are batched together."""
    other = Site("model.layers.0.mlp", "output")
    arms = [Arm(EXACT, other, other)]
    several = [dataclasses.replace(skip_transcoder(), name=str(i), b_dec=torch.ones(D) * i / 9) for i in range(9)]
    arms += [Arm(one, SITE_IN, SITE_OUT) for one in several]
    together = evaluate(subject(), arms, documents(), CONFIG, bos=0, seed=0)
    alone = pd.concat([evaluate(subject(), [arm], documents(), CONFIG, bos=0, seed=0) for arm in arms])
    pd.testing.assert_frame_equal(together, alone.reset_index(drop=True), rtol=1e-6, atol=1e-6)


def test_ablations_are_measured_only_if_asked_for() -> None:
    config = CONFIG.model_copy(update={"ablations": ("mean",)})
    found = values(evaluate(subject(), [Arm(EXACT, SITE_OUT, SITE_OUT)], documents(), config, bos=0, seed=0))
    assert "ce_recovered_mean" in found
    assert "ce_mean" in found
    assert not {"ce_zero", "ce_recovered_zero"} & set(found)


def test_a_dictionary_that_reads_behind_its_output_is_named() -> None:
    with pytest.raises(SiteError, match=r"skip: model\.layers\.1\.mlp\.output, which it reads, comes after"):
        evaluate(subject(), [Arm(skip_transcoder(), SITE_OUT, SITE_IN)], documents(), CONFIG, bos=0, seed=0)
