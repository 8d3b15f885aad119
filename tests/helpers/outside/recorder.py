"""A back end from outside the package: answers as `pattern` does, and writes down every prompt it is sent."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from autointerp.llm import pattern
from autointerp.records import Reply, Request


class Config(BaseModel):
    """Where it writes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    log: str


class Recorder(pattern.Pattern):
    """Logs a JSON line per prompt: its key and its messages."""

    def __init__(self, config: Config) -> None:
        self._log = Path(config.log)

    def generate(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Answer requests in their order."""
        return super().generate(self._noted(request) for request in requests)

    def _noted(self, request: Request) -> Request:
        messages = [{"role": one.role, "content": one.content} for one in request.messages]
        with self._log.open("a") as file:
            file.write(json.dumps({"key": request.key, "messages": messages}) + "\n")
        return request


def open(config: Config) -> Recorder:
    """Make the back end."""
    return Recorder(config)
