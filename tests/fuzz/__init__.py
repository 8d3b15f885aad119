"""Fuzzers with a seed and a count: the default suite runs a few inputs each, `python -m tests.fuzz.NAME N SEED` more.

Every input ends in a right result or a line that says why not: no traceback, no hang, nothing misread in silence.
"""

import argparse
import contextlib
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from autointerp.errors import AutointerpError

LONGEST_S = 120
# Of a message, which may list many problems of a study.
MOST_CHARACTERS = 12_000


@dataclass
class Found:
    """What became of the inputs: counts by outcome, and each fault with the input that shows it."""

    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def fault(self, kind: str, what: object) -> None:
        self.outcomes[kind] += 1
        self.faults.append(f"{kind}: {what}"[:500])


@contextlib.contextmanager
def limited(seconds: int = LONGEST_S) -> Iterator[None]:
    """Raise TimeoutError in a hang."""

    def stop(number: int, frame: object) -> None:
        raise TimeoutError(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def tried(found: Found, what: object, run: Callable[[], str]) -> None:
    """Run one input; `run` returns its outcome, or "fault: ..." for a wrong result."""
    try:
        with limited():
            outcome = run()
    except AutointerpError as error:
        if len(str(error)) > MOST_CHARACTERS:
            found.fault("long message", f"{what}: {str(error)[:200]}")
        else:
            found.outcomes["refused"] += 1
    except TimeoutError as error:
        found.fault("hang", f"{what}: {error}")
    except Exception as error:
        found.fault("traceback", f"{what}: {type(error).__name__}: {error}")
    else:
        if outcome.startswith("fault: "):
            found.fault("wrong", f"{what}: {outcome}")
        else:
            found.outcomes[outcome] += 1


def main(fuzz: Callable[[int, int], Found]) -> None:
    """Run a fuzzer from the command line and print what it found."""
    parser = argparse.ArgumentParser(description=fuzz.__doc__)
    parser.add_argument("n", type=int)
    parser.add_argument("seed", type=int, nargs="?", default=0)
    args = parser.parse_args()
    began = time.monotonic()
    found = fuzz(args.n, args.seed)
    seconds = time.monotonic() - began
    print(f"{args.n} inputs, seed {args.seed}, {seconds:.0f} s: {dict(found.outcomes)}")
    for fault in found.faults[:50]:
        print(fault)
    raise SystemExit(bool(found.faults))
