"""Odd values of every flag of every verb."""

import argparse
import os
import tempfile
from pathlib import Path

from autointerp.__main__ import parser, verb_names
from tests.fuzz import Found, main, tried
from tests.helpers.damage import called
from tests.run.test_integrity import sealed

WORDS = r"""
.. . / // ~ - -- ---x -1 0 1 +1 00 1e3 1e400 -0 nan inf 0x10 1_000 ² ½ ١ 9223372036854775808 1k 1M 1Q k all none null
true a=b = a= =b a.b=c a..b=1 .=1 [ ] { } [1 {a:1} *a &a !x a,b , ,, http:// http://h:99999/v1 ftp://u:p@h
file:///etc/passwd /dev/null /proc/self/mem /nonexistent/x/y é %s %n {0} $HOME `id` ;id <x> * ? .csv a\0b
"""
VALUES = (
    *WORDS.split(),
    "",
    " ",
    "x y",
    "\n",
    "\t",
    "\x1b[31m",
    "\u202e",
    "😀",
    "a" * 300,
    "a" * 5000,
    "../" * 40,
    "\udcff",
    "\0",
)
# Verbs that start servers or ask the hub.
LEFT_OUT = {"serve", "doctor"}


def flags() -> list[tuple[str, argparse.Action]]:
    """List every option with a value of every verb."""
    found = []
    for verb in verb_names():
        if verb in LEFT_OUT:
            continue
        top = parser([verb])
        commands = next(one for one in top._actions if isinstance(one, argparse._SubParsersAction))
        for action in commands.choices[verb]._actions:
            if action.option_strings and action.nargs != 0:
                found.append((verb, action))
    return found


def fuzz(n: int, seed: int) -> Found:
    """Give n odd values to each flag, starting at value number `seed`: an exit code, and no more than a few lines."""
    found, cwd = Found(), Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        run = sealed(Path(name) / "run")
        os.chdir(name)
        try:
            for verb, action in flags():
                for number in range(n):
                    value = VALUES[(seed + number) % len(VALUES)]
                    argv = [verb, *_positional(verb, run), f"{action.option_strings[-1]}={value}"]
                    tried(found, argv, lambda argv=argv: _call(argv))
        finally:
            os.chdir(cwd)
    return found


def _positional(verb: str, run: Path) -> list[str]:
    """Arguments with which a verb fails early or only reads."""
    more = {"gate": ["--baseline", str(run)], "show": ["sae/0"]}
    if verb in {"compare", "report", "latents", "figures", "export", *more}:
        return [str(run), *more.get(verb, [])]
    if verb in {"judge", "explainer"}:
        return ["no-llm"]
    if verb in {"init", "plan"}:
        return []
    return ["/nonexistent/study.yaml"]


def _call(argv: list[str]) -> str:
    code, _, err = called(argv)
    if "Traceback" in err or code == 70:
        return f"fault: {err[-300:]}"
    return f"exit {code}" if isinstance(code, int) and 0 <= code < 5 else f"fault: exit {code}"


if __name__ == "__main__":
    main(fuzz)
