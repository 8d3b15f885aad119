"""Every reply that a run paid for, as JSON lines: who was asked, the prompt, how, and what came back.

    {"model": ..., "messages": [{"role": ..., "content": ...}], "sampling": {...}, "schema": ..., "reply": {...},
     "created": ...}

`reply` holds text, finish_reason, usage and logprobs (token, log-probability, alternatives; null for what is no
number). Works on a stopped run too. No key and no address is in the store, so none is in the export.
"""

import json
import math
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from autointerp.asking.responses import Store
from autointerp.errors import RunDirectoryError
from autointerp.report.exports.base import Export
from autointerp.report.run import ReportRun
from autointerp.run.store import write_atomically


class Config(BaseModel):
    """Settings of which replies are written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    logprobs: bool = Field(True, description="write log-probabilities, by far the largest part")


def write(run: ReportRun, out: Path, config: Config) -> Export:
    """Write `responses.jsonl`, a line per reply in the order in which they came.

    Raises:
        RunDirectoryError: the run keeps no replies.
    """
    path = run.path / "responses.sqlite"
    if not path.exists():
        raise RunDirectoryError(
            f"{run.path} holds no responses.sqlite: no LLM was asked yet, or it ran with --no-cache, or is a copy"
        )
    n = 0

    def lines(partial: Path) -> None:
        nonlocal n
        with closing(Store(path)) as store, partial.open("w", encoding="utf-8") as file:
            for line in _lines(store, config):
                file.write(line + "\n")
                n += 1

    write_atomically(out / "responses.jsonl", lines)
    return Export(files=[str(out / "responses.jsonl")], counts={"replies": n})


def _lines(store: Store, config: Config) -> Iterator[str]:
    for one in store.export():
        reply = one["reply"]
        assert isinstance(reply, dict)
        logprobs = _numbers(reply["logprobs"]) if config.logprobs else []
        yield json.dumps({**one, "reply": {**reply, "logprobs": logprobs}}, allow_nan=False)


def _numbers(value: Any) -> Any:
    """The same with null for infinite and NaN, which JSON does not have."""
    if isinstance(value, list):
        return [_numbers(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
