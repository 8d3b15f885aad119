"""Before and after training: lexicons, what identifies a training run, calibration, measurement, the judge's folder."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from autointerp.judge_training import measure, pairs
from autointerp.judge_training.base import JudgeTrainingConfig
from autointerp.judge_training.pairs import Pair, Source
from autointerp.judge_training.train import logits
from autointerp.llm import _judge_network as networks
from autointerp.seeds import digest


def source(corpora: Sequence[Sequence[str]], base: str) -> Source:
    """Return a source of training pairs; words of like meaning are those near by the pretrained encoder."""
    return Source(corpora, [pairs.lexicon(cut, held_out=False, embed=embedder(base)) for cut in corpora])


def embedder(base: str) -> pairs.Embed:
    """Return a function from words to unit vectors [n, d]: mean-pooled last hidden states of an encoder."""
    encoder, tokenizer = networks.pretrained(base)

    def embed(words: Sequence[str]) -> NDArray[np.floating]:
        found = []
        for start in range(0, len(words), 128):
            batch = tokenizer(list(words[start : start + 128]), padding=True, return_tensors="pt")
            with torch.inference_mode():
                hidden = encoder(**batch).last_hidden_state
            mask = batch["attention_mask"][..., None]
            found.append(torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1))
        return torch.cat(found).numpy()

    return embed


def identity(
    config: JudgeTrainingConfig, base: str, corpora: Sequence[Sequence[str]], n_recorded: int
) -> dict[str, Any]:
    """Return what must be equal for a training run to be continued."""
    settings = config.model_dump(mode="json", exclude={"checkpoint_s", "held_out_rules"})
    text = f"{digest('judge training text', *(window for cut in corpora for window in cut)):032x}"
    return {**settings, "base": base, "text": text, "n_recorded": n_recorded}


def measured(
    network: networks.JudgeNetwork,
    tokenizer: Any,
    held_out_windows: Sequence[str],
    config: JudgeTrainingConfig,
    out: Path,
    *,
    trained_on: Sequence[str],
    held_out: str,
) -> list[str]:
    """Calibrate and measure a trained judge on held-out rules and text, write it, and return its quality in lines."""
    lexicon = pairs.lexicon(held_out_windows, held_out=True)
    unseen = Source([held_out_windows], [lexicon])
    groups = {
        part: measure.held_out_pairs(unseen, config.held_out_rules, config.seed, part=part)
        for part in ("calibrate", "measure")
    }
    for_fit, for_measure = ([one for group in groups[part] for one in group] for part in ("calibrate", "measure"))

    def raw(some: Sequence[Pair]) -> NDArray[np.float64]:
        return logits(network, tokenizer, some).astype(np.float64)

    fitted = measure.calibration(raw(for_fit), for_fit)
    rows = measure.quality(measure.sigmoid(raw(for_measure), fitted), groups["measure"])
    each = measure.milliseconds(raw, for_measure)
    with torch.no_grad():  # calibration of calibrated logits: scales multiply, biases are scaled and added
        scale, bias = torch.tensor(fitted, dtype=torch.float32).T
        old = network.calibration.clone()
        network.calibration.copy_(torch.stack([old[:, 0] * scale, old[:, 1] * scale + bias], dim=1))
    facts = {
        "settings": config.model_dump(mode="json"),
        "trained_on": list(trained_on),
        "held_out": held_out,
        "quality": [asdict(row) for row in rows],
        "milliseconds_per_judgement": round(each, 2),
    }
    networks.save(network, tokenizer, out, facts)
    return [*measure.table(rows), f"{each:.1f} ms of CPU time per judgement", f"judge: {out}"]
