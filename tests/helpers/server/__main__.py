"""Serve until interrupted."""

import argparse
import threading

import tests.helpers.server as package
from tests.helpers.server import Faults, Model, Server, chance, even

ANSWERS = {"even": even, "chance": chance}


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=package.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds per reply")
    parser.add_argument("--rate", type=float, default=0.0, help="share of faulty calls")
    parser.add_argument("--seed", type=int, default=0, help="of the faults")
    parser.add_argument("--answer", choices=sorted(ANSWERS), default="even", help="chance: for the shipped prompts")
    args = parser.parse_args()
    faults = Faults(seed=args.seed, rate=args.rate) if args.rate else None
    with Server(
        ANSWERS[args.answer], model=Model(latency_s=args.latency), faults=faults, port=args.port, keep_log=False
    ) as server:
        print(server.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
