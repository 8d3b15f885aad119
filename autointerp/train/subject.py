"""Train a small subject model from nothing: tokenizer, packed rows, Muon + AdamW, checkpoints, exact resume.

The batch of a step depends on (seed, step) alone, so a run that was killed goes on as if it had not been.
"""

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from autointerp.console import Bar, note
from autointerp.corpus.base import token_ids
from autointerp.errors import CorpusError, RunDirectoryError
from autointerp.seeds import generator
from autointerp.text import mend_surrogates
from autointerp.train.base import SubjectRecipe
from autointerp.train.optimisers import Muon

BOS = "<s>"
STATE = "state.pt"


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
