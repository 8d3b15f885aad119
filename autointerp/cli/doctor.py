"""Check this machine: versions, GPU, memory, disk, the Hugging Face hub, and an LLM server.

    autointerp doctor
    autointerp doctor --server http://127.0.0.1:8000/v1

One line per check. Exit code 2 if a required package is missing or the named server does not answer.
"""

import argparse
import json
import os
import platform
import shutil
from pathlib import Path

REQUIRED = ("torch", "transformers", "datasets", "safetensors", "numpy", "pandas", "pyarrow", "scipy", "pydantic")
OPTIONAL = ("vllm", "tensorboard")
HUB = "https://huggingface.co"
TIMEOUT_S = 5


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--server", metavar="URL", help="an OpenAI-compatible server, http://host:port/v1")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print the checks."""
    found = {**versions(), **machine(), "hub": answers(HUB)}
    if args.server:
        found["server"] = answers(f"{args.server.rstrip('/')}/models")
    if args.json:
        print(json.dumps(found, indent=1))
    else:
        print("\n".join(f"{name + ':':<15} {value}" for name, value in found.items()))
    missing = [name for name in REQUIRED if found[name] == "not installed"]
    return 2 if missing or (args.server and not found["server"].startswith("answers")) else 0


def versions() -> dict[str, str]:
    """Return the versions of Python, of autointerp and of the packages it uses."""
    import importlib.metadata

    from autointerp._version import __version__

    found = {"autointerp": __version__, "python": platform.python_version()}
    for name in (*REQUIRED, *OPTIONAL):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def machine() -> dict[str, str]:
    """Return CPUs, memory, GPUs and free disk space of the working directory, and which keys are set."""
    try:
        import torch

        gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    except ImportError:
        gpus = []
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    free = shutil.disk_usage(Path.cwd()).free
    return {
        "cpus": str(os.cpu_count()),
        "memory": f"{memory / 2**30:.1f} GiB",
        "gpu": ", ".join(gpus) or "none (subjects run on the CPU; vLLM needs a GPU)",
        "disk": f"{free / 2**30:.1f} GiB free in {Path.cwd()}",
        "OPENAI_API_KEY": "set" if os.environ.get("OPENAI_API_KEY") else "not set (only servers with a key need it)",
    }


def answers(url: str) -> str:
    """Return whether an address answers, and otherwise why not."""
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as reply:
            return f"answers ({reply.status})"
    except urllib.error.HTTPError as error:
        error.close()
        return f"answers ({error.code} {error.reason})"
    except (OSError, ValueError) as error:
        return f"no answer from {url}: {error}"
