"""Throughput of this client against a running vLLM, beside vLLM's own benchmark with the same prompts.

    autointerp serve MODEL --name tiny --port 8000
    AUTOINTERP_VLLM_PYTHON=... python -m tests.benchmarks.vllm_throughput http://127.0.0.1:8000 --model tiny \\
        --tokenizer MODEL
    PYTHON_WITH_VLLM -m tests.benchmarks.vllm_throughput --in-process MODEL      # the engine in this process

In process, vLLM's own way is its offline `LLM.chat` over all prompts at once, as `vllm bench throughput` times it;
replies then end where the model ends them, the same in both.
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
from autointerp.llm import openai, vllm
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
            explanation_id="e",
            latent=examples.latent,
            text=f"rule {examples.latent.index}",
            explainer="e",
            prompt_hash="",
            raw="",
        )
        for question in scorer.questions(examples, told, "none", generator(0, examples.latent)):
            content = "\n".join(message.content for message in question.messages)
            last = question.messages[-1]
            made.append(
                Request(
                    key=question.question_id,
                    messages=(type(last)("user", content),),
                    task=question.task,
                    sampling=Sampling(max_tokens=N_OUT),
                )
            )
    assert len(made) >= n, f"there are only {len(made)} prompts"
    return made[:n]


def theirs(args: argparse.Namespace, prompts: Path) -> float:
    """Requests per second of vLLM's own benchmark."""
    settings = "--backend openai-chat --endpoint /v1/chat/completions --dataset-name custom --ignore-eos"
    settings += f" --num-prompts {args.n} --max-concurrency {args.concurrency} --custom-output-len {N_OUT}"
    line = [os.environ.get("AUTOINTERP_VLLM_PYTHON", sys.executable), "-c", BENCH, *settings.split()]
    line += ["--temperature", "0", "--disable-shuffle", "--base-url", args.url, "--model", args.model]
    line += ["--tokenizer", args.tokenizer]
    line += ["--dataset-path", str(prompts)]
    said = subprocess.run(line, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"}, check=True)
    found = re.search(r"Request throughput \(req/s\):\s+([\d.]+)", said.stdout)
    assert found, said.stdout[-2000:]
    return float(found[1])


def ours(args: argparse.Namespace, asked: list[Request]) -> tuple[float, float]:
    """Requests per second of the openai back end, and the share of prompt tokens served from the prefix cache."""
    config = openai.Config(
        base_url=f"{args.url}/v1",
        model=args.model,
        concurrency=args.concurrency,
        structured="plain",
        extra_body={"ignore_eos": True},
    )
    with closing(openai.open(config)) as llm:
        began = time.monotonic()
        replies = list(llm.generate(asked))
        rate = len(replies) / (time.monotonic() - began)
    assert all(reply.usage.tokens_out == N_OUT for reply in replies)
    return rate, sum(one.usage.tokens_cached for one in replies) / sum(one.usage.tokens_in for one in replies)


def offline(args: argparse.Namespace, asked: list[Request]) -> float:
    """Requests per second of vLLM's own offline engine, the cache warm."""
    from vllm import LLM, SamplingParams  # pyright: ignore[reportMissingImports]

    llm = LLM(args.in_process, dtype="float32", max_model_len=4096, enforce_eager=True)
    chats = [[{"role": "user", "content": one.messages[0].content}] for one in asked]
    sampling = SamplingParams(temperature=0, max_tokens=N_OUT)
    rates = []
    for _ in range(args.rounds + 1):
        began = time.monotonic()
        assert len(llm.chat(chats, sampling, use_tqdm=False)) == len(asked)
        rates.append(len(asked) / (time.monotonic() - began))
    return max(rates[1:])


def engine(args: argparse.Namespace, asked: list[Request]) -> float:
    """Requests per second of the vllm back end, the cache warm."""
    config = vllm.Config(model=args.in_process, dtype="float32", max_model_len=4096, engine={"enforce_eager": True})
    with closing(vllm.open(config)) as llm:
        rates = []
        for _ in range(args.rounds + 1):
            began = time.monotonic()
            replies = list(llm.generate(asked))
            rates.append(len(replies) / (time.monotonic() - began))
            assert all(reply.text is not None for reply in replies)
    return max(rates[1:])


def in_process(args: argparse.Namespace, asked: list[Request]) -> None:
    """Measure one way after the other, each in a process of its own; print one line."""
    if args.way:
        print(f"rate {(offline if args.way == 'offline' else engine)(args, asked)}")
        return
    rates = {}
    for way in ("offline", "engine"):
        sizes = f"-m tests.benchmarks.vllm_throughput --way {way} --n {args.n} --rounds {args.rounds}"
        line = [sys.executable, *sizes.split(), "--in-process", args.in_process]
        said = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True).stdout
        rates[way] = float(said.split("rate ")[-1])
    share = rates["engine"] / rates["offline"]
    print(f"vLLM's offline engine {rates['offline']:.1f} requests/s; this back end {rates['engine']:.1f} ({share:.1%})")


def main() -> None:
    """Measure in turns; print one line per way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?")
    parser.add_argument("--model")
    parser.add_argument("--tokenizer")
    parser.add_argument("--in-process", metavar="MODEL")
    parser.add_argument("--way", choices=["offline", "engine"], help=argparse.SUPPRESS)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--n", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    asked = requests(args.n)
    if args.in_process:
        in_process(args, asked)
        return
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
