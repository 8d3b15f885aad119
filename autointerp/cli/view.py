"""Serve a folder of runs to the browser: an index with live progress, and each run's report.

    autointerp view                 results/
    autointerp view results --port 8100

Only this machine can connect; nothing is written.
"""

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("folder", type=Path, nargs="?", default=Path("results"), help="run directories (results)")
    parser.add_argument("--port", type=int, default=8090, metavar="N", help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--open", action="store_true", help="open the browser")


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    import webbrowser

    from autointerp.console import note
    from autointerp.report import view

    with view.server(args.folder, args.port) as server:
        address = f"http://127.0.0.1:{server.server_address[1]}/"
        note(f"{address}   ({len(view.entries(args.folder.resolve()))} runs in {args.folder}; Ctrl-C ends)")
        if args.open:
            webbrowser.open(address)
        server.serve_forever()
    return 0
