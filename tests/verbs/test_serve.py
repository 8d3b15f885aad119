"""`autointerp serve` names the settings that this work needs, and says in one line what is missing."""

import argparse
import importlib.util

import pytest

from autointerp.__main__ import main
from autointerp.verbs import serve


def test_the_command_serves_on_this_machine_only_and_tells_of_cached_tokens() -> None:
    parser = argparse.ArgumentParser()
    serve.configure(parser)
    line = serve.command(parser.parse_args(["m", "--port", "81", "--vllm-args=--tensor-parallel-size 2"]))
    assert line[line.index("--host") + 1] == "127.0.0.1"
    assert "--enable-prompt-tokens-details" in line
    assert line[-2:] == ["--tensor-parallel-size", "2"]


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vllm is installed here")
def test_without_vllm_it_says_what_to_install(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "some/model"]) == 2
    assert "pip install 'autointerp[vllm]'" in capsys.readouterr().err.replace("\n", " ")
