"""The command line: finds the verb, parses, calls it, turns errors into one line and an exit code. No logic.

A verb is one file `autointerp/cli/<name>.py` with a docstring (its first line is the help), `configure(parser)` and
`run(args) -> int`. Verbs import what is heavy inside `run`, so that `--help` is quick.
"""

import argparse
import errno
import os
import sys

from autointerp import plugins
from autointerp._version import __version__
from autointerp.console import note
from autointerp.errors import AutointerpError

# Of the shell's conventions: 128 + SIGINT.
INTERRUPTED = 130


def parser(argv: list[str]) -> argparse.ArgumentParser:
    """Build the parser; only the verb that is asked for is imported, all of them for the overview."""
    top = argparse.ArgumentParser(prog="autointerp", description="Measure how interpretable dictionary latents are.")
    top.add_argument("--version", action="version", version=f"autointerp {__version__}")
    commands = top.add_subparsers(dest="verb", metavar="VERB", required=True)
    members = plugins.names("cli")
    wanted = [argv[0]] if argv and argv[0] in members else members
    for name in wanted:
        module = plugins.load("cli", name)
        doc = (module.__doc__ or "").strip()
        verb = commands.add_parser(
            name, help=doc.splitlines()[0], description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        module.configure(verb)
    return top


def main(argv: list[str] | None = None) -> int:
    """Run one verb; return the process's exit code."""
    argv = sys.argv[1:] if argv is None else argv
    args = parser(argv).parse_args(argv)
    try:
        return plugins.load("cli", args.verb).run(args)
    except AutointerpError as error:
        note(f"autointerp {args.verb}: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        note(f"autointerp {args.verb}: interrupted; what is finished is kept, the same command goes on")
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if not disk_is_full(error):
            raise
        note(f"autointerp {args.verb}: the disk is full ({error}); what is finished is kept: free some space and run "
             "the same command again")  # fmt: skip
        return AutointerpError.exit_code


def disk_is_full(error: BaseException | None) -> bool:
    """Tell whether an error, or one that it comes from, is a full disk; libraries report it in words of their own."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return True
        if any(words in str(error) for words in ("No space left on device", "disk is full")):
            return True
        error = error.__cause__ or error.__context__
    return False


if __name__ == "__main__":
    raise SystemExit(main())
