"""Settings and kinds of checkpoints that would be misread: each is refused by its name."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from autointerp import dictionaries
from autointerp.errors import DictionaryError
from tests.helpers.broken import BY_NAME, FILES, LEARNING, ONE_EACH, SAELENS, SPARSIFY, TRACER, edit, load, written
from tests.helpers.checkpoints import Case, D, M

SETTINGS = [
    (SPARSIFY, "cfg.json", {"k": 0}, "k:"),
    (SPARSIFY, "cfg.json", {"k": M + 1}, "k = 13"),
    (SPARSIFY, "cfg.json", {"k": "many"}, "k:"),
    (SPARSIFY, "cfg.json", {"d_in": D + 1}, "encoder.weight"),
    (SPARSIFY, "cfg.json", {"num_latents": 2**40}, "encoder.weight"),
    (SPARSIFY, "cfg.json", {"activation": "batchtopk"}, "topk, groupmax"),
    (SPARSIFY, "cfg.json", {"n_targets": 4}, "cross-layer"),
    (SPARSIFY, "cfg.json", {"normalize_io": True}, "normalize_io"),
    (SPARSIFY, "cfg.json", {"skip_connection": True}, "W_skip is missing"),
    (BY_NAME["sparsify:groupmax"], "cfg.json", {"k": 5}, "divides"),
    (SAELENS, "cfg.json", {"architecture": "temporal"}, "earlier tokens"),
    (SAELENS, "cfg.json", {"architecture": "matching_pursuit"}, "one after the other"),
    (SAELENS, "cfg.json", {"architecture": "surprise"}, "known: standard"),
    (SAELENS, "cfg.json", {"normalize_activations": "covariance_whitening"}, "folds whitening"),
    (SAELENS, "cfg.json", {"normalize_activations": "expected_average_only_in"}, "input_scale"),
    (SAELENS, "cfg.json", {"d_sae": None}, "d_sae"),
    (SAELENS, "cfg.json", {"metadata": {"hook_name": "blocks.0.attn.hook_z", "hook_head_index": 3}}, "head 3"),
    (BY_NAME["saelens:transcoder"], "cfg.json", {"apply_b_dec_to_input": True}, "apply_b_dec_to_input"),
    (LEARNING, "config.json", {"trainer": {"dict_class": "NewSAE"}}, "known: AutoEncoder"),
    (LEARNING, "config.json", {"trainer": {}}, "dict_class"),
    (BY_NAME["dictionary_learning:AutoEncoderTopK"], "config.json",
     {"trainer": {"dict_class": "AutoEncoderTopK", "k": 4, "layer": 1}}, "must agree"),
    (BY_NAME["llama_scope:sae"], "hyperparams.json", {"norm_activation": "token-wise"}, "dataset-wise"),
    (BY_NAME["llama_scope:sae"], "hyperparams.json", {"use_glu_encoder": True}, "gated linear"),
    (BY_NAME["llama_scope:sae"], "hyperparams.json", {"dataset_average_activation_norm": {"in": 0}}, "norm"),
    *((BY_NAME["llamascopium:topk"], "config.json", {"sae_type": kind}, words) for kind, words in (
        ("crosscoder", "several sites"), ("clt", "cross-layer"), ("lorsa", "other tokens"), ("molt", "matrices"),
        ("surprise", "known: sae"))),
    (BY_NAME["llamascopium:topk"], "config.json", {"act_fn": "batchtopk"}, "other rows of a batch"),
    (BY_NAME["llamascopium:topk"], "config.json", {"norm_activation": "batch-wise"}, "dataset-wise"),
    (BY_NAME["llamascopium:transcoder"], "config.json", {"norm_activation": "token-wise"}, "of a transcoder"),
    (BY_NAME["llamascopium:topk"], "config.json", {"use_glu_encoder": True}, "gated linear"),
    (BY_NAME["llamascopium:topk"], "config.json", {"top_k": None}, "without top_k"),
    (BY_NAME["gemma_scope_2:affine"], "config.json", {"affine_connection": False}, "affine"),
    (BY_NAME["gemma_scope_2:resid"], "config.json", {"architecture": "relu"}, "jump_relu"),
]  # fmt: skip


@pytest.mark.parametrize(
    "case, name, changes, words", SETTINGS, ids=[f"{c.format} {next(iter(s))} {w}" for c, _, s, w in SETTINGS]
)
def test_a_setting_that_cannot_be_is_named(
    case: Case, name: str, changes: dict[str, object], words: str, tmp_path: Path
) -> None:
    """Settings out of range, of functions not read here, or against the weights."""
    folder = written(case, tmp_path)
    edit(folder, name, **changes)
    with pytest.raises(DictionaryError, match=words):
        load(case, folder)


def test_an_unset_batch_top_k_threshold_is_refused(tmp_path: Path) -> None:
    """-1 would let every positive pre-activation fire."""
    folder = written(LEARNING, tmp_path)
    state = torch.load(folder / "ae.pt", weights_only=True)
    torch.save(state | {"threshold": torch.tensor(-1.0)}, folder / "ae.pt")
    with pytest.raises(DictionaryError, match="never set"):
        load(LEARNING, folder)


def test_cross_layer_transcoders_are_refused_by_name(tmp_path: Path) -> None:
    """circuit-tracer's and Gemma Scope 2's, by their files, their kind or their decoder's shape."""
    save_file({"W_enc_0": torch.ones(M, D)}, tmp_path / "W_enc_0.safetensors")
    with pytest.raises(DictionaryError, match="cross-layer"):
        dictionaries.load(tmp_path)
    folder = written(BY_NAME["gemma_scope_2:resid"], tmp_path / "gemma")
    tensors = load_file(folder / "params.safetensors")
    save_file(tensors | {"w_dec": torch.ones(M, 3, D)}, folder / "params.safetensors")
    with pytest.raises(DictionaryError, match="cross-layer"):
        dictionaries.load(folder)


def settings(name: str, **values: object) -> Callable[[Path], str]:
    def write(folder: Path) -> str:
        (folder / name).write_text(yaml.safe_dump(values) if name.endswith("yaml") else json.dumps(values))
        return ""

    return write


def state(name: str, **tensors: torch.Tensor) -> Callable[[Path], str]:
    def write(folder: Path) -> str:
        save = save_file if name.endswith("safetensors") else torch.save
        save({key.replace("__", "."): tensor for key, tensor in tensors.items()}, folder / name)
        return name

    return write


def temporal(folder: Path) -> str:
    state("latest_ckpt.safetensors", D=torch.ones(M, D))(folder)
    return settings("conf.yaml", model="m")(folder)


MATRIX, VECTOR = torch.ones(M, D), torch.ones(M)
HOOKS = {"feature_input_hook": "mlp.hook_in", "feature_output_hook": "hook_mlp_out"}


@pytest.mark.parametrize(
    "write, words",
    [
        (settings("cfg.json", num_features=9, num_layers=2, d_model=4), "SAEDashboard.*cross-layer"),
        (settings("config.json", sae_type="clt"), "cross-layer"),
        (settings("config.yaml", model_kind="cross_layer_transcoder", **HOOKS), "cross-layer"),
        (settings("config.yaml", model_kind="transcoder_set", **HOOKS, transcoders=["hf://o/r/a/b.npz?revision=v1"]),
         r"'o/r@v1:a/b\.npz'.*site_in: blocks\.<layer>\.mlp\.hook_in"),
        (settings("config.yaml", model_kind="transcoder_set", **HOOKS), "without a list"),
        (temporal, "temporal SAE.*earlier tokens"),
        (state("sae.pth", encoder_linear__weight=MATRIX, decoder_linear__weight=MATRIX.T), "Goodfire.*its site"),
        (state("r1.pt", encoder__weight=MATRIX, encoder__bias=VECTOR, decoder__weight=MATRIX.T, decoder__bias=VECTOR),
         "its activation function, site and input scale are unknown"),
        (state("cc.pt", W_enc=torch.ones(2, D, M), W_dec=torch.ones(M, 2, D)), "crosscoder"),
        (state("model.safetensors", encoder__weight=torch.ones(2, D, M)), "crosscoder"),
    ],
    ids=["SAEDashboard", "llamascopium", "circuit-tracer", "list", "empty list", "temporal", "goodfire", "bare",
         "crosscoder pt", "crosscoder safetensors"],
)  # fmt: skip
def test_known_kinds_are_refused_by_name(write: Callable[[Path], str], words: str, tmp_path: Path) -> None:
    """What cannot be read, or not without being told more, says what it is and why."""
    focus = write(tmp_path)
    with pytest.raises(DictionaryError, match=words):
        dictionaries.load(tmp_path / focus)


def test_a_run_folder_names_the_dictionaries_in_it(tmp_path: Path) -> None:
    """A folder above says what to write instead, and what it says works."""
    written(BY_NAME["sparsify:sae"], tmp_path / "run")
    with pytest.raises(DictionaryError, match="It holds dictionaries") as told:
        dictionaries.load(tmp_path / "run")
    assert dictionaries.load(str(told.value).split("name one: ")[1]).site_in == "layers.1.mlp.output"


@pytest.mark.parametrize("case", ONE_EACH, ids=lambda case: case.format)
def test_another_file_beside_a_checkpoint_is_not_taken_for_it(case: Case, tmp_path: Path) -> None:
    """Naming one file never reads its neighbour."""
    folder = written(case, tmp_path)
    (folder / "other.safetensors").write_bytes((folder / FILES[case.format]).read_bytes())
    with pytest.raises(DictionaryError):
        dictionaries.load(folder / "other.safetensors", site_in="h.0", site_out="h.0")


def test_a_set_of_layers_asks_which(tmp_path: Path) -> None:
    """A folder of several layers names one of them as an example of what to write."""
    folder = written(TRACER, tmp_path)
    (folder / "layer_2.safetensors").write_bytes((folder / "layer_1.safetensors").read_bytes())
    with pytest.raises(DictionaryError, match=r"name one file.*layer_1\.safetensors"):
        load(TRACER, folder)


def test_the_study_cannot_contradict_the_checkpoint(tmp_path: Path) -> None:
    """k, architecture, pre_bias and input_scale are for what a checkpoint leaves open."""
    folder = written(BY_NAME["sparsify:sae"], tmp_path)
    with pytest.raises(DictionaryError, match="k: 4"):
        dictionaries.load(folder, k=4)
    with pytest.raises(DictionaryError, match="architecture: transcoder"):
        dictionaries.load(folder, architecture="transcoder")
    with pytest.raises(DictionaryError, match="pre_bias"):
        dictionaries.load(folder, pre_bias=False)
    folder = written(SAELENS, tmp_path / "saelens")
    with pytest.raises(DictionaryError, match="input_scale"):
        dictionaries.load(folder, input_scale=2.0)


def test_a_checkpoint_without_a_site_asks_for_one(tmp_path: Path) -> None:
    folder = written(BY_NAME["sparsify:sae"], tmp_path).rename(tmp_path / "mine")
    with pytest.raises(DictionaryError, match="site_in: <site>"):
        dictionaries.load(folder)
    assert dictionaries.load(folder, site_in="h.0", site_out="h.0").site_in == "h.0"
