"""The in-memory dictionary: activations, changes of frame, types, memory."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from autointerp import dictionaries
from autointerp.dictionaries.activations import GROUP, Activation, Codes, top_k
from autointerp.dictionaries.folds import Weights, raw_frame, unit_decoder
from autointerp.dictionaries.spec import Dictionary, Provenance

SEEDS = st.integers(0, 2**31)
KINDS = ["relu", "topk", "signed topk", "abstopk", "groupmax", "jumprelu", "gated"]


def draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def activation(kind: str, m: int, k: int, seed: int = 0) -> Activation:
    if kind == "jumprelu":
        return Activation(kind="jumprelu", threshold=draw(seed, m).abs())
    if kind == "gated":
        gain, mag, gate = draw(seed, 3, m)
        return Activation(kind="gated", gain=gain.exp(), mag_bias=mag, gate_bias=gate)
    if kind == "signed topk":
        return Activation(kind="topk", k=k, signed=True)
    return Activation(kind=kind, k=0 if kind == "relu" else k)  # type: ignore[arg-type]


def dictionary(kind: str = "topk", *, o: int = 5, seed: int = 0, **changes: object) -> Dictionary:
    d, m = 6, 12
    made = Dictionary(
        name="d",
        architecture="skip-transcoder",
        site_in="a.input",
        site_out="a.output",
        W_enc=draw(seed, d, m),
        b_enc=draw(seed + 1, m),
        activation=activation(kind, m, 3, seed),
        W_dec=draw(seed + 2, m, o),
        b_dec=draw(seed + 3, o),
        W_skip=draw(seed + 4, o, d),
        provenance=Provenance(format="none", source="memory"),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(1, 4), st.integers(1, 12), st.integers(1, 40), st.booleans())
def test_top_k_is_torchs(seed: int, n: int, k: int, n_groups: int, whole: bool) -> None:
    """The two-step top-k finds what one step finds, whether or not the width falls into whole groups."""
    width = max(k, n_groups * GROUP + (0 if whole else 5))
    h = draw(seed, n, width)
    codes = top_k(h, k)
    torch.testing.assert_close(codes.values.sort(dim=1).values, h.topk(k, dim=1).values.sort(dim=1).values)
    torch.testing.assert_close(h.gather(1, codes.indices), codes.values)


def test_top_k_with_ties_takes_k_different_latents() -> None:
    """Equal values cannot be told apart, but none is taken twice."""
    codes = top_k(torch.ones(3, 40 * GROUP), 7)
    assert all(len(set(row)) == 7 for row in codes.indices.tolist())


@pytest.mark.parametrize("kind", KINDS)
def test_sparse_and_dense_activations_are_one(kind: str) -> None:
    """Codes written out are the dense activations; a row's indices of non-zero values are distinct."""
    h = draw(3, 50, 12)
    act = activation(kind, 12, 3)
    codes = act.sparse(h.clone())
    torch.testing.assert_close(codes.dense(12), act.dense(h.clone()))
    for values, indices in zip(codes.values, codes.indices, strict=True):
        active = indices[values != 0].tolist()
        assert len(active) == len(set(active))


@pytest.mark.parametrize("kind", ["relu", "jumprelu", "topk"])
def test_a_row_without_activations_is_all_padding(kind: str) -> None:
    """Nothing fires: zero codes, and the reconstruction is the bias."""
    silent = dictionary(kind, b_enc=torch.full((12,), -1e6), W_skip=None)
    codes = silent.encode(draw(0, 4, 6))
    assert not codes.values.any()
    torch.testing.assert_close(silent.decode(codes, draw(0, 4, 6)), silent.b_dec.expand(4, -1))


def test_no_rows_give_no_rows() -> None:
    for kind in KINDS:
        assert dictionary(kind).reconstruct(torch.empty(0, 6)).shape == (0, 5)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(1, 30))
def test_tiles_do_not_show(seed: int, tile: int) -> None:
    """Rows are encoded alike however they are cut into tiles; narrower tiles are padded."""
    x = draw(seed, 30, 6)
    for kind in ("relu", "topk"):
        whole = dictionary(kind)
        parts = Codes.cat([whole.encode(part) for part in x.split(tile)])
        torch.testing.assert_close(parts.dense(12), whole.encode(x).dense(12))


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.sampled_from(["relu", "jumprelu"]))
def test_unit_decoder_rows_keep_the_function(seed: int, kind: str) -> None:
    """Rows of length 1, activations and thresholds times the old length: same latents fire, same reconstruction."""
    old = dictionary(kind, seed=seed % 1000)
    weights = unit_decoder(
        Weights(W_enc=old.W_enc, b_enc=old.b_enc, W_dec=old.W_dec, threshold=old.activation.threshold)
    )
    act = Activation(kind=old.activation.kind, threshold=weights.threshold)
    new = replace(old, W_enc=weights.W_enc, b_enc=weights.b_enc, W_dec=weights.W_dec, activation=act)
    x = draw(seed, 20, 6)
    torch.testing.assert_close(new.W_dec.norm(dim=1), torch.ones(12))
    torch.testing.assert_close(new.encode_dense(x), old.encode_dense(x) * old.W_dec.norm(dim=1), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(new.reconstruct(x), old.reconstruct(x), atol=1e-4, rtol=1e-4)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.floats(0.05, 20), st.floats(0.05, 20))
def test_the_raw_frame_undoes_both_scales(seed: int, scale_in: float, scale_out: float) -> None:
    """Weights trained on scale_in * x for scale_out * y, brought to x and y: same function, activations / scale_in."""
    trained = dictionary("relu", seed=seed % 1000, W_skip=None)
    weights = raw_frame(
        Weights(W_enc=trained.W_enc, b_enc=trained.b_enc, W_dec=trained.W_dec), scale_in=scale_in, scale_out=scale_out
    )
    raw = replace(
        trained, W_enc=weights.W_enc, b_enc=weights.b_enc, W_dec=weights.W_dec, b_dec=trained.b_dec / scale_out
    )
    x = draw(seed, 10, 6)
    torch.testing.assert_close(raw.reconstruct(x) * scale_out, trained.reconstruct(scale_in * x), atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(raw.encode_dense(x) * scale_in, trained.encode_dense(scale_in * x), atol=1e-3, rtol=1e-4)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.floats(0.05, 20))
def test_the_input_scale_is_a_fold(seed: int, scale: float) -> None:
    """input_scale s and output_scale 1/s are W_enc * s, W_dec / s, biases of the output / s, thresholds untouched."""
    old = dictionary("jumprelu", seed=seed % 1000, o=6, W_skip=None)
    scaled = replace(old, pre_bias=old.b_dec, input_scale=scale, output_scale=1 / scale)
    folded = replace(
        old, W_enc=old.W_enc * scale, W_dec=old.W_dec / scale, b_dec=old.b_dec / scale, pre_bias=old.b_dec / scale
    )
    x = draw(seed, 10, 6)
    different = (scaled.encode_dense(x) - folded.encode_dense(x)).abs() > 1e-3 * (1 + scale)
    at_threshold = (scaled.encode_dense(x) == 0) != (folded.encode_dense(x) == 0)
    assert not (different & ~at_threshold).any()
    if not at_threshold.any():
        torch.testing.assert_close(scaled.reconstruct(x), folded.reconstruct(x), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("norm", ["center", "layer_norm", "rms"])
def test_norms_ignore_what_they_take_away(norm: str) -> None:
    """Activations do not change with the input's mean (center, layer_norm) or length (layer_norm, rms)."""
    made = dictionary("relu", o=6, input_norm=norm, W_skip=None)
    x = draw(1, 8, 6) * 50
    if norm != "rms":
        torch.testing.assert_close(made.encode_dense(x + 7), made.encode_dense(x), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(made.reconstruct(x + 7), made.reconstruct(x) + 7, atol=1e-3, rtol=1e-4)
    if norm != "center":
        torch.testing.assert_close(made.encode_dense(x * 3), made.encode_dense(x), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(made.reconstruct(x * 3), made.reconstruct(x) * 3, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weights, rows", [("float32", "bfloat16"), ("bfloat16", "float32"), ("float32", "float16")])
def test_types_meet_in_the_wider_one(kind: str, weights: str, rows: str) -> None:
    """A float32 dictionary on a bfloat16 subject computes in float32, as if the rows had been float32."""
    made = dictionary(kind).to("cpu", getattr(torch, weights))
    x = draw(2, 10, 6).to(getattr(torch, rows))
    assert made.encode(x).values.dtype == torch.float32
    torch.testing.assert_close(
        made.reconstruct(x),
        dictionary(kind).to("cpu", getattr(torch, weights)).to("cpu", torch.float32).reconstruct(x.float()),
        atol=1e-5,
        rtol=1e-5,
    )


def test_half_precision_stays_half() -> None:
    """Two bfloat16 sides compute in bfloat16: what a GPU is fast at."""
    made = dictionary("topk").to("cpu", torch.bfloat16)
    assert made.reconstruct(draw(0, 4, 6).bfloat16()).dtype == torch.bfloat16


def test_latents_that_do_not_compete_are_read_alone() -> None:
    """relu, jumprelu and gated touch the asked latents' weights only: NaN elsewhere does no harm."""
    latents = torch.tensor([7, 2])
    for kind in ("relu", "jumprelu", "gated"):
        whole = dictionary(kind)
        poisoned = torch.full_like(whole.W_enc, float("nan"))
        poisoned[:, latents] = whole.W_enc[:, latents]
        x = draw(4, 9, 6)
        found = replace(whole, W_enc=poisoned).encode_dense(x, latents)
        torch.testing.assert_close(found, whole.encode_dense(x)[:, latents])


def test_weights_stay_in_the_file(tmp_path: Path) -> None:
    """A checkpoint of 64 MB is opened without 64 MB of new memory of its own: its pages are the file's."""
    folder = tmp_path / "layers.0.mlp"
    folder.mkdir()
    d, m = 256, 32768
    tensors = {"encoder.weight": torch.zeros(m, d), "W_dec": torch.zeros(m, d)}
    save_file(tensors | {"encoder.bias": torch.zeros(m), "b_dec": torch.zeros(d)}, folder / "sae.safetensors")
    (folder / "cfg.json").write_text('{"d_in": 256, "num_latents": 32768, "k": 8, "activation": "topk"}')
    del tensors
    before = private_megabytes()
    opened = dictionaries.load(folder)
    assert private_megabytes() - before < 24
    assert opened.W_enc.shape == (d, m)


def private_megabytes() -> float:
    """Memory of this process that no file backs."""
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("memory is read from /proc, which this system has not")
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("RssAnon")) / 1024
