"""Optimisers and learning rates: Adam from torch, signum in a few lines."""

from collections.abc import Iterable

import torch

from autointerp.train.base import Arm, TrainConfig

# Rates at 2^14 latents, and signum's momentum. Source: sparsify, trainer.py.
RATES = {"adam": 2e-4, "signum": 5e-3}
SIGNUM_MOMENTUM = 0.95


class Signum(torch.optim.Optimizer):
    """The sign of the gradients' running mean. Source: Bernstein et al. 2018, arXiv 1802.04434, algorithm 2."""

    def __init__(self, parameters: Iterable[torch.nn.Parameter], lr: float) -> None:
        super().__init__(parameters, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step."""
        for group in self.param_groups:
            for p in group["params"]:
                momentum = self.state[p].setdefault("momentum", torch.zeros_like(p))
                momentum.lerp_(p.grad, 1 - SIGNUM_MOMENTUM)
                p.add_(momentum.sign(), alpha=-group["lr"])


def optimiser(arm: Arm, config: TrainConfig, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """Make the optimiser of one arm, at its peak rate."""
    lr = peak_rate(arm, config)
    if config.optimizer == "signum":
        return Signum(parameters, lr)
    return torch.optim.Adam(parameters, lr=lr)


def peak_rate(arm: Arm, config: TrainConfig) -> float:
    """Learning rate of one arm: the setting, or the source's rule by the number of latents."""
    return config.lr or RATES[config.optimizer] / (arm.n_latents / 2**14) ** 0.5


def rate_share(config: TrainConfig, step: int, n_steps: int) -> float:
    """Share of the peak rate at a step: linear rise, level, linear fall to 0."""
    warmup = min(config.warmup_steps, n_steps // 10)
    rising = (step + 1) / warmup if step < warmup else 1.0
    falling = (n_steps - step) / (config.decay_share * n_steps) if config.decay_share else 1.0
    return min(rising, falling, 1.0)
