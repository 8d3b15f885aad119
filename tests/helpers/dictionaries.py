"""Tiny random dictionaries of every architecture and activation, on the tiny models."""

import torch

from autointerp.dictionaries.activations import Activation
from autointerp.dictionaries.spec import Dictionary, Provenance

D, M = 16, 64


def dictionary(name: str, architecture: str = "sae", kind: str = "topk", k: int = 4, seed: int = 0) -> Dictionary:
    """A random dictionary: an SAE subtracts b_dec from its input, a skip transcoder has W_skip."""
    rng = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=rng)

    b_dec = random(D) * 0.1
    extra = {}
    if kind == "jumprelu":
        extra = {"threshold": torch.full((M,), 1.0)}
    if kind == "gated":
        extra = {"gain": random(M).exp(), "mag_bias": random(M) * 0.1, "gate_bias": random(M) - 1}
    return Dictionary(
        name=name,
        architecture=architecture,  # type: ignore[arg-type]
        site_in="",
        site_out="",
        W_enc=random(D, M),
        b_enc=random(M) * 0.1,
        activation=Activation(kind=kind, k=k if kind in ("topk", "abstopk", "groupmax") else 0, **extra),  # type: ignore[arg-type]
        W_dec=random(M, D),
        b_dec=b_dec,
        W_skip=random(D, D) if architecture == "skip-transcoder" else None,
        pre_bias=b_dec if architecture == "sae" else None,
        provenance=Provenance(format="none", source="memory"),
    )
