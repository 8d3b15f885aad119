"""EleutherAI's own library loads what was trained here and computes the same from it, and its copy is read back.

Needs `eai-sparsify`, whose pins may move others': an environment of its own, `pip install -e '.[parity-sparsify]'`.
"""

import json
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from autointerp import dictionaries
from autointerp.train.arms import Weights
from autointerp.train.base import Architecture, Arm
from autointerp.train.run import train
from tests.train.test_run import READS, config, contexts, subject

# Upstream code warns of its own deprecations.
pytestmark = pytest.mark.filterwarnings("default")
ARCHITECTURES: tuple[Architecture, ...] = ("sae", "transcoder", "skip-transcoder")


@pytest.fixture(scope="module")
def sparsify() -> ModuleType:
    try:
        return __import__("sparsify.sparse_coder", fromlist=["x"])
    except ImportError as error:
        pytest.skip(f"eai-sparsify is not installed in this environment ({error})")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of one dictionary of each architecture, by name."""
    out = tmp_path_factory.mktemp("trained")
    wanted = config(seeds=[2])
    found = train(subject(), READS, contexts(out, wanted), wanted, out)
    return {arm.architecture: folder for arm, folder in found.items()}


def activations() -> dict[str, Tensor]:
    """Activations [n, d] that training has read, per side of the module."""
    sites = READS["layers.1.mlp"]
    ids = torch.arange(1, 91).view(3, 30)
    read = subject().capture(ids, None, [sites.site_in, sites.site_out])
    return {"input": read[sites.site_in].flatten(0, 1).clone(), "output": read[sites.site_out].flatten(0, 1).clone()}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_sparsify_reads_what_was_trained(
    architecture: Architecture, trained: dict[str, Path], sparsify: ModuleType
) -> None:
    """Activations and reconstruction by its library, by our loader and by the training code itself, to 1e-5."""
    folder, acts = trained[architecture], activations()
    theirs = sparsify.SparseCoder.load_from_disk(folder)
    assert (theirs.cfg.transcode, theirs.cfg.skip_connection) == (
        architecture != "sae",
        architecture == "skip-transcoder",
    )
    ours = dictionaries.load(folder)
    x = acts["output"] if architecture == "sae" else acts["input"]
    mine = ours.encode(x)
    values, indices, _ = theirs.encode(x)
    reconstruction = theirs.forward(x, acts["output"]).sae_out.detach()
    assert (mine.values > 0).any()
    close(mine.dense(ours.n_latents), torch.zeros(len(x), ours.n_latents).scatter(1, indices, values.detach()))
    close(ours.reconstruct(x), reconstruction)
    close(as_trained(architecture, folder)(x).detach(), reconstruction)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_sparsifys_own_copy_is_read_back(
    architecture: Architecture, trained: dict[str, Path], sparsify: ModuleType, tmp_path: Path
) -> None:
    """Loaded there, saved there, read here: the tensors bit by bit, and the same function."""
    folder, copy = trained[architecture], tmp_path / "layers.1.mlp"
    sparsify.SparseCoder.load_from_disk(folder).save_to_disk(copy)
    before, after = (load_file(one / "sae.safetensors") for one in (folder, copy))
    assert before.keys() == after.keys()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    first, second = dictionaries.load(folder), dictionaries.load(copy)
    assert (first.architecture, first.k, first.n_latents) == (second.architecture, second.k, second.n_latents)
    x = activations()["input"]
    assert torch.equal(first.reconstruct(x), second.reconstruct(x))


def as_trained(architecture: Architecture, folder: Path) -> Weights:
    """The training code's own module with a checkpoint's weights."""
    saved = json.loads((folder / "cfg.json").read_text())
    arm = Arm(module="m", architecture=architecture, n_latents=saved["num_latents"], k=saved["k"], seed=0)
    weights = Weights(arm, saved["d_in"], torch.zeros(saved["d_in"]))
    names = {"encoder.weight": "W_enc", "encoder.bias": "b_enc"}
    read = {names.get(name, name): tensor for name, tensor in load_file(folder / "sae.safetensors").items()}
    weights.load_state_dict(read)
    return weights


def close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
