"""`autointerp completion`: what bash completes, asked of bash itself."""

import shutil
import subprocess

import pytest

from autointerp.__main__ import verb_names
from autointerp.cli import completion

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")


def completed(script: str, *words: str) -> list[str]:
    """What bash offers for the last word."""
    line = " ".join(f"'{word}'" for word in words)
    code = (
        f'{script}\nCOMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _autointerp; printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    return subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True).stdout.split()


def test_verbs_flags_and_choices_complete() -> None:
    """Every verb; the flags of the verb that stands there; the choices of a flag; files after anything else."""
    script = completion.bash(completion.all_flags())
    assert completed(script, "autointerp", "") == verb_names()
    assert completed(script, "autointerp", "sc") == ["score"]
    assert set(completed(script, "autointerp", "score", "--se")) == {"--set", "--seed"}
    assert set(completed(script, "autointerp", "init", "--preset", "")) == {"quick", "standard", "paper", "delphi"}
    assert completed(script, "autointerp", "show", "res") == []


def test_fish_names_every_flag() -> None:
    flags = completion.all_flags()
    text = completion.fish(flags)
    for verb, known in flags.items():
        for flag in known:
            assert f"__fish_seen_subcommand_from {verb}' -l {flag.name[2:]} " in text
