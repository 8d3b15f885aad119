"""A worker process of `processes`: reads a job and items from a socket, and writes receipts or an error to it."""

import os
import queue
import sys
import threading
import traceback
from multiprocessing.connection import Connection
from typing import Any

from autointerp.errors import AutointerpError
from autointerp.execution.base import Counter, open_worker


def main(descriptor: int) -> None:
    """Serve until the driver closes the socket."""
    connection = Connection(descriptor)
    items: queue.Queue[Any] = queue.Queue()
    try:
        pickled = connection.recv_bytes()
        # The next item is received while one is computed: the driver never waits for a busy worker.
        threading.Thread(target=_receive, args=(connection, items), daemon=True).start()
        worker = open_worker(pickled)
        while (item := items.get()) is not None:
            connection.send(worker(item, Counter()))
    except (EOFError, ConnectionError):
        return
    except AutointerpError as error:
        connection.send(error)
    except Exception as error:
        traceback.print_exc()
        connection.send(RuntimeError(f"{type(error).__name__}: {error}"))


def _receive(connection: Connection, items: "queue.Queue[Any]") -> None:
    try:
        while True:
            items.put(connection.recv())
    except (EOFError, OSError):
        os._exit(0)  # the driver ended: a shard that is being computed has no reader; files are complete or absent


if __name__ == "__main__":
    main(int(sys.argv[1]))
