"""Throughput of this client against a running vLLM, beside vLLM's own benchmark with the same prompts.

    autointerp serve MODEL --name tiny --port 8000
    AUTOINTERP_VLLM_PYTHON=... python -m tests.benchmarks.vllm_throughput http://127.0.0.1:8000 --model tiny \\
        --tokenizer MODEL

Detection prompts as the default protocol writes them; every reply is 20 tokens long (`ignore_eos`). The prefix cache is
warmed first, then the two run in turns; the best run of each counts, since other load on the machine only slows.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from autointerp import plugins
from autointerp.llm import openai
from autointerp.prompts import Prompts
from autointerp.records import Explanation, Request, Sampling
from autointerp.seeds import generator
from tests.helpers.planted import latents

N_OUT = 20
# vLLM's benchmark by import: its command line asks for a package called vllm, which CPU builds are not.
BENCH = """
import argparse
from vllm.benchmarks.serve import add_cli_args, main
parser = argparse.ArgumentParser()
add_cli_args(parser)
main(parser.parse_args())
"""


def requests(n: int) -> list[Request]:
    """Detection prompts of planted latents, as one user message each, which is all vLLM's benchmark can send."""
    module = plugins.load("scorers", "detection")
    scorer, made = module.build(module.Config(), Prompts()), []
    for examples in latents(60):
        told = Explanation(
            explanation_id="e", latent=examples.latent, text=f"rule {examples.latent.index}", explainer="e",
            prompt_hash="", raw="",
        )  # fmt: skip
        for question in scorer.questions(examples, told, "none", generator(0, examples.latent)):
            content = "\n".join(message.content for message in question.messages)
            last = question.messages[-1]
            made.append(
                Request(
                    key=question.question_id, messages=(type(last)("user", content),), task=question.task,
                    sampling=Sampling(max_tokens=N_OUT),
                )
            )  # fmt: skip
    assert len(made) >= n, f"there are only {len(made)} prompts"
    return made[:n]


def theirs(args: argparse.Namespace, prompts: Path) -> float:
    """Requests per second of vLLM's own benchmark."""
    line = [os.environ.get("AUTOINTERP_VLLM_PYTHON", sys.executable), "-c", BENCH, "--backend", "openai-chat",
            "--base-url", args.url, "--endpoint", "/v1/chat/completions", "--model", args.model, "--tokenizer",
            args.tokenizer, "--dataset-name", "custom", "--dataset-path", str(prompts), "--num-prompts", str(args.n),
            "--max-concurrency", str(args.concurrency), "--custom-output-len", str(N_OUT), "--ignore-eos",
            "--temperature", "0", "--disable-shuffle"]  # fmt: skip
    said = subprocess.run(line, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"}, check=True)
    found = re.search(r"Request throughput \(req/s\):\s+([\d.]+)", said.stdout)
    assert found, said.stdout[-2000:]
    return float(found[1])


def ours(args: argparse.Namespace, asked: list[Request]) -> tuple[float, float]:
    """Requests per second of the openai back end, and the share of prompt tokens served from the prefix cache."""
    config = openai.Config(
        base_url=f"{args.url}/v1", model=args.model, concurrency=args.concurrency, structured="plain",
        extra_body={"ignore_eos": True},
    )  # fmt: skip
    with closing(openai.open(config)) as llm:
        began = time.monotonic()
        replies = list(llm.generate(asked))
        rate = len(replies) / (time.monotonic() - began)
    assert all(reply.usage.tokens_out == N_OUT for reply in replies)
    return rate, sum(one.usage.tokens_cached for one in replies) / sum(one.usage.tokens_in for one in replies)


def main() -> None:
    """Measure in turns; print one line per way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--model", required=True)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--n", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    asked = requests(args.n)
    with tempfile.TemporaryDirectory() as folder:
        prompts = Path(folder) / "prompts.jsonl"
        prompts.write_text("\n".join(json.dumps({"prompt": one.messages[0].content}) for one in asked))
        _, first_share = ours(args, asked)
        measured = [(theirs(args, prompts), *ours(args, asked)) for _ in range(args.rounds)]
    bench, client = max(one[0] for one in measured), max(one[1] for one in measured)
    print(f"vLLM's benchmark {bench:.1f} requests/s; this client {client:.1f} ({client / bench:.1%}); all: {measured}")
    print(f"prompt tokens from the prefix cache, first time: {first_share:.1%}")


if __name__ == "__main__":
    main()
