"""`python -m tests.helpers.interrupted FOLDER N`: collect, killed N times at random moments, then once to the end.

Each run is forked from this process, which imports everything and computes nothing, so that a run starts at once.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

from autointerp.collection.base import CollectConfig, SamplingConfig
from autointerp.collection.collect import Collection
from tests.helpers.collecting import arms, run, texts


def work(folder: Path) -> Collection:
    """Collect about 30 shards, with a survey of five."""
    return run(
        folder,
        texts(60, 11),
        arms()[:3],
        windows={"n_tokens": 6400},
        collection=CollectConfig(batch_tokens=64, shard_tokens=128),
        sampling=SamplingConfig(n_latents=9, survey_share=0.1),
    )


def forked(folder: Path) -> int:
    """Start a run; return its process id."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work(folder)
            code = 0
        finally:
            os._exit(code)
    return pid


def main(folder: Path, n: int) -> None:
    """Kill n runs, let one finish, print how many were killed before they ended."""
    rng, n_killed = random.Random(0), 0
    began = time.monotonic()
    os.waitpid(forked(folder.with_name("rehearsal")), 0)
    whole = time.monotonic() - began
    for _ in range(n):
        pid = forked(folder)
        time.sleep(rng.uniform(0.02, 0.4) * whole)
        os.kill(pid, signal.SIGKILL)
        n_killed += os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    assert os.waitpid(forked(folder), 0)[1] == 0
    print(n_killed)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
