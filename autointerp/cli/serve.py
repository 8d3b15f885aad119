"""Start vLLM as a server for explaining and judging, with the settings that this work needs.

    autointerp serve Qwen/Qwen3-8B --port 8000
    autointerp score study.yaml --set judge_llm.base_url=http://127.0.0.1:8000/v1

A server of your own does as well. Settings of vLLM's own: `--vllm-args="--tensor-parallel-size 2"`. A key that clients
must give is set in the environment, `VLLM_API_KEY`: every user of the machine can read command lines.
"""

import argparse
import importlib.util
import json
import os
import shlex
import sys

from autointerp.console import note
from autointerp.errors import UserError

# Weak models held to a schema write white space without end; the option needs the backend named.
STRUCTURED = {"backend": "xgrammar", "disable_any_whitespace": True}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("model", metavar="MODEL", help="local folder or hub id")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--name", help="name to serve the model by (default: MODEL)")
    parser.add_argument("--max-model-len", type=int, metavar="TOKENS", help="prompt and reply together")
    parser.add_argument(
        "--vllm-args", default="", metavar="ARGS", help="further arguments of vLLM's server, one string"
    )


def run(args: argparse.Namespace) -> int:
    """Become the server's process: it ends with Ctrl-C, with its own exit code."""
    if importlib.util.find_spec("vllm") is None:
        raise UserError("vllm is not installed here: pip install 'autointerp[vllm]' (it needs a CUDA device)")
    line = command(args)
    note(f"serving {args.model}; use it with base_url: http://{args.host}:{args.port}/v1")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.execv(line[0], line)


def command(args: argparse.Namespace) -> list[str]:
    """The command line that is run. Not `vllm serve`: that asks for a package called vllm, which CPU builds are not."""
    engine = (
        f"-m vllm.entrypoints.openai.api_server --host {args.host} --port {args.port} --enable-prompt-tokens-details"
    )
    line = [sys.executable, *engine.split(), "--model", args.model]
    line += ["--structured-outputs-config", json.dumps(STRUCTURED)]
    if args.name:
        line += ["--served-model-name", args.name]
    if args.max_model_len:
        line += ["--max-model-len", str(args.max_model_len)]
    return [*line, *_further(args.vllm_args)]


def _further(given: str) -> list[str]:
    """Split the further arguments.

    Raises:
        UserError: they hold a key, or an open quote.
    """
    try:
        words = shlex.split(given)
    except ValueError as error:
        raise UserError(f"--vllm-args: {str(error).lower()}; quote it as for a shell") from error
    for word in words:
        name = word.partition("=")[0].replace("_", "-")
        # argparse accepts any unambiguous prefix of a name.
        if name.startswith("--api-k") or name == "--api":
            raise UserError(
                f"--vllm-args holds {name}: every user of this machine could read the key in the list of processes; "
                "leave it out and set VLLM_API_KEY in the environment"
            )
    return words
