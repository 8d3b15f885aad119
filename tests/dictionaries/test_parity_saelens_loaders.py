"""Releases that SAELens converts on download compute here what they compute through its converters, to 1e-5.

Its loaders fetch from the hub; here they are given the files that our own cases write. Needs the extra
`parity-saelens`, in an environment of its own; skipped elsewhere.
"""

import importlib
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from autointerp import dictionaries
from tests.helpers.checkpoints import CASES, D, M, llama_scope

sae_lens = pytest.importorskip("sae_lens", reason="sae-lens is not installed in this environment")
pytestmark = pytest.mark.filterwarnings("default")
LOADING = "sae_lens.loading.pretrained_sae_loaders"
BY_NAME = {case.name: case for case in CASES}
# What a loader takes from the repository's name where the file knows better.
SIZE = {"d_in": D, "d_sae": M, "dtype": "float32"}


@pytest.fixture
def loaders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """SAELens' loaders, with the hub on this disk."""
    module = importlib.import_module(LOADING)

    def fetched(repo_id: str, filename: str, subfolder: str | None = None, **_: object) -> str:
        path = tmp_path / repo_id.rpartition("/")[2] / (subfolder or "") / filename
        if not path.exists():
            from huggingface_hub.utils import EntryNotFoundError

            raise EntryNotFoundError(f"{filename} is not there")
        return str(path)

    def shapes(repo_id: str, name: str) -> dict[str, list[int]]:
        return {key: list(tensor.shape) for key, tensor in load_file(fetched(repo_id, name)).items()}

    monkeypatch.setattr(module, "hf_hub_download", fetched)
    monkeypatch.setattr(module, "get_safetensors_tensor_shapes", shapes)
    return module


def built(found: tuple[dict[str, Any], dict[str, torch.Tensor], object]) -> Any:
    """Make the SAE as `SAE.from_pretrained` does from what a loader returns."""
    defaulted = importlib.import_module(LOADING).handle_config_defaulting
    settings, state = defaulted({**found[0], **SIZE, "device": "cpu"}), found[1]
    settings.pop("d_out", None) if "transcoder" not in settings["architecture"] else settings.update(d_out=D)
    kind = settings["architecture"]
    config = sae_lens.SAE.get_sae_config_class_for_architecture(kind).from_dict(settings)
    sae = sae_lens.SAE.get_sae_class_for_architecture(kind)(config)
    sae.process_state_dict_for_loading(state)
    sae.load_state_dict(state)
    return sae


LOADERS = {
    "gemma_scope:res": "gemma_2_sae_huggingface_loader",
    "gemma_scope:mlp lower case": "gemma_2_sae_huggingface_loader",
    "gemma_scope:embedding": "gemma_2_sae_huggingface_loader",
    "gemma_scope:transcoder": "gemma_2_transcoder_huggingface_loader",
    "gemma_scope_2:no config": "gemma_3_sae_huggingface_loader",
    "qwen_scope:residual": "qwen_scope_sae_huggingface_loader",
}


@pytest.mark.parametrize("name", list(LOADERS))
def test_a_release_is_what_saelens_makes_of_it(name: str, loaders: Any, tmp_path: Path) -> None:
    case = BY_NAME[name]
    folder = tmp_path / case.folder
    folder.mkdir(parents=True)
    case.write(folder, torch.Generator().manual_seed(0))
    repo, _, below = case.folder.partition("/")
    if not case.folder.startswith(("gemma-scope-", "SAE-Res")):
        repo, below = "", case.folder
    theirs = built(getattr(loaders, LOADERS[name])(f"google/{repo}", below or case.focus, cfg_overrides=SIZE))
    ours = dictionaries.load(folder / case.focus)
    x = torch.randn(40, D, generator=torch.Generator().manual_seed(1)) * 2
    torch.testing.assert_close(ours.encode(x).dense(M), theirs.encode(x).detach(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.reconstruct(x), theirs(x).detach(), atol=2e-5, rtol=1e-5)
    assert ours.site_in == theirs.cfg.metadata.hook_name or ours.site_in == theirs.cfg.metadata.hf_hook_name


def test_llama_scope_without_decoder_norms_is_what_saelens_makes_of_it(loaders: Any, tmp_path: Path) -> None:
    """Where the gate leaves decoder norms out, both read alike; SAELens' latents are in the normalised frame.

    One mean norm for both sides, since SAELens folds the input's into the output.
    """
    folder = tmp_path / "repo" / "L1R"
    folder.mkdir(parents=True)
    llama_scope(unit=False, norm_out=2.0)(folder, torch.Generator().manual_seed(0))
    theirs = built(loaders.llama_scope_sae_huggingface_loader("org/repo", "L1R", cfg_overrides={"dtype": "float32"}))
    scale = D**0.5 / 2.0
    theirs.fold_activation_norm_scaling_factor(scale)
    ours = dictionaries.load(folder)
    x = torch.randn(40, D, generator=torch.Generator().manual_seed(1)) * 2
    torch.testing.assert_close(ours.encode(x).dense(M) * scale, theirs.encode(x).detach(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.reconstruct(x), theirs(x).detach(), atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["BatchTopK", "MatryoshkaBatchTopK", "JumpReLU", "TopK", "Gated", "Standard"])
def test_what_saelens_saves_for_inference_after_training_is_read(name: str, tmp_path: Path) -> None:
    """Its training classes, written by `save_inference_model`: BatchTopK forms become jumprelu."""
    more = {"k": 3} if "TopK" in name else {}
    more |= {"matryoshka_widths": [4, M]} if name.startswith("Matryoshka") else {}
    config = getattr(sae_lens, f"{name}TrainingSAEConfig")(d_in=D, d_sae=M, **more)
    config.metadata.hook_name = "blocks.1.hook_mlp_out"
    trained = getattr(sae_lens, f"{name}TrainingSAE")(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
        if hasattr(trained, "topk_threshold"):
            trained.topk_threshold.fill_(0.4)
    trained.save_inference_model(tmp_path)
    theirs, ours = sae_lens.SAE.load_from_disk(tmp_path), dictionaries.load(tmp_path)
    x = torch.randn(40, D, generator=generator) * 2
    torch.testing.assert_close(ours.encode(x).dense(M), theirs.encode(x).detach(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.reconstruct(x), theirs(x).detach(), atol=2e-5, rtol=1e-5)
