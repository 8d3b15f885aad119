"""The cross-encoder judge's network: an encoder that says of each word piece of a context whether it fits.

Detection pools the pieces (is there one that fits?), fuzzing the marked ones (do they fit?). Temperature and bias of
each, fitted on rules that were not trained on, make their outputs probabilities.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from autointerp.errors import StudyError
from autointerp.llm._judge_features import N_FEATURES, Encoded

WEIGHTS, SETTINGS = "judge.safetensors", "judge.json"
# Bump when a stored judge would be read wrongly.
VERSION = 1


class JudgeNetwork(nn.Module):
    """Scores pairs of explanation and context.

    Shapes: B pairs, T pieces. `forward` returns logits [B, T] per piece; `detection` and `fuzzing` [B].
    """

    def __init__(self, encoder: nn.Module, width: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.features = nn.Linear(N_FEATURES, width, bias=False)
        self.head = nn.Sequential(nn.Linear(width, width // 2), nn.GELU(), nn.Linear(width // 2, 1))
        self.calibration = nn.Parameter(torch.tensor([[1.0, 0.0], [1.0, 0.0]]))  # detection, fuzzing: scale and bias
        nn.init.normal_(self.features.weight, std=0.05)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Return the logit of each piece [B, T]: does it fit the explanation?"""
        words = self.encoder.get_input_embeddings()(batch["ids"])  # pyright: ignore[reportCallIssue]
        hidden = self.encoder(
            inputs_embeds=words + self.features(batch["features"]),
            attention_mask=batch["mask"],
            token_type_ids=batch["context"].long(),
        ).last_hidden_state
        return self.head(hidden)[..., 0]

    def detection(self, pieces: Tensor, context: Tensor) -> Tensor:
        """Return the logit [B] that some piece of the context fits: a soft maximum over them."""
        best = torch.logsumexp(pieces.masked_fill(~context, -1e4) * 2, dim=1) / 2
        return self.calibration[0, 0] * best + self.calibration[0, 1]

    def fuzzing(self, pieces: Tensor, marked: Tensor) -> Tensor:
        """Return the logit [B] that the marked pieces fit: their mean, each limited to +-6."""
        limited = pieces.clamp(-6, 6) * marked
        mean = limited.sum(1) / marked.sum(1).clamp(min=1)
        return self.calibration[1, 0] * mean + self.calibration[1, 1]


def collate(pairs: Sequence[Encoded]) -> dict[str, Tensor]:
    """Pad pairs to one batch: ids, mask, context, marked [B, T], features [B, T, N_FEATURES]."""
    longest = max(len(pair.ids) for pair in pairs)

    def padded(rows: Sequence[np.ndarray]) -> Tensor:
        out = np.zeros((len(rows), longest, *rows[0].shape[1:]), dtype=rows[0].dtype)
        for i, row in enumerate(rows):
            out[i, : len(row)] = row
        return torch.from_numpy(out)

    return {
        "ids": padded([pair.ids for pair in pairs]),
        "mask": padded([np.ones(len(pair.ids), dtype=np.int64) for pair in pairs]),
        "context": padded([pair.context for pair in pairs]),
        "marked": padded([pair.marked for pair in pairs]),
        "features": padded([pair.features for pair in pairs]),
    }


def new(base: str, layers: int) -> tuple[JudgeNetwork, Any]:
    """Make an untrained judge of a pretrained encoder's first `layers`, with its tokenizer; a folder or a hub name.

    Raises:
        StudyError: the encoder does not exist.
    """
    import transformers

    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(base)
        encoder = transformers.AutoModel.from_pretrained(base, add_pooling_layer=False)
    except (OSError, TypeError) as error:
        raise StudyError(
            f"encoder {base!r}: {str(error).splitlines()[0]}; give a folder or a hub name of a BERT-like encoder"
        ) from error
    encoder.encoder.layer = encoder.encoder.layer[:layers]
    encoder.config.num_hidden_layers = len(encoder.encoder.layer)
    return JudgeNetwork(encoder, encoder.config.hidden_size), tokenizer


def save(network: JudgeNetwork, tokenizer: Any, folder: Path, facts: dict[str, object]) -> None:
    """Write weights, the encoder's configuration, the tokenizer and `facts` into a folder."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    network.encoder.config.save_pretrained(folder)  # pyright: ignore[reportAttributeAccessIssue, reportCallIssue]
    tokenizer.save_pretrained(folder)
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, str(folder / WEIGHTS))
    (folder / SETTINGS).write_text(json.dumps({"version": VERSION, **facts}, indent=1), encoding="utf-8")


def load(folder: Path) -> tuple[JudgeNetwork, Any, dict[str, Any]]:
    """Read a judge that `save` wrote: network, tokenizer, facts.

    Raises:
        StudyError: the folder holds no judge, or one of another version.
    """
    import transformers
    from safetensors.torch import load_file

    try:
        facts = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StudyError(
            f"cross_encoder: {folder} holds no judge ({SETTINGS} cannot be read); `autointerp train-judge` writes one"
        ) from error
    if facts.get("version") != VERSION:
        raise StudyError(f"cross_encoder: {folder} has version {facts.get('version')}, this program reads {VERSION}")
    config = transformers.AutoConfig.from_pretrained(folder)
    encoder = transformers.AutoModel.from_config(config, add_pooling_layer=False)
    network = JudgeNetwork(encoder, config.hidden_size)
    network.load_state_dict(load_file(str(folder / WEIGHTS)))
    return network.eval(), transformers.AutoTokenizer.from_pretrained(folder), facts
