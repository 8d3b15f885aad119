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
from autointerp.llm._judge_features import N_CUES, N_FEATURES, N_MATCHES, Encoded

WEIGHTS, SETTINGS = "judge.safetensors", "judge.json"
# Bump when a stored judge would be read wrongly.
VERSION = 2
# Widths: of a word's meaning, of the hidden layer that reads a term's surroundings, of a match.
MEANING, CUE_WIDTH, MATCH_WIDTH = 128, 96, 24
# Cosines of each piece, and their factor: as inputs they should vary by about 1.
N_COSINES, COSINE_SCALE = 4, 3.0


class JudgeNetwork(nn.Module):
    """Scores pairs of explanation and context.

    Shapes: B pairs, T pieces, S terms, V vocabulary. `forward` returns logits [B, T] per piece; `detection` and
    `fuzzing` [B].

    `meanings` [V, MEANING] are unit vectors of whole-word pieces, each read alone by all layers of the pretrained
    encoder: their cosines say which words of a context are near the explanation's in meaning, for words never trained
    on too (`meanings_of`).
    """

    def __init__(self, encoder: nn.Module, width: int, n_vocabulary: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.register_buffer("meanings", torch.zeros(n_vocabulary, MEANING, dtype=torch.float16))
        self.cues = nn.Sequential(
            nn.Linear(N_CUES * width + 1, CUE_WIDTH), nn.GELU(), nn.Linear(CUE_WIDTH, N_MATCHES * MATCH_WIDTH)
        )
        self.importance = nn.Linear(width, 1)
        self.features = nn.Linear(N_FEATURES + MATCH_WIDTH + N_COSINES, width)
        extra = MATCH_WIDTH + N_COSINES
        self.head = nn.Sequential(nn.Linear(2 * width + extra, width // 2), nn.GELU(), nn.Linear(width // 2, 1))
        self.calibration = nn.Parameter(torch.tensor([[1.0, 0.0], [1.0, 0.0]]))  # detection, fuzzing: scale and bias
        nn.init.normal_(self.features.weight, std=0.05)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Return the logit of each piece [B, T]: does it fit the explanation?"""
        words = self.encoder.get_input_embeddings()(batch["ids"])  # pyright: ignore[reportCallIssue]
        literal = torch.cat([self._matches(words, batch), self._cosines(words, batch)], dim=-1)
        hidden = self.encoder(
            inputs_embeds=words + self.features(torch.cat([batch["features"], literal], dim=-1)),
            attention_mask=batch["mask"],
            token_type_ids=batch["context"].long(),
        ).last_hidden_state
        # The first piece (CLS) has read the whole explanation: is this match, or this nearness, what it asks for?
        whole = hidden[:, :1].expand_as(hidden)
        return self.head(torch.cat([hidden, whole, literal], dim=-1))[..., 0]

    def _matches(self, words: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Sum over a piece's matches [B, T, MATCH_WIDTH]; what a match means follows from the words at its term."""
        near = torch.einsum("bsct,btd->bscd", batch["cues"], words).flatten(2)
        quoted = torch.einsum("bst,bt->bs", batch["cues"][:, :, 0], batch["features"][..., -1])
        meant = self.cues(torch.cat([near, quoted[..., None]], dim=-1)).unflatten(-1, (N_MATCHES, MATCH_WIDTH))
        return torch.einsum("btsk,bskr->btr", batch["matches"], meant)

    def _cosines(self, words: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Nearness in meaning of context pieces [B, T, N_COSINES]: to the nearest word of the explanation, its mean."""
        meanings = self.meanings[batch["ids"]].float()  # pyright: ignore[reportIndexIssue]
        weight = self.importance(words)[..., 0].sigmoid() * batch["explanation"]
        to_each = torch.einsum("btm,bem->bte", meanings, meanings)
        weighted = (to_each * weight[:, None]).topk(min(2, to_each.shape[2]), dim=2).values
        mean = nn.functional.normalize(torch.einsum("be,bem->bm", weight, meanings), dim=-1)
        to_mean = torch.einsum("btm,bm->bt", meanings, mean)
        plain = (to_each * batch["explanation"][:, None]).amax(2)
        found = torch.cat([weighted, to_mean[..., None], plain[..., None]], dim=-1)
        return COSINE_SCALE * found * batch["context"][..., None]

    def detection(self, pieces: Tensor, context: Tensor) -> Tensor:
        """Return the logit [B] that some piece of the context fits: a soft maximum over them."""
        best = torch.logsumexp(pieces.masked_fill(~context, -1e4) * 2, dim=1) / 2
        return self.calibration[0, 0] * best + self.calibration[0, 1]

    def fuzzing(self, pieces: Tensor, marked: Tensor) -> Tensor:
        """Return the logit [B] that the marked pieces fit: their mean, each limited to +-6."""
        limited = pieces.clamp(-6, 6) * marked
        mean = limited.sum(1) / marked.sum(1).clamp(min=1)
        return self.calibration[1, 0] * mean + self.calibration[1, 1]


@torch.inference_mode()
def meanings_of(encoder: nn.Module, tokenizer: Any) -> Tensor:
    """Return unit vectors [V, MEANING] of the whole words of a vocabulary; zeros for other pieces.

    Each is the mean-pooled last hidden state of the word alone, centred, on the first principal axes of all.
    """
    pieces = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    ids = torch.tensor([i for i, piece in enumerate(pieces) if piece.isalpha()])
    vectors = []
    for some in ids.split(512):
        asked = torch.stack(
            [torch.full_like(some, tokenizer.cls_token_id), some, torch.full_like(some, tokenizer.sep_token_id)], dim=1
        )
        hidden = encoder(input_ids=asked, attention_mask=torch.ones_like(asked)).last_hidden_state
        vectors.append(nn.functional.normalize(hidden.mean(1), dim=-1))
    found = torch.cat(vectors)
    found = found - found.mean(0)
    axes = torch.linalg.eigh(found.T @ found).eigenvectors.flip(1)[:, :MEANING]
    table = torch.zeros(len(tokenizer), MEANING)
    table[ids, : axes.shape[1]] = nn.functional.normalize(found @ axes, dim=-1)
    return table.half()


def pieces_of(network: JudgeNetwork, encoded: Sequence[Encoded], n_parts: int = 4) -> Tensor:
    """Return the logits of pieces [B, longest], 0 in the padding; pairs of like length are padded together."""
    longest = max(len(one.ids) for one in encoded)
    order = np.argsort([len(one.ids) for one in encoded], kind="stable")
    parts = [part for part in np.array_split(order, n_parts) if len(part)]
    found = [network(collate([encoded[i] for i in part])) for part in parts]
    padded = torch.cat([nn.functional.pad(part, (0, longest - part.shape[1])) for part in found])
    return padded[np.argsort(order)]


def collate(pairs: Sequence[Encoded]) -> dict[str, Tensor]:
    """Pad pairs to one batch of T pieces: `Encoded`'s arrays but the spans, and mask [B, T]."""
    longest = max(len(pair.ids) for pair in pairs)

    def padded(rows: Sequence[np.ndarray]) -> Tensor:
        out = np.zeros((len(rows), longest, *rows[0].shape[1:]), dtype=rows[0].dtype)
        for i, row in enumerate(rows):
            out[i, : len(row)] = row
        return torch.from_numpy(out)

    cues = np.zeros((len(pairs), *pairs[0].cues.shape[:2], longest), dtype=np.float32)
    for i, pair in enumerate(pairs):
        cues[i, :, :, : len(pair.ids)] = pair.cues
    return {
        "ids": padded([pair.ids for pair in pairs]),
        "mask": padded([np.ones(len(pair.ids), dtype=np.int64) for pair in pairs]),
        "explanation": padded([pair.explanation for pair in pairs]),
        "context": padded([pair.context for pair in pairs]),
        "marked": padded([pair.marked for pair in pairs]),
        "features": padded([pair.features for pair in pairs]),
        "matches": padded([pair.matches for pair in pairs]),
        "cues": torch.from_numpy(cues),
    }


def pretrained(base: str) -> tuple[Any, Any]:
    """Load a pretrained encoder and its tokenizer from a folder or the hub.

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
    return encoder.eval(), tokenizer


def new(base: str, layers: int) -> tuple[JudgeNetwork, Any]:
    """Return an untrained judge of a pretrained encoder's first `layers`, with its tokenizer."""
    encoder, tokenizer = pretrained(base)
    network = JudgeNetwork(encoder, encoder.config.hidden_size, len(tokenizer))
    network.meanings = meanings_of(encoder, tokenizer)
    encoder.encoder.layer = encoder.encoder.layer[:layers]
    encoder.config.num_hidden_layers = len(encoder.encoder.layer)
    return network, tokenizer


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
    tensors = load_file(str(folder / WEIGHTS))
    network = JudgeNetwork(encoder, config.hidden_size, len(tensors["meanings"]))
    network.load_state_dict(tensors)
    return network.eval(), transformers.AutoTokenizer.from_pretrained(folder), facts
