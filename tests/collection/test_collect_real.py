"""On a real model, its text and its dictionaries: the same set as a dense loop that reads the files itself."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from autointerp import corpus
from autointerp.collection.base import CollectConfig, SamplingConfig
from autointerp.collection.collect import Collection, collect
from autointerp.collection.device import Placed
from autointerp.corpus import text
from autointerp.corpus.base import WindowsConfig
from autointerp.dictionaries.base import DictionaryConfig
from autointerp.dictionaries.loading import open_dictionary
from autointerp.examples.base import ExamplesConfig
from autointerp.records import Site
from autointerp.subject.model import HookedSubject
from tests.helpers.shared import SHARED, STORIES, needs_shared

ARMS = {"sae": "output", "transcoder": "input", "skip_transcoder": "input"}
LENGTH, N_TOKENS, K = 96, 5000, 16
FILES = STORIES / "dictionaries"
EXAMPLES = ExamplesConfig(min_windows=1, n_explain=1, n_positives=1, n_negatives=1)


def stories(tokenizer: object) -> list[list[int]]:
    """Token ids of the first stories that have 5,000 tokens together."""
    found: list[list[int]] = []
    for story in text.documents(text.Config(path=str(SHARED / "text/tinystories.txt"), split="separator")):
        found.append(tokenizer(story.text, add_special_tokens=False)["input_ids"])  # type: ignore[operator]
        if sum(map(len, found)) >= N_TOKENS:
            return found
    raise AssertionError("the corpus is shorter than that")


@torch.no_grad()
def dense(documents: list[list[int]], model: torch.nn.Module) -> dict[str, np.ndarray]:
    """[n, 4] rows (document, offset, latent, value) of each dictionary, sorted: one context at a time, in float64."""
    seen: dict[str, torch.Tensor] = {}
    module = model.get_submodule("model.layers.2.mlp")
    module.register_forward_hook(lambda _, inputs, output: seen.update(input=inputs[0][0], output=output[0]))
    found: dict[str, list[tuple[int, int, int, float]]] = {name: [] for name in ARMS}
    weights = {name: load_file(FILES / f"{name}_k16/layers.2.mlp/sae.safetensors") for name in ARMS}
    for document, ids in enumerate(documents):
        for start in range(0, len(ids), LENGTH):
            part = ids[start : start + LENGTH]
            model(torch.tensor([[1, *part]]))  # 1 is BOS
            for name, side in ARMS.items():
                w = {key: value.astype(np.float64) for key, value in weights[name].items()}
                x = seen[side].numpy()[1:] - (w["b_dec"] if name == "sae" else 0)
                acts = np.maximum(x @ w["encoder.weight"].T + w["encoder.bias"], 0)
                for offset, row in enumerate(acts):
                    for latent in np.argsort(-row)[:K]:
                        if row[latent] > 0:
                            found[name].append((document, start + offset, int(latent), float(row[latent])))
    return {name: np.array(sorted(rows)) for name, rows in found.items()}


def rows_of(found: Collection, name: str, lengths: list[int]) -> np.ndarray:
    ends = np.cumsum(lengths)
    parts = []
    for latent in range(512):
        firing = found.firing(name, latent)
        document = np.searchsorted(ends, firing.positions, side="right")
        offset = firing.positions - (ends - lengths)[document]
        parts.append(np.stack([document, offset, np.full(len(offset), latent), firing.values], axis=1))
    rows = np.concatenate(parts)
    return rows[np.lexsort(rows.T[::-1])]


@needs_shared
@pytest.mark.timeout(1500)
def test_the_three_dictionaries_of_a_real_model(tmp_path: Path) -> None:
    """Padding, BOS in context and out of statistics, documents longer than a context, several shards, one resumed."""
    tokenizer = AutoTokenizer.from_pretrained(STORIES)
    model = AutoModelForCausalLM.from_pretrained(STORIES, dtype=torch.float64)
    documents = stories(tokenizer)
    placed = [
        Placed(
            open_dictionary(DictionaryConfig(name=name, source=str(FILES / f"{name}_k16/layers.2.mlp"))),
            Site("model.layers.2.mlp", side),  # type: ignore[arg-type]
        )
        for name, side in ARMS.items()
    ]
    under = HookedSubject(model, tokenizer, fingerprint="stories in float64")
    config = WindowsConfig(n_tokens=N_TOKENS, context_length=LENGTH)

    def run() -> Collection:
        read = text.documents(text.Config(path=str(SHARED / "text/tinystories.txt"), split="separator"))
        tokens = corpus.read(itertools.chain(read), tokenizer, config, tmp_path / "tokens", seed=0)
        return collect(
            under,
            placed,
            tokens,
            collection=CollectConfig(batch_tokens=700, shard_tokens=1000),
            sampling=SamplingConfig(n_latents="all"),
            examples=EXAMPLES,
            folder=tmp_path,
            seed=0,
        )

    assert run().counts["tokens"] == sum(map(len, documents))
    (tmp_path / "shards/000002.safetensors").unlink()
    found = run()
    assert 0 < found.counts["tokens_computed"] < found.counts["tokens"] / 2
    for name, theirs in dense(documents, model).items():
        mine = rows_of(found, name, [len(ids) for ids in documents])
        np.testing.assert_array_equal(mine[:, :3], theirs[:, :3])
        np.testing.assert_allclose(mine[:, 3], theirs[:, 3], rtol=1e-6)
