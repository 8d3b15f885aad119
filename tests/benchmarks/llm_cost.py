"""LLM tokens per latent of the default protocol: prompts as they are sent, counted by a real model's tokenizer.

    pip install mistral-common
    python -m tests.benchmarks.llm_cost results/reference/llm-cost

Windows are 32 tokens of the Python manual; which tokens are marked is drawn at random, since counts do not depend on
meaning. `cached` is what an engine with prefix caching (blocks of 16 tokens) need not compute again, when each prompt
comes after all earlier ones. Replies are what a judge should say; an explanation is taken to have 20 words.
"""

import argparse
import importlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np
import pandas as pd

from autointerp import plugins
from autointerp.examples.base import ExamplesConfig
from autointerp.prompts import Prompts
from autointerp.records import Example, Explanation, LatentExamples, LatentId, Message
from autointerp.seeds import generator

MODEL_FILE = "tekken_240911.json"
BLOCK = 16
N_LATENTS = 20
SENTENCE = (
    "nouns that name parts of a computer program, above all functions and their arguments, when the text explains what "
    "is returned"
)


@dataclass(frozen=True)
class Counter:
    """A tokenizer: tokens of a chat, tokens of a reply."""

    chat: Callable[[Sequence[Message]], list[int]]
    text: Callable[[str], list[int]]
    piece: Callable[[int], str]


def mistral() -> Counter:
    """The tokenizer of Mistral Nemo and its kin (131k entries), which its package brings along."""
    package: Any = importlib.import_module("mistral_common")
    requests: Any = importlib.import_module("mistral_common.protocol.instruct.request")
    tokenizers: Any = importlib.import_module("mistral_common.tokens.tokenizers.mistral")
    folder = Path(package.__file__).parent / "data"
    tokenizer = tokenizers.MistralTokenizer.from_file(str(folder / MODEL_FILE))
    inner = tokenizer.instruct_tokenizer.tokenizer

    def chat(messages: Sequence[Message]) -> list[int]:
        told = [{"role": message.role, "content": message.content} for message in messages]
        return tokenizer.encode_chat_completion(requests.ChatCompletionRequest(messages=told)).tokens

    return Counter(chat, lambda text: inner.encode(text, bos=False, eos=True), lambda token: inner.decode([token]))


def latents(counter: Counter, config: ExamplesConfig) -> Iterable[LatentExamples]:
    """Latents with as many examples as the default protocol has."""
    tokens = [token for text in topics.values() for token in counter.text(text)[:-1]]
    windows = [tokens[start : start + 32] for start in range(0, len(tokens) - 32, 32)]
    rng = np.random.default_rng(0)

    def example(number: int, *, document: int, active: bool, stratum: int) -> Example:
        pieces = tuple(counter.piece(token) for token in windows[number])
        strengths = np.where(rng.random(32) < 0.08, rng.random(32), 0.0)
        strengths[int(rng.integers(32))] = 1.0
        return Example(
            window=number,
            document=document,
            pieces=pieces,
            activations=tuple(strengths * active),
            kind="positive" if active else "random",
            stratum=stratum,
            stratum_share=0.1,
        )

    for index in range(N_LATENTS):
        n = config.n_explain + config.n_positives + config.n_negatives
        drawn = iter(rng.permutation(len(windows))[:n].tolist())
        explain = [example(next(drawn), document=0, active=True, stratum=i % 10) for i in range(config.n_explain)]
        held_out = [example(next(drawn), document=1, active=True, stratum=i % 10) for i in range(config.n_positives)]
        contrast = [example(next(drawn), document=1, active=False, stratum=0) for _ in range(config.n_negatives)]
        yield LatentExamples(
            latent=LatentId("d", "s", index),
            explain=tuple(explain),
            explain_contrast=(),
            held_out=tuple(held_out),
            contrast=tuple(contrast),
        )


class Cache:
    """What an engine with prefix caching has seen: blocks of tokens by all that stands before them."""

    def __init__(self) -> None:
        self._known: set[int] = set()

    def add(self, tokens: Sequence[int]) -> int:
        """Tokens of this prompt that are known already; it is known from now on."""
        cached, state, fresh = 0, 0, False
        for start in range(0, len(tokens) - BLOCK + 1, BLOCK):
            state = hash((state, *tokens[start : start + BLOCK]))
            fresh = fresh or state not in self._known
            cached += 0 if fresh else BLOCK
            self._known.add(state)
        return cached


def measure(counter: Counter) -> pd.DataFrame:
    """One row per stage: calls and tokens per latent."""
    config, prompts, rows = ExamplesConfig(), Prompts(), []
    examples = list(latents(counter, config))
    explain = plugins.load("explainers", "default")
    explainer = explain.build(explain.Config(), prompts)
    asked = [explainer.request(one, generator(0, one.latent)).messages for one in examples]
    rows.append(_row("explain: default", config.n_explain, asked, [f"Explanation: {SENTENCE}"] * len(asked), counter))
    for name in ("detection", "fuzzing", "intruder"):
        module = plugins.load("scorers", name)
        scorer = module.build(module.Config(), prompts)
        questions = [
            question
            for one in examples
            for question in scorer.questions(one, _told(one), "none", generator(0, one.latent))
        ]
        said = ["[" + ", ".join("01"[item.truth] for item in one.items) + "]" for one in questions]
        replies = ["3"] * len(questions) if name == "intruder" else said
        n_contexts = sum(len(question.items) for question in questions) / N_LATENTS
        rows.append(_row(f"judge: {name}", n_contexts, [one.messages for one in questions], replies, counter))
    return pd.DataFrame(rows)


def _told(examples: LatentExamples) -> Explanation:
    return Explanation(
        explanation_id="e", latent=examples.latent, text=SENTENCE, explainer="default", prompt_hash="", raw=""
    )


def _row(
    stage: str, n_contexts: float, asked: Sequence[Sequence[Message]], replies: Sequence[str], counter: Counter
) -> dict[str, object]:
    cache = Cache()
    prompts = [counter.chat(messages) for messages in asked]
    tokens_in = sum(len(prompt) for prompt in prompts) / N_LATENTS
    cached = sum(cache.add(prompt) for prompt in prompts) / N_LATENTS
    out = sum(len(counter.text(reply)) for reply in replies) / N_LATENTS
    per_100 = 100 / n_contexts
    return {
        "stage": stage,
        "contexts": round(n_contexts, 1),
        "calls": round(len(asked) / N_LATENTS, 1),
        "in_uncached": round(tokens_in - cached),
        "in_cached": round(cached),
        "out": round(out),
        "in_per_100_contexts": round(tokens_in * per_100),
        "out_per_100_contexts": round(out * per_100),
    }


def main() -> None:
    """Write the table and what it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    out: Path = parser.parse_args().out
    table = measure(mistral())
    out.mkdir(parents=True, exist_ok=True)
    table.to_csv(out / "table.csv", index=False)
    columns = list(table.columns)
    lines = [columns, ["---"] * len(columns), *[[f"{cell}" for cell in row] for row in table.itertuples(index=False)]]
    body = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    (out / "README.md").write_text(
        f"""# LLM tokens per latent

Made by `python -m tests.benchmarks.llm_cost results/reference/llm-cost` with the shipped templates and default
settings; tokens by `{MODEL_FILE}` of mistral-common {version("mistral-common")}, its chat template included.
`in_cached` is what prefix caching (blocks of {BLOCK}) saves. Mean of {N_LATENTS} latents.

{body}

Published for 100 contexts and scorer (arXiv 2410.13928): fuzzing 19.6k tokens in, of which 14.2k can be cached, and 249
out; detection 17.0k in, of which 11.9k can be cached, and 240 out; 5 contexts per prompt, as here.
""",
        encoding="utf-8",
    )
    print(body)


if __name__ == "__main__":
    main()
