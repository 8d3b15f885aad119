"""Tiny random models of several families, and a byte-level tokenizer with BOS, made in memory: no download."""

from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

VOCABULARY = 300

_SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": None,
    "bos_token_id": 0,
    "eos_token_id": 0,
}


def config(family: str, **changes: Any) -> Any:
    """Settings of a model with 3 layers of width 16."""
    kinds = {
        "llama": transformers.LlamaConfig,
        "gpt_neox": transformers.GPTNeoXConfig,
        "gpt2": transformers.GPT2Config,
        "gemma2": transformers.Gemma2Config,
        "opt": transformers.OPTConfig,
    }
    settings = {**_SMALL, **changes}
    if family == "gemma2":
        settings |= {"num_key_value_heads": 2, "head_dim": 8, "sliding_window": 32}
    if family == "opt":
        settings |= {"ffn_dim": settings.pop("intermediate_size"), "word_embed_proj_dim": settings["hidden_size"]}
        settings |= {"pad_token_id": 1}
    return kinds[family](**settings)


def model(family: str, seed: int = 0, **changes: Any) -> Any:
    """A random causal language model whose activations differ from token to token."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = transformers.AutoModelForCausalLM.from_config(config(family, **changes))
        for parameter in made.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.3)
    return made.eval()


def tokenizer(
    bos: str | None = "<s>",
    words: str = "the cat sat on the mat and the dog ran after the cat ",
    size: int = VOCABULARY,
) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer, learnt from `words`, whose tokens can split a UTF-8 character."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    special = [bos] if bos else []
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator([words * 20], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token=bos)


def save(folder: Path, family: str = "llama", bos: str | None = "<s>", words: str = "", **changes: Any) -> Path:
    """A Hugging Face folder with model and tokenizer; `changes` are settings of the model."""
    model(family, **changes).save_pretrained(folder)
    made = tokenizer(bos, words, changes.get("vocab_size", VOCABULARY)) if words else tokenizer(bos)
    made.save_pretrained(folder)
    return folder
