"""The command line: verbs listed, errors in a line, exit codes that scripts can rely on."""

import errno
import sqlite3
import subprocess
import sys

import pytest

from autointerp import plugins
from autointerp.__main__ import disk_is_full, main


@pytest.mark.parametrize("verb", plugins.names("cli"))
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` of each verb works and begins with what the verb does."""
    with pytest.raises(SystemExit) as stopped:
        main([verb, "--help"])
    assert stopped.value.code == 0
    first = (plugins.load("cli", verb).__doc__ or "").splitlines()[0]
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


@pytest.mark.parametrize("verb", ["compare", "gate", "report", "plan"])
def test_verbs_that_only_read_tables_import_no_torch(verb: str) -> None:
    """They start fast and run where torch is not installed."""
    code = (
        "import sys; from autointerp.__main__ import main\n"
        f"try: main([{verb!r}, '--help'])\nexcept SystemExit: pass\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules, sorted(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]


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
