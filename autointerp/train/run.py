"""Train many dictionaries in one pass over the subject: its activations are computed once per batch, for all arms.

Batches depend on (seed, step) alone and the state holds all else, so a run that was killed goes on bit by bit on a CPU.
"""

import contextlib
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from autointerp.console import Bar, note
from autointerp.errors import DictionaryError, SubjectError
from autointerp.records import Site
from autointerp.subject.base import Subject
from autointerp.train.arms import Loss, Weights
from autointerp.train.base import Arm, TrainConfig
from autointerp.train.board import Board
from autointerp.train.checkpoints import CONFIG, LOG, folder_of, read_state, save_dictionary, save_state
from autointerp.train.contexts import Contexts
from autointerp.train.optimisers import optimiser, peak_rate, rate_share


@dataclass(frozen=True, slots=True)
class Reads:
    """The two sites of one module: what a transcoder reads, and what every architecture reconstructs."""

    site_in: Site
    site_out: Site


@dataclass(slots=True)
class _Trainee:
    """One arm in training: `idle` [M] tokens since each latent fired; scales of x and y; sums for the log."""

    weights: Weights
    optimiser: torch.optim.Optimizer
    idle: Tensor
    scale_in: float
    scale_out: float
    n: int = 0
    fvu: float = 0.0
    total: float = 0.0
    norm: float = 0.0


def train(
    subject: Subject, reads: dict[str, Reads], contexts: Contexts, config: TrainConfig, out: Path
) -> dict[Arm, Path]:
    """Train all arms of `config` into the folder `out`, or go on where a run of the same settings was stopped.

    Args:
        subject: the model; it stops after the last site.
        reads: the sites of each module that `config.sites` names.
        contexts: token rows.
        config: the arms and how they are trained.
        out: see `checkpoints`.

    Returns:
        The folder of each dictionary.

    Raises:
        CorpusError: too little text for the budget.
        SubjectError: an activation is NaN or infinite.
        DictionaryError: a loss is; or a module's output is not as wide as its input.
        RunDirectoryError: `out` holds a run with other settings.
        StudyError: TensorBoard is asked for and not installed.
    """
    n_steps = contexts.n_steps(config)
    out.mkdir(parents=True, exist_ok=True)
    run = _Run(subject, reads, contexts, config, out, n_steps)
    board = Board(out, run.step, wanted=config.tensorboard)
    with (
        Bar("train", total=n_steps, unit="steps") as bar,
        (out / LOG).open("a") as log,
        contextlib.closing(board),
    ):
        bar.advance(run.step)
        for lines in run.steps():
            log.write("".join(json.dumps(line) + "\n" for line in lines))
            log.flush()
            board.write(lines)
            fvu = sum(line["fvu"] for line in lines) / len(lines)
            bar.advance(run.step - bar.done, f"mean FVU {fvu:.3f}")
    return {arm: folder_of(out, arm) for arm in config.arms()}


class _Run:
    """All arms of one training run."""

    def __init__(
        self,
        subject: Subject,
        reads: dict[str, Reads],
        contexts: Contexts,
        config: TrainConfig,
        out: Path,
        n_steps: int,
    ) -> None:
        self.subject, self.reads, self.contexts, self.config = subject, reads, contexts, config
        self.out, self.n_steps = out, n_steps
        self.step, self.n_tokens, self.seconds = 0, 0, 0.0
        self.identity = {
            **config.model_dump(mode="json", exclude={"checkpoint_s", "log_steps", "tensorboard"}),
            "subject": subject.fingerprint,
            "text": contexts.fingerprint,
        }
        defaults = {name: field.default for name, field in TrainConfig.model_fields.items()}
        state = read_state(out, self.identity, defaults, subject.device)
        self.saved_step = state["step"] if state else None
        self.autocasts = config.autocast == "bfloat16" or (config.autocast == "auto" and subject.device.type == "cuda")
        self.latest, self.latest_step = self._activations(0), 0
        self.trainees = [self._trainee(arm, self.latest) for arm in config.arms()]
        if state:
            self._restore(state)
        else:
            (out / CONFIG).write_text(json.dumps(self.identity, indent=1))

    def steps(self) -> Iterator[list[dict[str, Any]]]:
        """Train to the end; yields the log lines of all arms every `log_steps` steps."""
        began, saved = time.monotonic() - self.seconds, time.monotonic()
        while self.step < self.n_steps:
            self._one()
            self.step += 1
            self.seconds = time.monotonic() - began
            last = self.step == self.n_steps
            if last or self.step % self.config.log_steps == 0:
                yield [self._line(trainee) for trainee in self.trainees]
            if last or time.monotonic() - saved > self.config.checkpoint_s:
                self._check_weights()
                self._save()
                saved = time.monotonic()

    def _one(self) -> None:
        if self.step != self.latest_step:
            self.latest, self.latest_step = self._activations(self.step), self.step
        share = rate_share(self.config, self.step, self.n_steps)
        for trainee in self.trainees:
            self._update(trainee, *self._scaled(trainee, self.latest), share)
        self.n_tokens += len(next(iter(self.latest.values())))

    def _loss(self, trainee: _Trainee, x: Tensor, y: Tensor) -> Loss:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.autocasts):
            return trainee.weights.loss(x, y, self.config, trainee.idle > self.config.dead_after)

    def _update(self, trainee: _Trainee, x: Tensor, y: Tensor, share: float) -> None:
        weights, config = trainee.weights, self.config
        loss = self._loss(trainee, x, y)
        loss.total.backward()
        weights.before_step()
        norm = torch.nn.utils.clip_grad_norm_(weights.parameters(), config.clip).item()
        self._check(trainee, loss, norm)
        for group in trainee.optimiser.param_groups:
            group["lr"] = peak_rate(weights.arm, config) * share
        trainee.optimiser.step()
        trainee.optimiser.zero_grad()
        weights.after_step()
        trainee.idle.add_(len(x)).masked_fill_(loss.fired, 0)
        trainee.n += 1
        trainee.fvu += loss.fvu.item()
        trainee.total += loss.total.item()
        trainee.norm += norm

    def _check(self, trainee: _Trainee, loss: Loss, norm: float) -> None:
        if not math.isfinite(loss.total.item()) or not math.isfinite(norm):
            arm = trainee.weights.arm
            raise DictionaryError(
                f"{arm.name} at {arm.module}: loss {loss.total.item()}, gradient norm {norm} at step {self.step}; "
                f"{self._kept()}. Lower lr, or raise warmup_steps, in a new --out"
            )

    @torch.no_grad()
    def _check_weights(self) -> None:
        """Look at the loss that the weights have now, so that no checkpoint holds ones that have diverged.

        Raises:
            DictionaryError: a loss is NaN or infinite.
        """
        for trainee in self.trainees:
            self._check(trainee, self._loss(trainee, *self._scaled(trainee, self.latest)), 0.0)

    def _kept(self) -> str:
        """Name the checkpoint that a stopped run leaves."""
        if self.saved_step is None:
            return "no checkpoint was written yet"
        return f"the checkpoint of step {self.saved_step} in {self.out} is kept"

    def _activations(self, step: int) -> dict[Site, Tensor]:
        """Activations of one batch's text tokens [n, d] in float32, at every site."""
        ids, is_text = (tensor.to(self.subject.device) for tensor in self.contexts.batch(self.config, step))
        sites = sorted({site for read in self.reads.values() for site in (read.site_in, read.site_out)})
        captured = self.subject.capture(ids, None, sites)
        found = {site: x[is_text].float().clone() for site, x in captured.items()}
        for site, x in found.items():
            if not bool(torch.isfinite(x).all()):
                bad = int((~torch.isfinite(x)).any(1).sum())
                raise SubjectError(
                    f"site {site}: {bad} of {len(x)} tokens have NaN or infinite activations at step {step}; "
                    f"{self._kept()}. Another subject.dtype may help (float16 overflows where float32 does not)"
                )
        return found

    def _pair(self, arm: Arm, activations: dict[Site, Tensor]) -> tuple[Tensor, Tensor]:
        read = self.reads[arm.module]
        y = activations[read.site_out]
        return (y if arm.architecture == "sae" else activations[read.site_in]), y

    def _scaled(self, trainee: _Trainee, activations: dict[Site, Tensor]) -> tuple[Tensor, Tensor]:
        x, y = self._pair(trainee.weights.arm, activations)
        return x / trainee.scale_in, y / trainee.scale_out

    def _trainee(self, arm: Arm, first: dict[Site, Tensor]) -> _Trainee:
        x, y = self._pair(arm, first)
        if x.shape[1] != y.shape[1]:
            raise DictionaryError(
                f"{arm.name}: {self.reads[arm.module].site_in} is {x.shape[1]} wide, {self.reads[arm.module].site_out} "
                f"{y.shape[1]}: name a module with input and output of one width, such as a block's mlp"
            )
        if not bool((y != y[0]).any()):
            site = self.reads[arm.module].site_out
            raise DictionaryError(
                f"{arm.name}: {site} is the same vector for all {len(y)} tokens of the first batch; there is nothing "
                "to reconstruct: name another module"
            )
        # Root mean square of an element over the first batch.
        scales = [float(z.square().mean().sqrt()) if self.config.normalize else 1.0 for z in (x, y)]
        means = [z.mean(0).cpu() / scale for z, scale in zip((y, x), reversed(scales), strict=True)]
        weights = Weights(arm, y.shape[1], *means).to(self.subject.device)
        idle = torch.zeros(arm.n_latents, dtype=torch.int64, device=self.subject.device)
        return _Trainee(weights, optimiser(arm, self.config, weights.parameters()), idle, scales[0], scales[1])

    def _line(self, trainee: _Trainee) -> dict[str, Any]:
        """One log line; FVU, loss and gradient norm are means over the steps since the last one."""
        arm, n = trainee.weights.arm, trainee.n
        line = {
            "step": self.step,
            "n_tokens": self.n_tokens,
            **asdict(arm),
            "fvu": trainee.fvu / n,
            "loss": trainee.total / n,
            "gradient_norm": trainee.norm / n,
            "dead_share": (trainee.idle >= min(self.config.dead_after, self.n_tokens)).float().mean().item(),
            "lr": trainee.optimiser.param_groups[0]["lr"],
            "seconds": round(self.seconds, 1),
        }
        trainee.n, trainee.fvu, trainee.total, trainee.norm = 0, 0.0, 0.0, 0.0
        return line

    def _save(self) -> None:
        for trainee in self.trainees:
            folder = folder_of(self.out, trainee.weights.arm)
            save_dictionary(trainee.weights, folder, trainee.scale_in, trainee.scale_out)
        arms = [
            {
                "weights": trainee.weights.state_dict(),
                "optimiser": trainee.optimiser.state_dict(),
                "idle": trainee.idle,
                "sums": (trainee.n, trainee.fvu, trainee.total, trainee.norm),
            }
            for trainee in self.trainees
        ]
        state = {"identity": self.identity, "step": self.step, "n_tokens": self.n_tokens, "seconds": self.seconds}
        save_state(self.out, {**state, "arms": arms})
        self.saved_step = self.step

    def _restore(self, state: dict[str, Any]) -> None:
        self.step, self.n_tokens, self.seconds = state["step"], state["n_tokens"], state["seconds"]
        for trainee, saved in zip(self.trainees, state["arms"], strict=True):
            trainee.weights.load_state_dict(saved["weights"])
            trainee.optimiser.load_state_dict(saved["optimiser"])
            trainee.idle.copy_(saved["idle"])
            trainee.n, trainee.fvu, trainee.total, trainee.norm = saved["sums"]
        note(f"train: going on at step {self.step:,} of {self.n_steps:,}")
