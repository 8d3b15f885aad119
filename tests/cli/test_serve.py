"""`autointerp serve` names the settings that this work needs, and says in one line what is missing."""

import argparse
import importlib.util

import pytest

from autointerp.__main__ import main
from autointerp.cli import serve
from autointerp.errors import UserError


def test_the_command_serves_on_this_machine_only_and_tells_of_cached_tokens() -> None:
    parser = argparse.ArgumentParser()
    serve.configure(parser)
    line = serve.command(parser.parse_args(["m", "--port", "81", "--vllm-args=--tensor-parallel-size 2"]))
    assert line[line.index("--host") + 1] == "127.0.0.1"
    assert "--enable-prompt-tokens-details" in line
    assert line[-2:] == ["--tensor-parallel-size", "2"]


@pytest.mark.parametrize(
    "given", ["--api-key sk-12345678", "--api-key=sk-12345678", "--port 1 --api_key sk-12345678", "--api-k sk-12345678"]
)
def test_a_key_on_the_command_line_is_refused_unsaid(given: str) -> None:
    parser = argparse.ArgumentParser()
    serve.configure(parser)
    with pytest.raises(UserError, match="set VLLM_API_KEY in the environment") as caught:
        serve.command(parser.parse_args(["m", f"--vllm-args={given}"]))
    assert "12345678" not in str(caught.value)


def test_further_arguments_with_an_open_quote_are_one_line() -> None:
    parser = argparse.ArgumentParser()
    serve.configure(parser)
    with pytest.raises(UserError, match="quote it as for a shell"):
        serve.command(parser.parse_args(["m", "--vllm-args=--a 'b"]))


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vllm is installed here")
def test_without_vllm_it_says_what_to_install(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "some/model"]) == 2
    assert "pip install 'autointerp[vllm]'" in capsys.readouterr().err.replace("\n", " ")
