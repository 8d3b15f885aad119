"""What the client costs: replies per second against a server that only sleeps, beside a bare load generator's.

    python -m tests.benchmarks.llm_client [--seconds 10] [--concurrency 5 15 50] [--latency 0.05] [--logprobs]

Several concurrencies make a curve: at 50 ms, 5 of them are a server of 100 replies/s at most, 50 one of 1,000.

The server (`tests.helpers.canned`, a process of its own) takes `latency` per reply and next to no CPU; the generator
is aiohttp alone, so its rate is what the server and the HTTP library can do. Then
prompts of about 700 tokens, made beforehand, go through `autointerp.asking.ask` with the openai back end, without and
with the response store. Measured in turns, so that other load hits all alike: the table has the median of each way's
share of the bare rate beside it in the same turn. Processor time does not depend on other load so much.

`--full` measures against the server of the tests (`tests.helpers.server`), which reads prompts and counts tokens.
"""

import argparse
import asyncio
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp

from autointerp.asking import ask
from autointerp.llm import openai
from autointerp.records import Message, Question
from tests.helpers import asking

N_PROMPTS = 4000
SHOTS = [
    Message(one.role, one.content * 50) if one.role == "user" else one
    for one in asking.question(0, n_shots=3).messages[1:-1]
]


def prompt(number: int) -> Question:
    """A prompt of about 700 tokens: three few-shot turns that are always the same, then five contexts."""
    made = asking.question(number, n_shots=0)
    system, last = made.messages
    return replace(made, messages=(system, *SHOTS, last))


def questions(made: Sequence[Question], seconds: float) -> Iterator[Question]:
    """For that long, the prompts again and again under new names and with new contexts."""
    until = time.monotonic() + seconds
    for number in itertools.count():
        if time.monotonic() > until:
            return
        one = made[number % len(made)]
        *before, last = one.messages
        again = Message(last.role, f"{last.content}\n({number})")
        yield replace(one, question_id=f"{number}", messages=(*before, again))


def bare(url: str, concurrency: int, seconds: float) -> int:
    """Replies of a bare aiohttp load generator in that time: fixed bytes out, bytes in, nothing read."""
    messages = [{"role": message.role, "content": message.content} for message in prompt(0).messages]
    raw = json.dumps({"model": "canned", "messages": messages, "max_tokens": 32}).encode()

    async def worker(session: aiohttp.ClientSession, until: float) -> int:
        n = 0
        while time.monotonic() < until:
            async with session.post(f"{url}/chat/completions", data=raw) as response:
                await response.read()
            n += 1
        return n

    async def main() -> int:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=concurrency)) as session:
            until = time.monotonic() + seconds
            return sum(await asyncio.gather(*[worker(session, until) for _ in range(concurrency)]))

    return asyncio.run(main())


def ours(url: str, made: Sequence[Question], concurrency: int, seconds: float, store: Path | None) -> int:
    """Replies through `ask` in that time."""
    client = openai.Config(base_url=url, concurrency=concurrency, structured="json_schema")
    with closing(ask.connect(openai.open(client), store=store)) as llm:
        asked = questions(made, seconds)
        return sum(1 for _ in ask.judgements({"yes_no": asking.YesNo()}, llm, asked, config=ask.AskConfig()))


def cpu_s(pid: int | None = None) -> float:
    """CPU seconds of a process, by default this one."""
    fields = Path(f"/proc/{pid or 'self'}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Turn:
    """One measurement: replies per second, milliseconds of CPU per reply of client and server."""

    rate: float
    client_ms: float
    server_ms: float


def turn(measure: Callable[[], int], server: int) -> Turn:
    """Measure once."""
    began, mine, its = time.monotonic(), cpu_s(), cpu_s(server)
    n = measure()
    seconds = time.monotonic() - began
    return Turn(n / seconds, 1000 * (cpu_s() - mine) / n, 1000 * (cpu_s(server) - its) / n)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[5, 15, 50])
    parser.add_argument("--latency", type=float, default=0.05)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--logprobs", action="store_true", help="replies carry log-probabilities (canned server only)")
    parser.add_argument("--full", action="store_true", help="the tests' server instead of the canned one")
    return parser.parse_args()


def main() -> None:
    """Measure in turns; print one line per way."""
    args = arguments()
    name = "tests.helpers.server" if args.full else "tests.helpers.canned"
    line = [sys.executable, "-m", name, "--latency", str(args.latency), *(["--logprobs"] if args.logprobs else [])]
    made = [prompt(number) for number in range(N_PROMPTS)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        for concurrency in args.concurrency:
            measure(args, url, server.pid, made, concurrency)
        server.terminate()


def measure(args: argparse.Namespace, url: str, server: int, made: Sequence[Question], concurrency: int) -> None:
    """Measure all ways at one concurrency, and print what came out."""
    with tempfile.TemporaryDirectory() as folder:
        ways: dict[str, Callable[[int], int]] = {
            "bare aiohttp": lambda _: bare(url, concurrency, args.seconds),
            "ask": lambda _: ours(url, made, concurrency, args.seconds, None),
            "ask with store": lambda i: ours(url, made, concurrency, args.seconds, Path(folder) / f"store{i}"),
        }
        turns: dict[str, list[Turn]] = {way: [] for way in ways}
        for i in range(args.rounds):
            for way, run in ways.items():
                turns[way].append(turn(lambda run=run, i=i: run(i), server))
    most = concurrency / args.latency
    print(
        f"concurrency {concurrency}, latency {args.latency} s: at most {most:.0f}/s; "
        f"load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )
    bares = turns["bare aiohttp"]
    for way, measured in turns.items():
        share = statistics.median(one.rate / bare.rate for one, bare in zip(measured, bares, strict=True))
        best = max(one.rate for one in measured)
        print(
            f"{way:20} {best:7.0f} replies/s = {best / most:6.1%} of the most, {share:6.1%} of the bare rate  CPU per "
            f"reply: client {min(one.client_ms for one in measured):.3f} ms, server "
            f"{min(one.server_ms for one in measured):.3f} ms",
            flush=True,
        )


if __name__ == "__main__":
    main()
