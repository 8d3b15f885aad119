"""Broken, hostile and misread checkpoints: each is a refusal that names what is wrong."""

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from autointerp import dictionaries
from autointerp.dictionaries.files import find, inside
from autointerp.dictionaries.tensors import read_tensors
from autointerp.errors import DictionaryError
from tests.helpers.checkpoints import CASES, Case, D, M

BY_NAME = {case.name: case for case in CASES}
SPARSIFY, SAELENS = BY_NAME["sparsify:transcoder"], BY_NAME["saelens:jumprelu"]
LEARNING, TRACER = BY_NAME["dictionary_learning:BatchTopKSAE"], BY_NAME["circuit_tracer:jumprelu"]
FILES = {
    "sparsify": "sae.safetensors",
    "saelens": "sae_weights.safetensors",
    "gemma_scope_2": "params.safetensors",
    "circuit_tracer": "layer_1.safetensors",
    "llama_scope": "checkpoints/final.safetensors",
    "dictionary_learning": "ae.pt",
    "openai": "8.pt",
    "qwen_scope": "layer4.sae.pt",
    "gemma_scope": "params.npz",
    "llamascopium": "sae_weights.safetensors",
}


def written(case: Case, tmp_path: Path) -> Path:
    folder = tmp_path / case.folder
    folder.mkdir(parents=True, exist_ok=True)
    case.write(folder, torch.Generator().manual_seed(0))
    return folder


def load(case: Case, folder: Path) -> object:
    sites = {} if all(case.sites) else {"site_in": "layers.1.output", "site_out": "layers.1.output"}
    return dictionaries.load(folder / case.focus, **sites, **dict(case.settings))  # type: ignore[arg-type]


def tensors_of(path: Path) -> dict[str, torch.Tensor]:
    if path.suffix == ".safetensors":
        return load_file(path)
    if path.suffix == ".npz":
        return {name: torch.from_numpy(array) for name, array in np.load(path).items()}
    return torch.load(path, weights_only=True)


def rewrite(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    if path.suffix == ".safetensors":
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    elif path.suffix == ".npz":
        np.savez(path, allow_pickle=False, **{name: tensor.numpy() for name, tensor in tensors.items()})
    else:
        torch.save(tensors, path)


def edit(folder: Path, name: str, **changes: object) -> None:
    settings = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(settings | changes))


# One case per format stands for it; what is done to its largest matrix must be noticed in every format.
ONE_EACH = [next(case for case in CASES if case.format == name) for name in FILES]


def largest(tensors: dict[str, torch.Tensor]) -> str:
    return next(name for name in ("encoder.weight", "W_enc", "w_enc", "W_E") if name in tensors)


@pytest.mark.parametrize("case", ONE_EACH, ids=lambda case: case.format)
@pytest.mark.parametrize(
    "what, change",
    [
        ("missing", None),
        ("expected", lambda tensor: tensor[:, :-1].clone()),
        ("expected", lambda tensor: tensor[:-1].clone()),
        ("expected", lambda tensor: tensor.T.clone()),
        ("NaN", lambda tensor: tensor.index_fill(0, torch.tensor([1]), float("nan"))),
        ("infinity", lambda tensor: tensor.index_fill(0, torch.tensor([1]), float("inf"))),
        ("expected", lambda tensor: tensor.int()),
    ],
    ids=["missing", "narrow", "short", "swapped", "nan", "infinite", "integer"],
)
def test_a_damaged_matrix_is_named(
    case: Case, what: str, change: Callable[[torch.Tensor], torch.Tensor] | None, tmp_path: Path
) -> None:
    """Missing, of another shape, turned, NaN, infinite or integer: refused with the tensor's name."""
    folder = written(case, tmp_path)
    path = folder / FILES[case.format]
    tensors = tensors_of(path)
    name = largest(tensors)
    if change is None:
        del tensors[name]
    else:
        tensors[name] = change(tensors[name])
    rewrite(path, tensors)
    with pytest.raises(DictionaryError, match=what):
        load(case, folder)


@pytest.mark.parametrize("case", ONE_EACH, ids=lambda case: case.format)
def test_an_unknown_tensor_is_not_dropped(case: Case, tmp_path: Path) -> None:
    """A tensor that the format does not have means that it is another dictionary than it is taken for."""
    folder = written(case, tmp_path)
    path = folder / FILES[case.format]
    rewrite(path, tensors_of(path) | {"W_second_layer": torch.ones(2, 2)})
    with pytest.raises(DictionaryError, match="W_second_layer"):
        load(case, folder)


@pytest.mark.parametrize("case", ONE_EACH, ids=lambda case: case.format)
@pytest.mark.parametrize("keep", [0, 10, 200])
def test_a_truncated_file_is_named(case: Case, keep: int, tmp_path: Path) -> None:
    """A download that was cut short is refused by the file's name, whatever its type."""
    folder = written(case, tmp_path)
    path = folder / FILES[case.format]
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DictionaryError, match=path.name):
        load(case, folder)


class Bomb:
    """Unpickled, this would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize(
    "case", [LEARNING, BY_NAME["openai:TopK"], BY_NAME["qwen_scope:residual"]], ids=lambda c: c.format
)
@pytest.mark.parametrize("bare", [False, True])
def test_a_pickle_is_never_executed(case: Case, bare: bool, tmp_path: Path) -> None:
    """A pickle bomb is refused, in a PyTorch file or bare, and does not go off."""
    folder = written(case, tmp_path)
    path, trace = folder / FILES[case.format], tmp_path / "it went off"
    state = {**tensors_of(path), "surprise": Bomb(trace)}
    if bare:
        path.write_bytes(pickle.dumps(state))
    else:
        torch.save(state, path)
    with pytest.raises(DictionaryError, match=r"Python objects|pickle"):
        load(case, folder)
    assert not trace.exists()
    pickle.loads(pickle.dumps(Bomb(trace)))
    assert trace.exists(), "the bomb is a dud: the test would prove nothing"


def test_an_npz_with_objects_is_refused(tmp_path: Path) -> None:
    """An object array is a pickle inside an npz."""
    trace = tmp_path / "it went off"
    array = np.empty(1, dtype=object)
    array[0] = Bomb(trace)
    np.savez(tmp_path / "params.npz", W_enc=array)
    with pytest.raises(DictionaryError, match="Python objects"):
        read_tensors(tmp_path / "params.npz")
    assert not trace.exists()


def test_an_npz_that_claims_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    """The claimed size is compared with the file before memory is taken: this one claims 7 TB."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**6, 2 * 10**6)})
    with zipfile.ZipFile(tmp_path / "params.npz", "w") as archive:
        archive.writestr("W_enc.npy", header.getvalue() + b"\0" * 64)
    with pytest.raises(DictionaryError, match="claims shape"):
        read_tensors(tmp_path / "params.npz")


def test_a_deflated_npz_bomb_is_refused(tmp_path: Path) -> None:
    """Zeros that inflate a thousandfold are not weights."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**7,)})
    with zipfile.ZipFile(tmp_path / "params.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("W_enc.npy", header.getvalue() + b"\0" * 64)
    with pytest.raises(DictionaryError, match="claims shape"):
        read_tensors(tmp_path / "params.npz")


def test_a_pt_that_claims_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    """A view with stride 0 claims a terabyte over four bytes."""
    torch.save({"encoder.weight": torch.ones(1).expand(10**6, 10**6)}, tmp_path / "ae.pt")
    with pytest.raises(DictionaryError, match="more than the file holds"):
        read_tensors(tmp_path / "ae.pt")


NOT_PLAIN = {
    "meta": lambda tensor: torch.empty(10**6, 10**6, device="meta"),
    "sparse": lambda tensor: torch.zeros(M, D).to_sparse(),
    "eight bits": lambda tensor: tensor.to(torch.float8_e4m3fn),
    "complex": lambda tensor: tensor.to(torch.complex64),
}


@pytest.mark.parametrize("kind", list(NOT_PLAIN))
def test_a_tensor_that_is_not_plain_is_refused(kind: str, tmp_path: Path) -> None:
    """Tensors without memory of their own, of another layout or type: no crash, no terabyte."""
    folder = written(LEARNING, tmp_path)
    state = torch.load(folder / "ae.pt", weights_only=True)
    torch.save(state | {"encoder.weight": NOT_PLAIN[kind](state["encoder.weight"])}, folder / "ae.pt")
    with pytest.raises(DictionaryError, match=r"encoder\.weight is"):
        load(LEARNING, folder)


def test_a_saved_parameter_is_a_tensor(tmp_path: Path) -> None:
    """A state dict of parameters computes like one of tensors, and asks for no gradient."""
    folder = written(LEARNING, tmp_path)
    x = torch.ones(2, D)
    plain = dictionaries.load(folder).reconstruct(x)
    state = torch.load(folder / "ae.pt", weights_only=True)
    torch.save(state | {"encoder.weight": torch.nn.Parameter(state["encoder.weight"])}, folder / "ae.pt")
    again = dictionaries.load(folder)
    assert not again.reconstruct(x).requires_grad
    torch.testing.assert_close(again.reconstruct(x), plain)


@pytest.mark.parametrize(
    "case, changes, words",
    [
        (LEARNING, {"k": torch.tensor(float("nan"))}, "k is nan"),
        (LEARNING, {"k": torch.tensor(3.5)}, "whole number"),
        (LEARNING, {"k": torch.tensor(4)}, "must agree"),
        (LEARNING, {"threshold": torch.tensor(float("inf"))}, "threshold is inf"),
        (LEARNING, {"threshold": torch.ones(3)}, "expected one number"),
        (BY_NAME["dictionary_learning:MatryoshkaBatchTopKSAE"], {"group_sizes": torch.tensor([-4, 16])}, "group_sizes"),
        (BY_NAME["dictionary_learning:MatryoshkaBatchTopKSAE"], {"group_sizes": torch.tensor([4, 9])}, "add up to 13"),
    ],
)
def test_a_number_that_cannot_be_is_named(
    case: Case, changes: dict[str, torch.Tensor], words: str, tmp_path: Path
) -> None:
    folder = written(case, tmp_path)
    torch.save(torch.load(folder / "ae.pt", weights_only=True) | changes, folder / "ae.pt")
    with pytest.raises(DictionaryError, match=words):
        load(case, folder)


@pytest.mark.parametrize("descr", ["<U4", "|V2", [("a", "<f4")]])
def test_an_npz_of_no_numbers_is_refused(descr: object, tmp_path: Path) -> None:
    """Text, records, and bfloat16 as NumPy saves what it does not know."""
    np.savez(tmp_path / "params.npz", W_enc=np.zeros(4, dtype=np.dtype(descr)))  # type: ignore[call-overload]
    with pytest.raises(DictionaryError, match="expected numbers"):
        read_tensors(tmp_path / "params.npz")


LAUGHS = "\n".join(["a0: &a0 [x, x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12))])


@pytest.mark.parametrize(
    "case, name, text",
    [
        (SPARSIFY, "cfg.json", "[" * 10**6),
        (SPARSIFY, "cfg.json", "null"),
        (SPARSIFY, "cfg.json", '{"d_in": 6, "num_latents": 12, "k": ' + "9" * 4000 + "}"),
        (SPARSIFY, "cfg.json", '{"d_in": 6, "num_latents": 12, "k": 3, "activation": "' + "x" * 10**5 + '"}'),
        (SPARSIFY, "cfg.json", '{"d_in": 6, "num_latents": -12, "k": 3}'),
        (TRACER, "config.yaml", LAUGHS + "\nmodel_kind: *a11\n"),
        (TRACER, "config.yaml", "!!python/object/apply:os.system ['true']"),
    ],
    ids=["deep", "null", "many digits", "long", "negative", "a billion laughs", "python"],
)
def test_a_hostile_configuration_is_one_short_line(case: Case, name: str, text: str, tmp_path: Path) -> None:
    """Whatever a file makes of itself, the message stays readable."""
    folder = written(case, tmp_path)
    (folder / name).write_text(text)
    with pytest.raises(DictionaryError, match=name) as told:
        load(case, folder)
    assert len(str(told.value)) < 600
    assert "\n" not in str(told.value)


def test_links_are_followed_to_files_only(tmp_path: Path) -> None:
    """A linked file is read (hub caches are made of links); loops, devices and links to nothing are no files."""
    folder = written(SPARSIFY, tmp_path)
    weights = folder / FILES["sparsify"]
    weights.rename(tmp_path / "blob")
    weights.symlink_to(tmp_path / "blob")
    (folder / "loop").symlink_to(folder)
    load(SPARSIFY, folder)
    for target in ("/dev/zero", tmp_path / "nothing"):
        weights.unlink()
        weights.symlink_to(target)
        with pytest.raises(DictionaryError, match="no known dictionary format"):
            load(SPARSIFY, folder)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../b", "..\\x", "C:\\x"])
def test_a_path_that_leads_out_is_refused(name: str) -> None:
    with pytest.raises(DictionaryError, match="outside"):
        inside(name)


def test_a_hub_path_that_leads_out_is_refused_before_any_request() -> None:
    with pytest.raises(DictionaryError, match="outside"):
        find("org/repo:../../etc")


def test_a_hub_cache_serves_while_the_hub_is_out_of_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With HF_HUB_OFFLINE a cached repository loads at its commit, and one that is not cached says so in one line."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    cache = tmp_path / "models--org--repo"
    folder = cache / "snapshots" / commit / "layers.1.mlp"
    folder.mkdir(parents=True)
    SPARSIFY.write(folder, torch.Generator().manual_seed(0))
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text(commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    dictionary = dictionaries.load("org/repo:layers.1.mlp")
    assert (dictionary.site_in, dictionary.provenance.revision) == ("layers.1.mlp.input", commit)
    with pytest.raises(DictionaryError, match=r"no folder or file .layers\.2\.mlp"):
        dictionaries.load("org/repo:layers.2.mlp")
    with pytest.raises(DictionaryError, match="its cache has none"):
        dictionaries.load("org/other")


def test_a_file_is_asked_for_inside_the_folder_only(tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text("{}")
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    with pytest.raises(DictionaryError, match=r"outside|missing"):
        find(str(folder)).path("../secret.json")


@pytest.mark.parametrize("source", ["/nowhere/at/all", "./nothing", "a b c", "one", "", "a/" * 5000])
def test_what_does_not_exist_is_said_so(source: str) -> None:
    with pytest.raises(DictionaryError, match="no such folder or file"):
        dictionaries.load(source)


def test_an_unknown_format_lists_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(DictionaryError, match="saelens, sparsify"):
        dictionaries.load(tmp_path, format="sparsfy")
    (tmp_path / "model.bin").write_bytes(b"x")
    with pytest.raises(DictionaryError, match=r"no known dictionary format.*model\.bin"):
        dictionaries.load(tmp_path)


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
         "nothing tells its activation function"),
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
