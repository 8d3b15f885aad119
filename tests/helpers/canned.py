"""A server that says the same to everybody after a fixed time and does nothing else: no client waits for its CPU.

python -m tests.helpers.canned --latency 0.05 [--logprobs]
"""

import argparse
import asyncio
import json

from tests.helpers.server.words import logprob

TEXT = "[1, 0, 1, 0, 1]"
MODELS = json.dumps({"object": "list", "data": [{"id": "canned", "object": "model"}]}).encode()


def completion(*, logprobs: bool) -> bytes:
    """The reply: five answers, with log-probabilities of ten alternatives each where wanted."""
    choice = {"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}
    if logprobs:
        told = [logprob(part, nan=False) for part in ("[", "1", ", ", "0", ", ", "1", ", ", "0", ", ", "1", "]")]
        for one in told:
            one["top_logprobs"] += [{"token": f"word{i}", "logprob": -20.0 - i, "bytes": [119, 111]} for i in range(8)]
        choice["logprobs"] = {"content": told}
    usage = {"prompt_tokens": 700, "completion_tokens": 11, "total_tokens": 711}
    return json.dumps({"object": "chat.completion", "model": "canned", "choices": [choice], "usage": usage}).encode()


def wire(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


class Connection(asyncio.Protocol):
    """Answers each POST `latency` seconds after it was whole, each GET at once."""

    def __init__(self, latency: float, said: bytes) -> None:
        self.latency, self.said, self.buffer = latency, said, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            _, named, rest = head.partition(b"content-length:")
            whole = end + 4 + (int(rest.split(b"\r\n", 1)[0]) if named else 0)
            if len(self.buffer) < whole:
                return
            self.buffer = self.buffer[whole:]
            if head.startswith(b"get"):
                self.transport.write(wire(MODELS))
            else:
                asyncio.get_running_loop().call_later(self.latency, self._say)

    def _say(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(self.said)


async def serve(latency: float, *, logprobs: bool) -> None:
    """Serve until the process ends; print the address first."""
    said = wire(completion(logprobs=logprobs))
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: Connection(latency, said), "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1", flush=True)
    await listening.serve_forever()


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds per reply")
    parser.add_argument("--logprobs", action="store_true", help="send log-probabilities with every reply")
    args = parser.parse_args()
    asyncio.run(serve(args.latency, logprobs=args.logprobs))


if __name__ == "__main__":
    main()
