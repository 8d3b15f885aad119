"""The command line: verbs listed, errors in a line, exit codes that scripts can rely on."""

import errno
import sqlite3
import subprocess
import sys

import pytest

from autointerp import plugins
from autointerp.__main__ import disk_is_full, main, verb_names


@pytest.mark.parametrize("verb", verb_names())
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` of each verb works and begins with what the verb does."""
    with pytest.raises(SystemExit) as stopped:
        main([verb, "--help"])
    assert stopped.value.code == 0
    first = (plugins.load("cli", verb.replace("-", "_")).__doc__ or "").splitlines()[0]
    assert first in capsys.readouterr().out


def test_an_error_is_one_line_and_exit_code_two(capsys: pytest.CaptureFixture[str]) -> None:
    """No traceback for what a person can mend."""
    assert main(["score", "absent.yaml"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("autointerp score: study file absent.yaml")
    assert "Traceback" not in told


def test_a_full_disk_is_known_in_every_librarys_words() -> None:
    """Python, SQLite and Rust each say it in their own way; a cause counts."""
    assert disk_is_full(OSError(errno.ENOSPC, "x"))
    assert disk_is_full(sqlite3.OperationalError("database or disk is full"))
    wrapped = RuntimeError("I/O error")
    wrapped.__cause__ = OSError(errno.ENOSPC, "x")
    assert disk_is_full(wrapped)
    assert not disk_is_full(OSError(errno.ENOENT, "x"))


# Modules that no help page may import: each costs more time than all of the help.
SLOW = {
    "torch",
    "transformers",
    "datasets",
    "pandas",
    "numpy",
    "scipy",
    "pyarrow",
    "pydantic",
    "yaml",
    "rich",
    "matplotlib",
}


def imported_by(*argv: str) -> set[str]:
    """Return the top-level modules that a fresh process has imported once the command ends."""
    code = (
        "import sys; from autointerp.__main__ import main\n"
        f"try: main({list(argv)!r})\nexcept SystemExit as stopped: assert not stopped.code, stopped.code\n"
        "print('imported', *{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    return set(done.stdout.splitlines()[-1].split()[1:])


@pytest.mark.parametrize("argv", [[], ["--help"], *([verb, "--help"] for verb in verb_names())], ids=" ".join)
def test_help_imports_nothing_slow(argv: list[str]) -> None:
    """`autointerp`, `--help` and `VERB --help` answer at once, and where torch is not installed."""
    assert not imported_by(*argv) & SLOW


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["scor"], "unknown verb 'scor'; did you mean score?"),
        (["xyzzy"], "verbs: collect, compare"),
        (["score", "--latens", "5"], "unknown argument --latens; did you mean --latents?"),
        (["score", "--laten", "5"], "unknown argument --laten; did you mean --latents?"),
        (["score", "--seeed=3"], "did you mean --seed?"),
    ],
)
def test_misspelt_verbs_and_flags_are_one_line_with_the_near_miss(
    argv: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """No usage of another verb, no abbreviation that silently starts a run."""
    try:
        code: object = main(argv)
    except SystemExit as stopped:
        code = stopped.code
    assert code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "/x/gate.json"), "/x/gate.json: Permission denied"),
        (MemoryError("Unable to allocate 22 GiB"), "out of memory (Unable to allocate 22 GiB)"),
        (ValueError("embedded null byte"), "null character"),
    ],
)
def test_an_error_of_the_machine_is_one_line(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(args: object) -> int:
        raise error

    monkeypatch.setattr(plugins.load("cli", "report"), "run", fail)
    assert main(["report", "run"]) == 2
    told = capsys.readouterr().err
    assert said in told.replace("\n", " ")
    assert "Traceback" not in told


def test_a_bug_keeps_its_traceback_and_never_reads_as_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A gate that breaks must not end with 1, which CI reads as FAIL."""
    monkeypatch.setattr(plugins.load("cli", "gate"), "run", lambda args: [][0])
    assert main(["gate", "run", "--baseline", "run"]) == 70
    assert "Traceback" in capsys.readouterr().err
