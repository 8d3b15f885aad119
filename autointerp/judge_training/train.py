"""The training loop of the cross-encoder judge: pairs drawn on the fly, checkpoints, a log."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from autointerp.console import Bar, note
from autointerp.errors import CorpusError, RunDirectoryError
from autointerp.judge_training.base import JudgeTrainingConfig
from autointerp.judge_training.pairs import Pair, Source
from autointerp.llm import _judge_features as features
from autointerp.llm import _judge_network as networks
from autointerp.seeds import generator

STATE, LOG = "state.pt", "log.jsonl"
# Pieces on which a rule holds are a few in a hundred; their loss counts so many times more.
POSITIVE_WEIGHT = 2.0
LOG_STEPS = 20
# How much faster than the pretrained encoder its new inputs and outputs learn.
NEW_RATE = 6.0


@dataclass(frozen=True, slots=True)
class Recorded:
    """An answer of another judge: `yes` its probability of yes."""

    explanation: str
    text: str
    marks: tuple[tuple[int, int], ...]
    yes: float


def train(
    source: Source,
    base: str,
    config: JudgeTrainingConfig,
    out: Path,
    *,
    identity: dict[str, Any],
    recorded: Sequence[Recorded] = (),
) -> tuple[networks.JudgeNetwork, Any]:
    """Train a judge in the folder `out`, or continue where a run of the same settings was stopped.

    Args:
        source: draws training pairs.
        base: the pretrained encoder.
        config: settings.
        out: holds `state.pt` (removed at the end by the caller) and `log.jsonl`.
        identity: what must be equal for a checkpoint to be continued.
        recorded: answers of other judges; a quarter of each batch if given.

    Raises:
        RunDirectoryError: `out` holds a checkpoint of other settings.
        CorpusError: no rule holds on any text.
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    network, tokenizer = networks.new(base, config.layers)
    # Word pieces keep their pretrained vectors: updating half of all weights would take most of a step's time on a CPU.
    network.encoder.get_input_embeddings().requires_grad_(False)  # pyright: ignore[reportCallIssue]
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(_groups(network, config.lr), lr=config.lr, weight_decay=0.01)
    step = _restore(out / STATE, identity, network, optimiser)
    saved, sums, n = time.monotonic(), np.zeros(3), 0
    with Bar("train-judge", total=config.steps, unit="steps") as bar, (out / LOG).open("a", encoding="utf-8") as log:
        bar.advance(step)
        while step < config.steps:
            rng = generator(config.seed, "judge training", "batch", step)
            for group in optimiser.param_groups:
                group["lr"] = group["peak"] * _rate(step, config)
            batch = _batch(source, recorded, config, rng)
            if not batch:
                raise CorpusError("train-judge: the text offers no rule that holds on some windows: name more text")
            losses = _losses(network, tokenizer, batch)
            optimiser.zero_grad()
            losses.sum().backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimiser.step()
            step, sums, n = step + 1, sums + losses.detach().numpy(), n + 1
            if step % LOG_STEPS == 0 or step == config.steps:
                line = dict(zip(("pieces", "detection", "fuzzing"), (sums / n).round(4).tolist(), strict=True))
                log.write(json.dumps({"step": step, **line}) + "\n")
                log.flush()
                sums, n = np.zeros(3), 0
                bar.advance(step - bar.done, f"loss {sum(line.values()):.3f}")
            if step == config.steps or time.monotonic() - saved > config.checkpoint_s:
                _save(out / STATE, identity, network, optimiser, step)
                saved = time.monotonic()
    return network.eval(), tokenizer


def _groups(network: networks.JudgeNetwork, lr: float) -> list[dict[str, Any]]:
    """Return parameter groups with their peak rates: what is new learns several times as fast as the encoder."""
    new = [*network.features.parameters(), *network.head.parameters(), network.calibration]
    old = [one for one in network.encoder.parameters() if one.requires_grad]
    return [{"params": old, "peak": lr}, {"params": new, "peak": NEW_RATE * lr}]


def _rate(step: int, config: JudgeTrainingConfig) -> float:
    warm = max(1, round(config.warmup_share * config.steps))
    return min(1.0, (step + 1) / warm) * (1 - step / config.steps)


def _batch(
    source: Source, recorded: Sequence[Recorded], config: JudgeTrainingConfig, rng: np.random.Generator
) -> list[Pair | Recorded]:
    """Draw one batch; a kind of rule that the text does not offer leaves its share of it out."""
    n_rules = config.rules_per_step
    if not recorded:
        return list(source.batch(rng, n_rules, config.contexts_per_rule))
    n_recorded = max(1, n_rules // 4)
    found: list[Pair | Recorded] = list(source.batch(rng, n_rules - n_recorded, config.contexts_per_rule))
    some = rng.integers(len(recorded), size=n_recorded * config.contexts_per_rule)
    return [*found, *(recorded[i] for i in some)]


def _losses(network: networks.JudgeNetwork, tokenizer: Any, pairs: Sequence[Pair | Recorded]) -> Tensor:
    """Return the losses of pieces, detection and fuzzing [3]."""
    encoded = [features.encode(tokenizer, pair.explanation, pair.text, pair.marks) for pair in pairs]
    batch = networks.collate(encoded)
    pieces = networks.pieces_of(network, encoded)
    is_pair = [isinstance(pair, Pair) for pair in pairs]
    fits = torch.zeros_like(pieces)
    for i, pair in enumerate(pairs):
        if isinstance(pair, Pair):
            fits[i, : len(encoded[i].ids)] = torch.from_numpy(features.touching(encoded[i].spans, pair.spans)).float()
    counted = batch["context"] & torch.tensor(is_pair)[:, None]
    by_piece = functional.binary_cross_entropy_with_logits(
        pieces, fits, pos_weight=torch.tensor(POSITIVE_WEIGHT), reduction="none"
    )
    detect, fuzz = network.detection(pieces, batch["context"]), network.fuzzing(pieces, batch["marked"])
    asked, truth = zip(*map(_detection, pairs), strict=True)
    marked, right = zip(*map(_fuzzing, pairs), strict=True)
    return torch.stack(
        [
            by_piece[counted].mean() if bool(counted.any()) else pieces.sum() * 0,
            _mean(detect, truth, asked),
            _mean(fuzz, right, marked),
        ]
    )


def _detection(pair: Pair | Recorded) -> tuple[bool, float]:
    return (True, float(bool(pair.spans))) if isinstance(pair, Pair) else (not pair.marks, pair.yes)


def _fuzzing(pair: Pair | Recorded) -> tuple[bool, float]:
    return (bool(pair.marks), float(pair.marks_right) if isinstance(pair, Pair) else pair.yes)


def _mean(logits: Tensor, truth: Sequence[float], asked: Sequence[bool]) -> Tensor:
    weights = torch.tensor(asked, dtype=torch.float32)
    losses = functional.binary_cross_entropy_with_logits(logits, torch.tensor(truth), reduction="none")
    return (losses * weights).sum() / weights.sum().clamp(min=1)


def _save(path: Path, identity: dict[str, Any], network: Any, optimiser: Any, step: int) -> None:
    partial = path.with_suffix(".partial")
    state = {"identity": identity, "step": step, "network": network.state_dict(), "optimiser": optimiser.state_dict()}
    torch.save(state, partial)
    partial.replace(path)


def _restore(path: Path, identity: dict[str, Any], network: Any, optimiser: Any) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    if state["identity"] != identity:
        raise RunDirectoryError(f"{path.parent} holds a judge trained with other settings; choose another --out")
    network.load_state_dict(state["network"])
    optimiser.load_state_dict(state["optimiser"])
    note(f"train-judge: continuing at step {state['step']:,}")
    return int(state["step"])


Scored = Callable[[Sequence[Pair]], tuple[np.ndarray, np.ndarray]]


def logits(network: networks.JudgeNetwork, tokenizer: Any, pairs: Sequence[Pair], batch: int = 32) -> np.ndarray:
    """Return the raw pooled logits [n, 2] of detection and fuzzing."""
    found = []
    with torch.inference_mode():
        for start in range(0, len(pairs), batch):
            some = [features.encode(tokenizer, p.explanation, p.text, p.marks) for p in pairs[start : start + batch]]
            made, pieces = networks.collate(some), networks.pieces_of(network, some)
            found.append(
                torch.stack([network.detection(pieces, made["context"]), network.fuzzing(pieces, made["marked"])], 1)
            )
    return torch.cat(found).numpy()
