"""A subject with redrawn weights: what architecture, embeddings and text make interpretable without training.

Source: arXiv 2501.17727 (Heap et al.): weights from a Gaussian with each tensor's mean and standard deviation, token
embeddings unchanged. There dictionaries are trained on such a subject; `autointerp.experiment.control_arms`
reads the trained dictionary's directions in it instead, which costs no training. For the former save
`redrawn(...).model`, and train on it (`autointerp train`).
"""

import torch

from autointerp.seeds import digest
from autointerp.subject.model import HookedSubject


def redrawn(subject: HookedSubject, seed: int) -> HookedSubject:
    """Redraw a subject's weights in-place: every parameter but those of the token embeddings and the output head.

    A tensor's entries become independent Gaussian ones of its mean and standard deviation; the draw depends on seed and
    name of the tensor alone, so that a subject loaded in part gets the weights it has as a whole.
    """
    model = subject.model
    kept = {
        id(parameter)
        for module in (model.get_input_embeddings(), model.get_output_embeddings())
        if module is not None
        for parameter in module.parameters()
    }
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if id(parameter) not in kept:
                draw = torch.Generator().manual_seed(digest(seed, "redrawn", name) % 2**63)
                values = torch.randn(parameter.shape, generator=draw, dtype=torch.float32)
                old = parameter.float()
                std = float(old.std(correction=0)) if old.numel() > 1 else 0.0
                parameter.copy_((values * std + float(old.mean())).to(parameter))
    return HookedSubject(model, subject.tokenizer, fingerprint=f"{digest(subject.fingerprint, 'redrawn', seed):032x}")
