"""The command line: finds the verb, parses, calls it, turns errors into one line and an exit code. No logic.

A verb is one file `autointerp/cli/<name>.py` with a docstring (its first line is the help), `configure(parser)` and
`run(args) -> int`. Verbs import what is heavy inside `run`, so that `--help` is quick.
"""

import argparse
import errno
import os
import shutil
import sys
import traceback

from autointerp import plugins
from autointerp._version import __version__
from autointerp.console import note
from autointerp.errors import AutointerpError

# Of the shell's conventions: 128 + SIGINT.
INTERRUPTED = 130
# Of sysexits.h, EX_SOFTWARE: an internal error. 1 would read as the FAIL of a gate.
BUG = 70


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
        if reason := plain_reason(error):
            note(f"autointerp {args.verb}: {reason}")
            return AutointerpError.exit_code
        traceback.print_exc()
        note(f"autointerp {args.verb}: this is a bug in autointerp; what is finished is kept")
        return BUG


def plain_reason(error: Exception) -> str:
    """Return what to tell a person about an error of the machine (disk, files, memory); "" for any other error."""
    if disk_is_full(error):
        return f"the disk is full ({error}); what is finished is kept: free some space and run the same command again"
    if isinstance(error, shutil.Error):
        return " ".join(str(error).split())[:500]
    if isinstance(error, OSError) and error.filename is not None:
        name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else str(error.filename)
        return f"{name[:300]}: {error.strerror}"
    if (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "t allocate memory" in str(error)
    ):
        detail = " ".join(str(error).split())[:200]
        return f"out of memory ({detail or 'no detail'}); what is finished is kept: choose smaller settings"
    if isinstance(error, ValueError) and "null byte" in str(error):
        return f"a path holds a null character ({error})"
    return ""


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
