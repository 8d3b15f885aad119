"""A tiny Llama made on the spot, with its tokenizer: for mechanics, never for quality.

    python -m tests.helpers.tiny_llm FOLDER

It knows one thing: an assistant's turn begins `Explanation: words for parts of the day`. So an explainer's reply can
be read; a judge's is whatever its schema forces.
"""

import argparse
import pydoc
from pathlib import Path
from typing import Any

TEMPLATE = """{% for message in messages %}<|{{ message.role }}|>
{{ message.content }}<|end|>
{% endfor %}{% if add_generation_prompt %}<|assistant|>
{% endif %}"""
SPECIAL = ["<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
TURN = "<|assistant|>\nExplanation: words for parts of the day<|end|>"


def make(
    folder: Path, *, hidden: int = 128, layers: int = 2, vocab: int = 2048, context: int = 8192, seed: int = 0
) -> Path:
    """Save the model to `folder`, in float32; vLLM needs a head dimension of at least 32."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = _tokenizer(vocab)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 32,
        num_key_value_heads=hidden // 32,
        max_position_embeddings=context,
        eos_token_id=0,
        pad_token_id=0,
        bos_token_id=None,
    )
    model = LlamaForCausalLM(config)
    _teach(model, tokenizer(TURN)["input_ids"])
    tokenizer.save_pretrained(str(folder))
    model.save_pretrained(str(folder))
    return folder


def _tokenizer(vocab: int) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer: Any = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer: Any = trainers.BpeTrainer
    texts = [pydoc.render_doc(thing) for thing in (str, dict, Path, pydoc, argparse)] + [TURN] * 50
    tokenizer.train_from_iterator(
        texts, trainer(vocab_size=vocab, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False)
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=SPECIAL[0], pad_token=SPECIAL[0])
    fast.chat_template = TEMPLATE
    return fast


def _teach(model: Any, turn: list[int], *, steps: int = 50, n_before: int = 12) -> None:
    """Train on the turn behind random tokens; only the turn counts."""
    import torch

    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    ids = torch.tensor(turn).expand(8, -1)
    for _ in range(steps):
        before = torch.randint(4, model.config.vocab_size, (8, n_before))
        labels = torch.cat([torch.full_like(before, -100), ids], 1)
        loss = model(input_ids=torch.cat([before, ids], 1), labels=labels).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    print(make(parser.parse_args().folder))
