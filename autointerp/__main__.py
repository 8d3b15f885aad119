"""The command line: finds the verb, parses its arguments, calls it, turns errors into one line and an exit code.

A verb is one file `autointerp/cli/<name>.py` with a docstring (its first line is the help), `configure(parser)` and
`run(args) -> int`. Verbs import heavy packages inside `run`, so that `--help` is fast.
"""

import argparse
import difflib
import errno
import os
import shutil
import sys
import traceback
from typing import Any, NoReturn

from autointerp import plugins
from autointerp._version import __version__
from autointerp.errors import AutointerpError

# Shell convention: 128 + SIGINT.
INTERRUPTED = 130
# Of sysexits.h, EX_SOFTWARE: an internal error. 1 would read as the FAIL of a gate.
BUG = 70


class Parser(argparse.ArgumentParser):
    """Argument parser with one-line errors that suggest similar names; flags cannot be abbreviated."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        """Print the error and where help is, and exit with 2."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Parse all arguments; an unknown one is an error that names similar flags."""
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            verb = getattr(found, "parser", self)
            flags = [flag for action in verb._actions for flag in action.option_strings]
            verb.error(
                "; ".join(f"unknown argument {text}{suggestion(text.partition('=')[0], flags)}" for text in unknown)
            )
        return found


def verb_names() -> list[str]:
    """List the verbs as they are typed: `train-judge` is the file `train_judge.py`."""
    return [name.replace("_", "-") for name in plugins.names("cli")]


def suggestion(text: str, known: list[str]) -> str:
    """Return `; did you mean ...?` for a misspelt name, or ""."""
    near = difflib.get_close_matches(text, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def parser(argv: list[str]) -> Parser:
    """Build the parser; only the verb in `argv` is imported, all of them for the overview."""
    top = Parser(prog="autointerp", description="Measure how interpretable dictionary latents are.")
    top.add_argument("--version", action="version", version=f"autointerp {__version__}")
    commands = top.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=Parser)
    members = verb_names()
    for name in [argv[0]] if argv and argv[0] in members else members:
        module = plugins.load("cli", name.replace("-", "_"))
        doc = (module.__doc__ or "").strip()
        verb = commands.add_parser(
            name, help=doc.splitlines()[0], description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        verb.set_defaults(parser=verb)
        module.configure(verb)
    return top


def main(argv: list[str] | None = None) -> int:
    """Run one verb; return the process's exit code."""
    argv = sys.argv[1:] if argv is None else argv
    verbs = verb_names()
    argv = [one.replace("_", "-") for one in argv[:1]] + argv[1:]
    if not argv:
        parser(argv).print_help()
        return 0
    if not argv[0].startswith("-") and argv[0] not in verbs:
        known = suggestion(argv[0], verbs) or f"; verbs: {', '.join(verbs)}"
        sys.stderr.write(f"autointerp: unknown verb {argv[0]!r}{known}\n")
        return AutointerpError.exit_code
    args = parser(argv).parse_args(argv)
    try:
        return plugins.load("cli", args.verb.replace("-", "_")).run(args)
    except AutointerpError as error:
        _note(args.verb, str(error))
        return error.exit_code
    except KeyboardInterrupt:
        _note(args.verb, "interrupted; finished work is kept, the same command continues")
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if reason := plain_reason(error):
            _note(args.verb, reason)
            return AutointerpError.exit_code
        traceback.print_exc()
        _note(args.verb, "this is a bug in autointerp; finished work is kept")
        return BUG


def plain_reason(error: Exception) -> str:
    """Return what to tell a person about an error of the machine (disk, files, memory); "" for any other error."""
    if disk_is_full(error):
        return f"the disk is full ({error}); finished work is kept: free some space and run the same command again"
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
        return f"out of memory ({detail or 'no detail'}); finished work is kept: choose smaller settings"
    if isinstance(error, ValueError) and "null byte" in str(error):
        return f"a path holds a null character ({error})"
    return ""


def _note(verb: str, message: str) -> None:
    from autointerp.console import note

    note(f"autointerp {verb}: {message}")


def disk_is_full(error: BaseException | None) -> bool:
    """Return whether an error, or one of its causes, is a full disk; each library has its own message."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return True
        if any(words in str(error) for words in ("No space left on device", "disk is full")):
            return True
        error = error.__cause__ or error.__context__
    return False


if __name__ == "__main__":
    raise SystemExit(main())
