"""Train the subject of the embedded default from scratch, then its dictionaries; optionally write the float16 copies.

    python results/reference/embedded-training/train_subject.py --out results/embedded-training [--embed DIR]

Reads `train.yaml` beside this file (or --study): its section `recipe` describes the subject (tokenizer, Llama-shaped
model, Muon + AdamW); the dictionaries are trained by `autointerp train`. The batch of a step depends on (seed, step)
alone, so an interrupted run continues exactly.
"""

import argparse
import json
import math
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from safetensors.torch import load_file, save_file
from torch import Tensor

from autointerp.cli import _training
from autointerp.console import Bar, note
from autointerp.corpus.base import token_ids
from autointerp.errors import CorpusError, RunDirectoryError
from autointerp.seeds import generator
from autointerp.text import mend_surrogates
from autointerp.train.base import Arm

# Newton-Schulz coefficients and steps, momentum of Muon. Source: github.com/KellerJordan/Muon, muon.py.
NS_COEFFICIENTS = (3.4445, -4.775, 2.0315)
NS_STEPS = 5
MUON_MOMENTUM = 0.95
BOS = "<s>"
STATE = "state.pt"


class SubjectRecipe(BaseModel):
    """A small Llama-shaped subject model and its byte-level BPE tokenizer, trained from nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    vocabulary: int = Field(default=4096, ge=300, description="tokens of the tokenizer, specials included")
    width: int = Field(default=160, ge=8, description="residual width; a multiple of head_width")
    head_width: int = Field(default=32, ge=4, description="width of one attention head")
    layers: int = Field(default=5, ge=1, description="transformer layers")
    context: int = Field(default=256, ge=16, description="tokens per training row")
    rows: int = Field(default=8, ge=1, description="rows per optimiser step")
    n_tokens: int = Field(
        default=5_000_000, ge=1, description="training budget; repeats the corpus where it is smaller"
    )
    lr_matrices: float = Field(default=0.02, gt=0, description="peak learning rate of the layers' matrices (Muon)")
    lr_others: float = Field(default=0.003, gt=0, description="peak learning rate of embeddings and gains (AdamW)")
    warmup_share: float = Field(default=0.02, ge=0, lt=1, description="share of the budget with a rising rate")
    decay_share: float = Field(
        default=0.35, gt=0, le=1, description="last share of the budget, rate falling as a cosine"
    )
    clip: float = Field(default=1.0, gt=0, description="gradient norm limit of embeddings and gains")
    seed: int = Field(default=0, description="seed of weights and batches")
    checkpoint_s: float = Field(default=180, gt=0, description="seconds between checkpoints")


class Muon(torch.optim.Optimizer):
    """Momentum orthogonalised per matrix, in float32 (torch.optim.Muon computes in bfloat16, slow on a CPU).

    Source: Jordan et al. 2024, github.com/KellerJordan/Muon; scale max(1, rows/columns)^.5, Nesterov momentum.
    """

    def __init__(self, parameters: Iterable[torch.nn.Parameter], lr: float) -> None:
        super().__init__(parameters, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step."""
        for group in self.param_groups:
            for p in group["params"]:
                momentum = self.state[p].setdefault("momentum", torch.zeros_like(p))
                momentum.lerp_(p.grad, 1 - MUON_MOMENTUM)
                update = orthogonalised(torch.lerp(p.grad, momentum, MUON_MOMENTUM))
                p.add_(update, alpha=-group["lr"] * max(1.0, p.shape[0] / p.shape[1]) ** 0.5)


def orthogonalised(matrix: Tensor) -> Tensor:
    """Bring a matrix's singular values near 1 by Newton-Schulz iteration, in its own dtype."""
    a, b, c = NS_COEFFICIENTS
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = wide / (wide.norm() + 1e-7)
    for _ in range(NS_STEPS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if wide is matrix else x.T


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training run stands; written to `log.jsonl` and into checkpoints."""

    step: int
    n_tokens: int
    train_loss: float
    held_out_loss: float | None
    seconds: float


def train_tokenizer(texts: Iterable[str], vocabulary: int, out: Path) -> Any:
    """Train a byte-level BPE tokenizer with BOS before every text and save it in Hugging Face layout."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=[BOS], initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator(texts, trainer)
    core.post_processor = processors.TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, 0)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token=BOS, eos_token=BOS, pad_token=BOS, clean_up_tokenization_spaces=False
    )
    tokenizer.save_pretrained(out)
    return tokenizer


def token_stream(tokenizer: Any, texts: list[str], seed: int) -> NDArray[np.uint16]:
    """Tokenise texts in a seeded order into one stream, BOS before each; [n]."""
    order = generator(seed, "order of texts").permutation(len(texts))
    parts: list[NDArray[np.uint16]] = []
    for start in range(0, len(order), 1000):
        batch = token_ids(tokenizer, [texts[i] for i in order[start : start + 1000]])
        parts.append(np.fromiter((token for ids in batch for token in [tokenizer.bos_token_id, *ids]), dtype=np.uint16))
    return np.concatenate(parts) if parts else np.zeros(0, np.uint16)


def new_model(recipe: SubjectRecipe) -> Any:
    """Build the model with the recipe's seed."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(recipe.seed)
    config = LlamaConfig(
        vocab_size=recipe.vocabulary,
        hidden_size=recipe.width,
        # Llama's 8/3 of the width, in multiples of 16.
        intermediate_size=16 * round(recipe.width * 8 / 3 / 16),
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.width // recipe.head_width,
        max_position_embeddings=2 * recipe.context,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=None,
        use_cache=False,
    )
    return LlamaForCausalLM(config)


def rate(recipe: SubjectRecipe, share: float) -> float:
    """Learning rate as a share of its peak when `share` of the budget is done: rise, level, cosine fall to 0."""
    if share < recipe.warmup_share:
        return share / recipe.warmup_share
    falling = max(0.0, (share - (1 - recipe.decay_share)) / recipe.decay_share)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, falling)))


def batch(recipe: SubjectRecipe, stream: NDArray[np.uint16], step: int) -> torch.Tensor:
    """Rows of step `step`: each epoch cuts the stream at a new offset, rows in a new order; [rows, context]."""
    per_epoch = (len(stream) - recipe.context) // recipe.context
    rows = []
    for index in range(step * recipe.rows, (step + 1) * recipe.rows):
        epoch, place = divmod(index, per_epoch)
        rng = generator(recipe.seed, "epoch", epoch)
        offset = int(rng.integers(recipe.context))
        row = int(rng.permutation(per_epoch)[place])
        start = offset + row * recipe.context
        rows.append(stream[start : start + recipe.context].astype(np.int64))
    return torch.from_numpy(np.stack(rows))


@torch.inference_mode()
def held_out_loss(model: Any, stream: NDArray[np.uint16], recipe: SubjectRecipe, n_rows: int) -> float:
    """Mean next-token cross-entropy on the first rows of the held-out stream, in nats."""
    n_rows = min(n_rows, len(stream) // recipe.context)
    ids = torch.from_numpy(stream[: n_rows * recipe.context].astype(np.int64)).view(n_rows, recipe.context)
    model.eval()
    losses = [model(input_ids=part, labels=part).loss.item() * len(part) for part in ids.split(recipe.rows)]
    model.train()
    return sum(losses) / n_rows


def _readable(texts: list[str]) -> list[str]:
    """Mend texts that no tokenizer reads, and say how many there were."""
    found = [mend_surrogates(text) for text in texts]
    if n_mended := sum(text is not new for text, new in zip(texts, found, strict=True)):
        note(f"subject: {n_mended:,} of {len(texts):,} texts had halves of UTF-16 pairs, now replacement characters")
    return found


def train_subject(recipe: SubjectRecipe, texts: list[str], held_out: list[str], out: Path) -> Path:
    """Train tokenizer and model into the folder `out`; a run that was stopped goes on from its last checkpoint.

    `out/model` holds the model and tokenizer in Hugging Face layout, `out/log.jsonl` the losses. The budget
    `n_tokens` may be changed between two starts (the rate is level until it falls); no other setting may.

    Raises:
        CorpusError: the texts hold less than one training step.
        RunDirectoryError: `out` holds a run with other settings.
    """
    out.mkdir(parents=True, exist_ok=True)
    texts, held_out = _readable(texts), _readable(held_out)
    tokenizer = _tokenizer(recipe, texts, out)
    stream = _cached(out / "train.npy", lambda: token_stream(tokenizer, texts, recipe.seed))
    checked = _cached(out / "held_out.npy", lambda: token_stream(tokenizer, held_out, recipe.seed))
    if len(stream) < 2 * recipe.context:
        raise CorpusError(f"{len(stream):,} tokens of text are less than two rows of {recipe.context}: give more text")
    n_steps = max(1, recipe.n_tokens // (recipe.rows * recipe.context))
    note(f"subject: {len(stream):,} training tokens, {len(checked):,} held out, {n_steps:,} steps")
    run = _Run(recipe, out)
    with Bar("subject", total=n_steps, unit="steps") as bar, (out / "log.jsonl").open("a") as log:
        bar.advance(run.step)
        for progress in run.steps(stream, checked, n_steps):
            log.write(json.dumps({name: getattr(progress, name) for name in Progress.__slots__}) + "\n")
            log.flush()
            bar.advance(progress.step - bar.done, f"loss {progress.train_loss:.3f}")
    run.model.save_pretrained(out / "model")
    return out / "model"


class _Run:
    """A model, its optimisers and its step count, with checkpoints in `out`."""

    def __init__(self, recipe: SubjectRecipe, out: Path) -> None:
        self.recipe, self.out, self.step, self.seconds = recipe, out, 0, 0.0
        self.model = new_model(recipe)
        inner = [p for name, p in self.model.named_parameters() if p.ndim == 2 and "layers." in name]
        others = [p for name, p in self.model.named_parameters() if p.ndim != 2 or "layers." not in name]
        self.others = others
        adamw = torch.optim.AdamW(others, lr=recipe.lr_others, betas=(0.9, 0.95), weight_decay=0.0)
        self.optimisers = (Muon(inner, recipe.lr_matrices), adamw)
        self.peaks = (recipe.lr_matrices, recipe.lr_others)
        self._restore()

    def steps(self, stream: NDArray[np.uint16], checked: NDArray[np.uint16], n_steps: int) -> Iterator[Progress]:
        """Train up to `n_steps`; yields every 20 steps, with the held-out loss every 100."""
        began, saved = time.monotonic() - self.seconds, time.monotonic()
        losses: list[float] = []
        while self.step < n_steps:
            losses.append(self._one(stream, self.step / n_steps))
            self.step += 1
            self.seconds = time.monotonic() - began
            last = self.step == n_steps
            if self.step % 20 == 0 or last:
                check = held_out_loss(self.model, checked, self.recipe, 32) if self.step % 100 == 0 or last else None
                n_tokens = self.step * self.recipe.rows * self.recipe.context
                yield Progress(self.step, n_tokens, sum(losses) / len(losses), check, round(self.seconds, 1))
                losses = []
            if last or time.monotonic() - saved > self.recipe.checkpoint_s:
                self._save()
                saved = time.monotonic()

    def _one(self, stream: NDArray[np.uint16], share: float) -> float:
        ids = batch(self.recipe, stream, self.step)
        loss = self.model(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.others, self.recipe.clip)
        for optimiser, peak in zip(self.optimisers, self.peaks, strict=True):
            for group in optimiser.param_groups:
                group["lr"] = peak * rate(self.recipe, share)
            optimiser.step()
            optimiser.zero_grad()
        return loss.item()

    def _save(self) -> None:
        state = {
            "recipe": self.recipe.model_dump(exclude={"n_tokens", "checkpoint_s"}),
            "step": self.step,
            "seconds": self.seconds,
            "model": self.model.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
        }
        half = self.out / f"{STATE}.half"
        torch.save(state, half)
        half.replace(self.out / STATE)
        self.model.save_pretrained(self.out / "model")

    def _restore(self) -> None:
        if not (self.out / STATE).exists():
            return
        state = torch.load(self.out / STATE, weights_only=True)
        now = self.recipe.model_dump(exclude={"n_tokens", "checkpoint_s"})
        then = state["recipe"].items()
        changed = [f"{key} {value!r} -> {now.get(key)!r}" for key, value in then if value != now.get(key)]
        if changed:
            raise RunDirectoryError(f"{self.out} has other settings ({', '.join(changed)}): use a new folder")
        self.model.load_state_dict(state["model"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.step, self.seconds = state["step"], state["seconds"]


def _tokenizer(recipe: SubjectRecipe, texts: list[str], out: Path) -> Any:
    from transformers import AutoTokenizer

    if (out / "model" / "tokenizer.json").exists():
        return AutoTokenizer.from_pretrained(out / "model")
    return train_tokenizer(texts, recipe.vocabulary, out / "model")


def _cached(path: Path, make: Callable[[], NDArray[np.uint16]]) -> NDArray[np.uint16]:
    if not path.exists():
        half = path.with_suffix(".half.npy")
        np.save(half, make())
        half.replace(path)
    return np.load(path)


TOKENIZER = ("tokenizer.json", "tokenizer_config.json")


def write_embedded(subject: Path, trained: Mapping[Arm, Path], out: Path) -> list[Path]:
    """Replace `out/subject` and `out/dictionaries` by float16 copies; of the dictionaries those of the first seed.

    Args:
        subject: folder of the model with its tokenizer.
        trained: folder of each dictionary; no two of the first seed may share architecture and module.
        out: the folder of the embedded default.

    Returns:
        The dictionaries' new folders, `out/dictionaries/<architecture>/<module>/seed<seed>`.
    """
    for name in ("subject", "dictionaries"):
        shutil.rmtree(out / name, ignore_errors=True)
    (out / "subject").mkdir(parents=True)
    for name in ("config.json", *TOKENIZER):
        shutil.copyfile(subject / name, out / "subject" / name)
    _halve(subject / "model.safetensors", out / "subject" / "model.safetensors")
    first = min(arm.seed for arm in trained)
    folders = []
    for arm, source in trained.items():
        if arm.seed == first:
            folder = out / "dictionaries" / arm.architecture / arm.module / f"seed{arm.seed}"
            folder.mkdir(parents=True)
            shutil.copyfile(source / "cfg.json", folder / "cfg.json")
            _halve(source / "sae.safetensors", folder / "sae.safetensors")
            folders.append(folder)
    return folders


def _halve(source: Path, target: Path) -> None:
    tensors = {name: tensor.to(torch.float16) for name, tensor in load_file(source).items()}
    assert all(bool(tensor.isfinite().all()) for tensor in tensors.values()), f"{source} does not fit into float16"
    save_file(tensors, target, metadata={"format": "pt"})
    target.chmod(0o644)


def train_all(study: Path, out: Path, embedded: Path | None) -> None:
    """Train subject and dictionaries of a study with a `recipe`; with `embedded` also write float16 copies there."""
    values = yaml.safe_load(study.read_text(encoding="utf-8"))
    recipe = SubjectRecipe.model_validate(values.pop("recipe"))
    corpus, held_out = (_training.CorpusMember.model_validate(values[name]) for name in ("corpus", "held_out"))
    checked = list(_training.texts(held_out))
    model = train_subject(recipe, list(_training.texts(corpus, frozenset(checked))), checked, out / "subject")
    training = _training.TrainStudy.model_validate({**values, "subject": {"model": str(model)}})
    trained = _training.train_dictionaries(training, out / "dictionaries")
    for folder in trained.values() if embedded is None else write_embedded(model, trained, embedded):
        print(folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, default=Path(__file__).parent / "train.yaml")
    parser.add_argument("--out", type=Path, required=True, help="folder of the training run")
    parser.add_argument("--embed", type=Path, help="write float16 copies of the first seed here")
    arguments = parser.parse_args()
    train_all(arguments.study, arguments.out, arguments.embed)
