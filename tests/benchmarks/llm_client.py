"""What the client costs: replies per second against a scripted server, beside a bare load generator's.

    python -m tests.benchmarks.llm_client [--seconds 10] [--concurrency 256] [--latency 0.05]

The server (a process of its own) takes `latency` per reply; the generator writes fixed bytes on keep-alive sockets and
reads the reply's length, so its rate is what the server can do. Then the same prompts go through `autointerp.ask` with
the openai back end, without and with the response store. Measured in turns, so that other load hits all alike.
"""

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from autointerp import ask
from autointerp.llm import openai
from autointerp.records import Message, Question
from tests.helpers import asking


def prompt(number: int) -> Question:
    """A prompt of about 700 tokens: three few-shot turns that are always the same, then five contexts."""
    made = asking.question(number, n_shots=3)
    system, *shots, last = made.messages
    longer = [Message(one.role, one.content * 50) if one.role == "user" else one for one in shots]
    return replace(made, messages=(system, *longer, last))


def questions(seconds: float) -> Iterator[Question]:
    """Endless for that long."""
    until, number = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        yield prompt(number)
        number += 1


def bare(url: str, concurrency: int, seconds: float) -> int:
    """Replies of the load generator in that time."""
    messages = [{"role": message.role, "content": message.content} for message in prompt(0).messages]
    body = {"model": "scripted", "messages": messages, "max_tokens": 32}
    raw = json.dumps(body).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(raw)}\r\n\r\n".encode()

    async def worker(until: float) -> int:
        reader, writer = await asyncio.open_connection(urlsplit(url).hostname, urlsplit(url).port)
        n = 0
        while time.monotonic() < until:
            writer.write(head + raw)
            answer = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(answer.split(b"Content-Length: ")[1].split(b"\r\n")[0]))
            n += 1
        writer.close()
        return n

    async def main() -> int:
        return sum(await asyncio.gather(*[worker(time.monotonic() + seconds) for _ in range(concurrency)]))

    return asyncio.run(main())


def ours(url: str, concurrency: int, seconds: float, store: Path | None) -> int:
    """Replies through `ask` in that time."""
    client = openai.Config(base_url=url, concurrency=concurrency, structured="json_schema")
    with closing(ask.connect(openai.open(client), store=store)) as llm:
        told = ask.judgements({"yes_no": asking.YesNo()}, llm, questions(seconds), config=ask.AskConfig())
        return sum(1 for _ in told)


def cpu_s() -> float:
    """CPU seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Measure in turns; print one line per way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--concurrency", type=int, default=256)
    parser.add_argument("--latency", type=float, default=0.05)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    line = [sys.executable, "-m", "tests.helpers.server", "--latency", str(args.latency)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as server, tempfile.TemporaryDirectory() as folder:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        ways = {
            "bare load generator": lambda _: bare(url, args.concurrency, args.seconds),
            "ask": lambda _: ours(url, args.concurrency, args.seconds, None),
            "ask with store": lambda i: ours(url, args.concurrency, args.seconds, Path(folder) / f"store{i}"),
        }
        rates: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        for i in range(args.rounds):
            for way, measure in ways.items():
                began, used = time.monotonic(), cpu_s()
                n = measure(i)
                rates[way].append((n / (time.monotonic() - began), 1000 * (cpu_s() - used) / n))
        server.terminate()
    top = max(rate for rate, _ in rates["bare load generator"])
    print(f"concurrency {args.concurrency}, latency {args.latency} s: at most {args.concurrency / args.latency:.0f}/s")
    for way, measured in rates.items():
        rate, cpu = max(rate for rate, _ in measured), min(cpu for _, cpu in measured)
        print(f"{way:20} {rate:7.0f} replies/s  {rate / top:6.1%}  {cpu:.2f} ms CPU per reply")


if __name__ == "__main__":
    main()
