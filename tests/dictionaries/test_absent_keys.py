"""A key whose absence would change the function is asked for, never assumed; the study can supply it."""

import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from autointerp import dictionaries
from autointerp.dictionaries.spec import Dictionary
from autointerp.errors import AutointerpError, DictionaryError
from tests.helpers.broken import BY_NAME, FILES, load, rewrite, tensors_of, written
from tests.helpers.checkpoints import CASES, Case

FLAT = {
    "d_in": 6,
    "d_sae": 12,
    "dtype": "float32",
    "hook_point": "blocks.1.hook_resid_post",
    "activation_fn_str": "topk",
    "activation_fn_kwargs": {},
    "apply_b_dec_to_input": True,
    "normalize_activations": "none",
}


def without(folder: Path, name: str, *keys: str) -> None:
    settings = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({key: value for key, value in settings.items() if key not in keys}))


@pytest.mark.parametrize(
    ("case", "name", "key", "said", "supplied"),
    [
        ("sparsify:sae", "cfg.json", "transcode", "architecture: sae", {"architecture": "sae"}),
        ("sparsify:transcoder", "cfg.json", "transcode", "architecture: sae", {"architecture": "transcoder"}),
        ("sparsify:sae", "cfg.json", "k", "no k in", {"k": 4}),
        ("llama_scope:sae", "hyperparams.json", "sparsity_include_decoder_norm", "sparsity_include", None),
        ("llama_scope:sae", "hyperparams.json", "jump_relu_threshold", "jump_relu_threshold", None),
        ("llama_scope:sae", "hyperparams.json", "act_fn", "act_fn", None),
        ("saelens:flat topk", "cfg.json", "activation_fn_str", "activation_fn_str", None),
        ("saelens:no pre-bias", "cfg.json", "apply_b_dec_to_input", "apply_b_dec_to_input", None),
        ("saelens:layer norm", "cfg.json", "normalize_activations", "normalize_activations", None),
        ("saelens:rescaled topk", "cfg.json", "rescale_acts_by_decoder_norm", "rescale_acts", None),
        ("saelens:rescaled topk", "cfg.json", "architecture", "no architecture", None),
        ("llamascopium:no norm", "config.json", "sparsity_include_decoder_norm", "sparsity_include", None),
        ("llamascopium:token-wise", "config.json", "norm_activation", "norm_activation None", None),
    ],
)
def test_an_absent_key_is_asked_for(
    case: str, name: str, key: str, said: str, supplied: dict[str, Any] | None, tmp_path: Path
) -> None:
    folder = written(BY_NAME[case], tmp_path)
    before = load(BY_NAME[case], folder)
    assert isinstance(before, Dictionary)
    without(folder, name, key)
    with pytest.raises(DictionaryError, match=said):
        load(BY_NAME[case], folder)
    if supplied is not None:
        supplied = {**supplied, "k": before.k} if "k" in supplied else supplied
        after = dictionaries.load(folder, **{**dict(BY_NAME[case].settings), **supplied})  # type: ignore[arg-type]
        assert (after.activation.kind, after.k, after.architecture) == (
            before.activation.kind,
            before.k,
            before.architecture,
        )


def test_keys_that_older_versions_did_not_write_have_those_versions_meaning(tmp_path: Path) -> None:
    """SAELens before 6.14 did not rescale top-k; sparsify without `activation` is top-k, and a remark says so."""
    folder = written(BY_NAME["saelens:topk"], tmp_path / "saelens")
    settings = json.loads((folder / "cfg.json").read_text())
    for version, read in (("6.13.1", True), ("6.14.0", False), ("6.9.0", True)):
        old = {**settings, "metadata": {**settings["metadata"], "sae_lens_version": version}}
        del old["rescale_acts_by_decoder_norm"]
        (folder / "cfg.json").write_text(json.dumps(old))
        if read:
            assert dictionaries.load(folder).activation.kind == "topk"
        else:
            with pytest.raises(DictionaryError, match="rescale_acts_by_decoder_norm"):
                dictionaries.load(folder)
    folder = written(BY_NAME["sparsify:sae"], tmp_path / "sparsify")
    assert not dictionaries.load(folder).remarks
    without(folder, "cfg.json", "activation")
    found = dictionaries.load(folder)
    assert found.activation.kind == "topk"
    assert "read as topk" in found.remarks[0]


@pytest.mark.parametrize("value", [0, 1, "no", "true"])
def test_only_a_boolean_is_a_boolean(value: object, tmp_path: Path) -> None:
    """`apply_b_dec_to_input: 0` is damage, not false."""
    folder = written(BY_NAME["saelens:standard"], tmp_path)
    settings = json.loads((folder / "cfg.json").read_text())
    (folder / "cfg.json").write_text(json.dumps({**settings, "apply_b_dec_to_input": value}))
    with pytest.raises(DictionaryError, match=r"apply_b_dec_to_input is .* not true or false"):
        dictionaries.load(folder)


def test_top_k_of_saelens_without_k_is_asked_for(tmp_path: Path) -> None:
    """A flat configuration (before 6.0) that names topk and no k would be read as ReLU."""
    case = BY_NAME["saelens:topk"]
    folder = written(case, tmp_path)
    (folder / "cfg.json").write_text(json.dumps({**FLAT, **_sizes(folder)}))
    with pytest.raises(DictionaryError, match="topk without k"):
        dictionaries.load(folder)
    assert dictionaries.load(folder, k=3).activation.kind == "topk"
    settings = json.loads((written(case, tmp_path / "new") / "cfg.json").read_text())
    both = {**settings, "architecture": "standard", "activation_fn": "topk"}
    (folder / "cfg.json").write_text(json.dumps(both))
    with pytest.raises(DictionaryError, match="which of the two"):
        dictionaries.load(folder)


def _sizes(folder: Path) -> dict[str, int]:
    shape = tensors_of(folder / "sae_weights.safetensors")["W_enc"].shape
    return {"d_in": shape[0], "d_sae": shape[1]}


def test_circuit_tracer_without_its_configuration_is_asked_for_the_activation(tmp_path: Path) -> None:
    case = BY_NAME["circuit_tracer:relu"] if "circuit_tracer:relu" in BY_NAME else BY_NAME["circuit_tracer:topk"]
    folder = written(case, tmp_path)
    (folder / "config.yaml").unlink()
    path = folder / FILES["circuit_tracer"]
    rewrite(path, {name: one for name, one in tensors_of(path).items() if name in ("W_enc", "W_dec", "b_enc", "b_dec")})
    sites: dict[str, Any] = {"site_in": "layers.1.input", "site_out": "layers.1.output"}
    with pytest.raises(DictionaryError, match=r"`k: <number>` for top-k or `activation: relu`"):
        dictionaries.load(path, **sites)
    assert dictionaries.load(path, activation="relu", **sites).activation.kind == "relu"
    assert dictionaries.load(path, k=3, **sites).activation.kind == "topk"


def flipped(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 3, 30])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(bytes(data))


def cut(path: Path, rng: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])


def changed(path: Path, rng: random.Random) -> None:
    """Another value, or none, for one key of a JSON configuration, however deep."""
    value = json.loads(path.read_text())
    node = value
    while True:
        key = rng.choice(list(node))
        if isinstance(node[key], dict) and node[key] and rng.random() < 0.6:
            node = node[key]
            continue
        if rng.random() < 0.3:
            del node[key]
        else:
            node[key] = rng.choice([None, True, 0, -1, 2**70, 1.5, "", "x" * 3000, [], [1], {}, {"a": 1}, "topk"])
        break
    path.write_text(json.dumps(value))


def mutants(tmp_path: Path, n: int, seed: int) -> Iterator[tuple[Case, Path, str]]:
    rng = random.Random(seed)
    whole = {case.name: written(case, tmp_path / f"whole{place}") for place, case in enumerate(CASES)}
    for number in range(n):
        case = rng.choice(CASES)
        top = tmp_path / f"m{number}"
        folder = top / case.folder
        shutil.copytree(whole[case.name], folder, dirs_exist_ok=True)
        file = rng.choice(sorted(one for one in folder.rglob("*") if one.is_file()))
        damages: list[Callable[[Path, random.Random], None]] = [flipped, cut]
        damages += [changed] * 4 if file.suffix == ".json" else []
        damage = rng.choice(damages)
        damage(file, rng)
        yield case, folder, f"{getattr(damage, '__name__', '')} {file.name}"
        shutil.rmtree(top)


def test_a_damaged_checkpoint_is_read_or_refused_in_one_line(tmp_path: Path) -> None:
    """Bytes flipped, files cut, settings changed: a dictionary, or one line; never another exception."""
    n_refused = 0
    for case, folder, what in mutants(tmp_path, 150, seed=1):
        try:
            load(case, folder)
        except AutointerpError as error:
            n_refused += 1
            lines = str(error).splitlines()
        else:
            lines = [""]
        assert len(lines) == 1, (case.name, what, lines)
        assert len(lines[0]) < 2000, (case.name, what)
    assert 50 < n_refused < 150


def test_a_damaged_torch_file_fails_its_checksum(tmp_path: Path) -> None:
    """PyTorch reads weights whose CRC32 in the archive is wrong; a flipped bit of a weight is noticed here."""
    case = BY_NAME["dictionary_learning:BatchTopKSAE"]
    folder = written(case, tmp_path)
    path = folder / "ae.pt"
    weight = tensors_of(path)["encoder.weight"].contiguous()
    data = bytearray(path.read_bytes())
    place = data.find(weight.numpy().tobytes())
    data[place] ^= 1
    path.write_bytes(bytes(data))
    assert not torch.equal(torch.load(path, weights_only=True)["encoder.weight"], weight)
    with pytest.raises(DictionaryError, match="checksum"):
        load(case, folder)
